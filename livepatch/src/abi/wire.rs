//! The structures as they lie in memory, with their sizes and offsets proven at compile time.
//!
//! All are from `xen/include/public/sysctl.h`. Guest handles are 64-bit addresses aligned to 8
//! bytes for every kind of caller, so there is one layout per version.

use core::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

/// States at compile time how large a structure is and where its fields lie.
macro_rules! assert_layout {
    ($name:ty, size $size:literal, $($field:ident @ $offset:literal),+ $(,)?) => {
        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(offset_of!($name, $field) == $offset);)+
        };
    };
}

/// `struct xen_sysctl`, 4.8 to 4.23: what the hypercall gets the address of.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SysctlHead {
    /// Which sysctl; 27 for live patching.
    pub cmd: u32,
    /// The version that the caller was built for.
    pub interface_version: u32,
    /// `struct xen_sysctl_livepatch_op`, and zeroes up to the end.
    pub op: OpHead,
}
assert_layout!(SysctlHead, size 16, cmd @ 0, interface_version @ 4, op @ 8);

/// `struct xen_sysctl_livepatch_op` up to its union, 4.8 to 4.23.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OpHead {
    /// Which sub-op: 0 to 3.
    pub cmd: u32,
    /// Padding that must be 0 (4.8 to 4.18), flags (4.19+).
    pub flags: u32,
}
assert_layout!(OpHead, size 8, cmd @ 0, flags @ 4);

/// `struct xen_livepatch_name`, 4.8 to 4.23.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WireName {
    /// Guest address of the name.
    pub name: u64,
    /// Bytes of the name with its NUL, 1 to 128.
    pub size: u16,
    /// Must be 0.
    pub pad: [u16; 3],
}
assert_layout!(WireName, size 16, name @ 0, size @ 8, pad @ 10);

/// `struct xen_sysctl_livepatch_upload`, 4.8 to 4.23.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WireUpload {
    /// The new payload's name.
    pub name: WireName,
    /// Bytes of the payload.
    pub size: u64,
    /// Guest address of the payload.
    pub payload: u64,
}
assert_layout!(WireUpload, size 32, name @ 0, size @ 16, payload @ 24);

/// `struct xen_livepatch_status`, 4.8 to 4.23: how a payload stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct LivepatchStatus {
    /// `LIVEPATCH_STATE_*`: 1 checked, 2 applied.
    pub state: u32,
    /// 0, or the negated error number of the last asynchronous action; -11 (EAGAIN) while one is
    /// under way.
    pub rc: i32,
}
assert_layout!(LivepatchStatus, size 8, state @ 0, rc @ 4);

/// `struct xen_sysctl_livepatch_get`, 4.8 to 4.23.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WireGet {
    /// Whose status.
    pub name: WireName,
    /// Written by Xen on success.
    pub status: LivepatchStatus,
}
assert_layout!(WireGet, size 24, name @ 0, status @ 16);

/// `struct xen_sysctl_livepatch_list`, 4.8 to 4.13.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WireListV1 {
    /// Out: counter of changes to the list.
    pub version: u32,
    /// In: first payload wanted.
    pub idx: u32,
    /// In: payloads wanted. Out: payloads that remain.
    pub nr: u32,
    /// Must be 0.
    pub pad: u32,
    /// Guest address of an array of [`LivepatchStatus`].
    pub status: u64,
    /// Guest address of 128-byte slots for names.
    pub name: u64,
    /// Guest address of an array of `u32`: bytes of each name with its NUL.
    pub len: u64,
}
assert_layout!(WireListV1, size 40,
    version @ 0, idx @ 4, nr @ 8, pad @ 12, status @ 16, name @ 24, len @ 32);

/// `struct xen_sysctl_livepatch_list`, 4.14 to 4.23.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WireListV2 {
    /// Out: counter of changes to the list.
    pub version: u32,
    /// In: first payload wanted.
    pub idx: u32,
    /// In: payloads wanted. Out: payloads that remain.
    pub nr: u32,
    /// Must be 0.
    pub pad: u32,
    /// In (4.21+): bytes of the name buffer. Out: bytes of names.
    pub name_total_size: u32,
    /// In (4.21+): bytes of the metadata buffer. Out: bytes of metadata.
    pub metadata_total_size: u32,
    /// Guest address of an array of [`LivepatchStatus`].
    pub status: u64,
    /// Guest address of the packed names.
    pub name: u64,
    /// Guest address of an array of `u32`: bytes of each name with its NUL.
    pub len: u64,
    /// Guest address of the packed metadata.
    pub metadata: u64,
    /// Guest address of an array of `u32`: bytes of each payload's metadata.
    pub metadata_len: u64,
}
assert_layout!(WireListV2, size 64,
    version @ 0, idx @ 4, nr @ 8, pad @ 12, name_total_size @ 16, metadata_total_size @ 20,
    status @ 24, name @ 32, len @ 40, metadata @ 48, metadata_len @ 56);

/// `struct xen_sysctl_livepatch_action`, 4.8 to 4.13.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WireActionV1 {
    /// Which payload.
    pub name: WireName,
    /// `LIVEPATCH_ACTION_*`.
    pub cmd: u32,
    /// Nanoseconds; 0 means Xen's default.
    pub timeout: u32,
}
assert_layout!(WireActionV1, size 24, name @ 0, cmd @ 16, timeout @ 20);

/// `struct xen_sysctl_livepatch_action`, 4.14 to 4.23.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WireActionV2 {
    /// Which payload.
    pub name: WireName,
    /// `LIVEPATCH_ACTION_*`.
    pub cmd: u32,
    /// Nanoseconds; 0 means Xen's default.
    pub timeout: u32,
    /// `LIVEPATCH_ACTION_APPLY_*`.
    pub flags: u32,
    /// Must be 0.
    pub pad: u32,
}
assert_layout!(WireActionV2, size 32, name @ 0, cmd @ 16, timeout @ 20, flags @ 24, pad @ 28);

/// Bytes of `struct xen_sysctl_livepatch_op` in 4.8 to 4.13: its head and its largest member.
pub const OP_SIZE_V1: usize = size_of::<OpHead>() + size_of::<WireListV1>();
/// Bytes of `struct xen_sysctl_livepatch_op` in 4.14 to 4.23.
pub const OP_SIZE_V2: usize = size_of::<OpHead>() + size_of::<WireListV2>();
const _: () = assert!(OP_SIZE_V1 == 48 && OP_SIZE_V2 == 72);
const _: () = assert!(size_of::<SysctlHead>() == super::consts::UNION_OFFSET);
