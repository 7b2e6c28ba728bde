//! `XEN_SYSCTL_cpu_hotplug` (xen/include/public/sysctl.h).

use arch::hypercall::{hypercall, nr};
use livepatch::abi::{SYSCTL_SIZE, SysctlVersion};

use crate::Answer;

const XEN_SYSCTL_CPU_HOTPLUG: u32 = 11;
const XEN_SYSCTL_CPU_HOTPLUG_ONLINE: u32 = 0;

#[repr(C, align(8))]
struct Call {
    cmd: u32,
    interface_version: u32,
    cpu: u32,
    op: u32,
    rest: [u64; 15],
}

const _: () = assert!(size_of::<Call>() == SYSCTL_SIZE);

/// Has a CPU come, for a Xen whose sysctls have this interface version.
pub fn online(running: SysctlVersion, cpu: u32) -> Answer {
    let mut call = Call {
        cmd: XEN_SYSCTL_CPU_HOTPLUG,
        interface_version: running.0,
        cpu,
        op: XEN_SYSCTL_CPU_HOTPLUG_ONLINE,
        rest: [0; 15],
    };
    // SAFETY: Xen writes at most the 136 bytes of the structure.
    Answer(unsafe { hypercall(nr::SYSCTL, [&raw mut call as u64, 0, 0, 0, 0]) })
}
