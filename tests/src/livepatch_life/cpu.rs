//! What patching holds on to: the CPUs must stay the same meanwhile (`get_cpu_maps` in
//! xen/common/cpu.c), and no longer.

use kernel::hypercall::cpu_hotplug;
use kernel::{Answer, Context, Errno, Outcome};
use livepatch::abi::ActionCmd;

use crate::support::{apply, load_marker, revert};

/// Xen would wait forever. There is no CPU of that number, which it says once it may look.
pub fn one_may_come(context: &Context) -> Outcome {
    let one_comes = |when: &str| {
        cpu_hotplug::online(context.livepatch().version, u32::MAX)
            .must_be(Errno::EINVAL)
            .map_err(|stop| stop.at(when))
    };
    one_comes("at first")?;
    let loaded = load_marker(context, "-cpu")?;
    apply(&loaded)?;
    one_comes("after APPLY")?;
    revert(&loaded)?;
    one_comes("after REVERT")?;
    loaded.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
    one_comes("after REPLACE")
}
