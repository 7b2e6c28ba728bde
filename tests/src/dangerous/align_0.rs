//! # danger-align-0
//!
//! A loaded section whose alignment is 0: rounding up to it gives 0, so that the section lies over
//! the one before it (`calc_section`). Here instructions that do not exist lie over the code that
//! Xen is then asked to run.
//!
//! All three die, with a PV and with a PVH control domain: UPLOAD and APPLY succeed, the call is
//! a fatal invalid opcode.

use kernel::hypercall::version::{Text, text};
use kernel::{Answer, Case, Context, Outcome, Test, println};

use livepatch::abi::ActionCmd;
use livepatch::payload::wire::SHF_EXECINSTR;
use livepatch::payload::{Area, Function, Payload, code};

use super::{DANGEROUS, NAME, step};
use crate::support;

/// `ud2`.
const UNDEFINED: [u8; 2] = [0x0F, 0x0B];

/// The test.
pub const TEST: Test = Test {
    name: "danger-align-0",
    title: "A payload with a loaded section that has no alignment",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let area = Area::loaded(".undefined", SHF_EXECINSTR, 1);
    // Not `xen_extra_version`, which Xen calls while it reports its own end.
    let function = Function::named("xen_changeset", code::return_str("danger"));
    let payload = Payload::new(&support::target(c)?, "danger").function(function);
    let mut elf = payload.section(area, "undefined", UNDEFINED).elf();
    elf.section_mut(".undefined").shdr.sh_addralign = 0;
    let livepatch = c.livepatch();
    if step(c, "upload", || livepatch.upload(NAME, &elf.to_bytes()))? != Answer::SUCCESS {
        return Ok(());
    }
    let _ = step(c, "apply", || livepatch.action(NAME, ActionCmd::Apply))?;
    println!("  # step: call");
    println!("  # call: {:?}", text(Text::Changeset));
    let _ = step(c, "revert", || livepatch.action(NAME, ActionCmd::Revert))?;
    let _ = step(c, "unload", || livepatch.action(NAME, ActionCmd::Unload))?;
    Ok(())
}
