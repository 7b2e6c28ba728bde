//! What LIST writes back.

use super::consts::NAME_SIZE_MAX;
use super::version::Revision;
use super::wire::{WireListV1, WireListV2};

/// LIST's structure after the call. On most errors Xen leaves it as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListReply {
    /// Counter of changes to the list.
    pub version: u32,
    /// As the caller set it.
    pub idx: u32,
    /// Payloads that remain after this call; with `nr` 0 asked for, all of them.
    pub nr: u32,
    /// As the caller set it.
    pub pad: u32,
    /// Bytes of names copied; with `nr` 0 asked for, of all names. 0 in [`Revision::V1`].
    pub name_total_size: u32,
    /// Bytes of metadata copied, likewise.
    pub metadata_total_size: u32,
}

impl From<WireListV1> for ListReply {
    fn from(wire: WireListV1) -> Self {
        Self {
            version: wire.version,
            idx: wire.idx,
            nr: wire.nr,
            pad: wire.pad,
            name_total_size: 0,
            metadata_total_size: 0,
        }
    }
}

impl From<WireListV2> for ListReply {
    fn from(wire: WireListV2) -> Self {
        Self {
            version: wire.version,
            idx: wire.idx,
            nr: wire.nr,
            pad: wire.pad,
            name_total_size: wire.name_total_size,
            metadata_total_size: wire.metadata_total_size,
        }
    }
}

/// The names in LIST's name array, one per length; `None` where a length leads out of it.
pub fn names<'b>(
    revision: Revision,
    buffer: &'b [u8],
    lengths: &'b [u32],
) -> impl Iterator<Item = Option<&'b [u8]>> {
    let slot = match revision {
        Revision::V1 => Some(NAME_SIZE_MAX),
        Revision::V2 | Revision::V2Sized => None,
    };
    entries(buffer, lengths, slot)
}

/// The items of a packed array, such as LIST's metadata; `None` where a length leads out of it.
pub fn packed<'b>(buffer: &'b [u8], lengths: &'b [u32]) -> impl Iterator<Item = Option<&'b [u8]>> {
    entries(buffer, lengths, None)
}

fn entries<'b>(
    buffer: &'b [u8],
    lengths: &'b [u32],
    slot: Option<usize>,
) -> impl Iterator<Item = Option<&'b [u8]>> {
    lengths.iter().scan(0usize, move |start, &length| {
        let length = length as usize;
        let item = start
            .checked_add(length)
            .filter(|_| slot.is_none_or(|slot| length <= slot))
            .and_then(|end| buffer.get(*start..end));
        *start = start.saturating_add(slot.unwrap_or(length));
        Some(item)
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn packed_names_follow_one_another() {
        let got: Vec<_> = names(Revision::V2, b"a\0bcd\0\0", &[2, 4, 1]).collect();
        assert_eq!(got, [Some(&b"a\0"[..]), Some(b"bcd\0"), Some(b"\0")]);
    }

    #[test]
    fn old_names_lie_in_slots() {
        let mut buffer = [0xAA; 256];
        buffer[..2].copy_from_slice(b"a\0");
        buffer[128..131].copy_from_slice(b"bc\0");
        let got: Vec<_> = names(Revision::V1, &buffer, &[2, 3]).collect();
        assert_eq!(got, [Some(&b"a\0"[..]), Some(b"bc\0")]);
    }

    #[test]
    fn a_length_that_leads_out_is_none() {
        let got: Vec<_> = packed(b"abc", &[2, 2, u32::MAX]).collect();
        assert_eq!(got, [Some(&b"ab"[..]), None, None]);
        let slots: Vec<_> = names(Revision::V1, &[0; 256], &[129]).collect();
        assert_eq!(slots, [None]);
    }
}
