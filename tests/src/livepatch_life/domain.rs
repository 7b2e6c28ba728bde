//! What other domains do to patching: `arch_livepatch_safety_check` (xen/arch/x86/livepatch.c).
//!
//! The second domain is made by domctl, and needs a machine that virtualizes.

use kernel::hypercall::domain::Domain;
use kernel::hypercall::sched::sleep_until;
use kernel::{Answer, Context, Environment, Errno, Outcome, Stop, clock};
use livepatch::abi::{ActionCmd, State};

use crate::support::{apply, extra_version, load_marker, reads, revert};

/// More than a page, which is a monitor's ring, has room for events.
const VCPUS: u32 = 16;
/// For the vCPUs to run in.
const PAUSE_NS: u64 = 10_000_000;
const ATTEMPTS: usize = 100;

/// Makes the domain.
fn domain(context: &Context, vcpus: u32) -> Result<Domain, Stop> {
    // Its end takes Xen several goes, for each of which the guest executes the hypercall's instruction
    // again: with the bit set of which arch/src/x86_32/hvm/accessed.rs tells.
    if context.environment == Environment::Hvm32pae {
        return Err(Stop::skip(
            "QEMU's accessed bits keep Xen from going on with a long hypercall",
        ));
    }
    Domain::create(vcpus).map_err(refused("Xen makes no domain"))
}

fn refused(what: &str) -> impl Fn(Errno) -> Stop {
    move |errno| Stop::skip(format_args!("{what}: {errno}"))
}

/// Applies a payload and reverts it.
fn patches(context: &Context) -> Outcome {
    let original = extra_version()?;
    let loaded = load_marker(context, "-beside")?;
    apply(&loaded)?;
    reads("-beside")?;
    revert(&loaded)?;
    reads(&original)
}

/// Not even one whose vCPUs have a monitor.
pub fn idle(context: &Context) -> Outcome {
    let domain = domain(context, 1)?;
    patches(context).map_err(|stop| stop.at("beside a domain"))?;
    domain.enable_monitor().map_err(refused("the domain gets no monitor"))?;
    patches(context).map_err(|stop| stop.at("beside a domain with a monitor"))?;
    drop(domain);
    patches(context).map_err(|stop| stop.at("after that domain's end"))
}

/// While a vCPU waits for room in the ring of its domain's monitor, Xen's stack of it may hold
/// addresses of code that is to be patched.
pub fn waits(context: &Context) -> Outcome {
    // Seen with 7.2.22 and 10.0.13, where this domain has no page tables of its own either.
    if context.environment == Environment::Hvm32 {
        return Err(Stop::skip("QEMU takes the other domain's first write for a page fault"));
    }
    let domain = domain(context, VCPUS)?;
    domain.enable_monitor().map_err(refused("the domain gets no monitor"))?;
    domain.fill_monitor().map_err(refused("the domain does not run"))?;
    let original = extra_version()?;
    let loaded = load_marker(context, "-refused")?;
    for _ in 0..ATTEMPTS {
        sleep_until(clock::now_ns() + PAUSE_NS).must_be(Answer::SUCCESS)?;
        loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
        let status = loaded.status()?;
        if State::from(status.state) == State::Checked {
            Answer(status.rc.into()).must_be(Errno::EBUSY)?;
            reads(&original)?;
            // With nothing to revert first.
            loaded.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
            loaded.must_be(State::Checked, Errno::EBUSY).map_err(|stop| stop.at("REPLACE"))?;
            reads(&original)?;
            drop(domain);
            return patches(context).map_err(|stop| stop.at("after that domain's end"));
        }
        // No vCPU waits yet.
        revert(&loaded)?;
    }
    Err(Stop::failure(format_args!("expected: APPLY ends in EBUSY, once in {ATTEMPTS} attempts")))
}
