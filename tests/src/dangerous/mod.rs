//! Payloads of which some Xens die. Each is a test, and a boot, of its own; none runs unless it
//! is named.
//!
//! The claim is always the same: Xen goes on, whatever it answers. The page of each test says
//! which of Debian's 4.14.6, 4.17.7 and 4.20.4 do not, as measured with a PV and a PVH control
//! domain, and what a Xen that goes on has answered; `kills` tells the runner, so that a Xen that
//! stops dying is news. What was attempted is on the console before Xen is asked to do it.
#![forbid(unsafe_code)]

pub mod align_0;
pub mod alternative_too_long;
pub mod empty_modinfo;
pub mod function_twice;
pub mod idle_action_hook;
pub mod idle_hook_in_replace;
pub mod idle_hook_of_replaced;
pub mod idle_revert_hook;
pub mod name_null;
pub mod nonalloc_funcs;
pub mod nonalloc_note;
pub mod nonalloc_xen_depends;
pub mod nothing_loaded;
pub mod null_load_hook;
pub mod old_addr_unmapped;
pub mod rela_sh_info_0;
pub mod short_nop_on_endbr;
pub mod symtab_sh_link_0;

use kernel::{Answer, Category, Context, Need, Outcome, Stop, Test, println};
use livepatch::abi::ActionCmd;
use livepatch::payload::{Elf, Payload};

use crate::support;

/// What all of them have in common.
const DANGEROUS: Test = Test {
    category: Category::InDevelopment,
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    default: false,
    timeout_s: 10,
    ..Test::DEFAULT
};

const NAME: &[u8] = b"danger\0";

/// A payload without a fault.
fn base(c: &Context) -> Result<Payload, Stop> {
    support::marker(c, "-danger")
}

/// Xen goes on after it was asked to load the payload.
fn survives_upload(c: &Context, elf: &Elf) -> Outcome {
    let livepatch = c.livepatch();
    if step(c, "upload", || livepatch.upload(NAME, &elf.to_bytes()))? == Answer::SUCCESS {
        let _ = step(c, "unload", || livepatch.action(NAME, ActionCmd::Unload))?;
    }
    Ok(())
}

/// Xen goes on after it was asked to load, apply and revert the payload.
fn survives_apply(c: &Context, elf: &Elf) -> Outcome {
    let loaded = c.livepatch().load(NAME, &elf.to_bytes())?;
    if step(c, "apply", || loaded.action(ActionCmd::Apply))? == Answer::SUCCESS {
        let _ = step(c, "revert", || loaded.action(ActionCmd::Revert))?;
    }
    Ok(())
}

/// Says what is going to be attempted, does it, says what Xen answered, and looks whether it still
/// lists its payloads.
fn step(c: &Context, what: &str, attempt: impl FnOnce() -> Answer) -> Result<Answer, Stop> {
    println!("  # step: {what}");
    let answer = attempt();
    println!("  # {what}: {answer}");
    c.livepatch().list()?;
    Ok(answer)
}
