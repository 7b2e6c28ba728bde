//! What is wrong with a payload's file, in Xen's words.

use alloc::format;
use alloc::string::String;

use kernel::xen::Change;
use kernel::{Context, Errno, Outcome, Stop};
use livepatch::payload::wire::{
    R_X86_64_PC32, SHN_ABS, SHN_COMMON, SHN_LORESERVE, SHT_PROGBITS, SHT_REL, SHT_SYMTAB,
    STB_GLOBAL, STT_NOTYPE, Shdr, Sym,
};
use livepatch::payload::{
    Area, Chunk, Data, Elf, Function, Hook, HookBody, Payload, Section, Symbol, code,
};

use super::said::{are_lines, messages_during, says};
use crate::support::{Bytes, NO_FEATURE, alternative, marker, payload, target, try_upload};

const NAME: &str = "up";
const RELAS: &str = ".rela.livepatch.funcs";

/// Breaks a payload, and says what Xen says.
type Fault = fn(&mut Elf) -> String;

/// Xen refuses a file with this errno and these words, and says nothing else.
fn refused(context: &Context, errno: Errno, file: &[u8], why: &str) -> Outcome {
    refused_with(context, errno, file, format!("{NAME}: {why}"))
}

/// The same with a whole line.
fn refused_with(context: &Context, errno: Errno, file: &[u8], line: String) -> Outcome {
    let upload = || try_upload(context, NAME, file).must_be(errno);
    let lines = [line];
    says(context, upload, &lines).map_err(|stop| stop.at(format_args!("{:?}", lines[0])))
}

/// So with each of the faults.
fn each(context: &Context, errno: Errno, faults: &[Fault]) -> Outcome {
    for fault in faults {
        let mut elf = marker(context, "-up")?.elf();
        let why = fault(&mut elf);
        refused(context, errno, &elf.to_bytes(), &why)?;
    }
    Ok(())
}

/// Appends a section that is not loaded, and returns its number.
fn section(elf: &mut Elf, change: fn(&mut Shdr)) -> usize {
    let data = Data::Bytes(alloc::vec![0x5a; 8]);
    let number = elf.push(Section::new(".junk", SHT_PROGBITS, 0, 1, data));
    change(&mut elf.sections[number].shdr);
    number
}

/// Changes the header of a section.
fn header(elf: &mut Elf, name: &str, change: fn(&mut Shdr)) {
    change(&mut elf.section_mut(name).shdr);
}

/// Appends a symbol, and returns its number.
fn symbol(elf: &mut Elf, st_shndx: u16) -> usize {
    let sym = Sym { st_info: Sym::info(STB_GLOBAL, STT_NOTYPE), st_shndx, ..Sym::default() };
    elf.symbols_mut().push(Symbol { name: "xtf_symbol".into(), sym });
    elf.relayout();
    elf.symbols_mut().len() - 1
}

/// `livepatch_header_check`, `arch_livepatch_verify_elf`.
pub fn headers(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    let cut = &marker(context, "-up")?.to_bytes()[..63];
    refused(context, Errno::EINVAL, cut, "Section header is bigger than payload")?;
    each(
        context,
        Errno::EOPNOTSUPP,
        &[
            |e| {
                e.ehdr.e_phnum = 1;
                "Invalid ELF payload".into()
            },
            |e| {
                e.ehdr.e_machine = 3;
                "Unsupported ELF Machine type".into()
            },
            |e| {
                e.ehdr.e_shnum = 1024;
                "Too many (1024) sections".into()
            },
        ],
    )?;
    each(
        context,
        Errno::EINVAL,
        &[
            |e| {
                e.ehdr.e_ident[0] ^= 1;
                "Not an ELF payload".into()
            },
            |e| {
                e.ehdr.e_shstrndx = 0;
                "Section name idx is undefined".into()
            },
            |e| {
                let sections = e.ehdr.e_shnum;
                e.ehdr.e_shstrndx = sections;
                format!("Section name idx ({sections}) is past end of sections ({sections})")
            },
            |e| {
                e.ehdr.e_shoff = u64::MAX;
                "Bogus e_shoff".into()
            },
            |e| {
                e.ehdr.e_shentsize = 0;
                "Section header size is 0! Expected 64.".into()
            },
            |e| {
                e.ehdr.e_shnum += 1;
                "Section header size is corrupted".into()
            },
        ],
    )
}

/// `elf_resolve_sections`, `elf_resolve_section_names`.
pub fn sections(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    each(
        context,
        Errno::EINVAL,
        &[
            |e| {
                let number = section(e, |s| s.sh_offset = 0);
                format!("Section [{number}] data at ELF header of payload")
            },
            |e| {
                let number = section(e, |s| s.sh_offset = u64::MAX);
                format!("Section [{number}] data is past end of payload")
            },
            |e| {
                let number = section(e, |s| s.sh_name = u32::MAX);
                format!("Section {number} name is not within .shstrtab")
            },
            |e| {
                header(e, ".symtab", |s| s.sh_type = SHT_PROGBITS);
                "No symbol table found".into()
            },
            |e| {
                let sections = e.ehdr.e_shnum;
                e.section_mut(".symtab").shdr.sh_link = sections.into();
                format!("Symbol table idx ({sections}) to strtab past end ({sections})")
            },
            |e| {
                header(e, ".symtab", |s| s.sh_entsize = 0);
                "Symbol table header is corrupted".into()
            },
            |e| {
                header(e, ".strtab", |s| s.sh_size = 0);
                "String table section is corrupted".into()
            },
            |e| {
                header(e, ".shstrtab", |s| s.sh_size = 0);
                "Section string table is corrupted".into()
            },
        ],
    )?;
    each(
        context,
        Errno::EOPNOTSUPP,
        &[|e| {
            section(e, |s| s.sh_type = SHT_SYMTAB);
            "Unsupported multiple symbol tables".into()
        }],
    )?;
    if !context.xen.has(Change::SectionAlignment) {
        return Ok(());
    }
    each(
        context,
        Errno::EOPNOTSUPP,
        &[|e| {
            let number = section(e, |s| s.sh_addralign = 3);
            format!("Section [{number}] alignment (0x3) is not supported")
        }],
    )?;
    each(
        context,
        Errno::EINVAL,
        &[|e| {
            let number = section(e, |s| (s.sh_addr, s.sh_addralign) = (4, 8));
            format!("Section [{number}] addr (0x4) is not aligned properly (0x8)")
        }],
    )
}

/// `elf_get_sym`, `livepatch_elf_resolve_symbols`.
pub fn symbols(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    each(
        context,
        Errno::EINVAL,
        &[
            |e| {
                let number = symbol(e, SHN_ABS);
                e.symbol_mut("xtf_symbol").st_name = u32::MAX;
                format!("Symbol [{number}] name is not within .strtab")
            },
            |e| {
                symbol(e, SHN_COMMON);
                "Unexpected common symbol: xtf_symbol".into()
            },
            |e| {
                symbol(e, SHN_LORESERVE - 1);
                "Out of bounds symbol section 0xfeff".into()
            },
        ],
    )?;
    each(
        context,
        Errno::EOPNOTSUPP,
        &[|e| {
            symbol(e, SHN_LORESERVE);
            "Out of bounds symbol section 0xff00".into()
        }],
    )
}

/// `livepatch_elf_perform_relocs`, `arch_livepatch_perform_rela`, `arch_livepatch_perform_rel`.
pub fn relocations(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    each(
        context,
        Errno::EINVAL,
        &[
            |e| {
                let symtab = e.section_index(".symtab").expect("every payload has it");
                header(e, RELAS, |s| s.sh_link = 0);
                format!("Relative link of {RELAS} is incorrect (0, expected={symtab})")
            },
            |e| {
                header(e, RELAS, |s| s.sh_entsize = 0);
                "Section relative header is corrupted".into()
            },
            |e| {
                e.rela_mut(RELAS)[0].set_symbol(u32::MAX);
                format!("Relative relocation wants symbol@{} which is past end", u32::MAX)
            },
            |e| {
                e.rela_mut(RELAS)[0].r_offset = e.section(".livepatch.funcs").shdr.sh_size;
                "Relative relocation offset is past .livepatch.funcs section".into()
            },
        ],
    )?;
    each(
        context,
        Errno::EOPNOTSUPP,
        &[
            |e| {
                header(e, RELAS, |s| (s.sh_type, s.sh_entsize, s.sh_size) = (SHT_REL, 16, 16));
                "SHT_REL relocation unsupported".into()
            },
            |e| {
                e.rela_mut(RELAS)[0].set_kind(99);
                "Unhandled relocation 99".into()
            },
        ],
    )?;
    each(
        context,
        Errno::EOVERFLOW,
        &[|e| {
            let rela = &mut e.rela_mut(RELAS)[0];
            rela.set_kind(R_X86_64_PC32);
            rela.r_addend = 1 << 40;
            format!("Overflow in relocation 0 in {RELAS} for .livepatch.funcs")
        }],
    )?;
    if !context.xen.has(Change::UnloadedSymbols) {
        return Ok(());
    }
    let area = Area { sh_flags: 0, ..Area::loaded(".comment", 0, 1) };
    let patch = marker(context, "-up")?
        .section(area, "comment", *b"xtf")
        .rodata("pointer", Chunk::address_of("comment"));
    // That of a section, which has no name.
    let why = "Relocation against ignored symbol  cannot be resolved";
    refused(context, Errno::EINVAL, &patch.to_bytes(), why)
}

/// `check_special_sections`, `check_patching_sections`, `prepare_payload`.
pub fn contents(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    let mut elf = marker(context, "-up")?.elf();
    elf.funcs_mut()[0].version = 0;
    let version = target(context)?.func_version.number();
    let why = format!("Wrong version (0). Expected {version}");
    refused(context, Errno::EOPNOTSUPP, &elf.to_bytes(), &why)?;
    for (section, size) in [
        (".livepatch.funcs", target(context)?.func_version.size() as u64),
        (Hook::Load.section(), size_of::<u64>() as u64),
    ] {
        let mut elf = marker(context, "-up")?.hook(Hook::Load, code::ret()).elf();
        elf.section_mut(section).shdr.sh_size = size + 1;
        let why = format!("Wrong size {} of {section} (must be multiple of {size})", size + 1);
        refused(context, Errno::EINVAL, &elf.to_bytes(), &why)?;
    }
    each(
        context,
        Errno::EINVAL,
        &[
            |e| {
                e.funcs_mut()[0].old_size = 0;
                "Address or size fields are zero".into()
            },
            |e| {
                header(e, ".livepatch.depends", |s| s.sh_size = 0);
                ".livepatch.depends is empty".into()
            },
            |e| {
                e.section_mut(".livepatch.depends").name.push('2');
                e.relayout();
                ".livepatch.depends is missing".into()
            },
        ],
    )?;
    if context.xen.has(Change::Modinfo) {
        let area = Area::loaded(".modinfo", 0, 1);
        let patch = marker(context, "-up")?.section(area, "metadata", *b"key=value");
        let why = "Incorrect metadata format detected";
        refused(context, Errno::EINVAL, &patch.to_bytes(), why)?;
    }
    if !context.xen.has(Change::HooksAlone) {
        return Ok(());
    }
    each(
        context,
        Errno::EINVAL,
        &[|e| {
            e.section_mut(".livepatch.funcs").name.push('2');
            e.relayout();
            "Nothing to patch. Aborting...".into()
        }],
    )
}

/// Bytes of code that an alternative is for, and of replacements.
const CODE: usize = 18;
const ROOM: usize = 16;
/// Bytes of the alternative's original, and of its replacement.
const LENGTH: u8 = 7;

/// A payload with code, replacements, and an alternative that is so many bytes behind their beginnings.
fn altered(context: &Context, orig: i64, repl: i64) -> Result<Payload, Stop> {
    let [original, replacement] =
        [("original", orig), ("replacement", repl)].map(|at| Bytes { at, length: LENGTH });
    let alternative = alternative(context, original, replacement, NO_FEATURE, 0);
    let nops = Chunk::new(alloc::vec![0x90; CODE]);
    let function = Function::named("xen_extra_version", nops).label("original");
    Ok(payload(context, "-up")?
        .function(function)
        .section(Area::loaded(".altinstr_replacement", 0, 1), "replacement", [0x90; ROOM])
        .section(Area::loaded(".altinstructions", 0, 1), "alternative", alternative))
}

/// Xen refuses a payload, and says what leads out of what. Where that is, it says last.
fn leads_out(
    context: &Context,
    patch: &Payload,
    what: &str,
    from: u64,
    of: &str,
    size: usize,
) -> Outcome {
    let file = patch.to_bytes();
    let upload = || try_upload(context, NAME, &file).must_be(Errno::EINVAL);
    let messages = messages_during(context, upload, 1)?;
    let place = messages.first().and_then(|line| line.rsplit(' ').next()?.split('+').next());
    let place = place.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    let begins = place.wrapping_add(from);
    let line = format!(
        "{NAME} Alternative {what} {begins:016x}+{LENGTH:#x} outside {of} {place:016x}+{size:#x}"
    );
    are_lines("Xen's messages", &messages, &[line])
}

/// `prepare_payload`, about alternatives. There is no colon behind the name.
pub fn alternatives(context: &Context) -> Outcome {
    context.needs(Change::AlternativePlaces)?;
    let refused_as = |file: &[u8], why: &str| {
        refused_with(context, Errno::EINVAL, file, format!("{NAME} {why}"))
    };
    let mut elf = altered(context, 0, 0)?.elf();
    elf.section_mut(".altinstr_replacement").name = ".replacement".into();
    elf.relayout();
    let why = ".altinstructions provided, but no .altinstr_replacement";
    refused_as(&elf.to_bytes(), why)?;
    let bare = payload(context, "-up")?.hook(Hook::PostApply, HookBody::Null).section(
        Area::loaded(".altinstructions", 0, 1),
        "alternative",
        [0; 14],
    );
    refused_as(&bare.to_bytes(), "Alternatives provided, but no .text")?;

    let patch = altered(context, CODE as i64 - 1, 0)?;
    leads_out(context, &patch, "orig", CODE as u64 - 1, "payload text", CODE)?;
    let patch = altered(context, 0, -1)?;
    leads_out(context, &patch, "repl", u64::MAX, ".altinstr_replacement", ROOM)?;

    let mut elf = altered(context, 0, 0)?.elf();
    elf.section_mut(".altinstructions").shdr.sh_size -= 1;
    refused(
        context,
        Errno::EINVAL,
        &elf.to_bytes(),
        "Wrong size 13 of .altinstructions (must be multiple of 14)",
    )
}
