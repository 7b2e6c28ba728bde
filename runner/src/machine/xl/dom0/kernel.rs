//! From Debian's kernel package to what Xen starts fastest: the plain ELF of the kernel, unpacked
//! here instead of under emulation, and the modules as plain ELF files.

use object::{Object, ObjectSection};

use crate::base::compressed::{self, Behind};

/// No kernel or module is larger when unpacked; what claims more is broken.
const MAX_KERNEL: u64 = 512 * 1024 * 1024;

/// Fields of a bzImage's header (Linux, Documentation/arch/x86/boot.rst).
mod header {
    pub const SETUP_SECTS: usize = 0x1f1;
    pub const MAGIC: usize = 0x202;
    pub const PAYLOAD_OFFSET: usize = 0x248;
    pub const PAYLOAD_LENGTH: usize = 0x24c;
}

/// The vmlinux inside a bzImage.
pub fn vmlinux(image: &[u8]) -> Result<Vec<u8>, String> {
    if image.get(header::MAGIC..header::MAGIC + 4) != Some(b"HdrS") {
        return Err("is no bzImage".into());
    }
    let number = |at: usize| {
        let bytes = image.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes) as usize
    };
    let setup_sectors = usize::from(image[header::SETUP_SECTS]);
    let start = (setup_sectors + 1) * 512 + number(header::PAYLOAD_OFFSET);
    let payload = image
        .get(start..start.saturating_add(number(header::PAYLOAD_LENGTH)))
        .ok_or("is a bzImage that was cut short")?;
    let kernel = unpacked(payload)?;
    if !kernel.starts_with(b"\x7fELF") {
        return Err("holds no ELF file".into());
    }
    Ok(kernel)
}

/// A kernel module as insmod takes it.
pub fn module(file: &[u8]) -> Result<Vec<u8>, String> {
    if file.starts_with(b"\x7fELF") { Ok(file.to_vec()) } else { unpacked(file) }
}

/// The names of the modules that a module needs.
pub fn module_needs(module: &[u8]) -> Result<Vec<String>, String> {
    let elf = object::File::parse(module).map_err(|e| format!("is no ELF file: {e}"))?;
    let section = elf.section_by_name(".modinfo").ok_or("has no .modinfo")?;
    let data = section.data().map_err(|e| format!("has a broken .modinfo: {e}"))?;
    let depends = data
        .split(|&byte| byte == 0)
        .find_map(|word| word.strip_prefix(b"depends="))
        .ok_or("has no `depends=` in its .modinfo")?;
    let names = String::from_utf8_lossy(depends);
    Ok(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, String> {
    // The kernel puts its unpacked size behind the stream.
    compressed::unpacked(packed, Behind::Anything, MAX_KERNEL)?.ok_or_else(|| {
        let start = &packed[..packed.len().min(6)];
        format!("is compressed in an unknown format (it begins with {start:02x?})")
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[header::SETUP_SECTS] = 1;
        image[header::MAGIC..header::MAGIC + 4].copy_from_slice(b"HdrS");
        image[header::PAYLOAD_OFFSET] = 16;
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        image[header::PAYLOAD_LENGTH..header::PAYLOAD_LENGTH + 4].copy_from_slice(&length);
        image.extend([0xee; 16]);
        image.extend(payload);
        image
    }

    #[test]
    fn a_kernel_is_unpacked() {
        const KERNEL: &[u8] = b"\x7fELF kernel";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(KERNEL).unwrap();
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(KERNEL, level);
        for mut payload in [gzip.finish().unwrap(), zstd] {
            payload.extend(11_u32.to_le_bytes());
            assert_eq!(vmlinux(&bzimage(&payload)).unwrap(), KERNEL);
        }
    }

    #[test]
    fn what_is_no_kernel_is_named() {
        let mut short = bzimage(b"\x7fELF");
        short.pop();
        for (image, why) in [
            (b"\x7fELF".to_vec(), "no bzImage"),
            (short, "cut short"),
            (bzimage(b"LZ4 or so"), "unknown format (it begins with [4c, 5a, 34"),
            (bzimage(b"\x1f\x8b\x08"), "damaged"),
            (bzimage(b"\x28\xb5\x2f\xfd"), "damaged"),
        ] {
            assert!(vmlinux(&image).unwrap_err().contains(why), "{why}");
        }
    }
}
