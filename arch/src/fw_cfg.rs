//! Files that QEMU's user hands to the guest (docs/specs/fw_cfg.rst in QEMU's sources).
//!
//! Their contents are no part of a machine's saved state: a machine that goes on from one reads
//! what its new QEMU was given.

use crate::boot::boot;
use crate::port;

const SIGNATURE: u16 = 0;
const DIRECTORY: u16 = 0x19;
/// An entry of the directory: size and item, big-endian, two bytes of nothing, the name.
const ENTRY: usize = 64;
const NAME_AT: usize = 8;

/// The device. As long as there is one, the guest has access to I/O ports.
#[derive(Debug)]
pub struct Device(());

/// A file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    item: u16,
    size: usize,
}

impl Device {
    /// The device; `None` where there is none. For a control domain: nobody else gets at it.
    pub fn open() -> Option<Device> {
        set_access(true);
        let device = Device(());
        let mut word = [0; 4];
        port::fw_cfg_select(SIGNATURE);
        port::fw_cfg_read(&mut word);
        (word == *b"QEMU").then_some(device)
    }

    /// Finds the file `name`.
    pub fn find(&self, name: &str) -> Option<File> {
        let mut word = [0; 4];
        port::fw_cfg_select(DIRECTORY);
        port::fw_cfg_read(&mut word);
        (0..u32::from_be_bytes(word)).find_map(|_| {
            let mut entry = [0; ENTRY];
            port::fw_cfg_read(&mut entry);
            let (size, rest) = entry.split_first_chunk()?;
            let (item, _) = rest.split_first_chunk()?;
            let after = entry[NAME_AT..].strip_prefix(name.as_bytes())?;
            (after.first() == Some(&0)).then(|| File {
                item: u16::from_be_bytes(*item),
                size: u32::from_be_bytes(*size) as usize,
            })
        })
    }

    /// Reads `file` from its beginning, as much as there is and as fits; returns that part of
    /// `buffer`.
    pub fn read<'b>(&self, file: File, buffer: &'b mut [u8]) -> &'b [u8] {
        let len = file.size.min(buffer.len());
        port::fw_cfg_select(file.item);
        port::fw_cfg_read(&mut buffer[..len]);
        &buffer[..len]
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        set_access(false);
    }
}

fn set_access(allow: bool) {
    boot().platform.allow_ports(allow);
}
