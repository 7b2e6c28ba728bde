//! `XEN_SYSCTL_readconsole` (xen/include/public/sysctl.h): what Xen has said since it booted,
//! including the lines from before it had a serial port.
//!
//! Xen keeps it in a ring of `conring_size` bytes, at least 16 KiB, and overwrites the oldest ones
//! (`conring_puts` in xen/drivers/char/console.c). What a control domain writes to Xen's console
//! goes there only with `console_to_ring` on Xen's command line.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::offset_of;

use arch::hypercall::{hypercall, nr};
use livepatch::abi::{SYSCTL_SIZE, SysctlVersion};

use crate::{Answer, Errno};

const XEN_SYSCTL_READCONSOLE: u32 = 1;

/// The sysctl; the same in every interface version since Xen 4.0.
#[repr(C, align(8))]
struct ReadConsole {
    cmd: u32,
    interface_version: u32,
    clear: u8,
    /// Whether `index` counts.
    incremental: u8,
    pad: [u8; 2],
    /// In: the first byte that is wanted. Out: the one behind the last byte that was written.
    index: u32,
    buffer: u64,
    /// In: the size of the buffer. Out: bytes written to it.
    count: u32,
    rest: [u32; 27],
}

const _: () = assert!(
    size_of::<ReadConsole>() == SYSCTL_SIZE
        && offset_of!(ReadConsole, index) == 12
        && offset_of!(ReadConsole, buffer) == 16
        && offset_of!(ReadConsole, count) == 24
);

/// A place in what Xen says: how many bytes it had said before, modulo 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u32);

/// A part of the ring.
struct Part {
    bytes: Vec<u8>,
    begin: Place,
    end: Place,
}

/// The oldest `max` bytes that Xen's ring still holds. They stay there.
///
/// # Errors
/// EPERM for all but the control domain.
pub fn read(running: SysctlVersion, max: usize) -> Result<String, Errno> {
    let part = part(running, None, max)?;
    Ok(String::from_utf8_lossy(&part.bytes).into_owned())
}

/// All that Xen's ring holds, and where its end is.
///
/// # Errors
/// As for [`read`]; E2BIG if the ring has more than [`LARGEST`] bytes.
pub fn read_all(running: SysctlVersion) -> Result<(Vec<u8>, Place), Errno> {
    let Part { bytes, end, .. } = all_from(running, None)?;
    Ok((bytes, end))
}

/// What Xen has said since `place`, or `None` if its ring does not hold all of that any more.
///
/// # Errors
/// As for [`read_all`].
pub fn read_since(running: SysctlVersion, place: Place) -> Result<Option<Vec<u8>>, Errno> {
    let Part { bytes, begin, .. } = all_from(running, Some(place))?;
    Ok((begin == place).then_some(bytes))
}

/// How many bytes of a ring are read at most.
pub const LARGEST: usize = 4 << 20;
/// How many bytes one call asks for: a ring of the usual size.
const STEP: usize = 32 << 10;

fn all_from(running: SysctlVersion, place: Option<Place>) -> Result<Part, Errno> {
    let mut all = part(running, place, STEP)?;
    // Whoever gets less than he asked for has come to the end.
    let mut whole = all.bytes.len() < STEP;
    while !whole {
        let next = part(running, Some(all.end), STEP)?;
        whole = next.bytes.len() < STEP;
        all.bytes.extend(next.bytes);
        all.end = next.end;
        if all.bytes.len() > LARGEST {
            return Err(Errno::E2BIG);
        }
    }
    Ok(all)
}

/// At most `max` bytes from `place` on, or from the oldest byte if the ring does not hold that
/// place.
fn part(running: SysctlVersion, place: Option<Place>, max: usize) -> Result<Part, Errno> {
    let mut bytes = vec![0u8; max];
    let mut call = ReadConsole {
        cmd: XEN_SYSCTL_READCONSOLE,
        interface_version: running.0,
        clear: 0,
        incremental: place.is_some().into(),
        pad: [0; 2],
        index: place.map_or(0, |place| place.0),
        buffer: bytes.as_mut_ptr().expose_provenance() as u64,
        count: max as u32,
        rest: [0; 27],
    };
    let buffer = (&raw mut call).expose_provenance() as u64;
    // SAFETY: Xen writes the 136 bytes of `call` and at most `count` bytes of `bytes`.
    Answer(unsafe { hypercall(nr::SYSCTL, [buffer, 0, 0, 0, 0]) }).result()?;
    bytes.truncate(call.count as usize);
    let begin = Place(call.index.wrapping_sub(call.count));
    Ok(Part { bytes, begin, end: Place(call.index) })
}
