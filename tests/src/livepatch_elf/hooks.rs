//! `.livepatch.hooks.*`: `check_patching_sections` and `prepare_payload`. When and in which order
//! hooks are called is not looked at here.

use kernel::xen::Change;
use kernel::{Answer, Case, Context, Outcome, Stop};
use livepatch::abi::{ActionCmd, State};
use livepatch::payload::wire::{SHF_WRITE, SHT_NOTE};
use livepatch::payload::{Area, Elf, Function, Hook, HookBody, Payload, code};

use super::claims::{
    EINVAL, EOPNOTSUPP, MARK, NAME, base, each, file_accepted, file_refused, file_shows, load,
};
use crate::support::target;

/// The hooks of which there is one at most.
const SINGLE: [Hook; 6] =
    [Hook::PreApply, Hook::Apply, Hook::PostApply, Hook::PreRevert, Hook::Revert, Hook::PostRevert];
/// Those of which there are any number.
const MULTI: [Hook; 2] = [Hook::Load, Hook::Unload];

pub(super) const CASES: &[Case] = &[
    Case::new("hooks/one_of_any_kind_is_accepted", |c| {
        each(kinds(c).iter().copied(), |hook| {
            let payload = with_one(c, hook)?;
            file_accepted(c, &payload.to_bytes())
        })
    }),
    Case::new("hooks/empty_is_einval", |c| {
        c.needs(Change::HooksAlone)?;
        each(kinds(c).iter().copied(), |hook| sized(c, hook, 0))
    }),
    Case::new("hooks/empty_beside_a_function_is_einval", |c| {
        c.needs(Change::HooksAlone)?;
        each(kinds(c).iter().copied(), |hook| {
            let mut elf = base(c)?.hook(hook, code::ret()).elf();
            elf.section_mut(hook.section()).shdr.sh_size = 0;
            file_refused(c, EINVAL, &elf.to_bytes())
        })
    }),
    Case::new("hooks/size_not_of_whole_pointers_is_einval", |c| {
        each(kinds(c).iter().copied(), |hook| {
            each([1, 4, 7, 9, 12, 15], |size| sized(c, hook, size))
        })
    }),
    Case::new("hooks/two_of_a_single_kind_are_einval", |c| {
        c.needs(Change::PrePostHooks)?;
        c.needs(Change::ActionHooks)?;
        each(SINGLE, |hook| each([16, 24, 8 << 10], |size| sized(c, hook, size)))
    }),
    Case::new("hooks/several_load_and_unload_ones_are_accepted", |c| {
        each(MULTI, |hook| {
            each([2, 3, 1024], |count| {
                let several = |payload: Payload, _| payload.hook(hook, code::ret());
                file_accepted(c, &(0..count).fold(base(c)?, several).to_bytes())
            })
        })
    }),
    Case::new("hooks/alone_are_enough_for_a_payload", |c| {
        c.needs(Change::HooksAlone)?;
        each(Hook::ALL, |hook| file_accepted(c, &only(c)?.hook(hook, code::ret()).to_bytes()))
    }),
    Case::new("hooks/none_and_no_function_is_einval", |c| {
        file_refused(c, EINVAL, &only(c)?.to_bytes())
    }),
    Case::new("hooks/null_alone_is_applied", |c| {
        c.needs(Change::HooksAlone)?;
        let loaded = load(c, NAME, &without_code(c)?.to_bytes())?;
        loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
        loaded.must_be(State::Applied, Answer::SUCCESS)?;
        loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
        loaded.must_be(State::Checked, Answer::SUCCESS)
    }),
    Case::new("hooks/null_single_ones_are_not_called", |c| {
        c.needs(Change::PrePostHooks)?;
        c.needs(Change::ActionHooks)?;
        each(SINGLE, |hook| {
            let payload = base(c)?.hook(hook, HookBody::Null);
            file_shows(c, MARK, &payload.to_bytes())
        })
    }),
    Case::new("hooks/section_type_and_write_flag_are_ignored", |c| {
        each(kinds(c).iter().copied(), |hook| {
            let mut elf = with_one(c, hook)?.elf();
            let shdr = &mut elf.section_mut(hook.section()).shdr;
            shdr.sh_type = SHT_NOTE;
            shdr.sh_flags |= SHF_WRITE;
            file_accepted(c, &elf.to_bytes())
        })
    }),
    Case::new("hooks/of_the_first_section_of_a_name_are_called", |c| {
        c.needs(Change::HooksAlone)?;
        // The second one would be too large.
        let mut elf = only(c)?.hook(Hook::PostApply, HookBody::Null).elf();
        let mut second = elf.section(Hook::PostApply.section()).clone();
        second.bytes_mut().extend([0; 8]);
        elf.push(second);
        file_accepted(c, &elf.to_bytes())
    }),
    Case::new("hooks/function_version_comes_before_hook_size", |c| {
        let mut elf = base(c)?.hook(Hook::Load, code::ret()).elf();
        elf.funcs_mut()[0].version = 0;
        elf.section_mut(Hook::Load.section()).bytes_mut().resize(12, 0);
        elf.relayout();
        file_refused(c, EOPNOTSUPP, &elf.to_bytes())
    }),
    Case::new("hooks/load_ones_find_their_variables", |c| shown(c, Area::DATA)),
    Case::new("hooks/load_ones_find_their_zeroes", |c| shown(c, Area::BSS)),
];

/// The kinds of hook that this Xen has.
fn kinds(c: &Context) -> &'static [Hook] {
    let all = c.xen.has(Change::PrePostHooks) && c.xen.has(Change::ActionHooks);
    if all { &Hook::ALL } else { &MULTI }
}

/// A payload of nothing but notes: what else it has is to be added.
fn only(c: &Context) -> Result<Payload, Stop> {
    Ok(Payload::new(&target(c)?, MARK))
}

/// The smallest payload: nothing but a hook that is not called, and no symbol.
pub(super) fn without_code(c: &Context) -> Result<Elf, Stop> {
    Ok(only(c)?.hook(Hook::PostApply, HookBody::Null).elf())
}

/// A payload with a hook of this kind that agrees, and a function unless it is up to the hook to do
/// the patching.
fn with_one(c: &Context, hook: Hook) -> Result<Payload, Stop> {
    let payload = if matches!(hook, Hook::Apply | Hook::Revert) { only(c)? } else { base(c)? };
    Ok(payload.hook(hook, code::return_u32(0)))
}

/// So many bytes of hooks beside a correct function are refused.
fn sized(c: &Context, hook: Hook, size: usize) -> Outcome {
    let mut elf = base(c)?.hook(hook, HookBody::Null).elf();
    elf.section_mut(hook.section()).bytes_mut().resize(size, 0);
    elf.relayout();
    file_refused(c, EINVAL, &elf.to_bytes())
}

/// What a hook writes into a section of the payload is what a function of it reads there.
fn shown(c: &Context, area: Area) -> Outcome {
    const ROOM: usize = 8;
    let text = u32::from_le_bytes(*b"-set");
    let payload = only(c)?
        .function(Function::named("xen_extra_version", code::return_address("text")))
        .section(area, "text", [0; ROOM])
        .hook(Hook::Load, code::store_u32("text", text).then(code::ret()));
    file_shows(c, "-set", &payload.to_bytes())
}
