//! `xen_version` (xen/include/public/version.h).

use alloc::string::String;
use alloc::vec::Vec;

use arch::hypercall::{hypercall, nr};
use livepatch::abi::Out;

use crate::{Answer, Errno};

/// `XENVER_*` sub-ops that fill a fixed-size string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text {
    /// What follows major and minor, such as `.7` (`XENVER_extraversion`).
    Extraversion,
    /// The kinds of guest supported (`XENVER_capabilities`).
    Capabilities,
    /// The source revision (`XENVER_changeset`).
    Changeset,
    /// Its own command line (`XENVER_commandline`); another text for the unprivileged.
    CommandLine,
}

impl Text {
    /// The sub-op, and the size that Xen writes, in bytes.
    const fn parameters(self) -> (u64, usize) {
        match self {
            Self::Extraversion => (1, 16),
            Self::Capabilities => (3, 1024),
            Self::Changeset => (4, 64),
            Self::CommandLine => (9, 1024),
        }
    }
}

const XENVER_VERSION: u64 = 0;
const XENVER_BUILD_ID: u64 = 10;

/// Major and minor version (`XENVER_version`), as every guest may ask.
pub fn version() -> (u16, u16) {
    // SAFETY: takes no argument and touches no memory.
    let packed = unsafe { hypercall(nr::XEN_VERSION, [XENVER_VERSION, 0, 0, 0, 0]) };
    ((packed >> 16) as u16, packed as u16)
}

/// One of Xen's strings, up to its NUL.
///
/// # Errors
/// What Xen answers, which for its strings is only ever about the caller's privilege.
pub fn text(which: Text) -> Result<String, Errno> {
    let (command, size) = which.parameters();
    let mut buffer = alloc::vec![0u8; size];
    // SAFETY: Xen writes at most `size` bytes, the fixed size of this sub-op's array.
    Answer(unsafe { hypercall(nr::XEN_VERSION, [command, buffer.as_mut_ptr() as u64, 0, 0, 0]) })
        .result()?;
    let end = buffer.iter().position(|&byte| byte == 0).unwrap_or(buffer.len());
    buffer.truncate(end);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// `XENVER_extraversion`, for its answer, with a buffer that may be anywhere: Xen writes 16 bytes.
///
/// # Panics
/// Where less was lent: a mistake in the test.
pub fn extraversion_to(buffer: &mut Out<'_>) -> Answer {
    let (command, size) = Text::Extraversion.parameters();
    assert!(buffer.room() >= size as u64, "a buffer that is too small and ends in memory");
    // SAFETY: Xen writes `size` bytes, which were lent, or less where there is no memory.
    Answer(unsafe { hypercall(nr::XEN_VERSION, [command, buffer.addr(), 0, 0, 0]) })
}

/// Xen's build-id (`XENVER_build_id`): the contents of its GNU build-id note.
///
/// # Errors
/// EPERM for an unprivileged domain, ENODATA where Xen was linked without one.
pub fn build_id() -> Result<Vec<u8>, Errno> {
    // SAFETY: with no buffer Xen only returns the length.
    let len =
        Answer(unsafe { hypercall(nr::XEN_VERSION, [XENVER_BUILD_ID, 0, 0, 0, 0]) }).result()?;
    // `struct xen_build_id`: the length of the buffer, then the buffer.
    let header = size_of::<u32>();
    let mut buffer = alloc::vec![0u32; 1 + (len as usize).div_ceil(header)];
    buffer[0] = len as u32;
    // SAFETY: Xen writes at most the length that it finds in the first word, behind it.
    let written = Answer(unsafe {
        hypercall(nr::XEN_VERSION, [XENVER_BUILD_ID, buffer.as_mut_ptr() as u64, 0, 0, 0])
    })
    .result()? as usize;
    let bytes = buffer[1..].iter().flat_map(|word| word.to_le_bytes());
    Ok(bytes.take(written).collect())
}
