//! `XEN_SYSCTL_physinfo` (xen/include/public/sysctl.h): what Xen says about the machine, as far
//! as tests look at it.

use core::mem::offset_of;

use arch::hypercall::{hypercall, nr};
use livepatch::abi::{SYSCTL_SIZE, SysctlVersion};

use crate::{Answer, Errno};

const XEN_SYSCTL_PHYSINFO: u32 = 3;

/// The first interface version with two more numbers (`arch_capabilities` and its padding) before
/// the pages: that of Xen 4.17.
const WITH_ARCH_CAPABILITIES: SysctlVersion = SysctlVersion(0x15);

/// The sysctl with its `NUMBERS` 32-bit numbers before the pages, and `REST` 64-bit words behind.
#[repr(C, align(8))]
struct Call<const NUMBERS: usize, const REST: usize> {
    cmd: u32,
    interface_version: u32,
    numbers: [u32; NUMBERS],
    total_pages: u64,
    free_pages: u64,
    rest: [u64; REST],
}

/// Xen 4.8 to 4.16. Up to 4.10 the eighth number is padding.
type Before = Call<8, 10>;
/// Xen 4.17 and later.
type Since = Call<10, 9>;

const _: () = assert!(
    size_of::<Before>() == SYSCTL_SIZE
        && offset_of!(Before, numbers) == 8
        && offset_of!(Before, total_pages) == 40
        && offset_of!(Before, free_pages) == 48
);
const _: () = assert!(
    size_of::<Since>() == SYSCTL_SIZE
        && offset_of!(Since, numbers) == 8
        && offset_of!(Since, total_pages) == 48
        && offset_of!(Since, free_pages) == 56
);

/// Which of the numbers are the CPUs that Xen runs on (`nr_cpus`).
const CPUS: usize = 2;

/// What Xen says about the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Physinfo {
    /// CPUs that Xen runs on.
    pub cpus: u32,
    /// Pages that Xen manages.
    pub total_pages: u64,
    /// Pages of them that belong to nobody, Xen included.
    pub free_pages: u64,
}

/// Asks a Xen whose sysctls have this interface version. Of a version that is not known the
/// newest layout is assumed.
///
/// # Errors
/// EPERM for all but the control domain.
pub fn physinfo(running: SysctlVersion) -> Result<Physinfo, Errno> {
    if running < WITH_ARCH_CAPABILITIES {
        Before::new(running).perform()
    } else {
        Since::new(running).perform()
    }
}

impl<const NUMBERS: usize, const REST: usize> Call<NUMBERS, REST> {
    fn new(version: SysctlVersion) -> Self {
        Self {
            cmd: XEN_SYSCTL_PHYSINFO,
            interface_version: version.0,
            numbers: [0; NUMBERS],
            total_pages: 0,
            free_pages: 0,
            rest: [0; REST],
        }
    }

    fn perform(mut self) -> Result<Physinfo, Errno> {
        // SAFETY: Xen writes the 136 bytes of the structure and nothing else.
        let answer = unsafe { hypercall(nr::SYSCTL, [&raw mut self as u64, 0, 0, 0, 0]) };
        Answer(answer).result()?;
        Ok(Physinfo {
            cpus: self.numbers[CPUS],
            total_pages: self.total_pages,
            free_pages: self.free_pages,
        })
    }
}
