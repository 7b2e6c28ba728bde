//! # bad-xen-panic
//!
//! Has Xen send itself an NMI, by the debug key `N`. A Xen with the option `nmi=fatal` panics then,
//! as docs/misc/xen-command-line says; xtf-runner.toml gives it to this test. Expected verdict:
//! CRASH, quoting Xen's panic.

use kernel::hypercall::{debug_keys, sched};
use kernel::{Case, Context, Need, Outcome, Stop, Test, clock};

/// The test.
pub const TEST: Test = Test {
    name: "bad-xen-panic",
    title: "A Xen that panics because it was told to",
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    cases: &[Case::new("fine", |_| Ok(())), Case::new("ends_by_an_nmi", ends_by_an_nmi)],
    ..super::BAD
};

fn ends_by_an_nmi(context: &Context) -> Outcome {
    const SECOND: u64 = 1_000_000_000;
    debug_keys::press(context.livepatch().version, b"N").needed_to("press a debug key")?;
    // Xen acts on the key when this domain blocks.
    sched::sleep_until(clock::now_ns() + SECOND).needed_to("sleep")?;
    Err(Stop::error("Xen lives on: it needs the option nmi=fatal"))
}
