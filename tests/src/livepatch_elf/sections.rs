//! Section headers, their names, the string tables, and where sections go in memory:
//! `elf_resolve_sections`, `elf_verify_strtab`, `elf_resolve_section_names`,
//! `livepatch_elf_sec_by_name`, `move_payload`.

use alloc::vec;

use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Outcome, Stop};
use livepatch::abi::{ActionCmd, PAYLOAD_SIZE_MAX, State};
use livepatch::payload::wire::{
    SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_NULL, SHT_PROGBITS, SHT_STRTAB,
    SHT_SYMTAB, Shdr,
};
use livepatch::payload::{
    Area, Chunk, Data, Elf, Function, Hook, HookBody, Old, Payload, Replacement, Section, code,
};

use super::claims::{
    EINVAL, EOPNOTSUPP, MARK, NAME, base, each, file_accepted, file_refused, file_shows, junk,
    load, refused, works,
};
use super::hooks::without_code;
use super::probe::{self, NO, YES};
use crate::support::{needs_if_protected, target};

const LIMIT: u64 = PAYLOAD_SIZE_MAX as u64;

pub(super) const CASES: &[Case] = &[
    Case::new("sections/null_section_is_not_looked_at", |c| {
        works(c, |e| {
            e.sections[0].shdr = Shdr {
                sh_name: u32::MAX,
                sh_type: SHT_SYMTAB,
                sh_flags: u64::MAX,
                sh_addralign: 3,
                ..Shdr::default()
            };
        })
    }),
    Case::new("sections/sh_offset_63_is_einval", |c| {
        each(TYPES, |t| header(c, EINVAL, |s| (s.sh_type, s.sh_offset, s.sh_size) = (t, 63, 0)))
    }),
    Case::new("sections/sh_offset_64_works", |c| {
        each(TYPES, |t| header_works(c, |s| (s.sh_type, s.sh_offset, s.sh_size) = (t, 64, 0)))
    }),
    Case::new("sections/sh_offset_0_is_einval", |c| header(c, EINVAL, |s| s.sh_offset = 0)),
    Case::new("sections/empty_at_the_end_of_the_file_works", |c| {
        extent(c, |len| (len, 0)).works(c)
    }),
    Case::new("sections/empty_beyond_the_end_is_einval", |c| {
        extent(c, |len| (len + 1, 0)).refused(c)
    }),
    Case::new("sections/to_the_end_of_the_file_works", |c| {
        extent(c, |len| (len - 100, 100)).works(c)
    }),
    Case::new("sections/1_byte_beyond_the_end_is_einval", |c| {
        extent(c, |len| (len - 100, 101)).refused(c)
    }),
    Case::new("sections/sh_offset_max_is_einval", |c| extent(c, |_| (u64::MAX, 0)).refused(c)),
    Case::new("sections/nobits_beyond_the_end_works", |c| {
        each([0, SHF_ALLOC, SHF_ALLOC | SHF_WRITE], |flags| {
            header_works(c, |s| {
                (s.sh_type, s.sh_flags, s.sh_offset) = (SHT_NOBITS, flags, u64::MAX);
            })
        })
    }),
    Case::new("sections/sh_addralign_power_of_two_works", |c| {
        each([0, 1, 2, 4, 1 << 12, 1 << 63], |align| header_works(c, |s| s.sh_addralign = align))
    }),
    Case::new("sections/sh_addralign_other_is_eopnotsupp", |c| {
        c.needs(Change::SectionAlignment)?;
        each([3, 5, 6, 12, (1 << 63) + 1, u64::MAX], |align| {
            header(c, EOPNOTSUPP, |s| s.sh_addralign = align)
        })
    }),
    Case::new("sections/sh_addr_aligned_works", |c| {
        each([(8, 8), (4096, 8), (7, 1), (7, 0), (u64::MAX - 7, 8)], |(at, align)| {
            header_works(c, |s| (s.sh_addr, s.sh_addralign) = (at, align))
        })
    }),
    Case::new("sections/sh_addr_unaligned_is_einval", |c| {
        c.needs(Change::SectionAlignment)?;
        each([(4, 8), (1, 2), (u64::MAX, 8), (4095, 4096)], |(at, align)| {
            header(c, EINVAL, |s| (s.sh_addr, s.sh_addralign) = (at, align))
        })
    }),
    Case::new("sections/place_comes_before_alignment", |c| {
        header(c, EINVAL, |s| (s.sh_offset, s.sh_addralign) = (u64::MAX, 3))
    }),
    Case::new("sections/alignment_comes_before_address", |c| {
        c.needs(Change::SectionAlignment)?;
        header(c, EOPNOTSUPP, |s| (s.sh_addr, s.sh_addralign) = (1, 3))
    }),
    Case::new("sections/nobits_of_2_mib_works", |c| {
        needs_if_protected(c, Change::LargeText)?;
        each(LOADED, |flags| nobits(c, flags, LIMIT).works(c))
    }),
    Case::new("sections/nobits_above_2_mib_is_einval", |c| {
        each(LOADED, |flags| nobits(c, flags, LIMIT + 1).refused(c))
    }),
    Case::new("sections/nobits_neither_loaded_nor_written_has_no_limit", |c| {
        each([0, SHF_EXECINSTR], |flags| nobits(c, flags, u64::MAX).works(c))
    }),
    Case::new("sections/unknown_types_work", |c| {
        each([10, 14, 0x6FFF_FFF6, u32::MAX], |t| {
            works(c, |e| e.section_mut(".text").shdr.sh_type = t)
        })
    }),
    Case::new("sections/unknown_flags_work", |c| {
        let known = SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR;
        works(c, |e| e.section_mut(".rodata").shdr.sh_flags |= !known)
    }),
    Case::new("sections/sh_link_info_and_entsize_of_others_are_ignored", |c| {
        works(c, |e| {
            let shdr = &mut e.section_mut(".text").shdr;
            (shdr.sh_link, shdr.sh_info, shdr.sh_entsize) = (u32::MAX, u32::MAX, u64::MAX);
        })
    }),
    Case::new("sections/two_symbol_tables_are_eopnotsupp", |c| {
        header(c, EOPNOTSUPP, |s| s.sh_type = SHT_SYMTAB)
    }),
    Case::new("sections/no_symbol_table_is_einval", |c| symtab(c, |s| s.sh_type = SHT_PROGBITS)),
    Case::new("sections/symtab_sh_link_e_shnum_is_einval", |c| {
        refused(c, EINVAL, |e| {
            e.section_mut(".symtab").shdr.sh_link = e.ehdr.e_shnum.into();
        })
    }),
    Case::new("sections/symtab_sh_link_max_is_einval", |c| symtab(c, |s| s.sh_link = u32::MAX)),
    Case::new("sections/symtab_empty_is_einval", |c| symtab(c, |s| s.sh_size = 0)),
    Case::new("sections/symtab_entsize_0_is_einval", |c| symtab(c, |s| s.sh_entsize = 0)),
    Case::new("sections/symtab_entsize_23_is_einval", |c| {
        // The size is a multiple of it: nothing else is wrong.
        symtab(c, |s| (s.sh_entsize, s.sh_size) = (23, 23))
    }),
    Case::new("sections/symtab_entsize_32_works", |c| works(c, |e| symbol_stride(e, 32))),
    Case::new("sections/symtab_size_not_of_whole_symbols_is_einval", |c| {
        each([-23, -1, 1, 23], |more| {
            symtab(c, |s| s.sh_size = s.sh_size.wrapping_add_signed(more))
        })
    }),
    Case::new("sections/symtab_sh_info_is_ignored", |c| {
        works(c, |e| e.section_mut(".symtab").shdr.sh_info = u32::MAX)
    }),
    Case::new("sections/symtab_of_only_the_null_symbol_works", |c| {
        c.needs(Change::HooksAlone)?;
        file_accepted(c, &without_code(c)?.to_bytes())
    }),
    Case::new("sections/strtab_of_other_type_is_einval", |c| {
        each([SHT_NULL, SHT_PROGBITS, SHT_NOBITS], |t| strtab(c, |s| s.sh_type = t))
    }),
    Case::new("sections/strtab_empty_is_einval", |c| strtab(c, |s| s.sh_size = 0)),
    Case::new("sections/strtab_first_byte_not_nul_is_einval", |c| {
        refused(c, EINVAL, |e| texts(e, ".strtab", b"x\0"))
    }),
    Case::new("sections/strtab_last_byte_not_nul_is_einval", |c| {
        refused(c, EINVAL, |e| texts(e, ".strtab", b"\0x"))
    }),
    Case::new("sections/strtab_of_one_nul_works", |c| works(c, |e| texts(e, ".strtab", b"\0"))),
    Case::new("sections/shstrtab_of_other_type_is_einval", |c| {
        each([SHT_NULL, SHT_PROGBITS, SHT_NOBITS], |t| shstrtab(c, |s| s.sh_type = t))
    }),
    Case::new("sections/shstrtab_empty_is_einval", |c| shstrtab(c, |s| s.sh_size = 0)),
    Case::new("sections/shstrtab_first_byte_not_nul_is_einval", |c| {
        refused(c, EINVAL, |e| e.section_mut(".shstrtab").bytes_mut()[0] = b'x')
    }),
    Case::new("sections/shstrtab_last_byte_not_nul_is_einval", |c| {
        refused(c, EINVAL, |e| {
            // The last name loses its end, and only that: it is the table's own.
            let names = e.section_mut(".shstrtab").bytes_mut();
            *names.last_mut().expect("names") = b'x';
        })
    }),
    Case::new("sections/one_table_for_both_kinds_of_names_works", |c| {
        works(c, |e| e.section_mut(".symtab").shdr.sh_link = e.ehdr.e_shstrndx.into())
    }),
    Case::new("sections/sh_name_at_the_last_nul_works", |c| name_at(c, 1).works(c)),
    Case::new("sections/sh_name_at_the_end_is_einval", |c| name_at(c, 0).refused(c)),
    Case::new("sections/sh_name_max_is_einval", |c| header(c, EINVAL, |s| s.sh_name = u32::MAX)),
    Case::new("sections/the_first_of_one_name_wins", |c| {
        each([".livepatch.funcs", ".note.gnu.build-id", ".livepatch.depends"], |name| {
            works(c, |e| append(e, name, b"not what Xen expects"))
        })
    }),
    Case::new("sections/the_second_of_one_name_is_not_a_spare", |c| {
        each([".note.gnu.build-id", ".livepatch.depends"], |name| {
            refused(c, EINVAL, |e| {
                let note = e.section_mut(name).bytes_mut().clone();
                append(e, name, &note);
                e.section_mut(name).shdr.sh_size = 0;
            })
        })
    }),
    Case::new("sections/a_longer_name_is_another_name", |c| {
        refused(c, EINVAL, |e| {
            e.section_mut(".livepatch.funcs").name.push('2');
            e.relayout();
        })
    }),
    Case::new("sections/contents_that_are_not_loaded_do_not_matter", |c| {
        works(c, |e| junk(e, |s| s.sh_flags = SHF_WRITE | SHF_EXECINSTR))
    }),
    Case::new("sections/loaded_write_and_exec_is_eopnotsupp", |c| {
        header(c, EOPNOTSUPP, |s| s.sh_flags = SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR)
    }),
    Case::new("sections/loaded_write_and_exec_but_empty_is_eopnotsupp", |c| {
        c.needs(Change::EmptySections)?;
        header(c, EOPNOTSUPP, |s| {
            (s.sh_flags, s.sh_size) = (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR, 0);
        })
    }),
    Case::new("sections/loaded_empty_ones_work", |c| {
        each([SHF_ALLOC, SHF_ALLOC | SHF_WRITE, SHF_ALLOC | SHF_EXECINSTR], |flags| {
            header_works(c, |s| (s.sh_flags, s.sh_size) = (flags, 0))
        })
    }),
    Case::new("sections/tables_may_be_loaded_as_well", |c| {
        each([".symtab", ".strtab", ".shstrtab", ".rela.livepatch.funcs"], |name| {
            works(c, |e| e.section_mut(name).shdr.sh_flags = SHF_ALLOC)
        })
    }),
    Case::new("load/text_is_copied", |c| contents(c, Area::TEXT)),
    Case::new("load/rodata_is_copied", |c| contents(c, Area::RODATA)),
    Case::new("load/data_is_copied", |c| contents(c, Area::DATA)),
    Case::new("load/own_sections_are_copied", |c| {
        each([0, SHF_WRITE, SHF_EXECINSTR], |flags| contents(c, Area::loaded(".own", flags, 1)))
    }),
    Case::new("load/bss_is_zero_where_there_was_something_else", |c| bss_is_zero(c, SHF_WRITE)),
    Case::new("load/read_only_nobits_is_zero_likewise", |c| bss_is_zero(c, 0)),
    Case::new("load/alignment_is_respected", |c| {
        each([2, 64, 256, 4096], |align| {
            each([0, SHF_WRITE, SHF_EXECINSTR], |flags| alignment(c, flags, align))
        })
    }),
    Case::new("load/sections_of_a_kind_lie_behind_each_other", neighbours),
    Case::new("load/code_constants_and_variables_have_pages_of_their_own", pages),
    Case::new("load/variables_can_be_written", |c| written(c, "variable", YES)),
    Case::new("load/zeroes_can_be_written", |c| written(c, "zero", YES)),
    Case::new("load/constants_cannot_be_written", |c| written(c, "constant", NO)),
    Case::new("load/code_cannot_be_written", |c| written(c, "code", NO)),
    Case::new("load/the_end_of_each_kind_is_protected_as_well", |c| {
        written(c, "last variable", YES)?;
        written(c, "last constant", NO)?;
        written(c, "last code", NO)
    }),
    Case::new("load/code_can_be_run_before_it_is_applied", |c| {
        c.needs(Change::PrePostHooks)?;
        file_shows(c, MARK, &base(c)?.hook(Hook::PreApply, code::return_u32(0)).to_bytes())
    }),
    Case::new("load/all_is_protected_before_it_is_applied", |c| {
        c.needs(Change::PrePostHooks)?;
        c.needs(Change::LoadedRegions)?;
        c.needs(Change::LoadedSymbols)?;
        each(["constant", "code"], |symbol| {
            let payload = base(c)?.text("code", code::ret()).rodata("constant", [1; 8]);
            let payload = probe::agrees_if_not_written(payload, Hook::PreApply, symbol);
            file_shows(c, MARK, &payload.to_bytes())
        })
    }),
    Case::new("load/code_and_constants_can_be_patched", patched),
    Case::new("load/functions_alone_may_be_applied_again", |c| again(c, base(c)?, true)),
    Case::new("load/nothing_writable_may_be_applied_again", |c| {
        c.needs(Change::ReapplyReadOnly)?;
        again(c, hook_only(c)?.rodata("constant", [1; 8]), true)
    }),
    Case::new("load/empty_variables_may_be_applied_again", |c| {
        c.needs(Change::EmptySections)?;
        again(c, base(c)?.data("nothing", []).bss("no zeroes", 0), true)
    }),
    Case::new("load/variables_may_not_be_applied_again", |c| {
        again(c, base(c)?.data("variable", [2; 8]), false)?;
        again(c, base(c)?.bss("zero", 8), false)?;
        again(c, hook_only(c)?.data("variable", [2; 8]), false)
    }),
    Case::new("load/a_section_may_cross_pages", |c| {
        let payload = payload(c, code::return_address("end"))?;
        let payload = payload.rodata("filler", vec![b'x'; 3 * 4096 - 5]).rodata("end", b"-far\0");
        file_shows(c, "-far", &payload.to_bytes())
    }),
];

const TYPES: [u32; 4] = [SHT_NULL, SHT_PROGBITS, SHT_NOBITS, u32::MAX];
const LOADED: [u64; 4] = [SHF_ALLOC, SHF_WRITE, SHF_ALLOC | SHF_WRITE, SHF_ALLOC | SHF_EXECINSTR];

/// An additional section with this header is refused.
fn header(c: &Context, errno: Errno, change: impl FnOnce(&mut Shdr)) -> Outcome {
    refused(c, errno, |e| junk(e, change))
}

/// An additional section with this header does no harm.
fn header_works(c: &Context, change: impl FnOnce(&mut Shdr)) -> Outcome {
    works(c, |e| junk(e, change))
}

/// The base payload with a change that is the same on both sides of a limit.
struct Tried(Result<Elf, Stop>);

impl Tried {
    fn works(self, c: &Context) -> Outcome {
        file_shows(c, MARK, &self.0?.to_bytes())
    }

    fn refused(self, c: &Context) -> Outcome {
        file_refused(c, EINVAL, &self.0?.to_bytes())
    }
}

/// An additional section at the offset and of the size that `choose` derives from the size of the
/// file.
fn extent(c: &Context, choose: impl FnOnce(u64) -> (u64, u64)) -> Tried {
    Tried(base(c).map(|payload| {
        let mut elf = payload.elf();
        junk(&mut elf, |_| {});
        let len = elf.to_bytes().len() as u64;
        let shdr = &mut elf.section_mut(".junk").shdr;
        (shdr.sh_offset, shdr.sh_size) = choose(len);
        elf
    }))
}

/// An additional section of so many zeroes.
fn nobits(c: &Context, flags: u64, size: u64) -> Tried {
    Tried(base(c).map(|payload| {
        let mut elf = payload.elf();
        elf.push(Section::new(".zeroes", SHT_NOBITS, flags, 1, Data::NoBits(size)));
        elf
    }))
}

/// An additional section whose name begins so many bytes before the end of the names.
fn name_at(c: &Context, before_end: u32) -> Tried {
    Tried(base(c).map(|payload| {
        let mut elf = payload.elf();
        junk(&mut elf, |_| {});
        let names = elf.section(".shstrtab").shdr.sh_size as u32;
        elf.section_mut(".junk").shdr.sh_name = names - before_end;
        elf
    }))
}

/// A payload to which no symbol matters, where this Xen takes one: what is wrong with its
/// symbol table has no other consequence.
fn symbolless(c: &Context) -> Result<Elf, Stop> {
    if c.xen.has(Change::HooksAlone) { without_code(c) } else { Ok(base(c)?.elf()) }
}

/// It is refused for this change of its symbol table's header.
fn symtab(c: &Context, change: impl FnOnce(&mut Shdr)) -> Outcome {
    let mut elf = symbolless(c)?;
    change(&mut elf.section_mut(".symtab").shdr);
    file_refused(c, EINVAL, &elf.to_bytes())
}

/// It is refused for this change of the header of its symbols' names.
fn strtab(c: &Context, change: impl FnOnce(&mut Shdr)) -> Outcome {
    let mut elf = symbolless(c)?;
    change(&mut elf.section_mut(".strtab").shdr);
    file_refused(c, EINVAL, &elf.to_bytes())
}

/// The base payload is refused for this change of the header of its sections' names.
fn shstrtab(c: &Context, change: impl FnOnce(&mut Shdr)) -> Outcome {
    refused(c, EINVAL, |e| change(&mut e.section_mut(".shstrtab").shdr))
}

/// Replaces a string table that only has to be there: the base payload's symbols have no names.
fn texts(elf: &mut Elf, section: &str, texts: &[u8]) {
    let index = elf.push(Section::new(section, SHT_STRTAB, 0, 1, Data::Bytes(texts.to_vec())));
    elf.section_mut(".symtab").shdr.sh_link = index as u32;
}

/// Appends a loaded section.
fn append(elf: &mut Elf, name: &str, contents: &[u8]) {
    let data = Data::Bytes(contents.to_vec());
    elf.push(Section::new(name, SHT_PROGBITS, SHF_ALLOC, 4, data));
}

/// Lays the symbols out `bytes` apart.
fn symbol_stride(elf: &mut Elf, bytes: usize) {
    let section = elf.section_mut(".symtab");
    let old = section.shdr.sh_entsize as usize;
    let symbols = section.bytes_mut();
    *symbols = symbols
        .chunks(old)
        .flat_map(|symbol| symbol.iter().copied().chain(core::iter::repeat_n(0xFF, bytes - old)))
        .collect();
    section.shdr.sh_entsize = bytes as u64;
    elf.relayout();
}

/// A payload that replaces the function behind Xen's extra version.
fn payload(c: &Context, function: Chunk) -> Result<Payload, Stop> {
    let function = Function::named("xen_extra_version", function);
    Ok(Payload::new(&target(c)?, MARK).function(function))
}

/// What is in such a section in the file is there in memory.
fn contents(c: &Context, area: Area) -> Outcome {
    let payload = payload(c, code::return_address("text"))?
        .section(area.clone(), "before", b"x")
        .section(area, "text", b"-copied\0");
    file_shows(c, "-copied", &payload.to_bytes())
}

/// Memory that a payload before left full of something is cleared.
fn bss_is_zero(c: &Context, flags: u64) -> Outcome {
    const SIZE: usize = 3 * 4096;
    let full = base(c)?.section(Area::loaded(".full", flags, 1), "full", [0xA5; SIZE]).to_bytes();
    drop(load(c, NAME, &full)?);
    let area = Area { sh_flags: SHF_ALLOC | flags, ..Area::BSS };
    let payload = payload(c, probe::is_zero("zero", SIZE as u32))?;
    file_shows(c, YES, &payload.section(area, "zero", [0; SIZE]).to_bytes())
}

/// A section that asks for an alignment gets it, whatever comes before it.
fn alignment(c: &Context, flags: u64, align: u64) -> Outcome {
    let payload = payload(c, probe::is_aligned("aligned", align as u32))?
        .section(Area::loaded(".odd", flags, 1), "odd", [1, 2, 3])
        .section(Area::loaded(".aligned", flags, align), "aligned", b"x");
    file_shows(c, YES, &payload.to_bytes())
}

/// Each begins at the first place behind the one before that its alignment allows.
fn neighbours(c: &Context) -> Outcome {
    each([(1, 3), (8, 8), (32, 32)], |(align, distance)| {
        each([0, SHF_WRITE, SHF_EXECINSTR], |flags| {
            let payload = payload(c, probe::is_behind("first", "second", distance))?
                .section(Area::loaded(".first", flags, 4096), "first", [1, 2, 3])
                .section(Area::loaded(".second", flags, align), "second", b"x");
            file_shows(c, YES, &payload.to_bytes())
        })
    })
}

fn pages(c: &Context) -> Outcome {
    each([("code", "constant"), ("code", "variable"), ("constant", "variable")], |(one, other)| {
        let payload = payload(c, probe::are_in_different_pages(one, other))?
            .text("code", code::ret())
            .rodata("constant", [1; 8])
            .data("variable", [2; 8]);
        file_shows(c, YES, &payload.to_bytes())
    })
}

/// Whether code of the payload can write to one of its symbols.
fn written(c: &Context, symbol: &str, answer: &str) -> Outcome {
    const FILLER: usize = 2 * 4096;
    let payload = Payload::new(&target(c)?, MARK)
        .text("code", code::ret())
        .text("filler code", [0xCC; FILLER])
        .text("last code", code::ret())
        .rodata("constant", [1; 8])
        .rodata("filler constant", [1; FILLER])
        .rodata("last constant", [1; 8])
        .data("variable", [2; 8])
        .data("filler variable", [2; FILLER])
        .data("last variable", [2; 8])
        .bss("zero", 8);
    file_shows(c, answer, &probe::writes_to(payload, symbol).to_bytes())
}

/// While it patches, Xen itself can write to a payload's code and constants.
fn patched(c: &Context) -> Outcome {
    needs_if_protected(c, Change::LoadedRegions)?;
    // What took the place of clearing CR0.WP left constants out until ef969144a4.
    let left_out = c.xen.has(Change::ProtectedPatching)
        && !(c.xen.has(Change::PayloadConstants) && c.xen.has(Change::XenConstants));
    let areas = if left_out { &[Area::TEXT][..] } else { &[Area::TEXT, Area::RODATA] };
    for area in areas {
        // One NOP over the first character of the text, which is then no character at all.
        let nop =
            Function { old: Old::Symbol("text".into()), ..Function::at(0, Replacement::Nop(1)) };
        let payload = payload(c, code::return_address("text"))?
            .section(area.clone(), "text", b"-patched\0")
            .function(nop);
        file_shows(c, "\u{FFFD}patched", &payload.to_bytes())?;
    }
    Ok(())
}

/// A payload that has no `.livepatch.funcs`.
fn hook_only(c: &Context) -> Result<Payload, Stop> {
    c.needs(Change::HooksAlone)?;
    Ok(Payload::new(&target(c)?, MARK).hook(Hook::PostApply, HookBody::Null))
}

/// Whether the payload can be applied, reverted and applied again: only one that cannot have
/// changed its own variables can.
fn again(c: &Context, payload: Payload, possible: bool) -> Outcome {
    let loaded = load(c, NAME, &payload.to_bytes())?;
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Applied, Answer::SUCCESS)?;
    loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
    // What is not possible is only told by GET.
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    if possible {
        loaded.must_be(State::Applied, Answer::SUCCESS)
    } else {
        loaded.must_be(State::Checked, EINVAL)
    }
}
