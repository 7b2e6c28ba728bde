//! What Xen and the guest are told in a boot, whatever loads them.

use protocol::cmdline::{ENV, TESTS};
use protocol::metadata::Environment;

use crate::machine::Boot;
use crate::plan::spec::join;

/// Xen's command line: `own` is about its machine and its console, `more` is the user's.
pub fn for_xen(own: &str, boot: &Boot<'_>, more: &str) -> String {
    // Every line of Xen's costs about 15 ms of a boot and is often the only evidence. Xen
    // drops output, the guest's included, when its buffer runs full; the default of 16 KiB
    // does not hold what it has to say about a few thousand refused payloads.
    let mut own = format!("{own} serial_tx_buffer=1M bootscrub=0 loglvl=all guest_loglvl=all");
    if boot.environment.is_hvm() {
        own += " dom0=pvh";
        if !boot.xen.abilities.needs_iommu {
            own += " dom0-iommu=none";
        }
    }
    join([&own, &boot.machine.xen_cmdline, &more.to_owned()])
}

/// The guest's command line: `own` says how it ends, `more` is the user's.
pub fn for_guest(own: &str, boot: &Boot<'_>, more: &str) -> String {
    let tests: Vec<&str> = boot.tests.iter().map(|test| test.selector.as_str()).collect();
    let tests = format!("{TESTS}={}", tests.join(","));
    let place = environment_word(boot.environment);
    join([&tests, &own.to_owned(), &place, &boot.machine.guest_cmdline, &more.to_owned()])
}

/// What tells a 32-bit image which of its environments it shall make itself; nothing where it has no
/// choice.
pub fn environment_word(environment: Environment) -> String {
    if environment.is_32bit() && environment.is_hvm() {
        return format!("{ENV}={}", environment.name());
    }
    String::new()
}
