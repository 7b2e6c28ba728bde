//! Xen's hypercalls, as far as a caller has to know them, and those that are left out.
//!
//! Numbers, sub-ops and arguments: xen/include/public/xen.h and the headers of each.

/// What an argument is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A sub-op or a small selector, of which this many are known.
    Sub(u32),
    /// A pointer.
    Pointer,
    /// A number of things.
    Count,
    /// A domain.
    Domain,
    /// A virtual address whose mapping is to change.
    Mapping,
    /// Something else.
    Any,
}

use Kind::{Any, Count, Domain, Mapping, Pointer, Sub};

/// A hypercall's name and arguments, by its number.
pub const CALLS: [(&str, &[Kind]); 64] = [
    ("set_trap_table", &[Pointer]),
    ("mmu_update", &[Pointer, Count, Pointer, Domain]),
    ("set_gdt", &[Pointer, Count]),
    ("stack_switch", &[Any, Any]),
    ("set_callbacks", &[Any, Any, Any]),
    ("fpu_taskswitch", &[Sub(2)]),
    ("sched_op_compat", &[Sub(3), Any]),
    ("platform_op", &[Pointer]),
    ("set_debugreg", &[Sub(8), Any]),
    ("get_debugreg", &[Sub(8)]),
    ("update_descriptor", &[Any, Any]),
    UNUSED,
    ("memory_op", &[Sub(30), Pointer]),
    ("multicall", &[Pointer, Count]),
    ("update_va_mapping", &[Mapping, Any, Sub(8)]),
    ("set_timer_op", &[Any]),
    ("event_channel_op_compat", &[Pointer]),
    ("xen_version", &[Sub(13), Pointer]),
    ("console_io", &[Sub(2), Count, Pointer]),
    ("physdev_op_compat", &[Pointer]),
    ("grant_table_op", &[Sub(14), Pointer, Count]),
    ("vm_assist", &[Sub(4), Sub(34)]),
    ("update_va_mapping_otherdomain", &[Mapping, Any, Sub(8), Domain]),
    ("iret", &[]),
    ("vcpu_op", &[Sub(17), Sub(2), Pointer]),
    ("set_segment_base", &[Sub(4), Any]),
    ("mmuext_op", &[Pointer, Count, Pointer, Domain]),
    ("xsm_op", &[Pointer]),
    ("nmi_op", &[Sub(3), Pointer]),
    ("sched_op", &[Sub(9), Pointer]),
    ("callback_op", &[Sub(3), Pointer]),
    ("xenoprof_op", &[Sub(22), Pointer]),
    ("event_channel_op", &[Sub(16), Pointer]),
    ("physdev_op", &[Sub(33), Pointer]),
    ("hvm_op", &[Sub(27), Pointer]),
    ("sysctl", &[Pointer]),
    ("domctl", &[Pointer]),
    ("kexec_op", &[Sub(6), Pointer]),
    ("tmem_op", &[Pointer]),
    ("argo_op", &[Sub(6), Pointer, Pointer, Count, Any]),
    ("xenpmu_op", &[Sub(8), Pointer]),
    ("dm_op", &[Domain, Count, Pointer]),
    ("hypfs_op", &[Sub(5), Pointer, Count, Pointer, Count]),
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    ("mca", &[Pointer]),
    ("arch_1", &[Sub(8), Pointer, Any]),
    ("arch_2", &[Any, Any]),
    ("arch_3", &[Any, Any]),
    ("arch_4", &[Any, Any]),
    ("arch_5", &[Any, Any]),
    ("arch_6", &[Any, Any]),
    ("arch_7", &[Any, Any]),
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
    UNUSED,
];

const UNUSED: (&str, &[Kind]) = ("unused", &[Any, Any, Any, Any, Any]);

/// Multicall: its entries are calls, which this list holds for as well.
pub const MULTICALL: u32 = 13;

/// Whole hypercalls, or sub-ops of them, that are not made, and why.
pub const LEFT_OUT: &[(u32, Option<u32>, &str)] = &[
    (6, Some(1), "blocks until an event comes, and none does"),
    (6, Some(2), "is the domain's deliberate end"),
    (8, None, "sets a trap for this guest's own next steps"),
    (12, Some(7), "can take away the page that this guest reads its clock from"),
    (12, Some(23), "can take away the page that this guest reads its clock from"),
    (16, None, "can close the console's channel; event_channel_op does the rest"),
    (18, Some(0), "puts random text into the host's log, where its panics are looked for"),
    (23, None, "does not return to its caller"),
    (24, Some(2), "stops the domain's only CPU"),
    (24, Some(10), "moves the clock away from where this guest reads it"),
    (24, Some(11), "sends this guest an NMI"),
    (29, Some(1), "blocks until an event comes, and none does"),
    (29, Some(2), "is the domain's deliberate end"),
    (29, Some(3), "sleeps for as long as a random number says"),
    (29, Some(5), "gives whatever ends the domain a random reason"),
    (29, Some(6), "is the domain's end some time later"),
    (32, Some(3), "can close the console's channel"),
    (32, Some(10), "closes the console's channel"),
];

/// What only a control domain may do.
pub const PRIVILEGED: [u32; 5] = [7, 35, 36, 37, 42];

/// Why a call is not made, if so.
pub fn left_out(number: u32, first: u64) -> Option<&'static str> {
    /// Above these bits of memory_op's sub-op is how far an earlier call came.
    const MEMORY_OP: u32 = 12;
    const MEMORY_OP_BITS: u32 = 0x3f;
    // Xen's sub-ops are ints.
    let mut sub_op = first as u32;
    if number == MEMORY_OP {
        sub_op &= MEMORY_OP_BITS;
    }
    let found = LEFT_OUT
        .iter()
        .find(|(call, sub, _)| *call == number && sub.is_none_or(|only| only == sub_op));
    found.map(|(_, _, why)| *why)
}
