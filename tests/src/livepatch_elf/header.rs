//! The ELF header: `livepatch_header_check` and `arch_livepatch_verify_elf`, in their order, the
//! same since 4.8.

use alloc::vec::Vec;

use kernel::{Case, Context, Errno, Outcome, Stop};
use livepatch::abi::SECTION_COUNT_LIMIT;
use livepatch::payload::wire::{Ehdr, SHT_PROGBITS, SHT_STRTAB, Shdr};
use livepatch::payload::{Data, Elf, Section};

use super::claims::{
    EINVAL, EOPNOTSUPP, base, bytes_refused, bytes_work, each, file_refused, file_shows, junk,
    refused, works,
};

const EI_CLASS: usize = 4;
const EI_DATA: usize = 5;
const EI_VERSION: usize = 6;
const EI_OSABI: usize = 7;
const EI_ABIVERSION: usize = 8;
const EI_PAD: usize = 9;

pub(super) const CASES: &[Case] = &[
    Case::new("header/unbroken_works", |c| works(c, |_| {})),
    Case::new("header/file_of_1_byte_is_einval", |c| bytes_refused(c, EINVAL, |f| f.truncate(1))),
    Case::new("header/file_of_63_bytes_is_einval", |c| {
        bytes_refused(c, EINVAL, |f| f.truncate(63))
    }),
    Case::new("header/file_of_64_bytes_is_einval", |c| {
        bytes_refused(c, EINVAL, |f| f.truncate(64))
    }),
    Case::new("header/magic_is_einval", |c| {
        each(0..4, |i| field(c, EINVAL, |h| h.e_ident[i] ^= 1))
    }),
    Case::new("header/class_other_than_64_is_eopnotsupp", |c| ident(c, EI_CLASS, &[0, 1, 3, 255])),
    Case::new("header/data_other_than_lsb_is_eopnotsupp", |c| ident(c, EI_DATA, &[0, 2, 3, 255])),
    Case::new("header/ident_version_other_than_1_is_eopnotsupp", |c| {
        ident(c, EI_VERSION, &[0, 2, 255])
    }),
    Case::new("header/osabi_none_and_freebsd_work", |c| {
        each([0, 9], |abi| works(c, |e| e.ehdr.e_ident[EI_OSABI] = abi))
    }),
    Case::new("header/osabi_other_is_eopnotsupp", |c| ident(c, EI_OSABI, &[1, 3, 8, 10, 255])),
    Case::new("header/abiversion_is_eopnotsupp", |c| ident(c, EI_ABIVERSION, &[1, 255])),
    Case::new("header/ident_padding_is_ignored", |c| {
        works(c, |e| e.ehdr.e_ident[EI_PAD..].fill(0xFF))
    }),
    Case::new("header/e_version_other_than_1_is_eopnotsupp", |c| {
        each([0, 2, 0x101, u32::MAX], |v| field(c, EOPNOTSUPP, |h| h.e_version = v))
    }),
    Case::new("header/e_type_none_is_eopnotsupp", |c| field(c, EOPNOTSUPP, |h| h.e_type = 0)),
    Case::new("header/e_type_exec_is_eopnotsupp", |c| field(c, EOPNOTSUPP, |h| h.e_type = 2)),
    Case::new("header/e_type_dyn_is_eopnotsupp", |c| field(c, EOPNOTSUPP, |h| h.e_type = 3)),
    Case::new("header/e_type_core_is_eopnotsupp", |c| field(c, EOPNOTSUPP, |h| h.e_type = 4)),
    Case::new("header/e_phnum_is_eopnotsupp", |c| {
        each([1, u16::MAX], |n| field(c, EOPNOTSUPP, |h| h.e_phnum = n))
    }),
    Case::new("header/e_machine_other_is_eopnotsupp", |c| {
        // None, i386, x86-64's neighbours, AArch64.
        each([0, 3, 61, 63, 183], |m| field(c, EOPNOTSUPP, |h| h.e_machine = m))
    }),
    Case::new("header/e_shstrndx_0_is_einval", |c| field(c, EINVAL, |h| h.e_shstrndx = 0)),
    Case::new("header/e_shstrndx_e_shnum_is_einval", |c| {
        field(c, EINVAL, |h| h.e_shstrndx = h.e_shnum)
    }),
    Case::new("header/e_shstrndx_max_is_einval", |c| field(c, EINVAL, |h| h.e_shstrndx = u16::MAX)),
    Case::new("header/e_shnum_0_is_einval", |c| field(c, EINVAL, |h| h.e_shnum = 0)),
    Case::new("header/e_shnum_1_is_einval", |c| field(c, EINVAL, |h| h.e_shnum = 1)),
    Case::new("header/e_shnum_one_too_many_is_einval", |c| field(c, EINVAL, |h| h.e_shnum += 1)),
    Case::new("header/e_shnum_one_less_hides_the_last_section", |c| {
        works(c, |e| {
            junk(e, |s| s.sh_offset = 0);
            e.ehdr.e_shnum -= 1;
        })
    }),
    Case::new("header/e_shnum_1023_works", |c| {
        file_shows(c, super::claims::MARK, &with_sections(c, 1023)?.to_bytes())
    }),
    Case::new("header/e_shnum_1024_is_eopnotsupp", |c| {
        file_refused(c, EOPNOTSUPP, &with_sections(c, SECTION_COUNT_LIMIT)?.to_bytes())
    }),
    Case::new("header/e_shnum_max_is_eopnotsupp", |c| {
        field(c, EOPNOTSUPP, |h| h.e_shnum = u16::MAX)
    }),
    Case::new("header/e_shoff_at_the_end_is_einval", |c| {
        bytes_refused(c, EINVAL, |f| e_shoff_before_end(f, 0))
    }),
    Case::new("header/e_shoff_before_the_end_is_einval", |c| {
        bytes_refused(c, EINVAL, |f| e_shoff_before_end(f, 1))
    }),
    Case::new("header/e_shoff_max_is_einval", |c| {
        each([u64::MAX, u64::MAX - 63, 1 << 63], |at| field(c, EINVAL, |h| h.e_shoff = at))
    }),
    Case::new("header/e_shoff_unaligned_works", |c| {
        let mut elf = base(c)?.elf();
        let place = elf.table_place();
        elf.ehdr.e_shoff += 3;
        let mut file = elf.to_bytes();
        file.splice(place..place, [0; 3]);
        file_shows(c, super::claims::MARK, &file)
    }),
    Case::new("header/section_table_cut_by_1_byte_is_einval", |c| {
        bytes_refused(c, EINVAL, |f| f.truncate(f.len() - 1))
    }),
    Case::new("header/trailing_bytes_are_ignored", |c| {
        each([1, 4096], |n| bytes_work(c, |f| f.resize(f.len() + n, 0xFF)))
    }),
    Case::new("header/e_shentsize_0_is_einval", |c| field(c, EINVAL, |h| h.e_shentsize = 0)),
    Case::new("header/e_shentsize_63_is_einval", |c| {
        file_refused(c, EINVAL, &headers_63_bytes_apart(c)?)
    }),
    Case::new("header/e_shentsize_72_works", |c| works(c, |e| stride(e, 72))),
    Case::new("header/e_shentsize_4096_works", |c| works(c, |e| stride(e, 4096))),
    Case::new("header/e_shentsize_that_leads_out_is_einval", |c| {
        field(c, EINVAL, |h| h.e_shentsize = 72)
    }),
    Case::new("header/e_entry_is_ignored", |c| works(c, |e| e.ehdr.e_entry = u64::MAX)),
    Case::new("header/e_phoff_is_ignored", |c| works(c, |e| e.ehdr.e_phoff = u64::MAX)),
    Case::new("header/e_flags_are_ignored", |c| works(c, |e| e.ehdr.e_flags = u32::MAX)),
    Case::new("header/e_ehsize_is_ignored", |c| {
        each([0, u16::MAX], |n| works(c, |e| e.ehdr.e_ehsize = n))
    }),
    Case::new("header/e_phentsize_is_ignored", |c| works(c, |e| e.ehdr.e_phentsize = u16::MAX)),
    Case::new("header/magic_comes_before_type", |c| {
        field(c, EINVAL, |h| (h.e_ident[0], h.e_type) = (0, 2))
    }),
    Case::new("header/machine_comes_before_e_shstrndx", |c| {
        field(c, EOPNOTSUPP, |h| (h.e_machine, h.e_shstrndx) = (3, 0))
    }),
    Case::new("header/e_shstrndx_0_comes_before_e_shnum", |c| {
        field(c, EINVAL, |h| (h.e_shstrndx, h.e_shnum) = (0, SECTION_COUNT_LIMIT))
    }),
    Case::new("header/e_shnum_comes_before_e_shstrndx_beyond_it", |c| {
        field(c, EOPNOTSUPP, |h| {
            (h.e_shstrndx, h.e_shnum) = (SECTION_COUNT_LIMIT, SECTION_COUNT_LIMIT);
        })
    }),
];

/// The base payload is refused for this change of its header.
fn field(c: &Context, errno: Errno, change: impl FnOnce(&mut Ehdr)) -> Outcome {
    refused(c, errno, |elf| change(&mut elf.ehdr))
}

/// It is refused with any of these in a byte of `e_ident`.
fn ident(c: &Context, index: usize, values: &[u8]) -> Outcome {
    each(values.iter().copied(), |value| field(c, EOPNOTSUPP, |h| h.e_ident[index] = value))
}

/// The base payload, filled up with empty sections to so many of them.
fn with_sections(c: &Context, count: u16) -> Result<Elf, Stop> {
    let mut elf = base(c)?.elf();
    let empty = Section::new("", SHT_PROGBITS, 0, 1, Data::NoBits(0));
    elf.sections.resize(count.into(), empty);
    elf.relayout();
    Ok(elf)
}

/// Lays the section headers out `bytes` apart.
fn stride(elf: &mut Elf, bytes: usize) {
    elf.table_stride = bytes;
    elf.relayout();
}

/// Places the section headers so many bytes before the end of the file.
fn e_shoff_before_end(file: &mut [u8], bytes: usize) {
    let offset = (file.len() - bytes) as u64;
    let field = core::mem::offset_of!(Ehdr, e_shoff);
    file[field..field + size_of::<u64>()].copy_from_slice(&offset.to_le_bytes());
}

/// The base payload with section headers of which each begins in the last byte of the one before.
/// That is 0 in both, so that nothing is wrong but the distance.
fn headers_63_bytes_apart(c: &Context) -> Result<Vec<u8>, Stop> {
    const STRIDE: usize = 63;
    /// Every name begins at a multiple of it: the first byte of its offset is 0.
    const APART: usize = 256;
    let mut elf = base(c)?.elf();
    let mut names = Vec::new();
    for section in elf.sections.iter().skip(1) {
        names.resize(names.len().next_multiple_of(APART) + APART, 0);
        names.extend(section.name.as_bytes());
    }
    names.push(0);
    // Of another type it keeps these contents when the sections are laid out.
    let table = elf.section_mut(".shstrtab");
    (table.data, table.shdr.sh_type) = (Data::Bytes(names), SHT_PROGBITS);
    elf.relayout();
    elf.section_mut(".shstrtab").shdr.sh_type = SHT_STRTAB;
    let mut at = 0u32;
    for section in elf.sections.iter_mut().skip(1) {
        at = at.next_multiple_of(APART as u32) + APART as u32;
        section.shdr.sh_name = at;
        at += section.name.len() as u32;
    }
    elf.ehdr.e_shentsize = STRIDE as u16;
    let mut file = elf.to_bytes();
    let headers = file.split_off(elf.table_place());
    for header in headers.chunks(size_of::<Shdr>()) {
        file.extend(&header[..STRIDE]);
    }
    // The last one's last byte.
    file.push(0);
    Ok(file)
}
