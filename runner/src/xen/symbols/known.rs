//! What a payload's loader finds of a Xen: its names, its code, what it calls itself.
//!
//! Everything is read from the xen-syms of the build. The names are those of the table that Xen
//! looks symbols up in: `FILE#NAME` for a static one.

use std::collections::HashMap;

use livepatch::change::Release;
use livepatch::model::{KnownXen, XenSymbol};
use livepatch::payload::code::{ENDBR64, ENDBR64_POISON};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSymbol, SymbolKind};

use super::files::Segment;

/// See the module.
#[derive(Debug)]
pub struct KnownSymbols {
    bytes: Vec<u8>,
    segments: Vec<Segment>,
    names: HashMap<String, u64>,
    /// By address; of several names of one address, any.
    places: Vec<(u64, String)>,
}

impl KnownSymbols {
    /// Reads a xen-syms; the error follows the file's name.
    pub fn parse(bytes: Vec<u8>) -> Result<KnownSymbols, String> {
        let elf = ElfFile64::<Endianness>::parse(bytes.as_slice())
            .map_err(|e| format!("is no 64-bit ELF file: {e}; is this a xen-syms?"))?;
        let mut names = HashMap::new();
        let mut places = Vec::new();
        let mut file = None;
        for symbol in elf.symbols() {
            let name = String::from_utf8_lossy(symbol.name_bytes().unwrap_or_default());
            if symbol.kind() == SymbolKind::File {
                file = Some(name.into_owned());
                continue;
            }
            if symbol.is_undefined() || symbol.kind() == SymbolKind::Section || name.is_empty() {
                continue;
            }
            let name = match &file {
                Some(file) if symbol.is_local() => format!("{file}#{name}"),
                _ => name.into_owned(),
            };
            places.push((symbol.address(), name.clone()));
            names.entry(name).or_insert(symbol.address());
        }
        if names.is_empty() {
            return Err("has no symbols; is it stripped?".into());
        }
        places.sort();
        let segments = Segment::of(&elf);
        Ok(KnownSymbols { segments, names, places, bytes })
    }

    /// What this Xen calls itself; `None` if the code that says so is not as known.
    pub fn release(&self) -> Option<Release> {
        let [major, minor] = ["xen_major_version", "xen_minor_version"].map(|name| {
            let code = self.code(*self.names.get(name)?)?;
            let [0xb8, a, b, c, d, ..] = *code else { return None };
            u16::try_from(u32::from_le_bytes([a, b, c, d])).ok()
        });
        Some(Release::parse(major?, minor?, &self.extra_version()?))
    }

    fn extra_version(&self) -> Option<String> {
        let address = *self.names.get("xen_extra_version")?;
        let code = self.code(address)?;
        // lea rax, [rip + distance]
        let [0x48, 0x8d, 0x05, a, b, c, d, ..] = *code else { return None };
        let skipped = self.at(address, 4)? == ENDBR64;
        let next = address + if skipped { 4 } else { 0 } + 7;
        let text = next.wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into());
        let bytes = (1..64).map_while(|len| self.at(text, len)).take_while(|b| !b.ends_with(&[0]));
        Some(String::from_utf8_lossy(bytes.last().unwrap_or_default()).into_owned())
    }

    /// The first bytes of a function, without an ENDBR64.
    fn code(&self, address: u64) -> Option<&[u8]> {
        let code = (4..=16).rev().find_map(|len| self.at(address, len))?;
        Some(code.strip_prefix(&ENDBR64).unwrap_or(code))
    }

    fn at(&self, address: u64, len: usize) -> Option<&[u8]> {
        let range = self
            .segments
            .iter()
            .find_map(|segment| segment.slice(address.checked_sub(segment.address)?, len as u64))?;
        self.bytes.get(range)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Where a symbol is.
    pub fn address(&self, symbol: XenSymbol) -> Option<u64> {
        match symbol {
            XenSymbol::Other(address) => Some(address),
            four => self.names.get(four.name()?).copied(),
        }
    }

    /// The symbol at or before an address.
    fn before(&self, address: u64) -> Option<&(u64, String)> {
        let after = self.places.partition_point(|(place, _)| *place <= address);
        self.places.get(after.checked_sub(1)?)
    }

    /// An address as `name+offset`.
    pub fn describe(&self, address: u64) -> Option<String> {
        let (start, name) = self.before(address)?;
        Some(match address - start {
            0 => name.clone(),
            offset => format!("{name}+{offset:#x}"),
        })
    }
}

impl KnownXen for KnownSymbols {
    fn find(&self, name: &[u8]) -> Option<XenSymbol> {
        let address = *self.names.get(std::str::from_utf8(name).ok()?)?;
        Some(XenSymbol::of_four(name).unwrap_or(XenSymbol::Other(address)))
    }

    fn around(&self, address: u64) -> Option<(XenSymbol, u64)> {
        self.at(address, 1)?;
        let (start, _) = self.before(address)?;
        Some((XenSymbol::Other(*start), address - start))
    }

    fn bytes(&self, symbol: XenSymbol, offset: u64, len: usize) -> Option<&[u8]> {
        self.at(self.address(symbol)?.checked_add(offset)?, len)
    }

    fn begins_with_endbr(&self, symbol: XenSymbol) -> Option<bool> {
        let first = self.bytes(symbol, 0, ENDBR64.len())?;
        Some(first == ENDBR64 || first == ENDBR64_POISON)
    }
}
