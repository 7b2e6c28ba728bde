//! What is in a payload's file, as far as it can be read: nothing here depends on a Xen.

use std::collections::BTreeMap;

use livepatch::model::elements;
use livepatch::payload::wire::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE};
use livepatch::payload::{FuncVersion, Hook};
use object::elf;
use object::read::elf::{ElfFile64, ElfSection64, SectionHeader};
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind,
    SymbolSection,
};
use serde::Serialize;

use crate::base::hash::hex;

type Elf<'d> = ElfFile64<'d, LittleEndian>;

/// Notes that name a build, by their sections.
const NOTES: [&str; 3] = [".note.gnu.build-id", ".livepatch.depends", ".livepatch.xen_depends"];
/// What the tools for modules of Linux put behind a file that they have signed.
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// Bytes that are shown of a name. Xen takes none as long as that, and a damaged file may have the
/// whole of it in each name.
const NAME_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default, Serialize)]
pub struct Contents {
    /// Bytes of the file.
    pub size: usize,
    /// Why nothing more is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
    /// Its own build-id, that of what it is applied to, and that of its Xen, in hexadecimal.
    pub build_id: Option<String>,
    /// See `build_id`.
    pub depends: Option<String>,
    /// See `build_id`.
    pub xen_depends: Option<String>,
    /// Functions to replace.
    pub functions: Vec<Function>,
    /// How many hooks there are of each kind.
    pub hooks: BTreeMap<String, u64>,
    /// The strings in `.modinfo`.
    pub metadata: Vec<String>,
    /// Elements of the tables of instructions.
    pub tables: BTreeMap<String, u64>,
    /// Relocations of each type in sections that are loaded.
    pub relocations: BTreeMap<String, u64>,
    /// Symbols that are not in the file.
    pub imports: Vec<String>,
    /// Sections in the file, of which Xen takes less than 1024.
    pub sections: u64,
    /// Bytes that are loaded: code, data, and constants.
    pub code: u64,
    /// See `code`.
    pub data: u64,
    /// See `code`.
    pub constants: u64,
    /// A signature is attached, as for a module of Linux.
    pub signed: bool,
    #[serde(skip)]
    named: Named,
}

/// Names by their numbers, for what a check is about.
#[derive(Debug, Default)]
struct Named {
    sections: Vec<String>,
    symbols: Vec<String>,
    relocations: BTreeMap<(usize, usize), String>,
}

/// An element of `.livepatch.funcs`.
#[derive(Debug, Serialize)]
pub struct Function {
    /// What it is called.
    pub name: Option<String>,
    /// Where it is in Xen, if the file says so by a number; else Xen looks the name up.
    pub old_address: Option<u64>,
    /// The symbol through which the file says where it is.
    pub old_symbol: Option<String>,
    /// Bytes of the function in Xen.
    pub old_size: u32,
    /// Bytes of what replaces it, or of NOPs.
    pub new_size: u32,
    /// It is overwritten with NOPs, not with a jump.
    pub nops: bool,
    /// Version of the structure.
    pub version: u8,
    /// The bytes that must be there for the payload to apply, in hexadecimal.
    pub expects: Option<String>,
}

impl Contents {
    /// Of the file with these bytes.
    pub fn of(bytes: &[u8]) -> Contents {
        let mut contents =
            Contents { size: bytes.len(), signed: bytes.ends_with(SIGNED), ..Contents::default() };
        match Elf::parse(bytes) {
            Ok(elf) => contents.read(&elf),
            Err(why) => contents.damaged = Some(why.to_string()),
        }
        contents
    }

    fn read(&mut self, elf: &Elf<'_>) {
        let [build_id, depends, xen_depends] = NOTES.map(|name| note(elf, name));
        (self.build_id, self.depends, self.xen_depends) = (build_id, depends, xen_depends);
        self.read_names(elf);
        // Tables that lie upon each other would be read as often.
        let mut room = self.size / size_of::<elf::Rela64<LittleEndian>>();
        for section in elf.sections() {
            self.read_section(elf, &section, &mut room);
        }
        for hook in Hook::ALL {
            if let Some(section) = elf.section_by_name(hook.section()) {
                self.hooks.insert(format!("{hook:?}").to_lowercase(), section.size() / 8);
            }
        }
        if let Some(section) = elf.section_by_name(".modinfo") {
            let text = section.data().unwrap_or_default();
            let strings = text.split(|&byte| byte == 0).filter(|string| !string.is_empty());
            self.metadata = strings.map(|s| String::from_utf8_lossy(s).into_owned()).collect();
        }
        if let Some(section) = elf.section_by_name(".livepatch.funcs") {
            self.functions = functions(elf, &section);
        }
    }

    fn read_names(&mut self, elf: &Elf<'_>) {
        let name = |section: &ElfSection64<'_, '_, LittleEndian>| {
            text(section.name_bytes().unwrap_or_default())
        };
        // The crate leaves out what is number 0 in the file.
        self.named.sections.push(String::new());
        self.named.sections.extend(elf.sections().map(|section| name(&section)));
        self.named.symbols.push(String::new());
        for symbol in elf.symbols() {
            let name = text(symbol.name_bytes().unwrap_or_default());
            if symbol.is_undefined() {
                self.imports.push(name.clone());
            }
            // One without a name stands for its section.
            let of = symbol.section_index().filter(|_| symbol.kind() == SymbolKind::Section);
            let section = of.and_then(|index| self.named.sections.get(index.0)).cloned();
            self.named.symbols.push(section.unwrap_or(name));
        }
        self.imports.sort();
        self.imports.dedup();
    }

    fn read_section(
        &mut self,
        elf: &Elf<'_>,
        section: &ElfSection64<'_, '_, LittleEndian>,
        room: &mut usize,
    ) {
        self.sections += 1;
        let header = section.elf_section_header();
        let flags = header.sh_flags(LittleEndian).0;
        if flags & SHF_ALLOC != 0 {
            let bytes = if flags & SHF_EXECINSTR != 0 {
                &mut self.code
            } else if flags & SHF_WRITE != 0 {
                &mut self.data
            } else {
                &mut self.constants
            };
            // A damaged file may claim anything.
            *bytes = bytes.saturating_add(section.size());
        }
        let name = section.name().unwrap_or_default();
        if let Some(elements) = elements(name, section.size()) {
            self.tables.insert(name.to_owned(), elements);
        }
        let Ok(Some((relas, _))) = header.rela(LittleEndian, elf.data()) else { return };
        let target = header.sh_info(LittleEndian) as usize;
        let loaded = elf.section_by_index(SectionIndex(target)).is_ok_and(|target| {
            target.elf_section_header().sh_flags(LittleEndian).0 & SHF_ALLOC != 0
        });
        if !loaded {
            return;
        }
        let Some(left) = room.checked_sub(relas.len()) else {
            self.damaged = Some("its relocations overlap".into());
            return;
        };
        *room = left;
        for (nth, rela) in relas.iter().enumerate() {
            let kind = reloc_name(rela.r_type(LittleEndian, false));
            *self.relocations.entry(kind.clone()).or_default() += 1;
            let symbol = rela.r_sym(LittleEndian, false) as usize;
            let to = self.named.symbols.get(symbol).filter(|name| !name.is_empty());
            let to = to.map_or_else(|| format!("symbol {symbol}"), |name| format!("`{name}`"));
            let place = format!("{kind} to {to}");
            self.named.relocations.insert((section.index().0, nth), place);
        }
    }

    /// The name of a section.
    pub fn section(&self, number: usize) -> String {
        self.named
            .sections
            .get(number)
            .filter(|name| !name.is_empty())
            .map_or_else(|| format!("section {number}"), |name| format!("section {number}, {name}"))
    }

    /// The name of a symbol, if it has one.
    pub fn symbol(&self, number: usize) -> Option<&str> {
        self.named.symbols.get(number).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What a relocation is.
    pub fn relocation(&self, section: usize, nth: usize) -> String {
        let what = self.named.relocations.get(&(section, nth));
        let what = what.map_or(String::new(), |what| format!(" ({what})"));
        format!("relocation {nth} of {}{what}", self.section(section))
    }
}

/// The build-id in a note.
fn note(elf: &Elf<'_>, name: &str) -> Option<String> {
    let data = elf.section_by_name(name)?.data().ok()?;
    let word =
        |at: usize| Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?) as usize);
    let from = 12 + word(0)?.checked_next_multiple_of(4)?;
    data.get(from..from.checked_add(word(4)?)?).map(hex)
}

fn functions(elf: &Elf<'_>, section: &ElfSection64<'_, '_, LittleEndian>) -> Vec<Function> {
    let data = section.data().unwrap_or_default();
    let pointers: BTreeMap<u64, Pointer> = section
        .relocations()
        .take(elf.data().len() / size_of::<elf::Rela64<LittleEndian>>())
        .filter_map(|(at, relocation)| {
            let RelocationTarget::Symbol(index) = relocation.target() else { return None };
            Some((at, Pointer::of(elf, index, relocation.addend())?))
        })
        .collect();
    let second = !data.len().is_multiple_of(FuncVersion::V1.size())
        || data.get(32).is_some_and(|&version| version == FuncVersion::V2.number());
    let size = if second { FuncVersion::V2.size() } else { FuncVersion::V1.size() };
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let mut functions = Vec::new();
    for (index, bytes) in data.chunks_exact(size).enumerate() {
        let at = (index * size) as u64;
        let address = u64::from(number(bytes, 16)) | u64::from(number(bytes, 20)) << 32;
        let old = pointers.get(&(at + 16));
        let expects = bytes.get(72..).and_then(|expectation| {
            let (first, rest) = expectation.split_first()?;
            (first & 1 != 0).then(|| hex(&rest[..usize::from(first >> 1 & 31).min(rest.len())]))
        });
        functions.push(Function {
            name: pointers.get(&at).and_then(|to| to.string(elf)),
            old_address: (address != 0 && old.is_none()).then_some(address),
            old_symbol: old.map(|to| to.described.clone()),
            new_size: number(bytes, 24),
            old_size: number(bytes, 28),
            nops: !pointers.contains_key(&(at + 8))
                && number(bytes, 8) == 0
                && number(bytes, 12) == 0,
            version: bytes[32],
            expects,
        });
    }
    functions
}

/// Where a relocation leads.
struct Pointer {
    described: String,
    section: Option<SectionIndex>,
    offset: u64,
}

impl Pointer {
    fn of(elf: &Elf<'_>, index: object::SymbolIndex, addend: i64) -> Option<Pointer> {
        let symbol = elf.symbol_by_index(index).ok()?;
        let name = text(symbol.name_bytes().unwrap_or_default());
        let described = match addend {
            0 => name,
            _ => format!("{name}{addend:+#x}"),
        };
        let section = match symbol.section() {
            SymbolSection::Section(index) => Some(index),
            _ => None,
        };
        Some(Pointer { described, section, offset: symbol.address().wrapping_add_signed(addend) })
    }

    /// The string there.
    fn string(&self, elf: &Elf<'_>) -> Option<String> {
        let data = elf.section_by_index(self.section?).ok()?.data().ok()?;
        let string = data.get(usize::try_from(self.offset).ok()?..)?;
        let end = string.iter().take(NAME_MAX).position(|&byte| byte == 0)?;
        Some(text(&string[..end]))
    }
}

/// A name, as far as it is shown.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(NAME_MAX)]).into_owned()
}

/// The name of a type of relocations.
fn reloc_name(kind: elf::RelocationType) -> String {
    let name = match kind {
        elf::R_X86_64_NONE => "R_X86_64_NONE",
        elf::R_X86_64_64 => "R_X86_64_64",
        elf::R_X86_64_PC32 => "R_X86_64_PC32",
        elf::R_X86_64_GOT32 => "R_X86_64_GOT32",
        elf::R_X86_64_PLT32 => "R_X86_64_PLT32",
        elf::R_X86_64_GOTPCREL => "R_X86_64_GOTPCREL",
        elf::R_X86_64_32 => "R_X86_64_32",
        elf::R_X86_64_32S => "R_X86_64_32S",
        elf::R_X86_64_PC64 => "R_X86_64_PC64",
        elf::R_X86_64_GOTPCRELX => "R_X86_64_GOTPCRELX",
        elf::R_X86_64_REX_GOTPCRELX => "R_X86_64_REX_GOTPCRELX",
        other => return format!("type {}", other.0),
    };
    name.to_owned()
}
