//! `.livepatch.funcs`: `check_patching_sections`, and for each element `prepare_payload`,
//! `resolve_old_address`, `arch_livepatch_verify_func` and `livepatch_verify_distance`.
//!
//! How long a function has to be depends on its first instruction. The cases about that "replace"
//! functions of the payload itself, whose code is known, and are never applied.

use kernel::hypercall::version::{Text, text};
use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Outcome, Stop, expect};
use livepatch::abi::ActionCmd;
use livepatch::payload::wire::{Func, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_NOTE};
use livepatch::payload::{Chunk, Elf, Function, Old, Payload, Replacement, code};

use super::claims::{
    EINVAL, ENOENT, EOPNOTSUPP, EOVERFLOW, MARK, NAME, OTHER, accepted, base, each, file_accepted,
    file_refused, file_shows, load, refused, works,
};
use crate::support;

const FUNCS: &str = ".livepatch.funcs";

/// What Xen writes over an ENDBR64 that it does not want any more: `nopw (%rcx)`.
const ENDBR64_POISON: [u8; 4] = [0x66, 0x0F, 0x1F, 0x01];

pub(super) const CASES: &[Case] = &[
    Case::new("funcs/missing_is_einval", |c| {
        refused(c, EINVAL, |e| {
            e.remove(FUNCS);
        })
    }),
    Case::new("funcs/empty_is_einval", |c| size(c, |_| 0)),
    Case::new("funcs/size_1_byte_off_is_einval", |c| {
        size(c, |whole| whole - 1)?;
        size(c, |whole| whole + 1)
    }),
    Case::new("funcs/half_an_element_more_is_einval", |c| size(c, |whole| whole + whole / 2)),
    Case::new("funcs/two_work", two_functions),
    Case::new("funcs/100_are_accepted", hundred_functions),
    Case::new("funcs/section_type_is_ignored", |c| {
        works(c, |e| e.section_mut(FUNCS).shdr.sh_type = SHT_NOTE)
    }),
    Case::new("funcs/read_only_or_executable_is_accepted", |c| {
        each([SHF_ALLOC, SHF_ALLOC | SHF_EXECINSTR], |flags| {
            accepted(c, |e| e.section_mut(FUNCS).shdr.sh_flags = flags)
        })
    }),
    Case::new("funcs/writable_and_executable_is_eopnotsupp", |c| {
        refused(c, EOPNOTSUPP, |e| {
            e.section_mut(FUNCS).shdr.sh_flags = SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR;
        })
    }),
    Case::new("funcs/of_zeroes_is_eopnotsupp", |c| {
        // As if its element had version 0.
        refused(c, EOPNOTSUPP, |e| {
            e.remove(&[".rela", FUNCS].concat());
            e.section_mut(FUNCS).shdr.sh_type = SHT_NOBITS;
        })
    }),
    Case::new("func/version_other_is_eopnotsupp", |c| {
        each([1, 2, 3, 0xFF], |off| {
            func(c, EOPNOTSUPP, |f| f.version = f.version.wrapping_add(off))
        })
    }),
    Case::new("func/old_size_0_is_einval", |c| func(c, EINVAL, |f| f.old_size = 0)),
    Case::new("func/version_comes_before_old_size", |c| {
        func(c, EOPNOTSUPP, |f| (f.version, f.old_size) = (0, 0))
    }),
    Case::new("func/every_element_is_looked_at", |c| {
        second(c, EOPNOTSUPP, |f| f.version = 0)?;
        second(c, EINVAL, |f| f.old_size = 0)?;
        second(c, EINVAL, |f| f.old_size = 4)
    }),
    Case::new("func/the_first_bad_element_counts", |c| {
        let mut elf = twice(c)?;
        elf.funcs_mut()[0].old_size = 0;
        elf.funcs_mut()[1].version = 0;
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("func/expectation_is_not_looked_at_before_apply", |c| {
        c.needs(Change::Expectations)?;
        accepted(c, |e| e.funcs_mut()[0].expectation.head = 0xFF)
    }),
    // The function to replace.
    Case::new("old/unknown_name_is_enoent", |c| named(c, "xtf_unknown", 16, ENOENT)),
    Case::new("old/empty_name_is_enoent", |c| named(c, "", 16, ENOENT)),
    Case::new("old/begin_of_a_name_is_enoent", |c| named(c, "xen_extra_versio", 16, ENOENT)),
    Case::new("old/old_size_0_comes_before_the_name", |c| named(c, "xtf_unknown", 0, EINVAL)),
    Case::new("old/small_old_size_comes_after_the_name", |c| {
        let late = c.xen.has(Change::NameBeforeSize);
        named(c, "xtf_unknown", 4, if late { ENOENT } else { EINVAL })
    }),
    Case::new("old/function_of_another_payload_is_found", |c| {
        let other = Payload::new(&support::target(c)?, "other")
            .function(Function::named("xen_changeset", code::return_str("other")))
            .text("xtf_old", code::endbr64().then(code::return_u32(0)))
            .export("xtf_old");
        let _other = load(c, OTHER, &other.to_bytes())?;
        let function = Function::named("xtf_old", code::return_str(MARK));
        let payload = Payload::new(&support::target(c)?, MARK).function(function);
        file_accepted(c, &payload.to_bytes())
    }),
    Case::new("old/address_makes_the_name_unnecessary", |c| {
        let payload = own(c, code::ret(), 16, Replacement::Code(code::ret()))?;
        file_accepted(c, &payload.elf().to_bytes())
    }),
    Case::new("old/by_undefined_symbol_works", |c| {
        let function = Function::symbol("xen_extra_version", code::return_str(MARK));
        let payload = Payload::new(&support::target(c)?, MARK).function(function);
        file_shows(c, MARK, &payload.to_bytes())
    }),
    // A jump.
    Case::new("jump/old_size_5_is_accepted", |c| jump(c, code::ret(), 5, None)),
    Case::new("jump/old_size_4_is_einval", |c| jump(c, code::ret(), 4, Some(EINVAL))),
    Case::new("jump/old_size_1_is_einval", |c| jump(c, code::ret(), 1, Some(EINVAL))),
    Case::new("jump/old_size_max_is_accepted", |c| jump(c, code::ret(), u32::MAX, None)),
    Case::new("jump/old_size_9_behind_endbr_is_accepted", |c| jump(c, code::endbr64(), 9, None)),
    Case::new("jump/old_size_8_behind_endbr_is_einval", |c| {
        c.needs(Change::EndbrJump)?;
        jump(c, code::endbr64(), 8, Some(EINVAL))
    }),
    Case::new("jump/old_size_5_behind_endbr_is_einval", |c| {
        c.needs(Change::EndbrJump)?;
        jump(c, code::endbr64(), 5, Some(EINVAL))
    }),
    Case::new("jump/old_size_9_behind_poison_is_accepted", |c| {
        jump(c, ENDBR64_POISON.into(), 9, None)
    }),
    Case::new("jump/old_size_8_behind_poison_is_einval_since_89a24719b6", |c| {
        let errno = c.xen.has(Change::EndbrPoison).then_some(EINVAL);
        jump(c, ENDBR64_POISON.into(), 8, errno)
    }),
    Case::new("jump/old_size_5_behind_half_an_endbr_is_accepted", |c| {
        let almost = [[0xF3, 0x0F, 0x1E, 0xFB], [0x90, 0x0F, 0x1E, 0xFA], [0x66, 0x0F, 0x1F, 0x00]];
        each(almost, |bytes| jump(c, bytes.into(), 5, None))
    }),
    Case::new("jump/new_size_is_not_used", |c| {
        each([0, 1, 32, u32::MAX], |size| works(c, |e| e.funcs_mut()[0].new_size = size))
    }),
    Case::new("jump/back_by_2_gib_less_1_is_accepted", |c| far(c, -0x7FFF_FFFF, None)),
    Case::new("jump/back_by_2_gib_is_eoverflow", |c| far(c, -0x8000_0000, Some(EOVERFLOW))),
    Case::new("jump/forth_by_2_gib_is_accepted", |c| far(c, 0x8000_0000, None)),
    Case::new("jump/forth_by_more_than_2_gib_is_eoverflow", |c| {
        far(c, 0x8000_0001, Some(EOVERFLOW))
    }),
    Case::new("jump/to_the_other_end_of_memory_is_eoverflow", |c| {
        refused(c, EOVERFLOW, |e| jump_to(e, 1))?;
        refused(c, EOVERFLOW, |e| jump_to(e, u64::MAX >> 1))
    }),
    Case::new("jump/size_comes_before_distance", |c| {
        refused(c, EINVAL, |e| {
            jump_to(e, 1);
            e.funcs_mut()[0].old_size = 4;
        })
    }),
    // NOPs.
    Case::new("nop/of_31_bytes_is_accepted", |c| nop(c, 31, 31, None)),
    Case::new("nop/of_32_bytes_is_eopnotsupp", |c| nop(c, 32, 32, Some(EOPNOTSUPP))),
    Case::new("nop/of_max_bytes_is_eopnotsupp", |c| nop(c, u32::MAX, u32::MAX, Some(EOPNOTSUPP))),
    Case::new("nop/of_all_the_function_is_accepted", |c| {
        each([1, 4, 8, 31], |size| nop(c, size, size, None))
    }),
    Case::new("nop/of_more_than_the_function_is_einval", |c| {
        nop(c, 2, 1, Some(EINVAL))?;
        nop(c, 31, 30, Some(EINVAL))
    }),
    Case::new("nop/limit_comes_before_the_function", |c| nop(c, 32, 4, Some(EOPNOTSUPP))),
    Case::new("nop/of_0_bytes_is_accepted", |c| nop(c, 0, 1, None)),
    Case::new("nop/needs_no_room_for_a_jump", |c| {
        let payload = own(c, code::endbr64(), 4, Replacement::Nop(4))?;
        file_accepted(c, &payload.to_bytes())
    }),
];

/// The base payload is refused with the section stated to be of another size.
fn size(c: &Context, choose: impl FnOnce(u64) -> u64) -> Outcome {
    refused(c, EINVAL, |e| {
        let shdr = &mut e.section_mut(FUNCS).shdr;
        shdr.sh_size = choose(shdr.sh_size);
    })
}

/// The base payload is refused with this change of its element.
fn func(c: &Context, errno: Errno, change: impl FnOnce(&mut Func)) -> Outcome {
    refused(c, errno, |e| change(&mut e.funcs_mut()[0]))
}

/// A payload with two correct elements.
fn twice(c: &Context) -> Result<Elf, Stop> {
    Ok(base(c)?.function(Function::named("xen_changeset", code::return_str("changed"))).elf())
}

/// It is refused with this change of the second one.
fn second(c: &Context, errno: Errno, change: impl FnOnce(&mut Func)) -> Outcome {
    let mut elf = twice(c)?;
    change(&mut elf.funcs_mut()[1]);
    file_refused(c, errno, &elf.to_bytes())
}

fn two_functions(c: &Context) -> Outcome {
    let changeset = || {
        text(Text::Changeset)
            .map_err(|errno| Stop::error(format_args!("XENVER_changeset answers {errno}")))
    };
    let original = (support::extra_version()?, changeset()?);
    let loaded = load(c, NAME, &twice(c)?.to_bytes())?;
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    expect("extra version", support::extra_version()?.as_str(), MARK)?;
    expect("changeset", changeset()?.as_str(), "changed")?;
    loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
    expect("both after the revert", (support::extra_version()?, changeset()?), original)
}

/// Beside that of Xen, functions of the payload's own.
fn hundred_functions(c: &Context) -> Outcome {
    let payload = (0..99).fold(base(c)?, |payload, number| {
        let label = alloc::format!("old_{number}");
        let old = Old::Symbol(label.clone());
        let function = Function { name: None, old, ..Function::named("", code::ret()) };
        payload.text(&label, code::nops(16)).function(function)
    });
    file_accepted(c, &payload.to_bytes())
}

/// A payload for a function of this name is refused.
fn named(c: &Context, name: &str, old_size: u32, errno: Errno) -> Outcome {
    let function = Function::named(name, code::return_str(MARK)).old_size(old_size);
    let payload = Payload::new(&support::target(c)?, MARK).function(function);
    file_refused(c, errno, &payload.to_bytes())
}

/// A payload that replaces a function of its own, which begins so.
fn own(c: &Context, begin: Chunk, old_size: u32, new: Replacement) -> Result<Payload, Stop> {
    let function = Function {
        name: None,
        old: Old::Symbol("old".into()),
        ..Function::named("", new).old_size(old_size)
    };
    let old = begin.then(Chunk::new([0xC3; 16]));
    Ok(Payload::new(&support::target(c)?, MARK).text("old", old).function(function))
}

fn judge(c: &Context, file: &[u8], errno: Option<Errno>) -> Outcome {
    match errno {
        Some(errno) => file_refused(c, errno, file),
        None => file_accepted(c, file),
    }
}

/// What becomes of a jump in place of so many bytes that begin so.
fn jump(c: &Context, begin: Chunk, old_size: u32, errno: Option<Errno>) -> Outcome {
    let payload = own(c, begin, old_size, Replacement::Code(code::ret()))?;
    judge(c, &payload.to_bytes(), errno)
}

/// What becomes of a jump over so many bytes.
fn far(c: &Context, distance: i64, errno: Option<Errno>) -> Outcome {
    let mut elf = own(c, code::ret(), 16, Replacement::Symbol("old".into()))?.elf();
    let relas = elf.rela_mut(&[".rela", FUNCS].concat());
    let new_addr = relas.iter_mut().find(|r| r.r_offset == 8).expect("the jump's destination");
    new_addr.r_addend += distance;
    judge(c, &elf.to_bytes(), errno)
}

/// Makes the element a jump to an address.
fn jump_to(elf: &mut Elf, address: u64) {
    let relas = elf.rela_mut(&[".rela", FUNCS].concat());
    relas.retain(|r| r.r_offset != 8);
    elf.relayout();
    elf.funcs_mut()[0].new_addr = address;
}

/// What becomes of so many NOPs in place of so many bytes.
fn nop(c: &Context, new_size: u32, old_size: u32, errno: Option<Errno>) -> Outcome {
    let payload = own(c, code::ret(), old_size, Replacement::Nop(new_size))?;
    judge(c, &payload.to_bytes(), errno)
}
