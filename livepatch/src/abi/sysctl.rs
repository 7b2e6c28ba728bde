//! The 136 bytes that Xen reads and writes back.

use core::fmt;
use core::marker::PhantomData;

use bytemuck::{AnyBitPattern, NoUninit, bytes_of, pod_read_unaligned};

use super::call::{Action, Call, List, Name, Op};
use super::consts::{
    LIVEPATCH_LIST, NAME_SIZE_MAX, SYSCTL_SIZE, UNION_OFFSET, XEN_SYSCTL_LIVEPATCH_OP,
};
use super::guest::{Out, PAGE_ZERO};
use super::reply::ListReply;
use super::version::{Revision, SysctlVersion};
use super::wire::{
    LivepatchStatus, OpHead, SysctlHead, WireActionV1, WireActionV2, WireGet, WireListV1,
    WireListV2, WireName, WireUpload,
};

/// Memory that the caller lent to Xen for writing.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    addr: u64,
    room: u64,
}

impl Span {
    fn covers(self, addr: u64, bytes: u64) -> bool {
        match addr.checked_sub(self.addr) {
            Some(into) => into <= self.room && bytes <= self.room - into,
            None => false,
        }
    }
}

/// An encoded call. It keeps the call's memory borrowed: what Xen wrote is readable once it is
/// dropped.
#[derive(Clone, Debug)]
pub struct Sysctl<'a> {
    image: Image,
    spans: [Span; 5],
    memory: PhantomData<&'a mut [u8]>,
}

/// `struct xen_sysctl`, with the alignment that its 64-bit fields have.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
struct Image([u8; SYSCTL_SIZE]);

const _: () = assert!(size_of::<Image>() == SYSCTL_SIZE && align_of::<Image>() == 8);

impl Sysctl<'_> {
    /// The bytes to hand to Xen, or those that Xen left.
    pub fn bytes(&self) -> &[u8; SYSCTL_SIZE] {
        &self.image.0
    }

    /// The bytes for Xen to read and write back, aligned to 8; also for breaking single ones.
    pub fn bytes_mut(&mut self) -> &mut [u8; SYSCTL_SIZE] {
        &mut self.image.0
    }

    /// GET's answer.
    pub fn status(&self) -> LivepatchStatus {
        self.union::<WireGet>().status
    }

    /// LIST's answer apart from the arrays.
    pub fn list(&self, revision: Revision) -> ListReply {
        match revision {
            Revision::V1 => self.union::<WireListV1>().into(),
            Revision::V2 | Revision::V2Sized => self.union::<WireListV2>().into(),
        }
    }

    /// Refuses bytes with which Xen could write where nothing was lent to it.
    ///
    /// `running` is the version of the Xen that gets the bytes, whatever version they state, and
    /// `held` is what it holds at the moment. Only LIST makes Xen write through addresses; the
    /// 136 bytes themselves are the caller's own affair.
    pub fn check_writes(&self, running: SysctlVersion, held: Held) -> Result<(), Refused> {
        let head: SysctlHead = self.at(0);
        if head.interface_version != running.0 {
            return Ok(());
        }
        if head.cmd != XEN_SYSCTL_LIVEPATCH_OP {
            return Err(Refused::OtherSysctl(head.cmd));
        }
        let Some(layout) = Revision::for_version(running) else {
            return Ok(());
        };
        if head.op.cmd != LIVEPATCH_LIST {
            return Ok(());
        }
        for write in self.list_writes(layout.revision, held) {
            // A write that starts in page 0 fails at its first byte.
            let harmless = write.bytes == 0 || write.addr < PAGE_ZERO;
            if !harmless && !self.spans.iter().any(|s| s.covers(write.addr, write.bytes)) {
                return Err(Refused::ListOverrun {
                    field: write.field,
                    addr: write.addr,
                    bytes: write.bytes,
                });
            }
        }
        Ok(())
    }

    fn list_writes(&self, revision: Revision, held: Held) -> [Write; 5] {
        let list = match revision {
            Revision::V1 => {
                let v1: WireListV1 = self.union();
                WireListV2 {
                    nr: v1.nr,
                    status: v1.status,
                    name: v1.name,
                    len: v1.len,
                    ..bytemuck::Zeroable::zeroed()
                }
            }
            Revision::V2 | Revision::V2Sized => self.union(),
        };
        let entries = u64::from(list.nr.min(held.payloads));
        let slots = entries * NAME_SIZE_MAX as u64;
        let (names, metadata) = match revision {
            Revision::V1 => (slots, 0),
            _ if entries == 0 => (0, 0),
            Revision::V2 => (slots.min(held.name_bytes.into()), held.metadata_bytes.into()),
            Revision::V2Sized => (
                slots.min(held.name_bytes.min(list.name_total_size).into()),
                held.metadata_bytes.min(list.metadata_total_size).into(),
            ),
        };
        let lengths = entries * size_of::<u32>() as u64;
        let metadata_lengths = match revision {
            Revision::V1 => 0,
            Revision::V2 | Revision::V2Sized => lengths,
        };
        [
            Write::new("status", list.status, entries * size_of::<LivepatchStatus>() as u64),
            Write::new("name", list.name, names),
            Write::new("len", list.len, lengths),
            Write::new("metadata", list.metadata, metadata),
            Write::new("metadata_len", list.metadata_len, metadata_lengths),
        ]
    }

    fn union<T: AnyBitPattern>(&self) -> T {
        self.at(UNION_OFFSET)
    }

    fn at<T: AnyBitPattern>(&self, offset: usize) -> T {
        pod_read_unaligned(&self.image.0[offset..offset + size_of::<T>()])
    }
}

/// The most that Xen may write through one address.
struct Write {
    field: &'static str,
    addr: u64,
    bytes: u64,
}

impl Write {
    fn new(field: &'static str, addr: u64, bytes: u64) -> Self {
        Self { field, addr, bytes }
    }
}

/// What Xen holds, as a LIST with `nr` 0 tells: it bounds what a LIST can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Number of loaded payloads.
    pub payloads: u32,
    /// Bytes of all names with their NULs; 0 where [`Revision::V1`] does not tell.
    pub name_bytes: u32,
    /// Bytes of all metadata; 0 where [`Revision::V1`] does not tell.
    pub metadata_bytes: u32,
}

impl From<ListReply> for Held {
    fn from(totals: ListReply) -> Self {
        Self {
            payloads: totals.nr,
            name_bytes: totals.name_total_size,
            metadata_bytes: totals.metadata_total_size,
        }
    }
}

/// Why [`Sysctl::check_writes`] says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bytes ask for a sysctl that is not live patching; what it writes is not known here.
    OtherSysctl(u32),
    /// A LIST could write more through an address than was lent there.
    ListOverrun {
        /// The array in question.
        field: &'static str,
        /// Its address.
        addr: u64,
        /// The most that Xen could write there.
        bytes: u64,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSysctl(cmd) => write!(
                f,
                "sysctl {cmd} is not livepatch_op ({XEN_SYSCTL_LIVEPATCH_OP}); it cannot be sent as one"
            ),
            Self::ListOverrun { field, addr, bytes } => write!(
                f,
                "LIST could write {bytes} bytes to `{field}` at {addr:#x}, where less was lent: \
                 pass a larger buffer, or one that ends at an unmapped page"
            ),
        }
    }
}

impl core::error::Error for Refused {}

impl<'a> Call<'a> {
    /// The bytes for Xen. Fields that `revision` lacks are not sent.
    pub fn encode(&self, revision: Revision) -> Sysctl<'a> {
        let mut image = Image([0; SYSCTL_SIZE]);
        let head = SysctlHead {
            cmd: self.cmd,
            interface_version: self.interface_version,
            op: OpHead { cmd: self.sub_op, flags: self.flags },
        };
        put(&mut image.0, 0, &head);
        let mut spans = [Span::default(); 5];
        encode_op(&self.op, revision, &mut spans, &mut image.0[UNION_OFFSET..]);
        Sysctl { image, spans, memory: PhantomData }
    }
}

fn encode_op(op: &Op<'_>, revision: Revision, spans: &mut [Span; 5], union: &mut [u8]) {
    match op {
        Op::Upload(upload) => put(
            union,
            0,
            &WireUpload {
                name: wire_name(upload.name),
                size: upload.size,
                payload: upload.payload.addr(),
            },
        ),
        Op::Get(get) => {
            put(union, 0, &WireGet { name: wire_name(get.name), status: get.status });
        }
        Op::List(list) => {
            *spans =
                [&list.status, &list.name, &list.len, &list.metadata, &list.metadata_len].map(span);
            encode_list(list, revision, union);
        }
        Op::Action(action) => encode_action(action, revision, union),
        Op::Raw(bytes) => union.copy_from_slice(bytes),
    }
}

fn encode_list(list: &List<'_>, revision: Revision, union: &mut [u8]) {
    match revision {
        Revision::V1 => put(
            union,
            0,
            &WireListV1 {
                version: list.version,
                idx: list.idx,
                nr: list.nr,
                pad: list.pad,
                status: list.status.addr(),
                name: list.name.addr(),
                len: list.len.addr(),
            },
        ),
        Revision::V2 | Revision::V2Sized => put(
            union,
            0,
            &WireListV2 {
                version: list.version,
                idx: list.idx,
                nr: list.nr,
                pad: list.pad,
                name_total_size: list.name_total_size,
                metadata_total_size: list.metadata_total_size,
                status: list.status.addr(),
                name: list.name.addr(),
                len: list.len.addr(),
                metadata: list.metadata.addr(),
                metadata_len: list.metadata_len.addr(),
            },
        ),
    }
}

fn encode_action(action: &Action<'_>, revision: Revision, union: &mut [u8]) {
    let name = wire_name(action.name);
    match revision {
        Revision::V1 => {
            put(union, 0, &WireActionV1 { name, cmd: action.cmd, timeout: action.timeout });
        }
        Revision::V2 | Revision::V2Sized => put(
            union,
            0,
            &WireActionV2 {
                name,
                cmd: action.cmd,
                timeout: action.timeout,
                flags: action.flags,
                pad: action.pad,
            },
        ),
    }
}

fn wire_name(name: Name<'_>) -> WireName {
    WireName { name: name.ptr.addr(), size: name.size, pad: name.pad }
}

fn span(out: &Out<'_>) -> Span {
    Span { addr: out.addr(), room: out.room() }
}

fn put<T: NoUninit>(bytes: &mut [u8], offset: usize, value: &T) {
    bytes[offset..offset + size_of::<T>()].copy_from_slice(bytes_of(value));
}
