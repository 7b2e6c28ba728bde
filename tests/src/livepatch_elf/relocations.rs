//! Relocation sections and types: `livepatch_elf_perform_relocs`, `arch_livepatch_perform_rela`,
//! `arch_livepatch_perform_rel`.
//!
//! Most cases relocate a field of 16 bytes that Xen's extra version shows, against a symbol with
//! an absolute value that reads as text: what Xen computes is thus seen byte by byte.

use kernel::xen::Change;
use kernel::{Case, Context, Errno, Outcome, Stop};
use livepatch::payload::wire::{
    R_X86_64_32, R_X86_64_64, R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PLT32, Rela, SHF_ALLOC,
    SHN_ABS, SHT_PROGBITS, SHT_REL, SHT_RELA, STB_GLOBAL, STT_NOTYPE, Shdr, Sym,
};
use livepatch::payload::{Area, Chunk, Data, Elf, Function, Payload, Section, Symbol, code};

use super::claims::{
    EINVAL, EOPNOTSUPP, EOVERFLOW, MARK, define, each, file_accepted, file_refused, file_shows,
    refused, works,
};
use super::probe;
use crate::support::target;

/// The field before any relocation, and its size.
const FIELD: &[u8; 16] = b"-abcdefghijklm\0\0";
const SIZE: u64 = 16;
const RELA_FIELD: &str = ".rela.field";

/// Relocation: 4 bytes, sign-extended.
const R_X86_64_32S: u32 = 11;

/// Bytes of a relocation without an addend.
const REL_SIZE: u64 = 16;

pub(super) const CASES: &[Case] = &[
    // The section header: a relocation of a type that is refused tells whether it is looked at.
    Case::new("rela/loaded_target_counts", |c| broken(c, EOPNOTSUPP, |_| {})),
    Case::new("rela/sh_info_e_shnum_is_skipped", |c| {
        works(c, |e| {
            let index = push(e, |_| {});
            e.sections[index].shdr.sh_info = e.ehdr.e_shnum.into();
        })
    }),
    Case::new("rela/sh_info_max_is_skipped", |c| skipped(c, |s| s.sh_info = u32::MAX)),
    Case::new("rela/sh_info_of_the_last_section_counts", |c| {
        // The last one is the relocation section itself.
        refused(c, EOPNOTSUPP, |e| {
            let index = push(e, |s| s.sh_flags = SHF_ALLOC);
            e.sections[index].shdr.sh_info = index as u32;
        })
    }),
    Case::new("rela/target_not_loaded_is_skipped", |c| {
        works(c, |e| {
            let strings = e.section_index(".strtab").expect("a section of the base payload");
            push(e, |s| s.sh_info = strings as u32);
        })
    }),
    Case::new("rela/other_type_is_skipped", |c| {
        each([0, SHT_PROGBITS, 3, 5, 8, 10], |t| skipped(c, |s| s.sh_type = t))
    }),
    Case::new("rela/sh_link_other_than_the_symbol_table_is_einval", |c| {
        each([0, 1, u32::MAX], |link| broken(c, EINVAL, |s| s.sh_link = link))
    }),
    Case::new("rela/sh_link_does_not_matter_where_skipped", |c| {
        skipped(c, |s| (s.sh_info, s.sh_link) = (u32::MAX, 0))
    }),
    Case::new("rela/empty_is_skipped", |c| {
        skipped(c, |s| s.sh_size = 0)?;
        skipped(c, |s| (s.sh_size, s.sh_entsize) = (0, 0))?;
        skipped(c, |s| (s.sh_size, s.sh_type) = (0, SHT_REL))
    }),
    Case::new("rela/sh_link_comes_before_size", |c| {
        broken(c, EINVAL, |s| (s.sh_size, s.sh_link) = (0, 0))
    }),
    Case::new("rela/entsize_0_is_einval", |c| broken(c, EINVAL, |s| s.sh_entsize = 0)),
    Case::new("rela/entsize_23_is_einval", |c| {
        broken(c, EINVAL, |s| (s.sh_entsize, s.sh_size) = (23, 23))
    }),
    Case::new("rela/size_not_of_whole_entries_is_einval", |c| {
        each([1, 23], |less| broken(c, EINVAL, |s| s.sh_size -= less))?;
        broken(c, EINVAL, |s| s.sh_entsize = 25)
    }),
    Case::new("rela/entsize_32_works", entries_of_32_bytes),
    Case::new("rela/rel_is_eopnotsupp", |c| {
        // There is nothing wrong with the relocation itself.
        let mut elf = field(c, 0, R_X86_64_64, 0, 0)?;
        rel(&mut elf.section_mut(RELA_FIELD).shdr);
        file_refused(c, EOPNOTSUPP, &elf.to_bytes())
    }),
    Case::new("rela/rel_entsize_15_is_einval", |c| {
        broken(c, EINVAL, |s| {
            rel(s);
            (s.sh_entsize, s.sh_size) = (15, 15);
        })
    }),
    Case::new("rela/rel_size_not_of_whole_entries_is_einval", |c| {
        broken(c, EINVAL, |s| {
            rel(s);
            s.sh_size += 1;
        })
    }),
    Case::new("rela/two_sections_for_one_target_work", two_sections),
    Case::new("rela/any_section_may_be_loaded_as_well", |c| {
        let mut elf = field(c, 0, R_X86_64_64, 0, u64::from_le_bytes(*b"-8 bytes"))?;
        elf.section_mut(RELA_FIELD).shdr.sh_flags = SHF_ALLOC;
        file_shows(c, "-8 byteshijklm", &elf.to_bytes())
    }),
    // The symbol.
    Case::new("symbol/last_works", |c| {
        let mut elf = field(c, 0, R_X86_64_64, 0, u64::from_le_bytes(*b"-8 bytes"))?;
        let last = elf.symbols_mut().len() - 1;
        expect_last(&mut elf, last)?;
        file_shows(c, "-8 byteshijklm", &elf.to_bytes())
    }),
    Case::new("symbol/max_is_einval", |c| entry(c, |r| r.set_symbol(u32::MAX)).refused(c, EINVAL)),
    Case::new("symbol/in_a_section_that_is_not_loaded_is_einval", |c| {
        c.needs(Change::UnloadedSymbols)?;
        let mut elf = field(c, 0, R_X86_64_64, 0, 0)?;
        let strings = elf.section_index(".strtab").expect("every payload has it");
        elf.symbol_mut("value").st_shndx = strings as u16;
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("symbol/comes_before_type", |c| {
        entry(c, |r| {
            r.set_symbol(u32::MAX);
            r.set_kind(R_X86_64_32);
        })
        .refused(c, EINVAL)
    }),
    // The type.
    Case::new("type/none_changes_nothing", |c| shows(c, 0, R_X86_64_NONE, 1, 1, "-abcdefghijklm")),
    Case::new("type/none_may_be_anywhere", |c| {
        each([SIZE, u64::MAX], |at| shows(c, at, R_X86_64_NONE, 1, 1, "-abcdefghijklm"))
    }),
    Case::new("type/64_is_the_value", |c| {
        shows(c, 0, R_X86_64_64, 0, u64::from_le_bytes(*b"-8 bytes"), "-8 byteshijklm")
    }),
    Case::new("type/64_adds_the_addend", |c| {
        let value = u64::from_le_bytes(*b"-8 bytes");
        shows(c, 0, R_X86_64_64, 5, value - 5, "-8 byteshijklm")?;
        shows(c, 0, R_X86_64_64, -5, value + 5, "-8 byteshijklm")?;
        shows(c, 0, R_X86_64_64, value as i64, 0, "-8 byteshijklm")
    }),
    Case::new("type/64_wraps", |c| {
        shows(c, 0, R_X86_64_64, 0x2E, u64::MAX, "-")?;
        shows(c, 0, R_X86_64_64, i64::MIN, (1 << 63) + 0x2D, "-")
    }),
    Case::new("type/64_of_an_address", |c| {
        let payload = Payload::new(&target(c)?, MARK)
            .function(Function::named("xen_extra_version", probe::return_pointer_at("pointer")))
            .rodata("text", b"skipped-pointed at\0")
            .rodata("pointer", Chunk::new([0xFF; 8]).reloc(0, R_X86_64_64, "text", 7));
        file_shows(c, "-pointed at", &payload.to_bytes())
    }),
    Case::new("type/pc32_is_a_distance", |c| distance(c, R_X86_64_PC32)),
    Case::new("type/plt32_is_a_distance", |c| distance(c, R_X86_64_PLT32)),
    Case::new("type/pc32_between_sections", |c| across(c, R_X86_64_PC32)),
    Case::new("type/plt32_between_sections", |c| across(c, R_X86_64_PLT32)),
    Case::new("type/plt32_jumps_into_xen", |c| {
        let function = Function::named("xen_extra_version", code::jump("xen_changeset"));
        let payload = Payload::new(&target(c)?, MARK).function(function).to_bytes();
        // The extra version has room for 15 characters of it.
        let changeset: alloc::string::String = c.xen.changeset.chars().take(15).collect();
        file_shows(c, &changeset, &payload)
    }),
    Case::new("type/32_is_eopnotsupp", |c| kind_refused(c, R_X86_64_32)),
    Case::new("type/32s_is_eopnotsupp", |c| kind_refused(c, R_X86_64_32S)),
    Case::new("type/all_others_are_eopnotsupp", |c| {
        let taken = [R_X86_64_NONE, R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32];
        let others = (0..=42).chain([0xFF, 0x100, 0x101, u32::MAX]);
        each(others.filter(|kind| !taken.contains(kind)), |kind| kind_refused(c, kind))
    }),
    // The place.
    Case::new("place/64_to_the_end_works", |c| {
        shows(c, SIZE - 8, R_X86_64_64, 0, u64::from_le_bytes(*b"-to end\0"), "-abcdefg-to end")
    }),
    Case::new("place/64_by_1_byte_beyond_is_einval", |c| placed(c, SIZE - 7, R_X86_64_64)),
    Case::new("place/64_at_the_end_is_einval", |c| placed(c, SIZE, R_X86_64_64)),
    Case::new("place/64_that_wraps_is_einval", |c| {
        each([u64::MAX, u64::MAX - 7, u64::MAX - 8], |at| placed(c, at, R_X86_64_64))
    }),
    Case::new("place/64_unaligned_works", |c| {
        shows(c, 3, R_X86_64_64, 0, u64::from_le_bytes(*b"-8 bytes"), "-ab-8 bytesklm")
    }),
    Case::new("place/pc32_to_the_end_works", |c| {
        each(DISTANCES, |kind| accepted_at(c, SIZE - 4, kind, 0))
    }),
    Case::new("place/pc32_by_1_byte_beyond_is_einval", |c| {
        each(DISTANCES, |kind| refused_at(c, EINVAL, SIZE - 3, kind, 0))
    }),
    Case::new("place/pc32_at_the_end_is_einval", |c| {
        each(DISTANCES, |kind| refused_at(c, EINVAL, SIZE, kind, 0))
    }),
    Case::new("place/pc32_that_wraps_is_einval", |c| {
        each(DISTANCES, |kind| {
            each([u64::MAX, u64::MAX - 3, u64::MAX - 4], |at| refused_at(c, EINVAL, at, kind, 0))
        })
    }),
    Case::new("place/in_an_empty_section_is_einval", |c| {
        let mut elf = field(c, 0, R_X86_64_64, 0, 0)?;
        let empty = Section::new(".empty", SHT_PROGBITS, SHF_ALLOC, 8, Data::NoBits(0));
        let index = elf.push(empty);
        elf.section_mut(RELA_FIELD).shdr.sh_info = index as u32;
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("place/comes_before_overflow", |c| {
        refused_at(c, EINVAL, SIZE, R_X86_64_PC32, i64::from(i32::MAX) + 1)
    }),
    // What a distance can be; the field lies at the symbol.
    Case::new("distance/max_works", |c| {
        each(DISTANCES, |kind| accepted_at(c, 0, kind, i32::MAX.into()))
    }),
    Case::new("distance/above_max_is_eoverflow", |c| {
        each(DISTANCES, |kind| refused_at(c, EOVERFLOW, 0, kind, i64::from(i32::MAX) + 1))
    }),
    Case::new("distance/min_works", |c| {
        each(DISTANCES, |kind| accepted_at(c, 0, kind, i32::MIN.into()))
    }),
    Case::new("distance/below_min_is_eoverflow", |c| {
        each(DISTANCES, |kind| refused_at(c, EOVERFLOW, 0, kind, i64::from(i32::MIN) - 1))
    }),
    Case::new("distance/to_address_0_is_eoverflow", |c| {
        each(DISTANCES, |kind| {
            let elf = field(c, 0, kind, 0, 0)?;
            file_refused(c, EOVERFLOW, &elf.to_bytes())
        })
    }),
    // Several of them.
    Case::new("rela/every_entry_is_looked_at", |c| {
        let mut elf = field(c, 0, R_X86_64_64, 0, 0)?;
        let good = elf.rela_mut(RELA_FIELD)[0];
        let bad = Rela { r_offset: SIZE, ..good };
        elf.rela_mut(RELA_FIELD).extend([good, bad]);
        elf.relayout();
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("rela/entries_are_applied_in_order", |c| {
        let mut elf = field(c, 0, R_X86_64_64, 0, u64::from_le_bytes(*b"-second\0"))?;
        let second = elf.rela_mut(RELA_FIELD)[0];
        elf.rela_mut(RELA_FIELD).insert(0, Rela { r_addend: 1, ..second });
        elf.relayout();
        file_shows(c, "-second", &elf.to_bytes())
    }),
    Case::new("rela/the_first_bad_entry_counts", |c| {
        let mut elf = field(c, SIZE, R_X86_64_64, 0, 0)?;
        let mut unsupported = elf.rela_mut(RELA_FIELD)[0];
        unsupported.set_kind(R_X86_64_32);
        elf.rela_mut(RELA_FIELD).push(unsupported);
        elf.relayout();
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
];

const DISTANCES: [u32; 2] = [R_X86_64_PC32, R_X86_64_PLT32];

/// Appends a section with one relocation of the code, of a type that Xen refuses.
fn push(elf: &mut Elf, change: impl FnOnce(&mut Shdr)) -> usize {
    let text = elf.section_index(".text").expect("a section of the base payload");
    let symtab = elf.section_index(".symtab").expect("a section of every payload");
    let mut rela = elf.rela_mut(".rela.livepatch.funcs")[0];
    rela.set_kind(R_X86_64_32);
    let relas = Data::Relas(alloc::vec![rela]);
    let index = elf.push(Section::new(".rela.extra", SHT_RELA, 0, 8, relas));
    let shdr = &mut elf.sections[index].shdr;
    (shdr.sh_info, shdr.sh_link) = (text as u32, symtab as u32);
    shdr.sh_entsize = size_of::<Rela>() as u64;
    change(shdr);
    index
}

/// The base payload with that section, and this change of its header, is refused.
fn broken(c: &Context, errno: Errno, change: impl FnOnce(&mut Shdr)) -> Outcome {
    refused(c, errno, |e| {
        push(e, change);
    })
}

/// The base payload with that section, and this change of its header, works.
fn skipped(c: &Context, change: impl FnOnce(&mut Shdr)) -> Outcome {
    works(c, |e| {
        push(e, change);
    })
}

/// Makes it a section without addends; 24 bytes hold one such relocation.
fn rel(shdr: &mut Shdr) {
    (shdr.sh_type, shdr.sh_entsize, shdr.sh_size) = (SHT_REL, REL_SIZE, REL_SIZE);
}

/// A payload with one relocation of its field against an absolute symbol.
fn field(c: &Context, offset: u64, kind: u32, addend: i64, value: u64) -> Result<Elf, Stop> {
    let chunk = Chunk::new(FIELD).reloc(offset, kind, "value", addend);
    let mut elf = with_field(c, chunk)?;
    define(&mut elf, "value", value);
    Ok(elf)
}

/// A payload whose function shows this field.
fn with_field(c: &Context, chunk: Chunk) -> Result<Elf, Stop> {
    let function = Function::named("xen_extra_version", code::return_address("field"));
    let payload = Payload::new(&target(c)?, MARK).function(function);
    Ok(payload.section(Area::loaded(".field", 0, 8), "field", chunk).elf())
}

/// The field reads `text` after that relocation.
fn shows(c: &Context, offset: u64, kind: u32, addend: i64, value: u64, text: &str) -> Outcome {
    file_shows(c, text, &field(c, offset, kind, addend, value)?.to_bytes())
}

/// A payload with a changed relocation.
struct Entry(Result<Elf, Stop>);

impl Entry {
    fn refused(self, c: &Context, errno: Errno) -> Outcome {
        file_refused(c, errno, &self.0?.to_bytes())
    }
}

fn entry(c: &Context, change: impl FnOnce(&mut Rela)) -> Entry {
    Entry(field(c, 0, R_X86_64_64, 0, 0).map(|mut elf| {
        change(&mut elf.rela_mut(RELA_FIELD)[0]);
        elf
    }))
}

fn kind_refused(c: &Context, kind: u32) -> Outcome {
    entry(c, |r| r.set_kind(kind)).refused(c, EOPNOTSUPP)
}

fn placed(c: &Context, offset: u64, kind: u32) -> Outcome {
    file_refused(c, EINVAL, &field(c, offset, kind, 0, 0)?.to_bytes())
}

/// A payload with a relocation of its field against the field's own beginning.
fn own(c: &Context, offset: u64, kind: u32, addend: i64) -> Result<Elf, Stop> {
    with_field(c, Chunk::new(FIELD).reloc(offset, kind, "field", addend))
}

fn accepted_at(c: &Context, offset: u64, kind: u32, addend: i64) -> Outcome {
    file_accepted(c, &own(c, offset, kind, addend)?.to_bytes())
}

fn refused_at(c: &Context, errno: Errno, offset: u64, kind: u32, addend: i64) -> Outcome {
    file_refused(c, errno, &own(c, offset, kind, addend)?.to_bytes())
}

/// The distance from its own place to the symbol, plus the addend, is what is stored.
fn distance(c: &Context, kind: u32) -> Outcome {
    let text = i64::from(i32::from_le_bytes(*b"-pc\0"));
    file_shows(c, "-abc-pc", &own(c, 4, kind, text + 4)?.to_bytes())?;
    file_shows(c, "-pc", &own(c, 0, kind, text)?.to_bytes())
}

/// Code finds its data by such a relocation, also in the middle of it.
fn across(c: &Context, kind: u32) -> Outcome {
    let lea = Chunk::new([0x48, 0x8D, 0x05, 0, 0, 0, 0, 0xC3]).reloc(3, kind, "text", 7 - 4);
    for area in [Area::RODATA, Area::DATA, Area::TEXT] {
        let payload = Payload::new(&target(c)?, MARK)
            .function(Function::named("xen_extra_version", lea.clone()))
            .section(area, "text", b"skipped-found\0");
        file_shows(c, "-found", &payload.to_bytes())?;
    }
    Ok(())
}

fn entries_of_32_bytes(c: &Context) -> Outcome {
    let mut elf = field(c, 0, R_X86_64_64, 0, u64::from_le_bytes(*b"-second\0"))?;
    let second = elf.rela_mut(RELA_FIELD)[0];
    elf.rela_mut(RELA_FIELD).insert(0, Rela { r_addend: 1, ..second });
    let section = elf.section_mut(RELA_FIELD);
    let entries = section.bytes_mut();
    *entries = entries
        .chunks(size_of::<Rela>())
        .flat_map(|entry| entry.iter().copied().chain([0xFF; 8]))
        .collect();
    section.shdr.sh_entsize = 32;
    elf.relayout();
    file_shows(c, "-second", &elf.to_bytes())
}

fn two_sections(c: &Context) -> Outcome {
    let mut elf = field(c, 0, R_X86_64_64, 0, u64::from_le_bytes(*b"-first\0\0"))?;
    let sym = Sym {
        st_info: Sym::info(STB_GLOBAL, STT_NOTYPE),
        st_shndx: SHN_ABS,
        st_value: u64::from_le_bytes(*b" second\0"),
        ..Sym::default()
    };
    elf.symbols_mut().push(Symbol { name: "other".into(), sym });
    elf.relayout();
    let mut rela = elf.rela_mut(RELA_FIELD)[0];
    rela.set_symbol(elf.symbol_index("other").expect("just added") as u32);
    rela.r_offset = 6;
    let shdr = elf.section(RELA_FIELD).shdr;
    let relas = Data::Relas(alloc::vec![rela]);
    let index = elf.push(Section::new(".rela.field2", SHT_RELA, 0, 8, relas));
    let added = &mut elf.sections[index].shdr;
    (added.sh_info, added.sh_link, added.sh_entsize) = (shdr.sh_info, shdr.sh_link, 24);
    file_shows(c, "-first second", &elf.to_bytes())
}

/// The relocation of the field is against the last symbol.
fn expect_last(elf: &mut Elf, last: usize) -> Outcome {
    kernel::expect("symbol of the relocation", elf.rela_mut(RELA_FIELD)[0].symbol(), last as u32)
}
