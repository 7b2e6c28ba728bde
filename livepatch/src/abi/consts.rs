//! Numbers of the interface. "Header" is Xen's `xen/include/public/sysctl.h`; the limits live in
//! `xen/common/livepatch.c`, `xen/common/livepatch_elf.c` and `xen/include/xen/livepatch.h`.

/// `cmd` of the outer sysctl that selects live patching (header, since 4.8).
pub const XEN_SYSCTL_LIVEPATCH_OP: u32 = 27;

/// Sub-op: hand over a payload (header).
pub const LIVEPATCH_UPLOAD: u32 = 0;
/// Sub-op: ask for one payload's status (header).
pub const LIVEPATCH_GET: u32 = 1;
/// Sub-op: list payloads (header).
pub const LIVEPATCH_LIST: u32 = 2;
/// Sub-op: unload, revert, apply or replace (header).
pub const LIVEPATCH_ACTION: u32 = 3;
/// The first number that is no sub-op; it and all above answer EOPNOTSUPP (`livepatch_op`).
pub const LIVEPATCH_FIRST_UNKNOWN: u32 = 4;

/// State of a payload: loaded, not in effect (header).
pub const STATE_CHECKED: u32 = 1;
/// State of a payload: in effect (header).
pub const STATE_APPLIED: u32 = 2;

/// Action: forget a payload that is not in effect (header).
pub const ACTION_UNLOAD: u32 = 1;
/// Action: take the most recently applied payload out of effect (header).
pub const ACTION_REVERT: u32 = 2;
/// Action: bring a payload into effect (header).
pub const ACTION_APPLY: u32 = 3;
/// Action: revert everything, then apply one payload (header).
pub const ACTION_REPLACE: u32 = 4;

/// Action flag, bit 0: APPLY without comparing `.livepatch.depends` (header, since 4.14).
pub const ACTION_FLAG_NODEPS: u32 = 1 << 0;
/// Op flag, bit 0: accepted since 4.19, where the field was padding before (header).
pub const OP_FLAG_FORCE: u32 = 1 << 0;

/// Largest name in bytes, its NUL included (`XEN_LIVEPATCH_NAME_SIZE`, header). Also the size of
/// one slot of the name array in [`Revision::V1`](super::Revision::V1).
pub const NAME_SIZE_MAX: usize = 128;
/// Largest payload file in bytes, inclusive (`LIVEPATCH_MAX_SIZE`); also the limit of a section
/// without file contents.
pub const PAYLOAD_SIZE_MAX: usize = 2 << 20;
/// Largest `nr` of a LIST, inclusive; more is E2BIG (`livepatch_list`).
pub const LIST_NR_MAX: u32 = 1024;
/// Number of ELF sections that is refused; fewer are fine (`livepatch_header_check`).
pub const SECTION_COUNT_LIMIT: u16 = 1024;
/// Time in nanoseconds that an action gets when its `timeout` is 0 (`schedule_work`).
pub const DEFAULT_TIMEOUT_NS: u32 = 30_000_000;
/// What LIST's `version` counts from; each UPLOAD and each UNLOAD that succeeds adds 1.
pub const LIST_VERSION_AT_BOOT: u32 = 1;

/// Bytes of the whole `struct xen_sysctl`, all versions.
pub const SYSCTL_SIZE: usize = 136;
/// Where the livepatch op's union begins, counted from the start of `struct xen_sysctl`.
pub const UNION_OFFSET: usize = 16;
/// Bytes from there to the end of `struct xen_sysctl`.
pub const UNION_ROOM: usize = SYSCTL_SIZE - UNION_OFFSET;
