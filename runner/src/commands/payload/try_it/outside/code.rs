//! The code in a payload that a jump must lead to, as far as its file tells it.

use std::fmt;

use object::elf::R_X86_64_64;
use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget,
    SymbolSection,
};

type Elf<'d> = ElfFile64<'d, LittleEndian>;
type Section<'d, 'f> = ElfSection64<'d, 'f, LittleEndian>;

/// So much of a function is compared.
const SIZE_MAX: usize = 1 << 16;
/// So much of it is shown.
const SHOWN: usize = 16;
/// What Xen changes in a payload's code when it loads it.
const CHANGED: [&str; 2] = [".altinstructions", ".alt_call_sites"];

/// A function of a payload's; relocations decide what is in some of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCode(Vec<Option<u8>>);

impl NewCode {
    /// That of each of the `count` elements of `.livepatch.funcs` in a payload, where it is known.
    pub fn of(payload: &[u8], count: usize) -> Vec<Option<NewCode>> {
        read(payload, count).unwrap_or_default()
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether the `bytes` in memory may be it.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        let mut pairs = self.0.iter().zip(bytes);
        bytes.len() == self.0.len() && pairs.all(|(known, byte)| known.is_none_or(|k| k == *byte))
    }
}

impl fmt::Display for NewCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(SHOWN).try_for_each(|byte| match byte {
            Some(byte) => write!(f, "{byte:02x}"),
            None => write!(f, "??"),
        })
    }
}

/// The first bytes in memory, as a [`NewCode`] is shown.
pub fn shown(bytes: &[u8]) -> NewCode {
    NewCode(bytes.iter().copied().map(Some).collect())
}

fn read(payload: &[u8], count: usize) -> Option<Vec<Option<NewCode>>> {
    let elf = Elf::parse(payload).ok()?;
    if CHANGED.iter().any(|name| elf.section_by_name(name).is_some_and(|s| s.size() > 0)) {
        return None;
    }
    let functions = elf.section_by_name(".livepatch.funcs")?;
    let data = functions.data().ok()?;
    let size = data.len().checked_div(count)?;
    let mut codes = vec![None; count];
    for (at, relocation) in functions.relocations() {
        /// Offsets in an element: new_addr, new_size.
        const NEW_ADDR: usize = 8;
        const NEW_SIZE: usize = 24;
        let at = usize::try_from(at).ok()?;
        let (number, field) = (at.checked_div(size)?, at % size);
        let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
        if field != NEW_ADDR || number >= count {
            continue;
        }
        let new_size = data.get(at - NEW_ADDR + NEW_SIZE..)?.first_chunk()?;
        let symbol = elf.symbol_by_index(symbol).ok()?;
        let SymbolSection::Section(section) = symbol.section() else { continue };
        let start = symbol.address().wrapping_add_signed(relocation.addend());
        let section = elf.section_by_index(section).ok()?;
        codes[number] = code(&section, start, u32::from_le_bytes(*new_size));
    }
    Some(codes)
}

/// The `size` bytes from `start` on in a section.
fn code(section: &Section<'_, '_>, start: u64, size: u32) -> Option<NewCode> {
    let start = usize::try_from(start).ok()?;
    let size = usize::try_from(size).ok()?.min(SIZE_MAX);
    let data = section.data().ok()?;
    let mut known: Vec<Option<u8>> = data.iter().copied().map(Some).collect();
    for (at, relocation) in section.relocations() {
        let wide =
            matches!(relocation.flags(), RelocationFlags::Elf { r_type } if r_type == R_X86_64_64);
        let at = usize::try_from(at).ok()?;
        let unknown = known.iter_mut().skip(at).take(if wide { 8 } else { 4 });
        unknown.for_each(|byte| *byte = None);
    }
    // A file may say more than it has: then it is not known what is behind it.
    let code = known.get(start..)?;
    Some(NewCode(code[..size.min(code.len())].to_vec()))
}

#[cfg(test)]
mod tests {
    use livepatch::abi::Revision;
    use livepatch::payload::{Function, Payload, Target, code};

    use super::*;

    #[test]
    fn code_with_relocations_in_it() {
        let target = Target::new(Revision::V2, [7; 20]);
        let file = Payload::new(&target, [1; 20])
            .function(Function::named("xen_extra_version", code::return_address("xen_changeset")))
            .function(Function::named("xen_minor_version", code::return_u32(0x1234)))
            .elf()
            .to_bytes();
        let [Some(text), Some(number)] = &NewCode::of(&file, 2)[..] else {
            panic!("two functions")
        };
        assert_eq!(number.to_string(), "b834120000c3");
        assert!(number.fits(&[0xb8, 0x34, 0x12, 0, 0, 0xc3]));
        assert!(!number.fits(&[0xb8, 0x35, 0x12, 0, 0, 0xc3]));
        assert!(!number.fits(&[0xb8, 0x34, 0x12, 0, 0]));
        assert_eq!(text.to_string(), "488d05????????c3");
        assert!(text.fits(&[0x48, 0x8d, 0x05, 1, 2, 3, 4, 0xc3]));
        assert!(NewCode::of(b"text", 2).is_empty());
    }
}
