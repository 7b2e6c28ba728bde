//! The symbol table: `elf_get_sym`, `livepatch_elf_resolve_symbols`, and, for the names that a
//! payload adds to Xen's own, `is_payload_symbol` and `build_symbol_table`.

use alloc::format;
use alloc::string::String;

use kernel::xen::Change;
use kernel::{Case, Context, Errno, Outcome, Stop};
use livepatch::payload::wire::{
    SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHN_ABS, SHN_COMMON, SHN_LORESERVE, SHN_UNDEF, STB_GLOBAL,
    STB_LOCAL, STT_FUNC, STT_NOTYPE, STT_OBJECT, Sym,
};
use livepatch::payload::{Area, Elf, Function, Payload, Symbol, code};

use super::claims::{
    EEXIST, EINVAL, ENOENT, EOPNOTSUPP, MARK, OTHER, accepted, base, each, file_accepted,
    file_refused, file_shows, load, refused, works,
};
use crate::support::{static_of_xen, target};

/// Section flag: equal contents may be merged.
const SHF_MERGE: u64 = 0x10;
/// Symbol binding: seen everywhere, but overridden.
const STB_WEAK: u8 = 2;

/// How many bytes of a name Xen keeps (`KSYM_NAME_LEN`, of which one is the NUL).
const KEPT: usize = 126;

/// A function of Xen that no payload here replaces.
const XEN_FUNCTION: &str = "xen_changeset";
/// A name that neither Xen nor a payload has.
const UNKNOWN: &str = "xtf_unknown";

pub(super) const CASES: &[Case] = &[
    Case::new("symbols/null_symbol_is_not_looked_at", |c| {
        works(c, |e| {
            e.symbols_mut()[0].sym =
                Sym { st_name: u32::MAX, st_shndx: SHN_COMMON, ..Sym::default() };
        })
    }),
    Case::new("symbols/st_name_at_the_last_nul_works", |c| {
        works(c, |e| st_name(e, |strings| strings - 1))
    }),
    Case::new("symbols/st_name_at_the_end_is_einval", |c| {
        refused(c, EINVAL, |e| st_name(e, |strings| strings))
    }),
    Case::new("symbols/st_name_max_is_einval", |c| {
        refused(c, EINVAL, |e| st_name(e, |_| u32::MAX))
    }),
    Case::new("symbols/undefined_one_of_xen_works", |c| {
        works(c, |e| add(e, "xen_minor_version", SHN_UNDEF))
    }),
    Case::new("symbols/undefined_static_of_xen_has_its_file_in_front", |c| {
        let name = static_of_xen(c, "common/livepatch.c", "payload_list")?;
        let name = name.ok_or_else(|| Stop::failure("Xen's list of payloads is not found"))?;
        works(c, |e| add(e, &name, SHN_UNDEF))
    }),
    Case::new("symbols/undefined_unknown_is_enoent", |c| {
        refused(c, ENOENT, |e| add(e, UNKNOWN, SHN_UNDEF))
    }),
    Case::new("symbols/undefined_weak_is_enoent_as_well", |c| {
        refused(c, ENOENT, |e| {
            add(e, UNKNOWN, SHN_UNDEF);
            e.symbol_mut(UNKNOWN).st_info = Sym::info(STB_WEAK, STT_NOTYPE);
        })
    }),
    Case::new("symbols/undefined_without_a_name_is_enoent", |c| {
        refused(c, ENOENT, |e| add(e, "", SHN_UNDEF))
    }),
    Case::new("symbols/undefined_of_another_payload_is_found", undefined_of_another),
    Case::new("symbols/undefined_of_an_applied_payload_is_found", |c| {
        let other = load(c, OTHER, &exporting(c, "xtf_text")?.to_bytes())?;
        other.action(livepatch::abi::ActionCmd::Apply).must_be(kernel::Answer::SUCCESS)?;
        accepted(c, |e| add(e, "xtf_text", SHN_UNDEF))
    }),
    Case::new("symbols/undefined_of_an_unloaded_payload_is_enoent", |c| {
        drop(load(c, OTHER, &exporting(c, "xtf_text")?.to_bytes())?);
        refused(c, ENOENT, |e| add(e, "xtf_text", SHN_UNDEF))
    }),
    Case::new("symbols/undefined_replacement_of_another_payload_is_enoent", |c| {
        let _other = load(c, OTHER, &replacing(c, "xtf_new")?.to_bytes())?;
        refused(c, ENOENT, |e| add(e, "xtf_new", SHN_UNDEF))
    }),
    Case::new("symbols/absolute_keeps_its_value", |c| {
        // Eight bytes of text are the symbol's value; a relocation puts them where it is read.
        let payload = Payload::new(&target(c)?, MARK)
            .function(Function::named("xen_extra_version", code::return_address("text")))
            .rodata("text", livepatch::payload::Chunk::address_of("value"));
        let mut elf = payload.elf();
        super::claims::define(&mut elf, "value", u64::from_le_bytes(*b"-absolu\0"));
        file_shows(c, "-absolu", &elf.to_bytes())
    }),
    Case::new("symbols/common_is_einval", |c| at(c, SHN_COMMON, EINVAL)),
    Case::new("symbols/other_reserved_index_is_eopnotsupp", |c| {
        each([SHN_LORESERVE, 0xFFF0, 0xFFF3, 0xFFFF], |index| at(c, index, EOPNOTSUPP))
    }),
    Case::new("symbols/index_of_the_last_section_works", |c| {
        works(c, |e| add(e, "xtf_last", e.ehdr.e_shnum - 1))
    }),
    Case::new("symbols/index_e_shnum_is_einval", |c| {
        refused(c, EINVAL, |e| add(e, "xtf_beyond", e.ehdr.e_shnum))
    }),
    Case::new("symbols/index_before_the_reserved_is_einval", |c| at(c, SHN_LORESERVE - 1, EINVAL)),
    Case::new("symbols/value_beyond_the_section_works", |c| {
        each([".text", ".rodata", ".livepatch.funcs"], |section| {
            works(c, |e| {
                add_to(e, "xtf_far", section);
                e.symbol_mut("xtf_far").st_value = u64::MAX;
            })
        })
    }),
    Case::new("symbols/size_and_other_are_ignored", |c| {
        works(c, |e| {
            add_to(e, "xtf_odd", ".text");
            let sym = e.symbol_mut("xtf_odd");
            (sym.st_size, sym.st_other, sym.st_info) = (u64::MAX, 0xFF, 0xFF);
        })
    }),
    Case::new("symbols/the_first_bad_one_counts", |c| {
        refused(c, ENOENT, |e| {
            add(e, UNKNOWN, SHN_UNDEF);
            add(e, "xtf_common", SHN_COMMON);
        })?;
        refused(c, EINVAL, |e| {
            add(e, "xtf_common", SHN_COMMON);
            add(e, UNKNOWN, SHN_UNDEF);
        })
    }),
    Case::new("symbols/those_behind_a_good_one_are_looked_at", |c| {
        let behind = |add_good: fn(&mut Elf)| {
            refused(c, ENOENT, |e| {
                add_good(e);
                add(e, UNKNOWN, SHN_UNDEF);
            })
        };
        behind(|e| add(e, "xen_minor_version", SHN_UNDEF))?;
        behind(|e| add(e, "xtf_absolute", SHN_ABS))?;
        behind(|e| add_to(e, "xtf_loaded", ".rodata"))?;
        behind(|e| add_to(e, "xtf_not_loaded", ".strtab"))
    }),
    Case::new("symbols/new_names_work", |c| {
        works(c, |e| {
            add_to(e, "xtf_code", ".text");
            add_to(e, "xtf_constant", ".rodata");
            add_to(e, "xtf_variable", ".livepatch.funcs");
        })
    }),
    Case::new("symbols/name_of_xen_in_a_loaded_section_is_eexist", |c| {
        c.needs(Change::KnownSymbols)?;
        each([".text", ".rodata", ".livepatch.funcs", ".note.gnu.build-id"], |section| {
            refused(c, EEXIST, |e| add_to(e, XEN_FUNCTION, section))
        })
    }),
    Case::new("symbols/local_name_of_xen_is_eexist_as_well", |c| {
        c.needs(Change::KnownSymbols)?;
        each([STB_LOCAL, STB_GLOBAL, STB_WEAK], |binding| {
            each([STT_NOTYPE, STT_OBJECT, STT_FUNC], |kind| {
                refused(c, EEXIST, |e| {
                    // At the end of the code: its beginning is the replacement of a function.
                    add_to(e, XEN_FUNCTION, ".text");
                    e.symbol_mut(XEN_FUNCTION).st_info = Sym::info(binding, kind);
                })
            })
        })
    }),
    Case::new("symbols/name_of_xen_in_a_section_that_is_not_loaded_works", |c| {
        works(c, |e| add_to(e, XEN_FUNCTION, ".symtab"))
    }),
    Case::new("symbols/absolute_name_of_xen_works", |c| {
        works(c, |e| add(e, XEN_FUNCTION, SHN_ABS))
    }),
    Case::new("symbols/name_of_another_payload_is_eexist", |c| {
        c.needs(Change::KnownSymbols)?;
        let _other = load(c, OTHER, &exporting(c, "xtf_text")?.to_bytes())?;
        refused(c, EEXIST, |e| add_to(e, "xtf_text", ".rodata"))
    }),
    Case::new("symbols/name_of_an_unloaded_payload_is_free_again", |c| {
        drop(load(c, OTHER, &exporting(c, "xtf_text")?.to_bytes())?);
        works(c, |e| add_to(e, "xtf_text", ".rodata"))
    }),
    Case::new("symbols/replacement_of_another_payload_leaves_its_name_free", |c| {
        let _other = load(c, OTHER, &replacing(c, "xtf_new")?.to_bytes())?;
        works(c, |e| add_to(e, "xtf_new", ".rodata"))
    }),
    Case::new("symbols/replacement_may_have_the_name_of_xens_function", |c| {
        file_shows(c, MARK, &replacing(c, "xen_extra_version")?.to_bytes())
    }),
    Case::new("symbols/second_replacement_may_as_well", |c| {
        let second = Function::named("xen_changeset", code::return_str("changed"));
        let payload = base(c)?.function(second.label("xen_changeset")).export("xen_changeset");
        file_shows(c, MARK, &payload.to_bytes())
    }),
    Case::new("symbols/the_same_new_name_twice_works", |c| {
        works(c, |e| {
            add_to(e, "xtf_twice", ".rodata");
            add_to(e, "xtf_twice", ".rodata");
        })
    }),
    Case::new("symbols/no_name_is_no_new_name", |c| {
        let _other = load(c, OTHER, &with_local(c, "", SHF_ALLOC)?.to_bytes())?;
        file_accepted(c, &with_local_and_id(c, "", SHF_ALLOC)?.to_bytes())
    }),
    Case::new("symbols/assembler_label_is_a_new_name", |c| twice(c, ".Lxtf", 0)),
    Case::new("symbols/assembler_label_in_a_merged_section_is_none", |c| {
        let _other = load(c, OTHER, &with_local(c, ".Lxtf", SHF_MERGE)?.to_bytes())?;
        file_accepted(c, &with_local_and_id(c, ".Lxtf", SHF_MERGE)?.to_bytes())
    }),
    Case::new("symbols/other_name_in_a_merged_section_is_a_new_name", |c| {
        each([".xtf", "L.xtf", ".l", "Lxtf", "xLtf", "."], |name| twice(c, name, SHF_MERGE))
    }),
    Case::new("symbols/name_that_only_begins_as_one_of_xen_works", |c| {
        works(c, |e| {
            add_to(e, "xen_changeset2", ".rodata");
            add_to(e, "xen_changese", ".rodata");
        })
    }),
    Case::new("symbols/names_that_differ_in_the_first_126_bytes_differ", |c| {
        let (one, two) = (long_name(KEPT - 1, 'a'), long_name(KEPT - 1, 'b'));
        let _other = load(c, OTHER, &with_local(c, &one, 0)?.to_bytes())?;
        file_accepted(c, &with_local_and_id(c, &two, 0)?.to_bytes())
    }),
    Case::new("symbols/names_that_differ_behind_that_do_not", |c| {
        c.needs(Change::KnownSymbols)?;
        let (one, two) = (long_name(KEPT, 'a'), long_name(KEPT, 'b'));
        let _other = load(c, OTHER, &with_local(c, &one, 0)?.to_bytes())?;
        file_refused(c, EEXIST, &with_local_and_id(c, &two, 0)?.to_bytes())
    }),
];

/// Adds a symbol.
fn add(elf: &mut Elf, name: &str, st_shndx: u16) {
    let st_info = Sym::info(STB_GLOBAL, STT_NOTYPE);
    let sym = Sym { st_info, st_shndx, ..Sym::default() };
    elf.symbols_mut().push(Symbol { name: name.into(), sym });
    elf.relayout();
}

/// Adds a symbol for the last byte of a section.
fn add_to(elf: &mut Elf, name: &str, section: &str) {
    let index = elf.section_index(section).expect("a section of the base payload");
    let last = elf.section(section).shdr.sh_size - 1;
    add(elf, name, index as u16);
    elf.symbols_mut().last_mut().expect("just added").sym.st_value = last;
}

/// Adds a symbol without a name, and says where its name begins: `choose` knows how many bytes of
/// names there are.
fn st_name(elf: &mut Elf, choose: impl FnOnce(u32) -> u32) {
    add(elf, "xtf_named", SHN_ABS);
    let strings = elf.section(".strtab").shdr.sh_size as u32;
    elf.symbol_mut("xtf_named").st_name = choose(strings);
}

/// A symbol with this section index is refused.
fn at(c: &Context, index: u16, errno: Errno) -> Outcome {
    refused(c, errno, |e| add(e, "xtf_at", index))
}

/// Another payload, which exports a text under this name.
fn exporting(c: &Context, name: &str) -> Result<Payload, Stop> {
    let function = Function::named("xen_changeset", code::return_str("other"));
    Ok(Payload::new(&target(c)?, "other")
        .function(function)
        .rodata(name, b"-of other\0")
        .export(name))
}

/// Another payload, whose replacement has this name.
fn replacing(c: &Context, name: &str) -> Result<Payload, Stop> {
    let function = Function::named("xen_extra_version", code::return_str(MARK)).label(name);
    Ok(Payload::new(&target(c)?, "other").function(function).export(name))
}

fn undefined_of_another(c: &Context) -> Outcome {
    let _other = load(c, OTHER, &exporting(c, "xtf_text")?.to_bytes())?;
    let function = Function::named("xen_extra_version", code::return_address("xtf_text"));
    let payload = Payload::new(&target(c)?, MARK).function(function);
    file_shows(c, "-of other", &payload.to_bytes())
}

/// Another payload, with a local symbol in a section with these flags.
fn with_local(c: &Context, name: &str, flags: u64) -> Result<Elf, Stop> {
    local(Payload::new(&target(c)?, "other"), name, flags)
}

/// As [`with_local`], with the build-id of the payload under test.
fn with_local_and_id(c: &Context, name: &str, flags: u64) -> Result<Elf, Stop> {
    local(Payload::new(&target(c)?, MARK), name, flags)
}

fn local(payload: Payload, name: &str, flags: u64) -> Result<Elf, Stop> {
    let function = Function::named("xen_extra_version", code::return_str(MARK));
    let area = Area::loaded(".strings", flags & !(SHF_WRITE | SHF_EXECINSTR), 1);
    let mut elf = payload.function(function).section(area, "strings", b"some text\0").elf();
    add_to(&mut elf, name, ".strings");
    elf.symbols_mut().last_mut().expect("just added").sym.st_info =
        Sym::info(STB_LOCAL, STT_OBJECT);
    Ok(elf)
}

/// A local symbol that two payloads have is refused in the second one.
fn twice(c: &Context, name: &str, flags: u64) -> Outcome {
    c.needs(Change::KnownSymbols)?;
    let _other = load(c, OTHER, &with_local(c, name, flags)?.to_bytes())?;
    file_refused(c, EEXIST, &with_local_and_id(c, name, flags)?.to_bytes())
}

/// A name with `same` equal characters and one more.
fn long_name(same: usize, last: char) -> String {
    format!("{:x<same$}{last}", "xtf_")
}
