//! What a payload's loader finds of a Xen: its names, its code, what it calls itself.
//!
//! Everything is read from the file that boots. The names are those of the table in it
//! ([`table`]), in which Xen itself looks a payload's symbols up.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};
use livepatch::change::Release;
use livepatch::model::{KnownXen, XenSymbol};
use livepatch::payload::code::{ENDBR64, ENDBR64_POISON};

use super::files::BootXen;
use super::table;
use crate::base::plain::plain;

/// What the linker puts Xen's text, data and symbols into, and the distance of two such areas
/// (`XEN_VIRT_START` to `XEN_VIRT_END` in arch/x86/include/asm/config.h).
const AREA: u64 = 1 << 30;
/// Xen knows at least so many words of CPU features, and at most so many.
const FEATURE_WORDS: std::ops::Range<u64> = 10..64;

/// See the module.
#[derive(Debug)]
pub struct KnownSymbols {
    xen: BootXen,
    /// Where Xen's address space begins (`XEN_VIRT_START`).
    start: u64,
    names: HashMap<String, u64>,
    /// By address; of several names of one address, any. Without a name where something ends.
    places: Vec<(u64, String)>,
}

impl KnownSymbols {
    /// Reads the symbols of `xen`; the error follows the file's name.
    pub fn of(xen: BootXen) -> Result<KnownSymbols, String> {
        let symbols = table::read(xen.bytes()).ok_or(
            "has no symbol table of the form that Xen 4.8 to 4.22 have; is it a Xen with live \
             patching?",
        )?;
        let start = start_of_xen(&xen, &symbols).ok_or("has no pointer to any of its symbols")?;
        let mut names = HashMap::new();
        let mut places = Vec::new();
        for table::Symbol { offset, name } in symbols {
            let address = start + u64::from(offset);
            if !name.is_empty() {
                names.entry(name.clone()).or_insert(address);
            }
            places.push((address, name));
        }
        // Where one thing ends and another one begins, the latter comes last.
        places.sort();
        Ok(KnownSymbols { xen, start, names, places })
    }

    /// Identifies the build.
    pub fn build_id(&self) -> &[u8] {
        self.xen.build_id()
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
        Some(plain(&String::from_utf8_lossy(bytes.last().unwrap_or_default())))
    }

    /// The first bytes of a function, without an ENDBR64.
    fn code(&self, address: u64) -> Option<&[u8]> {
        let code = (4..=16).rev().find_map(|len| self.at(address, len))?;
        Some(code.strip_prefix(&ENDBR64).unwrap_or(code))
    }

    fn at(&self, address: u64, len: usize) -> Option<&[u8]> {
        self.xen.at(address.checked_sub(self.start)?, len as u64)
    }

    /// Where the symbol ends that begins at `address`, or rather where the next one begins.
    pub fn end(&self, address: u64) -> Option<u64> {
        let behind = self.places.partition_point(|(place, _)| *place <= address);
        self.places.get(behind).map(|(place, _)| *place)
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
        self.places.get(after.checked_sub(1)?).filter(|(_, name)| !name.is_empty())
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
    fn takes_payloads(&self) -> bool {
        self.names.contains_key("livepatch_op")
    }

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

    fn features(&self) -> Option<u16> {
        // Xen compares a feature with their number before it uses an alternative.
        let is_it = |name: &str| {
            name.rsplit('#')
                .next()
                .is_some_and(|name| name.trim_start_matches('_').starts_with("apply_alternatives"))
        };
        let mut found: Option<u64> = None;
        for (address, _) in self.places.iter().filter(|(_, name)| is_it(name)) {
            let code = self.at(*address, usize::try_from(self.end(*address)? - address).ok()?)?;
            for instruction in Decoder::with_ip(64, code, *address, DecoderOptions::NONE) {
                let compares = instruction.mnemonic() == Mnemonic::Cmp
                    && instruction.op0_kind() == OpKind::Register;
                let last = instruction.try_immediate(1).ok().filter(|_| compares);
                let number = last.and_then(|last| last.checked_add(1));
                let number = number.filter(|number| {
                    number.is_multiple_of(32) && FEATURE_WORDS.contains(&(number / 32))
                });
                if let Some(number) = number {
                    if found.is_some_and(|other| other != number) {
                        return None;
                    }
                    found = Some(number);
                }
            }
        }
        found.and_then(|number| u16::try_from(number).ok())
    }
}

/// Where Xen's address space begins: there is hardly a pointer to a symbol that does not say so.
fn start_of_xen(xen: &BootXen, symbols: &[table::Symbol]) -> Option<u64> {
    let (first, last) = (symbols.first()?.offset, symbols.last()?.offset);
    let mut votes: HashMap<u64, usize> = HashMap::new();
    for word in xen.bytes().chunks_exact(8) {
        let pointer = u64::from_le_bytes(word.try_into().ok()?);
        let (start, offset) = (pointer - pointer % AREA, pointer % AREA);
        if start >> 47 == u64::MAX >> 47 && (u64::from(first)..=u64::from(last)).contains(&offset) {
            *votes.entry(start).or_default() += 1;
        }
    }
    votes.into_iter().max_by_key(|&(_, votes)| votes).map(|(start, _)| start)
}
