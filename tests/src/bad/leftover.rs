//! # bad-leftover
//!
//! Leaves payloads behind, one of them applied. Expected verdict: ERROR, naming both.

use kernel::{Case, Context, Need, Outcome, Test};
use livepatch::abi::ActionCmd;

use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "bad-leftover",
    title: "A guest that leaves payloads behind",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[Case::new("forgets_to_unload", forgets_to_unload)],
    ..super::BAD
};

fn forgets_to_unload(context: &Context) -> Outcome {
    for name in ["-checked", "-applied"] {
        let loaded = support::load_marker(context, name)?;
        if name == "-applied" {
            loaded.action(ActionCmd::Apply).needed_to("apply a payload")?;
        }
        #[expect(clippy::mem_forget, reason = "the test is about what is left behind")]
        core::mem::forget(loaded);
    }
    Ok(())
}
