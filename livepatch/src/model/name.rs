//! Names of payloads, as Xen reads them.

use alloc::vec::Vec;

use super::prediction::FILL;
use crate::Errno;
use crate::abi::NAME_SIZE_MAX;
use crate::program::{NameArg, Source};

/// What becomes of a name: its bytes up to the first NUL, or an error.
pub(super) fn get_name(name: &NameArg) -> Result<Vec<u8>, Errno> {
    let size = usize::from(name.stated_size());
    if size == 0 || size > NAME_SIZE_MAX || name.pad != [0; 3] {
        return Err(Errno::EINVAL);
    }
    let mut bytes = match name.at {
        Source::Ample => name.bytes.clone(),
        // These end where the mapped world ends.
        Source::Tight | Source::ReadOnly if size <= name.bytes.len() => name.bytes.clone(),
        _ => return Err(Errno::EFAULT),
    };
    bytes.resize(size, FILL);
    if bytes.last() != Some(&0) {
        return Err(Errno::EINVAL);
    }
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.truncate(end.unwrap_or(size));
    Ok(bytes)
}
