//! A livepatch hypercall as plain values, correct by construction or wrong on purpose.

use core::ffi::CStr;

use super::consts::{
    LIVEPATCH_ACTION, LIVEPATCH_GET, LIVEPATCH_LIST, LIVEPATCH_UPLOAD, UNION_ROOM,
    XEN_SYSCTL_LIVEPATCH_OP,
};
use super::guest::{In, Out};
use super::values::ActionCmd;
use super::version::SysctlVersion;
use super::wire::LivepatchStatus;

/// A payload's name as the caller passes it.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Where the name is.
    pub ptr: In<'a>,
    /// Bytes of the name with its NUL; Xen accepts 1 to 128.
    pub size: u16,
    /// Must be 0.
    pub pad: [u16; 3],
}

impl<'a> Name<'a> {
    /// A name that lies at `bytes` and has their size; a correct one ends in a NUL.
    ///
    /// A size that the field cannot hold becomes 65535, which is wrong just as well.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            ptr: In::from_slice(bytes),
            size: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
            pad: [0; 3],
        }
    }
}

impl<'a> From<&'a CStr> for Name<'a> {
    fn from(name: &'a CStr) -> Self {
        Self::new(name.to_bytes_with_nul())
    }
}

/// Hand over a payload.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// The new payload's name.
    pub name: Name<'a>,
    /// Bytes of the payload; Xen accepts 1 to 2 MiB.
    pub size: u64,
    /// Where the payload is.
    pub payload: In<'a>,
}

impl<'a> Upload<'a> {
    /// Uploads all of `payload`.
    pub fn new(name: Name<'a>, payload: &'a [u8]) -> Self {
        Self { name, size: payload.len() as u64, payload: In::from_slice(payload) }
    }
}

/// Ask for one payload's status.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// Which payload.
    pub name: Name<'a>,
    /// Overwritten on success, and ignored as input.
    pub status: LivepatchStatus,
}

impl<'a> From<Name<'a>> for Get<'a> {
    fn from(name: Name<'a>) -> Self {
        Self { name, status: LivepatchStatus { state: 0, rc: 0 } }
    }
}

/// List payloads into arrays.
#[derive(Debug)]
pub struct List<'a> {
    /// Ignored as input.
    pub version: u32,
    /// First payload wanted, in upload order.
    pub idx: u32,
    /// Payloads wanted, at most 1024; 0 asks for the totals alone.
    pub nr: u32,
    /// Must be 0.
    pub pad: u32,
    /// Bytes of `name`: a limit since 4.21, ignored in 4.14 to 4.20, absent before.
    pub name_total_size: u32,
    /// Bytes of `metadata`, likewise.
    pub metadata_total_size: u32,
    /// Array of [`LivepatchStatus`], `nr` of them.
    pub status: Out<'a>,
    /// Names: packed since 4.14, in slots of 128 bytes before.
    pub name: Out<'a>,
    /// Array of `u32`: bytes of each name with its NUL, `nr` of them.
    pub len: Out<'a>,
    /// Metadata, packed (4.14+).
    pub metadata: Out<'a>,
    /// Array of `u32`: bytes of each payload's metadata, `nr` of them (4.14+).
    pub metadata_len: Out<'a>,
}

impl List<'_> {
    /// Asks for nothing but the totals; the base for struct update syntax.
    pub const EMPTY: Self = Self {
        version: 0,
        idx: 0,
        nr: 0,
        pad: 0,
        name_total_size: 0,
        metadata_total_size: 0,
        status: Out::NULL,
        name: Out::NULL,
        len: Out::NULL,
        metadata: Out::NULL,
        metadata_len: Out::NULL,
    };
}

/// Unload, revert, apply or replace a payload.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// Which payload.
    pub name: Name<'a>,
    /// `LIVEPATCH_ACTION_*`, see [`ActionCmd`].
    pub cmd: u32,
    /// Nanoseconds that the action may take; 0 means Xen's default of 30 ms.
    pub timeout: u32,
    /// `LIVEPATCH_ACTION_APPLY_*`; not sent in [`Revision::V1`](super::Revision::V1), which has no
    /// such field.
    pub flags: u32,
    /// Must be 0; not sent in [`Revision::V1`](super::Revision::V1), which has no such field.
    pub pad: u32,
}

impl<'a> Action<'a> {
    /// The action with Xen's default timeout and no flags.
    pub fn new(name: Name<'a>, cmd: ActionCmd) -> Self {
        Self { name, cmd: cmd.into(), timeout: 0, flags: 0, pad: 0 }
    }
}

/// The part of a call that depends on the sub-op.
#[derive(Debug)]
pub enum Op<'a> {
    /// See [`Upload`].
    Upload(Upload<'a>),
    /// See [`Get`].
    Get(Get<'a>),
    /// See [`List`].
    List(List<'a>),
    /// See [`Action`].
    Action(Action<'a>),
    /// The union as bytes. Addresses hidden in it are no [`Out`]s, so a LIST that would write
    /// through them is refused by [`Sysctl::check_writes`](super::Sysctl::check_writes).
    Raw([u8; UNION_ROOM]),
}

/// One livepatch hypercall. The constructors make correct ones; any field may then be replaced.
#[derive(Debug)]
pub struct Call<'a> {
    /// The interface version stated to Xen.
    pub interface_version: u32,
    /// Which sysctl: 27.
    pub cmd: u32,
    /// Which sub-op is stated; the constructors make it fit `op`.
    pub sub_op: u32,
    /// Flags (4.19+); padding that must be 0 before.
    pub flags: u32,
    /// What the sub-op needs.
    pub op: Op<'a>,
}

impl<'a> Call<'a> {
    fn new(version: SysctlVersion, sub_op: u32, op: Op<'a>) -> Self {
        Self { interface_version: version.0, cmd: XEN_SYSCTL_LIVEPATCH_OP, sub_op, flags: 0, op }
    }

    /// Hands over a payload.
    pub fn upload(version: SysctlVersion, upload: Upload<'a>) -> Self {
        Self::new(version, LIVEPATCH_UPLOAD, Op::Upload(upload))
    }

    /// Asks for a status, by [`Name`] or with a whole [`Get`].
    pub fn get(version: SysctlVersion, get: impl Into<Get<'a>>) -> Self {
        Self::new(version, LIVEPATCH_GET, Op::Get(get.into()))
    }

    /// Lists payloads.
    pub fn list(version: SysctlVersion, list: List<'a>) -> Self {
        Self::new(version, LIVEPATCH_LIST, Op::List(list))
    }

    /// Unloads, reverts, applies or replaces a payload.
    pub fn action(version: SysctlVersion, action: Action<'a>) -> Self {
        Self::new(version, LIVEPATCH_ACTION, Op::Action(action))
    }

    /// Any sub-op number with an all-zero union. One from
    /// [`LIVEPATCH_FIRST_UNKNOWN`](super::LIVEPATCH_FIRST_UNKNOWN) on does nothing on any
    /// release, which makes it the probe for the interface version: EACCES if that is wrong.
    pub fn bare(version: SysctlVersion, sub_op: u32) -> Self {
        Self::new(version, sub_op, Op::Raw([0; UNION_ROOM]))
    }
}
