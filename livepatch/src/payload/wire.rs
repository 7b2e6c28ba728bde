//! The structures inside of a payload, as they lie in the file.
//!
//! The ELF ones follow the System V ABI (64-bit, little-endian); field names are the customary
//! ones. The livepatch ones are `struct livepatch_func` and `struct livepatch_expectation` of
//! `xen/include/public/sysctl.h`. The comments on what Xen wants are from `livepatch_header_check`
//! and its neighbours in `xen/common/livepatch_elf.c`.

use core::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use crate::abi::Revision;

/// Section type: none; the first header always has it.
pub const SHT_NULL: u32 = 0;
/// Section type: contents that only the program understands.
pub const SHT_PROGBITS: u32 = 1;
/// Section type: symbols.
pub const SHT_SYMTAB: u32 = 2;
/// Section type: NUL-terminated strings.
pub const SHT_STRTAB: u32 = 3;
/// Section type: relocations with addends, the only kind that Xen takes on x86.
pub const SHT_RELA: u32 = 4;
/// Section type: notes.
pub const SHT_NOTE: u32 = 7;
/// Section type: zeroes that take no room in the file.
pub const SHT_NOBITS: u32 = 8;
/// Section type: relocations without addends; Xen refuses them (EOPNOTSUPP).
pub const SHT_REL: u32 = 9;

/// Section flag: writable.
pub const SHF_WRITE: u64 = 1;
/// Section flag: loaded. Xen ignores the contents of sections without it.
pub const SHF_ALLOC: u64 = 2;
/// Section flag: executable. Together with [`SHF_WRITE`] it is refused (EOPNOTSUPP).
pub const SHF_EXECINSTR: u64 = 4;

/// Section index of a symbol: not defined here, Xen looks the name up.
pub const SHN_UNDEF: u16 = 0;
/// The first section index with a special meaning; Xen knows only the two below, and refuses the
/// others (EOPNOTSUPP).
pub const SHN_LORESERVE: u16 = 0xFF00;
/// Section index of a symbol: its value is an absolute address.
pub const SHN_ABS: u16 = 0xFFF1;
/// Section index of a symbol: a common block; Xen refuses it (EINVAL).
pub const SHN_COMMON: u16 = 0xFFF2;

/// Symbol binding: seen in this file alone. Xen's duplicate check counts such symbols, too.
pub const STB_LOCAL: u8 = 0;
/// Symbol binding: seen everywhere.
pub const STB_GLOBAL: u8 = 1;
/// Symbol type: not stated.
pub const STT_NOTYPE: u8 = 0;
/// Symbol type: data.
pub const STT_OBJECT: u8 = 1;
/// Symbol type: code.
pub const STT_FUNC: u8 = 2;
/// Symbol type: stands for a section.
pub const STT_SECTION: u8 = 3;

/// Relocation: none.
pub const R_X86_64_NONE: u32 = 0;
/// Relocation: 8 bytes, symbol + addend.
pub const R_X86_64_64: u32 = 1;
/// Relocation: 4 bytes, symbol + addend - place; EOVERFLOW if it does not fit.
pub const R_X86_64_PC32: u32 = 2;
/// Relocation: as [`R_X86_64_PC32`] for Xen, used for jumps and calls.
pub const R_X86_64_PLT32: u32 = 4;
/// Relocation: 4 bytes, symbol + addend; Xen refuses it (EOPNOTSUPP).
pub const R_X86_64_32: u32 = 10;

/// File type of a relocatable object, the only one that Xen takes.
pub const ET_REL: u16 = 1;
/// Machine type of x86-64.
pub const EM_X86_64: u16 = 62;

/// The ELF header, at the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Ehdr {
    /// Magic, class, byte order, version, OS ABI, ABI version, padding.
    pub e_ident: [u8; 16],
    /// File type.
    pub e_type: u16,
    /// Machine type.
    pub e_machine: u16,
    /// File version, 1.
    pub e_version: u32,
    /// Entry address; Xen does not look at it.
    pub e_entry: u64,
    /// File offset of program headers; Xen does not look at it.
    pub e_phoff: u64,
    /// File offset of the section headers.
    pub e_shoff: u64,
    /// Machine flags; Xen does not look at them.
    pub e_flags: u32,
    /// Bytes of this header; Xen does not look at it.
    pub e_ehsize: u16,
    /// Bytes of one program header; Xen does not look at it.
    pub e_phentsize: u16,
    /// Number of program headers, 0.
    pub e_phnum: u16,
    /// Bytes from one section header to the next; Xen wants at least 64.
    pub e_shentsize: u16,
    /// Number of section headers; Xen wants fewer than 1024.
    pub e_shnum: u16,
    /// Index of the section that holds the section names.
    pub e_shstrndx: u16,
}
const _: () = assert!(size_of::<Ehdr>() == 64 && offset_of!(Ehdr, e_shstrndx) == 62);

impl Ehdr {
    /// The header of an x86-64 object without any section.
    pub const OBJECT: Self = Self {
        e_ident: [0x7F, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        e_type: ET_REL,
        e_machine: EM_X86_64,
        e_version: 1,
        e_entry: 0,
        e_phoff: 0,
        e_shoff: 0,
        e_flags: 0,
        e_ehsize: size_of::<Self>() as u16,
        e_phentsize: 0,
        e_phnum: 0,
        e_shentsize: size_of::<Shdr>() as u16,
        e_shnum: 0,
        e_shstrndx: 0,
    };
}

/// One section header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Shdr {
    /// Offset of the name in the section name strings.
    pub sh_name: u32,
    /// `SHT_*`.
    pub sh_type: u32,
    /// `SHF_*`.
    pub sh_flags: u64,
    /// Address; 0 in an object, and otherwise a multiple of the alignment.
    pub sh_addr: u64,
    /// File offset of the contents; Xen wants at least 64, whatever the type.
    pub sh_offset: u64,
    /// Bytes of the contents.
    pub sh_size: u64,
    /// Symbols: index of their strings. Relocations: index of the symbols.
    pub sh_link: u32,
    /// Symbols: index of the first one that is not local. Relocations: index of their target.
    pub sh_info: u32,
    /// Alignment in bytes, a power of two.
    pub sh_addralign: u64,
    /// Bytes of one entry, for tables.
    pub sh_entsize: u64,
}
const _: () = assert!(size_of::<Shdr>() == 64 && offset_of!(Shdr, sh_entsize) == 56);

/// One symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Sym {
    /// Offset of the name in the strings.
    pub st_name: u32,
    /// Binding in the upper four bits, type in the lower four.
    pub st_info: u8,
    /// Visibility.
    pub st_other: u8,
    /// Index of the section that defines it, or one of `SHN_*`.
    pub st_shndx: u16,
    /// Offset in that section.
    pub st_value: u64,
    /// Bytes of what it names.
    pub st_size: u64,
}
const _: () = assert!(size_of::<Sym>() == 24 && offset_of!(Sym, st_size) == 16);

impl Sym {
    /// `st_info` for a binding (`STB_*`) and a type (`STT_*`).
    pub const fn info(binding: u8, kind: u8) -> u8 {
        binding << 4 | kind & 0xF
    }

    /// The binding, `STB_*`.
    pub const fn binding(&self) -> u8 {
        self.st_info >> 4
    }

    /// The type, `STT_*`.
    pub const fn kind(&self) -> u8 {
        self.st_info & 0xF
    }
}

/// One relocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Rela {
    /// Offset of the place in the target section.
    pub r_offset: u64,
    /// Symbol index in the upper 32 bits, `R_X86_64_*` in the lower.
    pub r_info: u64,
    /// Added to the symbol's value.
    pub r_addend: i64,
}
const _: () = assert!(size_of::<Rela>() == 24 && offset_of!(Rela, r_addend) == 16);

impl Rela {
    /// The index of the symbol.
    pub const fn symbol(&self) -> u32 {
        (self.r_info >> 32) as u32
    }

    /// The type, `R_X86_64_*`.
    pub const fn kind(&self) -> u32 {
        self.r_info as u32
    }

    /// Replaces the index of the symbol.
    pub const fn set_symbol(&mut self, index: u32) {
        self.r_info = (index as u64) << 32 | self.r_info & 0xFFFF_FFFF;
    }

    /// Replaces the type, `R_X86_64_*`.
    pub const fn set_kind(&mut self, kind: u32) {
        self.r_info = self.r_info & !0xFFFF_FFFF | kind as u64;
    }
}

/// `struct livepatch_expectation` (4.14+): bytes that must be at `old_addr` when applying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Expectation {
    /// Bit 0: enabled; bits 1 to 5: number of bytes to compare; bits 6 and 7: must be 0.
    pub head: u8,
    /// The bytes.
    pub data: [u8; 31],
}
const _: () = assert!(size_of::<Expectation>() == 32);

impl Expectation {
    /// Nothing is expected.
    pub const NONE: Self = Self { head: 0, data: [0; 31] };

    /// Expects `bytes`.
    ///
    /// # Panics
    /// If there are more than 31, which no field could hold.
    pub fn of(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= 31, "an expectation holds at most 31 bytes");
        let mut data = [0; 31];
        data[..bytes.len()].copy_from_slice(bytes);
        Self { head: Self::head(true, bytes.len() as u8, 0), data }
    }

    /// The first byte from its parts; of `len` five bits count, of `reserved` two.
    pub const fn head(enabled: bool, len: u8, reserved: u8) -> u8 {
        enabled as u8 | (len & 0x1F) << 1 | reserved << 6
    }
}

/// `struct livepatch_func`: one function to replace, an element of `.livepatch.funcs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Func {
    /// Address of the name, or 0.
    pub name: u64,
    /// Address of the replacement; 0 overwrites the function with NOPs.
    pub new_addr: u64,
    /// Address of the function to replace; 0 lets Xen look up the name.
    pub old_addr: u64,
    /// Bytes of the replacement, or of NOPs.
    pub new_size: u32,
    /// Bytes of the function to replace.
    pub old_size: u32,
    /// `LIVEPATCH_PAYLOAD_VERSION`: 1 in 4.8 to 4.13, 2 since.
    pub version: u8,
    /// Must be 0: releases before 4.17.3 and 4.18.1 keep their own state here. The last 8 bytes
    /// exist only in version 2.
    pub pad: [u8; 39],
    /// What has to be at `old_addr` (version 2 only).
    pub expectation: Expectation,
}
const _: () = assert!(
    size_of::<Func>() == 104
        && offset_of!(Func, name) == 0
        && offset_of!(Func, new_addr) == 8
        && offset_of!(Func, old_addr) == 16
        && offset_of!(Func, new_size) == 24
        && offset_of!(Func, old_size) == 28
        && offset_of!(Func, version) == 32
        && offset_of!(Func, pad) == 33
        && offset_of!(Func, expectation) == 72
);

/// Which `struct livepatch_func` a Xen takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuncVersion {
    /// Xen 4.8 to 4.13: 64 bytes, without an expectation.
    V1,
    /// Xen 4.14 and later: 104 bytes.
    V2,
}

impl FuncVersion {
    /// Bytes of one [`Func`] in the file.
    pub const fn size(self) -> usize {
        match self {
            Self::V1 => 64,
            Self::V2 => 104,
        }
    }

    /// The number in [`Func::version`].
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

impl From<Revision> for FuncVersion {
    fn from(revision: Revision) -> Self {
        match revision {
            Revision::V1 => Self::V1,
            Revision::V2 | Revision::V2Sized => Self::V2,
        }
    }
}
