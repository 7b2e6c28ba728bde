//! The file's headers and tables: `livepatch_elf_load`.

use alloc::vec::Vec;

use bytemuck::pod_read_unaligned;

use super::checks::Check;
use super::terms::{Item, Result, check, unknown};
use crate::abi::{PAYLOAD_SIZE_MAX, SECTION_COUNT_LIMIT};
use crate::change::Change;
use crate::model::rules::Rules;
use crate::payload::wire::{
    EM_X86_64, ET_REL, SHF_ALLOC, SHF_WRITE, SHT_NOBITS, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB,
};
use crate::payload::{Ehdr, Shdr, Sym};

const EHDR_SIZE: usize = size_of::<Ehdr>();
const SHDR_SIZE: usize = size_of::<Shdr>();
const OSABI_NONE: u8 = 0;
const OSABI_FREEBSD: u8 = 9;

/// A payload's file whose headers Xen has accepted.
pub struct Sections<'f> {
    pub file: &'f [u8],
    /// The first one is empty, as in every ELF file.
    pub headers: Vec<Shdr>,
    /// Names, without a NUL.
    names: Vec<&'f [u8]>,
    /// Index of the symbol table.
    pub symtab: usize,
    /// The symbols, of which Xen skips the first.
    pub symbols: Vec<Symbol<'f>>,
    /// Whether Xen loads a section without contents.
    loads_empty: bool,
}

/// A symbol and its name.
pub struct Symbol<'f> {
    pub sym: Sym,
    pub name: &'f [u8],
}

impl<'f> Sections<'f> {
    pub fn read(file: &'f [u8], rules: &Rules) -> Result<Self> {
        let ehdr = header(file)?;
        let stride = usize::from(ehdr.e_shentsize);
        let at = |index: usize| ehdr.e_shoff as usize + index * stride;
        let headers: Vec<Shdr> = (0..usize::from(ehdr.e_shnum))
            .map(|index| pod_read_unaligned(&file[at(index)..at(index) + SHDR_SIZE]))
            .collect();
        let symtab = sections(file, &headers, rules)?;
        let strtab = headers[symtab].sh_link as usize;
        let strings = strings(file, &headers, strtab)?;
        let section_names = self::strings(file, &headers, ehdr.e_shstrndx.into())?;
        let mut names = Vec::from([&b""[..]]);
        for (index, header) in headers.iter().enumerate().skip(1) {
            let Some(name) = string(section_names, header.sh_name) else {
                return Err(Check::SectionName.on(Item::Section(index)).into());
            };
            names.push(name);
        }
        let symbols = symbols(file, &headers[symtab], strings)?;
        let loads_empty = rules.has(Change::EmptySections);
        let sections = Self { file, headers, names, symtab, symbols, loads_empty };
        let table = ehdr.e_shoff..ehdr.e_shoff + u64::from(ehdr.e_shnum) * stride as u64;
        sections.check_overlap((table.start, table.end))?;
        Ok(sections)
    }

    /// The first section of that name.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        (1..self.headers.len()).find(|&index| self.names[index] == name)
    }

    pub fn name(&self, index: usize) -> &'f [u8] {
        self.names[index]
    }

    /// Contents in the file; `None` if the section has none, or its range is not in the file.
    pub fn contents(&self, index: usize) -> Option<&'f [u8]> {
        let header = &self.headers[index];
        let start = usize::try_from(header.sh_offset).ok()?;
        let end = start.checked_add(usize::try_from(header.sh_size).ok()?)?;
        self.file.get(start..end)
    }

    /// Whether Xen loads the section.
    pub fn is_loaded(&self, index: usize) -> bool {
        let header = &self.headers[index];
        header.sh_flags & SHF_ALLOC != 0 && (header.sh_size != 0 || self.loads_empty)
    }

    /// Xen writes values into the symbol table in the file; what it reads afterwards must not be
    /// in the same place.
    fn check_overlap(&self, table: (u64, u64)) -> Result<()> {
        let range = |header: &Shdr| (header.sh_offset, header.sh_offset + header.sh_size);
        let symbols = range(&self.headers[self.symtab]);
        let read_later = self.headers[1..]
            .iter()
            .filter(|header| matches!(header.sh_type, SHT_RELA | SHT_REL | SHT_STRTAB))
            .map(range)
            .chain([table]);
        for (start, end) in read_later {
            if start < symbols.1 && symbols.0 < end {
                return unknown("a table overlaps the symbol table");
            }
        }
        Ok(())
    }
}

fn header(file: &[u8]) -> Result<Ehdr> {
    check(file.len() >= EHDR_SIZE, Check::WholeHeader)?;
    let ehdr: Ehdr = pod_read_unaligned(&file[..EHDR_SIZE]);
    let ident = ehdr.e_ident;
    check(ident[..4] == *b"\x7fELF", Check::Magic)?;
    check(
        ehdr.e_version == 1
            && ident[6] == 1
            && ident[8] == 0
            && matches!(ident[7], OSABI_NONE | OSABI_FREEBSD)
            && ehdr.e_type == ET_REL
            && ehdr.e_phnum == 0,
        Check::Relocatable,
    )?;
    check(ehdr.e_machine == EM_X86_64 && ident[4] == 2 && ident[5] == 1, Check::Machine)?;
    check(ehdr.e_shstrndx != 0, Check::NamesGiven)?;
    check(ehdr.e_shnum < SECTION_COUNT_LIMIT, Check::SectionCount)?;
    check(ehdr.e_shstrndx < ehdr.e_shnum, Check::NamesExist)?;
    check(ehdr.e_shoff < file.len() as u64, Check::TableBegins)?;
    check(usize::from(ehdr.e_shentsize) >= SHDR_SIZE, Check::TableEntry)?;
    let room = (file.len() - ehdr.e_shoff as usize) / usize::from(ehdr.e_shentsize);
    check(room >= ehdr.e_shnum.into(), Check::TableEnds)?;
    Ok(ehdr)
}

/// `elf_resolve_sections`, up to the symbol table, whose index is returned.
fn sections(file: &[u8], headers: &[Shdr], rules: &Rules) -> Result<usize> {
    let mut symtab = None;
    for (index, header) in headers.iter().enumerate().skip(1) {
        let item = Item::Section(index);
        let Shdr { sh_offset: offset, sh_size: size, sh_addralign: align, .. } = *header;
        check(offset >= EHDR_SIZE as u64, Check::SectionBegins.on(item))?;
        if header.sh_type != SHT_NOBITS {
            let len = file.len() as u64;
            check(offset <= len, Check::SectionEnds.on(item))?;
            let Some(end) = offset.checked_add(size) else {
                return unknown("where a section ends");
            };
            check(end <= len, Check::SectionEnds.on(item))?;
        }
        let aligned = align & align.wrapping_sub(1) == 0;
        if rules.has(Change::SectionAlignment) {
            check(aligned, Check::Alignment.on(item))?;
            let agrees = align == 0 || header.sh_addr.is_multiple_of(align);
            check(agrees, Check::Address.on(item))?;
        } else if !aligned && header.sh_flags & SHF_ALLOC != 0 {
            return unknown("where a section is loaded");
        }
        let zeroes = header.sh_type == SHT_NOBITS && header.sh_flags & (SHF_WRITE | SHF_ALLOC) != 0;
        check(!zeroes || size <= PAYLOAD_SIZE_MAX as u64, Check::Zeroes.on(item))?;
        if header.sh_type == SHT_SYMTAB {
            check(symtab.is_none(), Check::OneSymtab.on(item))?;
            symtab = Some(index);
            check((header.sh_link as usize) < headers.len(), Check::SymtabLink.on(item))?;
        }
    }
    let Some(index) = symtab else { return Err(Check::Symtab.into()) };
    let Shdr { sh_size: size, sh_entsize: entry, .. } = headers[index];
    check(
        size != 0 && entry >= size_of::<Sym>() as u64 && size.is_multiple_of(entry),
        Check::SymtabSize.on(Item::Section(index)),
    )?;
    Ok(index)
}

/// `elf_verify_strtab`
fn strings<'f>(file: &'f [u8], headers: &[Shdr], index: usize) -> Result<&'f [u8]> {
    if index == 0 {
        return unknown("the names of symbols");
    }
    let header = &headers[index];
    let broken = Check::Strings.on(Item::Section(index));
    check(header.sh_type == SHT_STRTAB && header.sh_size != 0, broken)?;
    let start = header.sh_offset as usize;
    let strings = &file[start..start + header.sh_size as usize];
    let ends = [strings.first(), strings.last()];
    check(ends == [Some(&0), Some(&0)], broken)?;
    Ok(strings)
}

/// The string at an offset, without its NUL.
fn string(strings: &[u8], offset: u32) -> Option<&[u8]> {
    let from = strings.get(offset as usize..).filter(|from| !from.is_empty())?;
    let end = from.iter().position(|&byte| byte == 0).unwrap_or(from.len());
    Some(&from[..end])
}

/// `elf_get_sym`
fn symbols<'f>(file: &'f [u8], header: &Shdr, strings: &'f [u8]) -> Result<Vec<Symbol<'f>>> {
    let count = header.sh_size / header.sh_entsize;
    let mut symbols = Vec::new();
    for index in 0..count {
        let at = (header.sh_offset + index * header.sh_entsize) as usize;
        let sym: Sym = pod_read_unaligned(&file[at..at + size_of::<Sym>()]);
        let name = if index == 0 { Some(&b""[..]) } else { string(strings, sym.st_name) };
        let Some(name) = name else {
            return Err(Check::SymbolName.on(Item::Symbol(index as usize)).into());
        };
        symbols.push(Symbol { sym, name });
    }
    Ok(symbols)
}
