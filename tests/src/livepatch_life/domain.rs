//! What other domains do to patching.

use kernel::hypercall::domain::Domain;
use kernel::{Context, Environment, Outcome, Stop};

use crate::support::{apply, extra_version, load_marker, reads, revert};

/// Xen refuses to patch while a vCPU waits for room in the ring of its domain's monitor
/// (`arch_livepatch_safety_check`). A ring alone is no reason, nor is one that is gone.
pub fn with_a_monitor(context: &Context) -> Outcome {
    // Its end takes Xen several goes, for each of which the guest executes the hypercall's instruction
    // again: with the bit set of which arch/src/x86_32/hvm/accessed.rs tells.
    if context.environment == Environment::Hvm32pae {
        return Err(Stop::skip(
            "QEMU's accessed bits keep Xen from going on with a long hypercall",
        ));
    }
    let original = extra_version()?;
    let patched = || {
        let loaded = load_marker(context, "-monitored")?;
        apply(&loaded)?;
        reads("-monitored")?;
        revert(&loaded)?;
        reads(&original)
    };
    let refused = |what| move |errno| Stop::skip(format_args!("{what}: {errno}"));
    let domain = Domain::create().map_err(refused("Xen makes no domain"))?;
    patched().map_err(|stop| stop.at("beside a domain"))?;
    domain.enable_monitor().map_err(refused("the domain gets no monitor"))?;
    patched().map_err(|stop| stop.at("beside a domain with a monitor"))?;
    drop(domain);
    patched().map_err(|stop| stop.at("after that domain's end"))
}
