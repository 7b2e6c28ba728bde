//! Payloads, read back with a parser that is not ours.

use std::process::Command;

use object::elf::{FileHeader64, SHN_UNDEF, SHT_NOBITS};
use object::read::elf::{ElfFile64, FileHeader, SectionHeader, Sym as _};
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionFlags,
    SymbolSection,
};
use xtf_livepatch::abi::Revision;
use xtf_livepatch::payload::wire::{
    R_X86_64_32, R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE,
    SHN_COMMON, SHT_PROGBITS,
};
use xtf_livepatch::payload::{
    Area, Chunk, Data, Elf, Expectation, FuncVersion, Function, Hook, HookBody, Payload, Rela,
    Replacement, Section, Target, code,
};

const XEN_ID: [u8; 20] = [0x5A; 20];
const OWN_ID: &[u8] = b"twenty bytes of id..";

fn v2() -> Target {
    Target::new(Revision::V2, XEN_ID)
}

fn payload() -> Payload {
    Payload::new(&v2(), OWN_ID)
}

fn simple() -> Payload {
    payload().function(Function::named("xen_extra_version", code::return_str("-patched")))
}

/// Uses everything that the builder has.
fn rich() -> Payload {
    payload()
        .function(
            Function::named("xen_minor_version", code::return_u32_at("answer")).label("minor"),
        )
        .function(Function::at(0xFFFF_82D0_4020_0000, Replacement::Nop(5)).expecting(&[0xB8, 17]))
        .function(Function::symbol(
            "common/version.c#static_one",
            Replacement::Symbol("helper".into()),
        ))
        .function(Function::at(0x1000, Replacement::Jump(0x2000)).old_size(9))
        .text("helper", code::jump("xen_changeset"))
        .rodata("pointer", Chunk::address_of("answer"))
        .data("answer", 42u32.to_le_bytes())
        .bss("log", 12)
        .export("helper")
        .export("answer")
        .hook(Hook::Load, code::store_u32("log", 1).then(code::ret()))
        .hook(Hook::Load, HookBody::Symbol("helper".into()))
        .hook(Hook::PostRevert, HookBody::Null)
        .metadata("key=value")
        .metadata("more=1")
}

type File<'a> = ElfFile64<'a, LittleEndian>;

fn parse(bytes: &[u8]) -> File<'_> {
    File::parse(bytes).expect("the payload is an ELF file")
}

fn data<'a>(file: &File<'a>, section: &str) -> &'a [u8] {
    file.section_by_name(section)
        .unwrap_or_else(|| panic!("section {section} is missing"))
        .data()
        .unwrap()
}

/// Offset, type, symbol's name (of the section, for a section symbol) and addend.
type Relocation = (u64, u32, String, i64);

fn relocations(file: &File<'_>, section: &str) -> Vec<Relocation> {
    let section = file.section_by_name(section).unwrap();
    section
        .relocations()
        .map(|(offset, reloc)| {
            let object::RelocationFlags::Elf { r_type } = reloc.flags() else {
                panic!("not an ELF relocation");
            };
            let RelocationTarget::Symbol(index) = reloc.target() else {
                panic!("a relocation without a symbol");
            };
            let symbol = file.symbol_by_index(index).unwrap();
            let name = match (symbol.kind(), symbol.section()) {
                (object::SymbolKind::Section, SymbolSection::Section(index)) => {
                    file.section_by_index(index).unwrap().name().unwrap()
                }
                _ => symbol.name().unwrap(),
            };
            (offset, r_type.0, name.to_string(), reloc.addend())
        })
        .collect()
}

fn note(id: &[u8]) -> Vec<u8> {
    let mut note = vec![4, 0, 0, 0, id.len() as u8, 0, 0, 0, 3, 0, 0, 0];
    note.extend(b"GNU\0");
    note.extend(id);
    note
}

#[test]
fn the_simple_payload_is_small_and_has_these_sections() {
    let bytes = simple().to_bytes();
    assert!(bytes.len() < 2048, "{} bytes", bytes.len());
    let file = parse(&bytes);
    let names: Vec<_> = file.sections().map(|s| s.name().unwrap()).collect();
    assert_eq!(
        names,
        [
            ".text",
            ".rodata",
            ".livepatch.funcs",
            ".note.gnu.build-id",
            ".livepatch.depends",
            ".livepatch.xen_depends",
            ".rela.livepatch.funcs",
            ".symtab",
            ".strtab",
            ".shstrtab"
        ]
    );
}

#[test]
fn the_header_is_what_xen_wants() {
    let bytes = simple().to_bytes();
    let file = parse(&bytes);
    let header: &FileHeader64<LittleEndian> = file.elf_header();
    let le = LittleEndian;
    assert_eq!(header.e_ident().magic, *b"\x7fELF");
    let ident = &bytes[4..16];
    assert_eq!(ident, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!([header.e_type(le).0, header.e_machine(le).0, header.e_phnum(le)], [1, 62, 0]);
    assert_eq!((header.e_version(le), header.e_shentsize(le)), (1, 64));
}

#[test]
fn every_section_header_is_safe_for_xen() {
    for payload in [simple(), rich()] {
        let elf = payload.elf();
        for section in &elf.sections[1..] {
            assert!(section.shdr.sh_offset >= 64, "{}", section.name);
            assert!(section.shdr.sh_addralign >= 1, "{}", section.name);
            let aligned = section.shdr.sh_offset % section.shdr.sh_addralign;
            assert_eq!(aligned, 0, "{}", section.name);
        }
    }
}

#[test]
fn tables_are_linked_as_xen_demands() {
    for payload in [simple(), rich()] {
        let elf = payload.elf();
        let bytes = elf.to_bytes();
        let symtab = elf.section_index(".symtab").unwrap();
        for section in &elf.sections {
            match &section.data {
                Data::Relas(relas) => {
                    assert_eq!(section.shdr.sh_link as usize, symtab, "{}", section.name);
                    let target = &elf.sections[section.shdr.sh_info as usize];
                    assert_eq!(section.name, format!(".rela{}", target.name));
                    assert_ne!(target.shdr.sh_flags & SHF_ALLOC, 0);
                    for rela in relas {
                        assert_ne!(rela.symbol(), 0);
                        assert!(rela.r_offset < target.shdr.sh_size);
                    }
                }
                Data::Symbols(_) => {
                    assert_eq!(elf.section_index(".strtab"), Some(section.shdr.sh_link as usize));
                }
                _ if section.name.ends_with("strtab") => {
                    let strings = &bytes[section.place().unwrap()];
                    assert_eq!((strings.first(), strings.last()), (Some(&0), Some(&0)));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn notes_say_who_depends_on_whom() {
    let bytes = simple().to_bytes();
    let file = parse(&bytes);
    assert_eq!(data(&file, ".note.gnu.build-id"), note(OWN_ID));
    assert_eq!(data(&file, ".livepatch.depends"), note(&XEN_ID));
    assert_eq!(data(&file, ".livepatch.xen_depends"), note(&XEN_ID));

    let stacked = simple().depends(*b"abcd").xen_depends(*b"efgh").to_bytes();
    let file = parse(&stacked);
    assert_eq!(data(&file, ".livepatch.depends"), note(b"abcd"));
    assert_eq!(data(&file, ".livepatch.xen_depends"), note(b"efgh"));
}

#[test]
fn a_function_by_name_has_its_fields_and_relocations() {
    let bytes = simple().to_bytes();
    let file = parse(&bytes);
    let funcs = data(&file, ".livepatch.funcs");
    assert_eq!(funcs.len(), 104);
    assert_eq!(funcs[..24], [0; 24], "all three addresses are Xen's to find");
    assert_eq!(funcs[24..32], [17, 0, 0, 0, 16, 0, 0, 0]);
    assert_eq!(funcs[32], 2);
    assert_eq!(funcs[33..], [0; 71]);
    assert_eq!(
        relocations(&file, ".livepatch.funcs"),
        [(0, R_X86_64_64, ".rodata".into(), 0), (8, R_X86_64_64, ".text".into(), 0)]
    );
    assert_eq!(data(&file, ".rodata"), b"xen_extra_version\0");
    assert_eq!(data(&file, ".text")[8..], *b"-patched\0");
}

#[test]
fn old_releases_get_64_bytes_per_function() {
    let target = Target::new(Revision::V1, XEN_ID);
    assert_eq!(target.func_version, FuncVersion::V1);
    let function = || Function::at(0x1000, Replacement::Nop(5)).expecting(&[1]);
    let bytes = Payload::new(&target, OWN_ID).function(function()).function(function()).to_bytes();
    let file = parse(&bytes);
    let funcs = data(&file, ".livepatch.funcs");
    assert_eq!(funcs.len(), 128);
    for func in funcs.chunks(64) {
        assert_eq!(func[16..24], 0x1000u64.to_le_bytes());
        assert_eq!(func[32], 1);
        assert_eq!(func[33..], [0; 31]);
    }
}

#[test]
fn every_way_to_replace_a_function() {
    let bytes = rich().to_bytes();
    let file = parse(&bytes);
    let funcs = data(&file, ".livepatch.funcs");
    let func = |i: usize| &funcs[i * 104..][..104];
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(funcs.len(), 4 * 104);

    assert_eq!(word(func(1), 16), 0xFFFF_82D0_4020_0000);
    assert_eq!(func(1)[24..32], [5, 0, 0, 0, 16, 0, 0, 0]);
    assert_eq!(func(1)[72..76], [1 | 2 << 1, 0xB8, 17, 0]);
    assert_eq!([word(func(3), 8), word(func(3), 16)], [0x2000, 0x1000]);
    assert_eq!(func(3)[28], 9);

    let relocs = relocations(&file, ".livepatch.funcs");
    let text = data(&file, ".text");
    let minor = relocs.iter().find(|r| r.0 == 8).unwrap();
    assert_eq!((minor.1, minor.2.as_str()), (R_X86_64_64, ".text"));
    assert_eq!(text[minor.3 as usize..][..2], [0x8B, 0x05]);
    let at = |offset: u64| {
        let found: Vec<_> = relocs.iter().filter(|r| r.0 == offset).collect();
        found.iter().map(|r| r.2.clone()).collect::<Vec<_>>()
    };
    assert_eq!(at(104), [""; 0], "an address needs no name");
    assert_eq!(at(2 * 104 + 8), ["helper"]);
    assert_eq!(at(2 * 104 + 16), ["common/version.c#static_one"]);
    assert_eq!(at(3 * 104 + 8), [""; 0]);
}

#[test]
fn symbols_are_sections_then_exports_then_undefined() {
    let bytes = rich().to_bytes();
    let file = parse(&bytes);
    let le = LittleEndian;
    let table = file.elf_symbol_table();
    let (_, symtab) =
        file.elf_section_table().enumerate().find(|(_, s)| s.sh_type(le).0 == 2).unwrap();
    let first_global = symtab.sh_info(le) as usize;
    for (index, symbol) in table.enumerate() {
        assert_eq!(symbol.is_local(), index.0 < first_global, "symbol {index}");
    }
    let symbol = |name: &str| file.symbols().find(|s| s.name() == Ok(name)).unwrap();
    let helper = symbol("helper");
    assert!(helper.is_global() && helper.is_definition());
    assert_eq!(helper.kind(), object::SymbolKind::Text);
    assert_eq!((helper.size(), helper.address() % 16), (5, 0));
    assert_eq!(symbol("answer").kind(), object::SymbolKind::Data);
    assert_eq!(symbol("answer").size(), 4);
    for name in ["xen_changeset", "common/version.c#static_one"] {
        assert!(symbol(name).is_undefined(), "{name}");
    }
    let named: Vec<_> = file.symbols().filter_map(|s| s.name().ok()).collect();
    assert!(!named.contains(&"log") && !named.contains(&"minor"), "{named:?}");
}

#[test]
fn references_lead_to_labels_exports_and_xen() {
    let bytes = rich().to_bytes();
    let file = parse(&bytes);
    let text = relocations(&file, ".text");
    let answer = text.iter().find(|r| r.2 == "answer").unwrap();
    assert_eq!((answer.1, answer.3), (R_X86_64_PC32, -4));
    let changeset = text.iter().find(|r| r.2 == "xen_changeset").unwrap();
    assert_eq!((changeset.1, changeset.3), (R_X86_64_PLT32, -4));
    let log = text.iter().find(|r| r.2 == ".bss").unwrap();
    assert_eq!((log.1, log.3), (R_X86_64_PC32, -8));
    assert_eq!(relocations(&file, ".rodata"), [(0, R_X86_64_64, "answer".into(), 0)]);
}

#[test]
fn hooks_are_pointers_to_guarded_code() {
    let bytes = rich().to_bytes();
    let file = parse(&bytes);
    assert_eq!(data(&file, ".livepatch.hooks.load"), [0; 16]);
    let relocs = relocations(&file, ".livepatch.hooks.load");
    assert_eq!(relocs.len(), 2);
    assert_eq!((relocs[0].0, relocs[0].2.as_str()), (0, ".text"));
    let code = &data(&file, ".text")[relocs[0].3 as usize..];
    assert_eq!(code[..4], [0xF3, 0x0F, 0x1E, 0xFA]);
    assert_eq!((relocs[1].0, relocs[1].2.as_str()), (8, "helper"));
    assert_eq!(data(&file, ".livepatch.hooks.postrevert"), [0; 8]);
    assert_eq!(relocations(&file, ".livepatch.hooks.postrevert"), []);
}

#[test]
fn every_hook_has_its_section() {
    for hook in Hook::ALL {
        let bytes = payload().hook(hook, code::return_u32(0)).to_bytes();
        let file = parse(&bytes);
        assert_eq!(data(&file, hook.section()), [0; 8]);
        assert_eq!(relocations(&file, hook.section()).len(), 1);
        assert!(file.section_by_name(".livepatch.funcs").is_none());
    }
}

#[test]
fn sections_have_the_flags_that_xen_expects() {
    let bytes = rich().to_bytes();
    let file = parse(&bytes);
    for (name, flags) in [
        (".text", SHF_ALLOC | SHF_EXECINSTR),
        (".rodata", SHF_ALLOC),
        (".data", SHF_ALLOC | SHF_WRITE),
        (".bss", SHF_ALLOC | SHF_WRITE),
        (".livepatch.funcs", SHF_ALLOC | SHF_WRITE),
        (".livepatch.hooks.load", SHF_ALLOC),
        (".note.gnu.build-id", SHF_ALLOC),
        (".livepatch.depends", SHF_ALLOC),
        (".livepatch.xen_depends", SHF_ALLOC),
        (".modinfo", SHF_ALLOC),
        (".symtab", 0),
    ] {
        let section = file.section_by_name(name).unwrap();
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            panic!("not an ELF section");
        };
        assert_eq!(sh_flags.0, flags, "{name}");
    }
    assert_eq!(data(&file, ".modinfo"), b"key=value\0more=1\0");
    let bss = file.section_by_name(".bss").unwrap();
    assert_eq!(bss.elf_section_header().sh_type(LittleEndian), SHT_NOBITS);
    assert_eq!((bss.size(), data(&file, ".bss").len()), (12, 0));
}

#[test]
fn a_special_section_is_added_as_it_is() {
    let area = Area::loaded(".ex_table", 0, 4);
    let bytes = simple().section(area, "table", [1, 2, 3, 4, 5, 6, 7, 8]).to_bytes();
    assert_eq!(data(&parse(&bytes), ".ex_table"), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
#[should_panic(expected = "two labels `x`")]
fn a_label_twice_is_named() {
    let _ = payload().data("x", [0]).rodata("x", [0]).elf();
}

#[test]
#[should_panic(expected = "exports `x`")]
fn an_unknown_export_is_named() {
    let _ = payload().export("x").elf();
}

#[test]
fn an_expectation_is_its_parts() {
    assert_eq!(Expectation::head(true, 31, 0), 0b0011_1111);
    assert_eq!(Expectation::head(false, 1, 3), 0b1100_0010);
    assert_eq!(Expectation::of(&[7; 31]).head, 0b0011_1111);
}

// What follows breaks things.

/// Changes one field and says at which offset of the file the bytes must have become `expected`.
type Break = (&'static str, fn(&mut Elf), fn(&Elf) -> usize, &'static [u8]);

fn shdr(elf: &Elf, name: &str) -> usize {
    elf.table_place() + elf.section_index(name).unwrap() * 64
}

fn content(elf: &Elf, name: &str) -> usize {
    elf.section(name).place().unwrap().start
}

const FUNCS: &str = ".livepatch.funcs";
const RELA: &str = ".rela.livepatch.funcs";

#[rustfmt::skip]
const BREAKS: &[Break] = &[
    ("e_ident", |e| e.ehdr.e_ident[5] = 0xA1, |_| 5, &[0xA1]),
    ("e_type", |e| e.ehdr.e_type = 0xA1A2, |_| 16, &[0xA2, 0xA1]),
    ("e_machine", |e| e.ehdr.e_machine = 0xA1A2, |_| 18, &[0xA2, 0xA1]),
    ("e_version", |e| e.ehdr.e_version = 0xA1A2_A3A4, |_| 20, &[0xA4, 0xA3, 0xA2, 0xA1]),
    ("e_entry", |e| e.ehdr.e_entry = 0xA1 << 56, |_| 24, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("e_phoff", |e| e.ehdr.e_phoff = 0xA1 << 56, |_| 32, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("e_shoff", |e| e.ehdr.e_shoff = 0xA1 << 56, |_| 40, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("e_flags", |e| e.ehdr.e_flags = 0xA1A2_A3A4, |_| 48, &[0xA4, 0xA3, 0xA2, 0xA1]),
    ("e_ehsize", |e| e.ehdr.e_ehsize = 0xA1A2, |_| 52, &[0xA2, 0xA1]),
    ("e_phentsize", |e| e.ehdr.e_phentsize = 0xA1A2, |_| 54, &[0xA2, 0xA1]),
    ("e_phnum", |e| e.ehdr.e_phnum = 0xA1A2, |_| 56, &[0xA2, 0xA1]),
    ("e_shentsize", |e| e.ehdr.e_shentsize = 0xA1A2, |_| 58, &[0xA2, 0xA1]),
    ("e_shnum", |e| e.ehdr.e_shnum = 0xA1A2, |_| 60, &[0xA2, 0xA1]),
    ("e_shstrndx", |e| e.ehdr.e_shstrndx = 0xA1A2, |_| 62, &[0xA2, 0xA1]),
    ("sh_name", |e| e.section_mut(FUNCS).shdr.sh_name = 0xA1A2_A3A4, |e| shdr(e, FUNCS), &[0xA4, 0xA3, 0xA2, 0xA1]),
    ("sh_type", |e| e.section_mut(FUNCS).shdr.sh_type = 0xA1A2_A3A4, |e| shdr(e, FUNCS) + 4, &[0xA4, 0xA3, 0xA2, 0xA1]),
    ("sh_flags", |e| e.section_mut(FUNCS).shdr.sh_flags = 0xA1 << 56, |e| shdr(e, FUNCS) + 8, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("sh_addr", |e| e.section_mut(FUNCS).shdr.sh_addr = 0xA1 << 56, |e| shdr(e, FUNCS) + 16, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("sh_offset", |e| e.section_mut(FUNCS).shdr.sh_offset = 0xA1 << 56, |e| shdr(e, FUNCS) + 24, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("sh_size", |e| e.section_mut(FUNCS).shdr.sh_size = 0xA1 << 56, |e| shdr(e, FUNCS) + 32, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("sh_link", |e| e.section_mut(FUNCS).shdr.sh_link = 0xA1A2_A3A4, |e| shdr(e, FUNCS) + 40, &[0xA4, 0xA3, 0xA2, 0xA1]),
    ("sh_info", |e| e.section_mut(FUNCS).shdr.sh_info = 0xA1A2_A3A4, |e| shdr(e, FUNCS) + 44, &[0xA4, 0xA3, 0xA2, 0xA1]),
    ("sh_addralign", |e| e.section_mut(FUNCS).shdr.sh_addralign = 0xA1 << 56, |e| shdr(e, FUNCS) + 48, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("sh_entsize", |e| e.section_mut(FUNCS).shdr.sh_entsize = 0xA1 << 56, |e| shdr(e, FUNCS) + 56, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("null sh_type", |e| e.sections[0].shdr.sh_type = 0xA1, |e| e.table_place() + 4, &[0xA1]),
    ("st_name", |e| e.symbol_mut(".text").st_name = 0xA1A2_A3A4, |e| content(e, ".symtab") + 24, &[0xA4, 0xA3, 0xA2, 0xA1]),
    ("st_info", |e| e.symbol_mut(".text").st_info = 0xA1, |e| content(e, ".symtab") + 28, &[0xA1]),
    ("st_other", |e| e.symbol_mut(".text").st_other = 0xA1, |e| content(e, ".symtab") + 29, &[0xA1]),
    ("st_shndx", |e| e.symbol_mut(".text").st_shndx = SHN_COMMON, |e| content(e, ".symtab") + 30, &[0xF2, 0xFF]),
    ("st_value", |e| e.symbol_mut(".text").st_value = 0xA1 << 56, |e| content(e, ".symtab") + 32, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("st_size", |e| e.symbol_mut(".text").st_size = 0xA1 << 56, |e| content(e, ".symtab") + 40, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("r_offset", |e| e.rela_mut(RELA)[0].r_offset = 0xA1 << 56, |e| content(e, RELA), &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("r_info", |e| e.rela_mut(RELA)[0].r_info = 0xA1 << 56, |e| content(e, RELA) + 8, &[0, 0, 0, 0, 0, 0, 0, 0xA1]),
    ("r_info type", |e| e.rela_mut(RELA)[1].set_kind(R_X86_64_32), |e| content(e, RELA) + 32, &[10, 0, 0, 0, 1, 0, 0, 0]),
    ("r_info symbol", |e| e.rela_mut(RELA)[1].set_symbol(0xA1), |e| content(e, RELA) + 32, &[1, 0, 0, 0, 0xA1, 0, 0, 0]),
    ("r_addend", |e| e.rela_mut(RELA)[0].r_addend = -2, |e| content(e, RELA) + 16, &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    ("func name", |e| e.funcs_mut()[0].name = 0xA1, |e| content(e, FUNCS), &[0xA1]),
    ("func new_addr", |e| e.funcs_mut()[0].new_addr = 0xA1, |e| content(e, FUNCS) + 8, &[0xA1]),
    ("func old_addr", |e| e.funcs_mut()[0].old_addr = 0xA1, |e| content(e, FUNCS) + 16, &[0xA1]),
    ("func new_size", |e| e.funcs_mut()[0].new_size = 0xA1, |e| content(e, FUNCS) + 24, &[0xA1]),
    ("func old_size", |e| e.funcs_mut()[0].old_size = 0xA1, |e| content(e, FUNCS) + 28, &[0xA1]),
    ("func version", |e| e.funcs_mut()[0].version = 0xA1, |e| content(e, FUNCS) + 32, &[0xA1]),
    ("func pad", |e| e.funcs_mut()[0].pad[38] = 0xA1, |e| content(e, FUNCS) + 71, &[0xA1]),
    ("func expectation head", |e| e.funcs_mut()[0].expectation.head = 0xA1, |e| content(e, FUNCS) + 72, &[0xA1]),
    ("func expectation data", |e| e.funcs_mut()[0].expectation.data[30] = 0xA1, |e| content(e, FUNCS) + 103, &[0xA1]),
    ("note namesz", |e| e.note_mut(".livepatch.depends").namesz = 0xA1, |e| content(e, ".livepatch.depends"), &[0xA1]),
    ("note descsz", |e| e.note_mut(".livepatch.depends").descsz = 0xA1, |e| content(e, ".livepatch.depends") + 4, &[0xA1]),
    ("note kind", |e| e.note_mut(".livepatch.depends").kind = 0xA1, |e| content(e, ".livepatch.depends") + 8, &[0xA1]),
    ("note name", |e| e.note_mut(".livepatch.depends").name[0] = 0xA1, |e| content(e, ".livepatch.depends") + 12, &[0xA1]),
    ("note desc", |e| e.note_mut(".livepatch.depends").desc[19] = 0xA1, |e| content(e, ".livepatch.depends") + 35, &[0xA1]),
    ("text byte", |e| e.section_mut(".text").bytes_mut()[7] = 0xA1, |e| content(e, ".text") + 7, &[0xA1]),
    ("string's last byte", |e| *e.section_mut(".strtab").bytes_mut().last_mut().unwrap() = 0xA1, |e| content(e, ".strtab"), &[0xA1]),
    ("typed as bytes", |e| e.section_mut(FUNCS).bytes_mut()[103] = 0xA1, |e| content(e, FUNCS) + 103, &[0xA1]),
];

#[test]
fn every_broken_field_reaches_the_file_and_nothing_else_changes() {
    let correct = simple().elf();
    let before = correct.to_bytes();
    for (what, break_it, offset, expected) in BREAKS {
        let mut elf = correct.clone();
        break_it(&mut elf);
        let after = elf.to_bytes();
        let range = offset(&correct)..offset(&correct) + expected.len();
        assert_eq!(after[range.clone()], **expected, "{what}");
        assert_ne!(before[range.clone()], **expected, "{what} was so already");
        assert_eq!(before.len(), after.len(), "{what}");
        let strays: Vec<_> =
            (0..before.len()).filter(|i| !range.contains(i) && before[*i] != after[*i]).collect();
        assert_eq!(strays, [0; 0], "{what} changed other bytes");
    }
}

#[test]
fn a_removed_section_leaves_consistent_indices() {
    let mut elf = rich().elf();
    let before = parse_all(&elf);
    elf.remove(".livepatch.hooks.postrevert");
    let after = parse_all(&elf);
    let mut expected = before;
    expected.retain(|section| section.0 != ".livepatch.hooks.postrevert");
    assert_eq!(after, expected);
}

/// Names and relocations of all sections.
fn parse_all(elf: &Elf) -> Vec<(String, Vec<Relocation>)> {
    let bytes = elf.to_bytes();
    let file = parse(&bytes);
    file.sections()
        .map(|s| {
            let name = s.name().unwrap();
            (name.to_string(), relocations(&file, name))
        })
        .collect()
}

#[test]
fn any_section_can_be_removed() {
    let complete = rich().elf();
    for section in &complete.sections[1..] {
        let mut elf = complete.clone();
        let removed = elf.remove(&section.name);
        assert_eq!(removed.name, section.name);
        assert_eq!(elf.section_index(&section.name), None);
        let file = elf.to_bytes();
        let end = elf.table_place() + usize::from(elf.ehdr.e_shnum) * 64;
        assert_eq!(file.len(), end, "without {}", section.name);
    }
}

#[test]
fn removing_a_section_removes_what_applies_to_it() {
    let mut elf = simple().elf();
    elf.remove(FUNCS);
    assert_eq!(elf.section_index(RELA), None);
    let bytes = elf.to_bytes();
    let file = parse(&bytes);
    assert!(file.section_by_name(".note.gnu.build-id").is_some());
    assert_eq!(file.symbols().count(), 2, "`.text` and `.rodata` stay");
}

#[test]
fn a_symbol_of_a_removed_section_stays_only_where_it_is_needed() {
    let mut elf = simple().elf();
    elf.remove(".text");
    let symbol = *elf.symbol_mut(".text");
    assert_eq!((symbol.st_shndx, symbol.st_value), (SHN_UNDEF.0, 0));
    assert_eq!(elf.rela_mut(RELA).iter().map(Rela::symbol).collect::<Vec<_>>(), [2, 1]);

    let mut elf = simple().elf();
    elf.rela_mut(RELA).retain(|r| r.r_offset != 8);
    elf.relayout();
    elf.remove(".text");
    assert_eq!(elf.symbol_index(".text"), None);
    assert_eq!(elf.symbol_index(".rodata"), Some(1));
    assert_eq!(elf.rela_mut(RELA)[0].symbol(), 1);
}

#[test]
fn a_pushed_section_is_there() {
    let mut elf = simple().elf();
    let extra = Section::new(".extra", SHT_PROGBITS, SHF_ALLOC, 64, Data::Bytes(vec![7; 3]));
    let index = elf.push(extra);
    assert_eq!(Some(index), elf.section_index(".extra"));
    let bytes = elf.to_bytes();
    assert_eq!(data(&parse(&bytes), ".extra"), [7; 3]);
    assert_eq!(elf.section(".extra").shdr.sh_offset % 64, 0);
}

#[test]
fn many_sections_are_possible() {
    let mut elf = simple().elf();
    while elf.sections.len() < 1024 {
        let index = elf.sections.len();
        elf.sections.push(Section::new(
            &format!(".s{index}"),
            SHT_PROGBITS,
            0,
            1,
            Data::Bytes(Vec::new()),
        ));
    }
    elf.relayout();
    assert_eq!(elf.ehdr.e_shnum, 1024);
    assert_eq!(parse(&elf.to_bytes()).sections().count(), 1023);
}

#[test]
fn larger_section_headers_are_possible() {
    let mut elf = simple().elf();
    elf.table_stride = 80;
    elf.relayout();
    assert_eq!(elf.ehdr.e_shentsize, 80);
    let bytes = elf.to_bytes();
    assert_eq!(bytes.len(), elf.table_place() + 80 * elf.sections.len());
    let funcs = elf.table_place() + 80 * elf.section_index(FUNCS).unwrap();
    let shdr = elf.section(FUNCS).shdr;
    assert_eq!(bytes[funcs + 24..][..8], shdr.sh_offset.to_le_bytes());
}

#[test]
fn added_symbols_and_relocations_are_laid_out() {
    let mut elf = simple().elf();
    let mut extra = elf.rela_mut(RELA)[0];
    extra.r_offset = 16;
    elf.rela_mut(RELA).push(extra);
    elf.relayout();
    let bytes = elf.to_bytes();
    assert_eq!(relocations(&parse(&bytes), FUNCS).len(), 3);
}

#[test]
#[should_panic(expected = "section `.livepatch.funcs` has changed its size")]
fn a_forgotten_layout_is_named() {
    let mut elf = simple().elf();
    elf.funcs_mut().clear();
    let _ = elf.to_bytes();
}

#[test]
#[should_panic(expected = "no section `.nothing` in the payload")]
fn a_missing_section_is_named() {
    let _ = simple().elf().section(".nothing");
}

#[test]
#[should_panic(expected = "no symbol `nothing` in the payload")]
fn a_missing_symbol_is_named() {
    let _ = simple().elf().symbol_mut("nothing");
}

#[test]
fn readelf_has_nothing_to_complain_about() {
    for (name, payload) in [("simple", simple()), ("rich", rich())] {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, payload.to_bytes()).unwrap();
        let output = Command::new("readelf")
            .args(["--all", "--wide"])
            .arg(&path)
            .env("LC_ALL", "C")
            .output()
            .unwrap_or_else(|error| {
                panic!("cannot run readelf ({error}): install the package binutils")
            });
        let (text, complaints) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{complaints}");
        assert_eq!(complaints, "", "{name}");
        assert!(text.contains("REL (Relocatable file)"), "{text}");
        let id: String = OWN_ID.iter().map(|b| format!("{b:02x}")).collect();
        assert!(text.contains(&format!("Build ID: {id}")), "{text}");
    }
}
