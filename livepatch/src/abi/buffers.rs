//! The arrays that LIST fills.

use alloc::vec;
use alloc::vec::Vec;

use super::call::List;
use super::consts::NAME_SIZE_MAX;
use super::guest::Out;
use super::reply::{names, packed};
use super::version::Revision;
use super::wire::LivepatchStatus;

/// Room for what LIST writes about some payloads.
///
/// ```
/// use xtf_livepatch::abi::{Call, List, ListBuffers, SysctlVersion};
///
/// let mut buffers = ListBuffers::new(4, 64, 0);
/// // A correct call, and one that understates a size.
/// let call = Call::list(SysctlVersion(0x15), buffers.list(0, 4));
/// # drop(call);
/// let call = Call::list(SysctlVersion(0x15), List { name_total_size: 1, ..buffers.list(0, 4) });
/// # drop(call);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListBuffers {
    /// A status for each payload.
    pub status: Vec<LivepatchStatus>,
    /// Their names, 128 bytes for each.
    pub names: Vec<u8>,
    /// The length of each name, its NUL included.
    pub lengths: Vec<u32>,
    /// Their metadata.
    pub metadata: Vec<u8>,
    /// The length of each payload's metadata.
    pub metadata_lengths: Vec<u32>,
}

impl ListBuffers {
    /// Room for `entries` payloads and `metadata` bytes, all of it filled with the byte `fill`.
    pub fn new(entries: usize, metadata: usize, fill: u8) -> Self {
        let word = u32::from_le_bytes([fill; 4]);
        Self {
            status: vec![LivepatchStatus { state: word, rc: word.cast_signed() }; entries],
            names: vec![fill; entries * NAME_SIZE_MAX],
            lengths: vec![word; entries],
            metadata: vec![fill; metadata],
            metadata_lengths: vec![word; entries],
        }
    }

    /// LIST of `nr` payloads from `idx` on into these arrays, stating their sizes. `nr` may exceed
    /// them where Xen has fewer payloads than there is room for.
    pub fn list(&mut self, idx: u32, nr: u32) -> List<'_> {
        List {
            idx,
            nr,
            name_total_size: self.names.len() as u32,
            metadata_total_size: self.metadata.len() as u32,
            status: Out::from_slice(&mut self.status),
            name: Out::from_slice(&mut self.names),
            len: Out::from_slice(&mut self.lengths),
            metadata: Out::from_slice(&mut self.metadata),
            metadata_len: Out::from_slice(&mut self.metadata_lengths),
            ..List::EMPTY
        }
    }

    /// The names, as [`names`] finds them.
    pub fn each_name(&self, revision: Revision) -> impl Iterator<Item = Option<&[u8]>> {
        names(revision, &self.names, &self.lengths)
    }

    /// The metadata, as [`packed`] finds it.
    pub fn each_metadata(&self) -> impl Iterator<Item = Option<&[u8]>> {
        packed(&self.metadata, &self.metadata_lengths)
    }
}
