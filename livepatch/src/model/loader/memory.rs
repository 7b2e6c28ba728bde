//! The payload in Xen's memory: `move_payload`, symbols and relocations.

use alloc::vec::Vec;

use super::checks::Check;
use super::sections::Sections;
use super::terms::{Address, Base, Item, Result, Surroundings, check, number, unknown};
use crate::change::Change;
use crate::model::rules::Rules;
use crate::payload::Rela;
use crate::payload::wire::{
    R_X86_64_64, R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PLT32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE,
    SHN_ABS, SHN_COMMON, SHN_LORESERVE, SHN_UNDEF, SHT_NOBITS, SHT_REL, SHT_RELA,
};
use bytemuck::pod_read_unaligned;

const PAGE: u64 = 4096;
/// More zeroes than anybody looks at together.
static ZEROES: [u8; PAGE as usize] = [0; PAGE as usize];
const REL_SIZE: u64 = 16;
const RELA_SIZE: u64 = size_of::<Rela>() as u64;
/// Xen's text and payloads lie within this distance of one another.
const NEAR: u64 = 1 << 30;
/// Addresses above are those of Xen's own text and payloads, or of the rest of its memory.
const UPPER_HALF: u64 = 1 << 63;

/// A loaded section.
#[derive(Clone, Copy)]
struct Piece<'f> {
    start: u64,
    size: u64,
    /// None for zeroes.
    bytes: Option<&'f [u8]>,
    executable: bool,
}

impl Piece<'_> {
    const fn end(&self) -> u64 {
        self.start + self.size
    }
}

/// What a relocation has written.
#[derive(Clone, Copy)]
enum Written {
    /// Eight bytes: an address.
    Pointer(Address),
    /// Four bytes: how far it is from them to an address.
    Relative(Address),
}

struct Write {
    at: u64,
    width: u64,
    what: Written,
}

/// A symbol's value; `None` for those that Xen ignores.
type Value = Option<Address>;

/// The payload's memory; offsets count from its beginning.
pub struct Memory<'f> {
    pieces: Vec<Piece<'f>>,
    /// Where each section is; `None` for those that are not loaded.
    places: Vec<Option<u64>>,
    writes: Vec<Write>,
    values: Vec<Value>,
    /// Bytes of code, from the beginning on.
    text_size: u64,
    /// What `safe_to_reapply` will be.
    pub safe_to_reapply: bool,
}

/// Which of the three regions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Rw,
    Ro,
}

impl<'f> Memory<'f> {
    /// `move_payload`
    pub fn new(elf: &Sections<'f>, rules: &Rules) -> Result<Self> {
        let mut sizes = [0u64; 3];
        let mut offsets = Vec::from([None]);
        for index in 1..elf.headers.len() {
            if !elf.is_loaded(index) {
                offsets.push(None);
                continue;
            }
            let header = &elf.headers[index];
            let writable = header.sh_flags & SHF_WRITE != 0;
            let kind = match (header.sh_flags & SHF_EXECINSTR != 0, writable) {
                (true, false) => Kind::Text,
                (false, true) => Kind::Rw,
                (false, false) => Kind::Ro,
                (true, true) => return Err(Check::WriteOrExecute.on(Item::Section(index)).into()),
            };
            let size = &mut sizes[kind as usize];
            if header.sh_addralign == 0 && *size > 0 {
                return unknown("where a section is loaded");
            }
            let align = header.sh_addralign.max(1);
            if align > PAGE {
                return unknown("alignment beyond a page");
            }
            let offset = size.next_multiple_of(align);
            *size = offset + header.sh_size;
            offsets.push(Some((kind, offset)));
        }
        let [text, rw, ro] = sizes;
        if text + rw + ro == 0 {
            return unknown("where a section is loaded");
        }
        if text + rw + ro > 8 << 20 {
            return unknown("so much may be more than there is");
        }
        let rw_start = text.next_multiple_of(PAGE);
        let starts = [0, rw_start, rw_start + rw.next_multiple_of(PAGE)];
        let place = |(kind, offset): (Kind, u64)| starts[kind as usize] + offset;
        let places: Vec<_> = offsets.iter().map(|offset| offset.map(place)).collect();
        let mut pieces = Vec::new();
        let mut writable = Vec::new();
        for (index, start) in places.iter().enumerate() {
            let Some(start) = *start else { continue };
            let header = &elf.headers[index];
            let bytes = match header.sh_type {
                SHT_NOBITS => None,
                _ => elf.contents(index),
            };
            let executable = header.sh_flags & SHF_EXECINSTR != 0;
            pieces.push(Piece { start, size: header.sh_size, bytes, executable });
            if header.sh_flags & SHF_WRITE != 0 && header.sh_size > 0 {
                writable.push(index);
            }
        }
        let safe_to_reapply = match writable[..] {
            [] => rules.has(Change::ReapplyReadOnly),
            [only] => elf.name(only) == b".livepatch.funcs",
            _ => false,
        };
        Ok(Self {
            pieces,
            places,
            writes: Vec::new(),
            values: Vec::new(),
            text_size: text,
            safe_to_reapply,
        })
    }

    /// `livepatch_elf_resolve_symbols`
    pub fn resolve_symbols(
        &mut self,
        elf: &Sections<'_>,
        rules: &Rules,
        around: Surroundings<'_>,
    ) -> Result<()> {
        self.values.push(None);
        for (number, symbol) in elf.symbols.iter().enumerate().skip(1) {
            let item = Item::Symbol(number);
            let value = symbol.sym.st_value;
            let absolute = Some(Address { base: Base::Absolute, offset: value });
            let resolved = match symbol.sym.st_shndx {
                SHN_COMMON => return Err(Check::Common.on(item).into()),
                SHN_UNDEF => {
                    let base = match around.xen.find(symbol.name) {
                        Some(symbol) => Base::Xen(symbol),
                        None if around.others.has_symbol(symbol.name) => Base::Other,
                        None => return Err(Check::Resolved.on(item).into()),
                    };
                    Some(Address { base, offset: 0 })
                }
                SHN_ABS => absolute,
                index => {
                    check(index < SHN_LORESERVE, Check::SpecialIndex.on(item))?;
                    let index = usize::from(index);
                    check(index < elf.headers.len(), Check::SymbolSection.on(item))?;
                    match self.places[index] {
                        Some(start) => {
                            Some(Address { base: Base::Own, offset: start.wrapping_add(value) })
                        }
                        None if rules.has(Change::UnloadedSymbols) => None,
                        None => absolute,
                    }
                }
            };
            self.values.push(resolved);
        }
        Ok(())
    }

    /// The value of a symbol, after [`Memory::resolve_symbols`].
    pub fn value(&self, symbol: usize) -> Value {
        self.values[symbol]
    }

    /// `livepatch_elf_perform_relocs`
    pub fn relocate(&mut self, elf: &Sections<'f>) -> Result<()> {
        for index in 1..elf.headers.len() {
            let header = elf.headers[index];
            let target = header.sh_info as usize;
            if !matches!(header.sh_type, SHT_RELA | SHT_REL) || target >= elf.headers.len() {
                continue;
            }
            if target == 0 {
                return unknown("what a relocation changes");
            }
            let Some(base) = self.places[target] else {
                if elf.headers[target].sh_flags & SHF_ALLOC != 0 {
                    return unknown("a relocation of an empty section");
                }
                continue;
            };
            let item = Item::Section(index);
            check(header.sh_link as usize == elf.symtab, Check::RelocationLink.on(item))?;
            if header.sh_size == 0 {
                continue;
            }
            let entry = if header.sh_type == SHT_RELA { RELA_SIZE } else { REL_SIZE };
            check(
                header.sh_entsize >= entry && header.sh_size.is_multiple_of(header.sh_entsize),
                Check::RelocationSize.on(item),
            )?;
            check(header.sh_type == SHT_RELA, Check::Addends.on(item))?;
            let Some(table) = elf.contents(index) else {
                return unknown("relocations beyond the file");
            };
            for (nth, at) in (0..table.len()).step_by(header.sh_entsize as usize).enumerate() {
                let rela: Rela = pod_read_unaligned(&table[at..at + RELA_SIZE as usize]);
                let item = Item::Relocation(index, nth);
                self.apply(&rela, item, base, elf.headers[target].sh_size)?;
            }
        }
        Ok(())
    }

    /// One relocation of a section that begins at `base`.
    fn apply(&mut self, rela: &Rela, item: Item, base: u64, size: u64) -> Result<()> {
        let symbol = rela.symbol() as usize;
        check(symbol != 0, Check::RelocationSymbol.on(item))?;
        check(symbol < self.values.len(), Check::RelocationKnown.on(item))?;
        let Some(value) = self.values[symbol] else {
            return Err(Check::RelocationLoaded.on(item).into());
        };
        let to =
            Address { offset: value.offset.wrapping_add(rela.r_addend.cast_unsigned()), ..value };
        let width = match rela.kind() {
            R_X86_64_NONE => return Ok(()),
            R_X86_64_64 => 8,
            R_X86_64_PC32 | R_X86_64_PLT32 => 4,
            _ => return Err(Check::RelocationType.on(item).into()),
        };
        let fits = rela.r_offset < size && rela.r_offset.wrapping_add(width) <= size;
        check(fits, Check::RelocationPlace.on(item))?;
        let at = base + rela.r_offset;
        let what = if width == 8 {
            Written::Pointer(to)
        } else {
            match reach(to, at) {
                Some(true) => Written::Relative(to),
                Some(false) => return Err(Check::RelocationReach.on(item).into()),
                None => return unknown("a reference that may or may not reach"),
            }
        };
        self.writes.push(Write { at, width, what });
        Ok(())
    }

    /// Bytes of code, which is at the beginning.
    pub const fn text_size(&self) -> u64 {
        self.text_size
    }

    /// Where a section is, if it is loaded.
    pub fn place(&self, section: usize) -> Option<u64> {
        self.places[section]
    }

    /// The relocation that is the last to write exactly there, if no other one has written to
    /// part of it. The outer `None` says that the bytes there are not known.
    fn written(&self, at: u64, width: u64) -> Option<Option<Written>> {
        let touching =
            |write: &&Write| write.at < at.wrapping_add(width) && at < write.at + write.width;
        match self.writes.iter().rev().find(touching) {
            None => Some(None),
            Some(write) if write.at == at && write.width == width => Some(Some(write.what)),
            Some(_) => None,
        }
    }

    /// Bytes that no relocation has changed; `None` if they are not known.
    pub fn bytes(&self, at: u64, len: u64) -> Option<&[u8]> {
        if len > 0 && !matches!(self.written(at, len), Some(None)) {
            return None;
        }
        self.raw(at, len)
    }

    fn raw(&self, at: u64, len: u64) -> Option<&[u8]> {
        let end = at.checked_add(len)?;
        let inside = |piece: &&Piece<'_>| piece.start <= at && end <= piece.end();
        let piece = self.pieces.iter().find(inside)?;
        let from = (at - piece.start) as usize;
        match piece.bytes {
            None => ZEROES.get(..len as usize),
            Some(bytes) => bytes.get(from..from + len as usize),
        }
    }

    /// The string that begins there, without its NUL.
    pub fn string(&self, at: u64) -> Option<&[u8]> {
        let piece = self.pieces.iter().find(|piece| piece.start <= at && at < piece.end())?;
        let from = (at - piece.start) as usize;
        let bytes = match piece.bytes {
            None => &ZEROES[..1],
            Some(bytes) => bytes.get(from..)?,
        };
        let end = bytes.iter().position(|&byte| byte == 0)?;
        self.bytes(at, end as u64 + 1).map(|_| &bytes[..end])
    }

    /// The address that is stored there.
    pub fn pointer(&self, at: u64) -> Option<Address> {
        match self.written(at, 8)? {
            Some(Written::Pointer(to)) => Some(to),
            Some(Written::Relative(_)) => None,
            None => {
                let offset = u64::from_le_bytes(number(self.raw(at, 8)?, 0));
                Some(Address { base: Base::Absolute, offset })
            }
        }
    }

    /// Where the 32 bits there lead, which a relocation must have written.
    pub fn reference(&self, at: u64) -> Option<Address> {
        match self.written(at, 4)? {
            Some(Written::Relative(to)) => Some(to),
            _ => None,
        }
    }

    /// Whether code that begins there can be executed.
    pub fn is_text(&self, at: u64) -> bool {
        self.pieces.iter().any(|piece| piece.executable && piece.start <= at && at < piece.end())
    }
}

/// Whether 32 bits with a sign lead from `at`, in the payload, to an address.
fn reach(to: Address, at: u64) -> Option<bool> {
    match to.base {
        // Near zero: far from anything of Xen's.
        Base::Absolute if to.offset < UPPER_HALF => Some(false),
        Base::Absolute => None,
        Base::Own => within(to.offset.wrapping_sub(at)),
        Base::Xen(_) | Base::Other => match within(to.offset) {
            Some(true) if to.offset.cast_signed().unsigned_abs() < NEAR / 2 => Some(true),
            Some(false) => Some(false),
            _ => None,
        },
    }
}

/// Whether a distance, to which up to [`NEAR`] may come, fits into 32 bits with a sign.
pub fn within(distance: u64) -> Option<bool> {
    match distance.cast_signed().unsigned_abs() {
        ..NEAR => Some(true),
        far if far > 4 * NEAR => Some(false),
        _ => None,
    }
}
