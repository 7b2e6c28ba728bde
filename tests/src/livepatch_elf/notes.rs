//! Who the payload is, and what it is for: `.note.gnu.build-id`, `.livepatch.depends`,
//! `.livepatch.xen_depends`.
//!
//! `check_special_sections` and `prepare_payload` want all three, `xen_build_id_check`
//! (xen/common/version.c) reads them. Since fa49f4be41 `check_xen_buildid` looks at
//! the third before anything is loaded.

use alloc::vec::Vec;

use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Outcome, Stop};
use livepatch::abi::ActionCmd;
use livepatch::payload::wire::{
    R_X86_64_64, Rela, SHF_ALLOC, SHF_WRITE, SHN_ABS, SHT_PROGBITS, SHT_RELA, Sym,
};
use livepatch::payload::{Data, Elf, Function, Note, Payload, Section, Symbol, code};

use super::claims::{
    EEXIST, EINVAL, ENODATA, EOPNOTSUPP, MARK, OTHER, base, checks_xen_depends_first, each,
    file_accepted, file_refused, file_shows, load, refused, works,
};
use crate::support;

const ID: &str = ".note.gnu.build-id";
const DEPENDS: &str = ".livepatch.depends";
const XEN_DEPENDS: &str = ".livepatch.xen_depends";

/// Bytes of a note before its name.
const HEADER: u64 = 12;

pub(super) const CASES: &[Case] = &[
    Case::new("note/missing_is_einval", |c| {
        all(c, |section| {
            refused(c, EINVAL, |e| {
                e.remove(section);
            })
        })
    }),
    Case::new("note/empty_is_einval", |c| size(c, |_| 0)),
    Case::new("note/of_1_byte_is_einval", |c| size(c, |_| 1)),
    Case::new("note/without_a_whole_header_is_einval", split_header),
    Case::new("note/of_12_bytes_is_einval", |c| size(c, |_| HEADER)),
    Case::new("note/of_13_bytes_is_einval", |c| size(c, |_| HEADER + 1)),
    Case::new("note/cut_by_1_byte_is_einval", |c| size(c, |whole| whole - 1)),
    Case::new("note/type_is_enodata", |c| {
        each([0, 1, 2, 4, u32::MAX], |kind| foreign(c, |n| n.kind = kind))
    }),
    Case::new("note/namesz_3_is_einval", |c| {
        each([0, 1, 3], |namesz| malformed(c, |n| n.namesz = namesz))
    }),
    Case::new("note/sizes_that_wrap_are_einval", |c| {
        malformed(c, |n| (n.namesz, n.descsz) = (u32::MAX, 1))?;
        malformed(c, |n| (n.namesz, n.descsz) = (u32::MAX - 19, 20))?;
        malformed(c, |n| n.descsz = u32::MAX - 3)
    }),
    Case::new("note/sizes_beyond_the_section_are_einval", |c| {
        malformed(c, |n| n.descsz += 4)?;
        malformed(c, |n| n.descsz += 1 + n.desc.len().next_multiple_of(4) as u32 - n.descsz)?;
        malformed(c, |n| n.descsz = u32::MAX - 4)?;
        malformed(c, |n| n.namesz = u32::MAX - n.descsz)
    }),
    Case::new("note/owner_other_than_gnu_is_enodata", |c| {
        each([b"XNU\0", b"GXU\0", b"GNX\0", b"GNUX", b"gnu\0", b"\0\0\0\0", b"GN\0\0"], |name| {
            foreign(c, |n| n.name = Vec::from(*name))
        })
    }),
    Case::new("note/owner_may_go_on_behind_its_nul", |c| {
        all(c, |section| {
            works(c, |e| {
                let note = e.note_mut(section);
                (note.name, note.namesz) = (Vec::from(*b"GNU\0ish\0"), 8);
                e.relayout();
            })
        })
    }),
    Case::new("note/owner_is_padded_to_4_bytes", |c| {
        all(c, |section| {
            works(c, |e| {
                let note = e.note_mut(section);
                // The three bytes of padding count as contents, which the section has to hold.
                (note.name, note.namesz) = (Vec::from(*b"GNU\0\0"), 5);
                e.relayout();
            })
        })
    }),
    Case::new("note/empty_id_is_einval", |c| malformed(c, |n| n.descsz = 0)),
    Case::new("note/a_second_note_is_not_looked_at", |c| {
        all(c, |section| works(c, |e| append(e, section, &[0xFF; 40])))
    }),
    Case::new("note/a_build_id_in_second_place_is_enodata", |c| {
        in_all(c, foreign_errno, |e, section| {
            let mut first = Note::build_id(b"not one");
            first.kind += 1;
            let mut notes = first.to_bytes();
            notes.extend(&*e.section_mut(section).bytes_mut());
            *e.section_mut(section).bytes_mut() = notes;
            e.relayout();
        })
    }),
    Case::new("note/section_type_and_write_flag_are_ignored", |c| {
        all(c, |section| {
            works(c, |e| {
                let shdr = &mut e.section_mut(section).shdr;
                (shdr.sh_type, shdr.sh_flags) = (SHT_PROGBITS, SHF_ALLOC | SHF_WRITE);
            })
        })
    }),
    // The payload's own id.
    Case::new("build_id/of_1_byte_works", |c| with_id(c, &[7])),
    Case::new("build_id/of_3_bytes_works", |c| with_id(c, &[1, 2, 3])),
    Case::new("build_id/of_4096_bytes_works", |c| with_id(c, &[0x5A; 4096])),
    Case::new("build_id/of_xen_itself_works", |c| with_id(c, &support::target(c)?.xen_build_id)),
    Case::new("build_id/of_another_payload_is_eexist", |c| beside(c, b"twin id", Some(EEXIST))),
    Case::new("build_id/of_any_other_payload_is_eexist", |c| {
        let first = load(c, b"first\0", &support::marker(c, "first")?.to_bytes())?;
        let outcome = beside(c, b"twin id", Some(EEXIST));
        let third = load(c, b"third\0", &support::marker(c, "third")?.to_bytes())?;
        beside(c, b"first", Some(EEXIST))?;
        beside(c, b"third", Some(EEXIST))?;
        beside(c, b"fourth", None)?;
        drop((first, third));
        outcome
    }),
    Case::new("build_id/that_differs_in_the_last_byte_works", |c| beside(c, b"twin iD", None)),
    Case::new("build_id/that_differs_in_the_first_byte_works", |c| beside(c, b"Twin id", None)),
    Case::new("build_id/that_begins_as_another_works", |c| {
        beside(c, b"twin i", None)?;
        beside(c, b"twin id ", None)
    }),
    Case::new("build_id/of_an_unloaded_payload_is_free_again", |c| {
        drop(load(c, OTHER, &base(c)?.to_bytes())?);
        works(c, |_| {})
    }),
    // What it is to be applied on top of: compared when it is.
    Case::new("depends/other_id_is_accepted_but_not_applied", |c| {
        each([&b"another"[..], &[1], &[0x5A; 20]], |id| {
            let loaded = load(c, super::claims::NAME, &base(c)?.depends(id).to_bytes())?;
            loaded.action(ActionCmd::Apply).must_be(EINVAL)?;
            loaded.must_be(livepatch::abi::State::Checked, Answer::SUCCESS)
        })
    }),
    Case::new("depends/id_of_the_payload_below_works", |c| {
        let other = load(c, OTHER, &support::marker(c, "-below")?.to_bytes())?;
        other.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
        let outcome = file_shows(c, MARK, &base(c)?.depends(*b"-below").to_bytes());
        other.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
        outcome
    }),
    // The Xen that it is made for.
    Case::new("xen_depends/other_id_is_einval", |c| {
        c.needs(Change::XenDepends)?;
        let id = support::target(c)?.xen_build_id;
        let last = id.len() - 1;
        xen_depends(c, &[0x5A; 20])?;
        xen_depends(c, &id[..last])?;
        xen_depends(c, &[&id[..], &[0]].concat())?;
        for byte in [0, last / 2, last] {
            let mut other = id.clone();
            other[byte] ^= 1;
            xen_depends(c, &other)?;
        }
        Ok(())
    }),
    Case::new("xen_depends/relocated_to_the_right_id", |c| {
        c.needs(Change::XenDepends)?;
        let file = relocated(c, false)?;
        if checks_xen_depends_first(c) {
            return file_refused(c, EINVAL, &file);
        }
        file_accepted(c, &file)
    }),
    Case::new("xen_depends/relocated_to_a_wrong_id", |c| {
        c.needs(Change::XenDepends)?;
        let file = relocated(c, true)?;
        if checks_xen_depends_first(c) {
            return file_accepted(c, &file);
        }
        file_refused(c, EINVAL, &file)
    }),
    Case::new("xen_depends/writable_and_executable_is_eopnotsupp", |c| {
        refused(c, EOPNOTSUPP, |e| e.section_mut(XEN_DEPENDS).shdr.sh_flags |= 5)
    }),
];

/// What is answered for a note that is no build-id: since 86d09d16dd it is told from a malformed
/// one, except where `check_xen_buildid` looks.
fn foreign_errno(c: &Context, section: &str) -> Errno {
    let told =
        c.xen.has(Change::ForeignNotes) && !(section == XEN_DEPENDS && checks_xen_depends_first(c));
    if told { ENODATA } else { EINVAL }
}

/// The claim holds for each of the three sections.
fn all(c: &Context, claim: impl Fn(&'static str) -> Outcome) -> Outcome {
    let all = [ID, DEPENDS, XEN_DEPENDS];
    let sections = if c.xen.has(Change::XenDepends) { &all[..] } else { &all[..2] };
    each(sections.iter().copied(), claim)
}

/// The base payload is refused with a change to any of the three sections.
fn in_all(
    c: &Context,
    errno: impl Fn(&Context, &str) -> Errno,
    change: impl Fn(&mut Elf, &str),
) -> Outcome {
    all(c, |section| refused(c, errno(c, section), |e| change(e, section)))
}

/// It is refused with this change to any of the three notes, which are then not well-formed.
fn malformed(c: &Context, change: impl Fn(&mut Note)) -> Outcome {
    in_all(c, |_, _| EINVAL, |e, section| change(e.note_mut(section)))
}

/// It is refused with this change to any of the three notes, which are then no build-ids.
fn foreign(c: &Context, change: impl Fn(&mut Note)) -> Outcome {
    in_all(c, foreign_errno, |e, section| change(e.note_mut(section)))
}

/// It is refused with any of the three sections stated to be of another size.
fn size(c: &Context, choose: impl Fn(u64) -> u64) -> Outcome {
    in_all(
        c,
        |_, _| EINVAL,
        |e, section| {
            let shdr = &mut e.section_mut(section).shdr;
            shdr.sh_size = choose(shdr.sh_size);
        },
    )
}

/// What follows the section in memory and in the file does not make up for what it lacks.
fn split_header(c: &Context) -> Outcome {
    in_all(
        c,
        |_, _| EINVAL,
        |e, section| {
            let note = e.section_mut(section).bytes_mut().clone();
            let (first, rest) = note.split_at(HEADER as usize - 4);
            e.section_mut(section).name = ".unused".into();
            for (name, part) in [(section, first), (".rest", rest)] {
                let data = Data::Bytes(part.to_vec());
                e.push(Section::new(name, SHT_PROGBITS, SHF_ALLOC, 4, data));
            }
        },
    )
}

/// Adds bytes to a section.
fn append(elf: &mut Elf, section: &str, bytes: &[u8]) {
    elf.section_mut(section).bytes_mut().extend(bytes);
    elf.relayout();
}

/// A payload with this build-id works.
fn with_id(c: &Context, id: &[u8]) -> Outcome {
    let function = Function::named("xen_extra_version", code::return_str(MARK));
    let payload = Payload::new(&support::target(c)?, id).function(function);
    file_shows(c, MARK, &payload.to_bytes())
}

/// A payload with this build-id is refused, or else accepted, beside one with the id `twin id`.
fn beside(c: &Context, id: &[u8], errno: Option<Errno>) -> Outcome {
    let target = support::target(c)?;
    let with_id = |id| {
        let function = Function::named("xen_extra_version", code::return_str(MARK));
        Payload::new(&target, id).function(function).to_bytes()
    };
    let _other = load(c, OTHER, &with_id(&b"twin id"[..]))?;
    match errno {
        Some(errno) => file_refused(c, errno, &with_id(id)),
        None => file_accepted(c, &with_id(id)),
    }
}

fn xen_depends(c: &Context, id: &[u8]) -> Outcome {
    file_refused(c, EINVAL, &base(c)?.xen_depends(id).to_bytes())
}

/// A payload that states one Xen in its file and, once relocated, another: one of them is this
/// one.
fn relocated(c: &Context, to_other: bool) -> Result<Vec<u8>, Stop> {
    let mut id = support::target(c)?.xen_build_id;
    let Some(first) = id.first_chunk_mut() else {
        return Err(Stop::error("the build-id is shorter than a relocation"));
    };
    let this = u64::from_le_bytes(*first);
    let (in_file, in_memory) = if to_other { (this, !this) } else { (!this, this) };
    *first = in_file.to_le_bytes();

    let mut elf = base(c)?.xen_depends(id).elf();
    let sym = Sym { st_shndx: SHN_ABS, st_value: in_memory, ..Sym::default() };
    elf.symbols_mut().push(Symbol { name: "id".into(), sym });
    let mut rela = Rela { r_offset: HEADER + 4, ..Rela::default() };
    rela.set_symbol(elf.symbols_mut().len() as u32 - 1);
    rela.set_kind(R_X86_64_64);
    let relas = Data::Relas(Vec::from([rela]));
    let index = elf.push(Section::new(".rela.xen_depends", SHT_RELA, 0, 8, relas));
    let to = elf.section_index(XEN_DEPENDS).expect("a section of the base payload");
    let symtab = elf.section_index(".symtab").expect("a section of every payload");
    let shdr = &mut elf.sections[index].shdr;
    (shdr.sh_info, shdr.sh_link, shdr.sh_entsize) = (to as u32, symtab as u32, 24);
    Ok(elf.to_bytes())
}
