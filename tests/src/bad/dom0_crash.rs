//! # bad-dom0-crash
//!
//! Ends with `SHUTDOWN_crash` (xen/include/public/sched.h). Without a control domain Xen ends, too
//! (`hwdom_shutdown` in xen/common/shutdown.c). Expected verdict: CRASH, quoting what Xen says of
//! it.

use kernel::hypercall::sched::{Reason, shutdown};
use kernel::{Case, Need, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-dom0-crash",
    title: "A control domain that crashes by its own account",
    needs: &[Need::Privileged],
    cases: &[Case::new("fine", |_| Ok(())), Case::new("crashes", |_| shutdown(Reason::Crash))],
    ..super::BAD
};
