//! The forms of Xen's file: which of them a loader takes, and what is looked at before it gets it.

use memchr::memmem;
use object::LittleEndian;
use object::elf::{ELFMAG, ET_EXEC, FileHeader32};
use object::pe::{IMAGE_FILE_MACHINE_AMD64, IMAGE_SUBSYSTEM_EFI_APPLICATION};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile64};

use crate::base::compressed::{self, Behind};
use crate::plan::loader::Loader;
use crate::plan::xens::EFI_MAGIC;

/// No Xen is larger when unpacked, and no xen-syms; what claims more is broken.
pub const MAX_XEN: u64 = 256 * 1024 * 1024;
/// What every Xen has in it: the beginning of its console's lines.
const XEN_SAYS: &[u8] = b"(XEN) ";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A 32-bit ELF file with a multiboot header.
    Elf,
    /// An EFI application.
    Efi,
}

impl Form {
    /// What `loader` takes.
    pub fn of(loader: Loader) -> Form {
        if loader.takes_efi() { Form::Efi } else { Form::Elf }
    }

    /// The cache's name for this form of what has the name `key`.
    pub fn key(self, key: &str) -> String {
        match self {
            Form::Elf => key.to_owned(),
            Form::Efi => format!("efi-{key}"),
        }
    }

    /// Whether `bytes` are to be taken as they are.
    pub fn is_plain(self, bytes: &[u8]) -> bool {
        match self {
            Form::Elf => bytes.starts_with(&ELFMAG),
            Form::Efi => bytes.starts_with(EFI_MAGIC),
        }
    }

    /// What the loader takes, out of `bytes`.
    pub fn unpack(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let bytes = match self {
            Form::Elf => compressed::unpacked(bytes, Behind::Streams, MAX_XEN)?,
            Form::Efi => None,
        }
        .unwrap_or_else(|| bytes.to_vec());
        self.check(&bytes)?;
        Ok(bytes)
    }

    /// Whether the loader takes `bytes`, and if not, why.
    pub fn check(self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Form::Elf => check_elf(bytes),
            Form::Efi => check_efi(bytes),
        }
    }
}

/// QEMU's `-kernel` boots a 32-bit ELF with a multiboot header in its first 8 KiB.
fn check_elf(bytes: &[u8]) -> Result<(), String> {
    const MULTIBOOT: [u8; 4] = 0x1bad_b002_u32.to_le_bytes();
    if bytes.starts_with(EFI_MAGIC) {
        return Err("is an EFI or Linux image; name the xen or xen.gz instead, or have firmware \
                    boot a xen.efi with --loader efi"
            .into());
    }
    if !bytes.starts_with(&ELFMAG) {
        return Err(
            "is neither an ELF file, nor a compressed one, nor a package (.deb, .rpm, .apk)".into(),
        );
    }
    if bytes.get(4) != Some(&1) {
        return Err(
            "is a 64-bit ELF file, which QEMU cannot boot (is it xen-syms?); name the xen or xen.gz"
                .into(),
        );
    }
    let head = &bytes[..bytes.len().min(8192)];
    if !head.chunks_exact(4).any(|word| word == MULTIBOOT) {
        return Err("is an ELF file without a multiboot header, so it is not Xen".into());
    }
    if is_cut(bytes) {
        return Err("is an ELF file that was cut short".into());
    }
    Ok(())
}

/// Whether the ELF file says that it has more than `bytes`.
fn is_cut(bytes: &[u8]) -> bool {
    let Ok(header) = FileHeader32::<LittleEndian>::parse(bytes) else { return false };
    if header.e_type(LittleEndian) != ET_EXEC {
        return false;
    }
    let Ok(segments) = header.program_headers(LittleEndian, bytes) else { return true };
    segments.iter().any(|segment| segment.data(LittleEndian, bytes).is_err())
}

/// UEFI boots an EFI application for its CPU; others than Xen are none of ours.
fn check_efi(bytes: &[u8]) -> Result<(), String> {
    if !bytes.starts_with(EFI_MAGIC) {
        return Err(
            "is no EFI application; name the xen.efi, or boot this Xen with another --loader"
                .into(),
        );
    }
    let damaged = |e| format!("is no whole EFI application: {e}");
    let file = PeFile64::parse(bytes).map_err(damaged)?;
    let headers = file.nt_headers();
    let machine = headers.file_header().machine.get(LittleEndian);
    if machine != IMAGE_FILE_MACHINE_AMD64
        || headers.optional_header().subsystem() != IMAGE_SUBSYSTEM_EFI_APPLICATION
        || memmem::find(bytes, XEN_SAYS).is_none()
    {
        return Err("is no Xen for x86-64 with a loader for EFI (is it Linux?)".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The least that passes for a Xen.
    fn fake_xen() -> Vec<u8> {
        let mut elf = b"\x7fELF\x01\x01\x01\0".to_vec();
        elf.extend(0x1bad_b002_u32.to_le_bytes());
        elf
    }

    #[test]
    fn gzip_is_unpacked() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&fake_xen()).unwrap();
        let mut gz = gz.finish().unwrap();
        assert_eq!(Form::Elf.unpack(&gz), Ok(fake_xen()));
        gz.truncate(gz.len() - 9);
        assert!(Form::Elf.unpack(&gz).unwrap_err().contains("damaged"));
    }

    #[test]
    fn what_is_no_xen_is_named() {
        let mut elf64 = fake_xen();
        elf64[4] = 2;
        for (bytes, why) in [
            (b"MZ..".to_vec(), "EFI"),
            (b"hello".to_vec(), "neither"),
            (Vec::new(), "neither"),
            (elf64, "xen-syms"),
            (fake_xen()[..8].to_vec(), "multiboot"),
        ] {
            assert!(Form::Elf.unpack(&bytes).unwrap_err().contains(why), "{why}");
        }
    }

    /// With a segment of 100 bytes, which the file has or has not.
    #[test]
    fn an_elf_file_that_was_cut_is_named() {
        let mut elf = fake_xen();
        elf.resize(52 + 32 + 100, 0);
        let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &ET_EXEC.0.to_le_bytes());
        put(28, &52_u32.to_le_bytes());
        put(42, &32_u16.to_le_bytes());
        put(44, &1_u16.to_le_bytes());
        put(52 + 4, &(52_u32 + 32).to_le_bytes());
        put(52 + 16, &100_u32.to_le_bytes());
        assert_eq!(Form::Elf.unpack(&elf), Ok(elf.clone()));
        for size in [elf.len() - 1, 60] {
            assert!(Form::Elf.unpack(&elf[..size]).unwrap_err().contains("cut short"));
        }
    }

    #[test]
    fn what_is_no_efi_application_is_named() {
        let good = efi_application(0x8664, 10, "(XEN) ");
        assert_eq!(Form::Efi.unpack(&good), Ok(good.clone()));
        for (bytes, why) in [
            (fake_xen(), "another --loader"),
            (good[..0x50].to_vec(), "no whole EFI application"),
            (efi_application(0xaa64, 10, "(XEN) "), "no Xen for x86-64"),
            (efi_application(0x8664, 3, "(XEN) "), "no Xen for x86-64"),
            (efi_application(0x8664, 10, "Linux"), "is it Linux?"),
        ] {
            assert!(Form::Efi.unpack(&bytes).unwrap_err().contains(why), "{why}");
        }
    }

    /// An EFI application that has nothing but its headers and `text`.
    fn efi_application(machine: u16, subsystem: u16, text: &str) -> Vec<u8> {
        let mut pe = vec![0; 0x40 + 24 + 240];
        pe[..2].copy_from_slice(EFI_MAGIC);
        let mut put = |at: usize, bytes: &[u8]| pe[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x3c, &0x40_u32.to_le_bytes());
        put(0x40, b"PE\0\0");
        put(0x44, &machine.to_le_bytes());
        // The optional header's size and magic, and the number of data directories.
        put(0x40 + 20, &240_u16.to_le_bytes());
        put(0x40 + 24, &0x20b_u16.to_le_bytes());
        put(0x40 + 24 + 68, &subsystem.to_le_bytes());
        put(0x40 + 24 + 108, &16_u32.to_le_bytes());
        pe.extend(text.as_bytes());
        pe
    }
}
