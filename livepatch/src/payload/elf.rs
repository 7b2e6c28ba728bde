//! A laid-out payload in which every field is a value and may be wrong on purpose.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use bytemuck::{bytes_of, cast_slice};

use super::note::Note;
use super::wire::{
    Ehdr, Func, FuncVersion, Rela, SHN_LORESERVE, SHT_NULL, SHT_STRTAB, SHT_SYMTAB, STB_LOCAL,
    STT_SECTION, Shdr, Sym,
};

/// The largest alignment that the layout in the file follows; Xen aligns in memory by itself.
const FILE_ALIGN_MAX: u64 = 4096;

/// What a section contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Plain bytes.
    Bytes(Vec<u8>),
    /// So many zeroes that take no room in the file.
    NoBits(u64),
    /// Elements of `.livepatch.funcs`.
    Funcs(FuncVersion, Vec<Func>),
    /// A build-id or a dependency.
    Note(Note),
    /// Relocations.
    Relas(Vec<Rela>),
    /// Symbols.
    Symbols(Vec<Symbol>),
}

impl Data {
    /// Bytes in memory.
    pub fn size(&self) -> u64 {
        match self {
            Self::NoBits(size) => *size,
            other => other.file_size() as u64,
        }
    }

    /// Bytes in the file.
    pub fn file_size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::NoBits(_) => 0,
            Self::Funcs(version, funcs) => version.size() * funcs.len(),
            Self::Note(note) => note.to_bytes().len(),
            Self::Relas(relas) => size_of_val(relas.as_slice()),
            Self::Symbols(symbols) => size_of::<Sym>() * symbols.len(),
        }
    }

    /// Appends the bytes in the file to `file`.
    pub fn write_to(&self, file: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => file.extend(bytes),
            Self::NoBits(_) => {}
            Self::Funcs(version, funcs) => {
                for func in funcs {
                    file.extend(&bytes_of(func)[..version.size()]);
                }
            }
            Self::Note(note) => file.extend(note.to_bytes()),
            Self::Relas(relas) => file.extend(cast_slice::<_, u8>(relas)),
            Self::Symbols(symbols) => {
                for symbol in symbols {
                    file.extend(bytes_of(&symbol.sym));
                }
            }
        }
    }
}

/// A symbol and its name. The name in the file is in the string table, at `sym.st_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbol {
    /// What it is found by here; a section symbol has the section's name, and none in the file.
    pub name: String,
    /// The symbol as it is written.
    pub sym: Sym,
}

/// A section: its header, and separately from it what is really in the file and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is found by here. The name in the file is in the string table, at `shdr.sh_name`.
    pub name: String,
    /// The header as it is written.
    pub shdr: Shdr,
    /// The contents.
    pub data: Data,
    /// Where in the file the contents are, whatever the header says; set by the layout.
    place: Option<Range<usize>>,
}

impl Section {
    /// A section that [`Elf::relayout`] has not placed yet.
    pub fn new(name: &str, sh_type: u32, sh_flags: u64, align: u64, data: Data) -> Self {
        Self {
            name: name.into(),
            shdr: Shdr { sh_type, sh_flags, sh_addralign: align, ..Shdr::default() },
            data,
            place: None,
        }
    }

    /// Where in the file the contents are, whatever the header says; `None` before the layout.
    pub fn place(&self) -> Option<Range<usize>> {
        self.place.clone()
    }

    /// The contents as bytes to change one by one. From then on they are bytes, not typed values.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        if !matches!(self.data, Data::Bytes(_)) {
            let mut bytes = Vec::new();
            self.data.write_to(&mut bytes);
            self.data = Data::Bytes(bytes);
        }
        match &mut self.data {
            Data::Bytes(bytes) => bytes,
            _ => unreachable!("it has just become bytes"),
        }
    }
}

/// A laid-out ELF object.
///
/// The order of work is: change the structure ([`Elf::push`], [`Elf::remove`], or more or fewer
/// symbols, relocations or bytes and then [`Elf::relayout`]), break fields, [`Elf::to_bytes`].
/// What only breaks fields needs no new layout.
///
/// The methods that find something by its name panic if it is not there: that is a mistake in
/// the test that asks, and the message lists what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// The header as it is written.
    pub ehdr: Ehdr,
    /// All sections; the first is the empty one that every ELF file begins with.
    pub sections: Vec<Section>,
    /// Where in the file the section headers are, whatever `e_shoff` says; set by the layout.
    table_place: usize,
    /// Bytes from one section header to the next, whatever `e_shentsize` says until the next
    /// layout. At least 64.
    pub table_stride: usize,
}

impl Elf {
    /// Lays out `sections`, of which the one named `.shstrtab` gets the section names. The empty
    /// first section is added.
    pub(super) fn new(sections: impl IntoIterator<Item = Section>) -> Self {
        let null = Section::new("", SHT_NULL, 0, 0, Data::Bytes(Vec::new()));
        let mut elf = Self {
            ehdr: Ehdr::OBJECT,
            sections: vec![null],
            table_place: 0,
            table_stride: size_of::<Shdr>(),
        };
        elf.sections.extend(sections);
        elf.ehdr.e_shstrndx = elf.section_index(".shstrtab").unwrap_or(0) as u16;
        elf.relayout();
        elf
    }

    /// The index of the first section of that name.
    pub fn section_index(&self, name: &str) -> Option<usize> {
        self.sections.iter().position(|s| s.name == name)
    }

    /// The first section of that name.
    pub fn section(&self, name: &str) -> &Section {
        &self.sections[self.expect_section(name)]
    }

    /// The first section of that name, to change.
    pub fn section_mut(&mut self, name: &str) -> &mut Section {
        let index = self.expect_section(name);
        &mut self.sections[index]
    }

    /// The elements of `.livepatch.funcs`.
    pub fn funcs_mut(&mut self) -> &mut Vec<Func> {
        match &mut self.section_mut(".livepatch.funcs").data {
            Data::Funcs(_, funcs) => funcs,
            _ => panic!("`.livepatch.funcs` holds bytes by now"),
        }
    }

    /// The note in a section.
    pub fn note_mut(&mut self, section: &str) -> &mut Note {
        match &mut self.section_mut(section).data {
            Data::Note(note) => note,
            _ => panic!("section `{section}` holds no note"),
        }
    }

    /// The relocations in a section, such as `.rela.livepatch.funcs`.
    pub fn rela_mut(&mut self, section: &str) -> &mut Vec<Rela> {
        match &mut self.section_mut(section).data {
            Data::Relas(relas) => relas,
            _ => panic!("section `{section}` holds no relocations"),
        }
    }

    /// All symbols; the first is the empty one that every symbol table begins with.
    pub fn symbols_mut(&mut self) -> &mut Vec<Symbol> {
        match &mut self.section_mut(".symtab").data {
            Data::Symbols(symbols) => symbols,
            _ => panic!("`.symtab` holds bytes by now"),
        }
    }

    /// The index of the symbol of that name, as relocations state it.
    pub fn symbol_index(&self, name: &str) -> Option<usize> {
        self.symbols().iter().position(|s| s.name == name)
    }

    /// The symbol of that name; a section's symbol is found by the section's name.
    pub fn symbol_mut(&mut self, name: &str) -> &mut Sym {
        let Some(index) = self.symbol_index(name) else {
            let known: Vec<_> = self.symbols().iter().map(|s| s.name.as_str()).collect();
            panic!("no symbol `{name}` in the payload, only {known:?}");
        };
        &mut self.symbols_mut()[index].sym
    }

    /// Appends a section, lays out anew and returns its index. No other index changes.
    pub fn push(&mut self, section: Section) -> usize {
        self.sections.push(section);
        self.relayout();
        self.sections.len() - 1
    }

    /// Removes the first section of that name, with all that would be left hanging, and lays out
    /// anew. What is left hanging is:
    ///
    /// - the relocations that apply to it,
    /// - its symbols, except those that other sections refer to, which become undefined.
    ///
    /// Indices that other parts state are kept right; a reference to the section itself becomes 0.
    pub fn remove(&mut self, name: &str) -> Section {
        let mut index = self.expect_section(name);
        let applies_to = |section: &Section, index| {
            matches!(section.data, Data::Relas(_)) && section.shdr.sh_info as usize == index
        };
        while let Some(rela) = self.sections.iter().position(|s| applies_to(s, index)) {
            self.remove_at(rela);
            index -= usize::from(rela < index);
        }
        let mut symbols: Vec<_> = (1..self.symbols().len()).collect();
        symbols.retain(|&s| usize::from(self.symbols()[s].sym.st_shndx) == index);
        let removed = self.remove_at(index);
        for symbol in symbols.into_iter().rev() {
            if !self.is_referred_to(symbol) {
                self.drop_symbol(symbol);
            }
        }
        self.relayout();
        removed
    }

    /// Computes names, offsets, sizes and counts anew; undoes what was broken about them.
    ///
    /// That is `sh_name`, `sh_offset`, `sh_size`, the symbols' `sh_info` and `st_name`, `e_shoff`,
    /// `e_shentsize` and `e_shnum`. Every other field stays as it is.
    pub fn relayout(&mut self) {
        self.write_symbol_names();
        self.write_section_names();
        let mut place = size_of::<Ehdr>();
        for section in self.sections.iter_mut().skip(1) {
            place = place.next_multiple_of(file_alignment(&section.shdr));
            let end = place + section.data.file_size();
            section.place = Some(place..end);
            section.shdr.sh_offset = place as u64;
            section.shdr.sh_size = section.data.size();
            place = end;
        }
        self.table_place = place.next_multiple_of(8);
        self.ehdr.e_shoff = self.table_place as u64;
        self.ehdr.e_shentsize = self.table_stride as u16;
        self.ehdr.e_shnum = self.sections.len() as u16;
    }

    /// The file. Every header field is written as it is.
    ///
    /// # Panics
    /// If the contents of a section are longer or shorter than when they were laid out: the
    /// headers would then be wrong in a way that nobody asked for.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = bytes_of(&self.ehdr).to_vec();
        for section in self.sections.iter().skip(1) {
            let size = section.data.file_size();
            let Some(place) = section.place().filter(|place| place.len() == size) else {
                panic!(
                    "section `{}` has changed its size: call relayout() before breaking fields",
                    section.name
                );
            };
            file.resize(place.start, 0);
            section.data.write_to(&mut file);
        }
        file.resize(self.table_place, 0);
        file.extend(self.table());
        file
    }

    /// Where in the file the section headers are, whatever `e_shoff` says.
    pub fn table_place(&self) -> usize {
        self.table_place
    }

    fn table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        for section in &self.sections {
            let end = table.len() + self.table_stride;
            table.extend(bytes_of(&section.shdr));
            table.resize(end, 0);
        }
        table
    }

    fn symbols(&self) -> &[Symbol] {
        match self.section_index(".symtab").map(|i| &self.sections[i].data) {
            Some(Data::Symbols(symbols)) => symbols,
            _ => &[],
        }
    }

    fn expect_section(&self, name: &str) -> usize {
        self.section_index(name).unwrap_or_else(|| {
            let known: Vec<_> = self.sections.iter().map(|s| s.name.as_str()).collect();
            panic!("no section `{name}` in the payload, only {known:?}")
        })
    }

    fn write_symbol_names(&mut self) {
        let Some(table) = self.section_index(".symtab") else {
            return;
        };
        let section = &mut self.sections[table];
        let strings = section.shdr.sh_link as usize;
        let Data::Symbols(symbols) = &mut section.data else {
            return;
        };
        let local = symbols.iter().take_while(|s| s.sym.binding() == STB_LOCAL);
        section.shdr.sh_info = local.count() as u32;
        let mut names = Strings::new();
        for symbol in symbols {
            let in_file = symbol.sym.kind() != STT_SECTION;
            symbol.sym.st_name = names.add(if in_file { &symbol.name } else { "" });
        }
        self.set_strings(strings, names);
    }

    fn write_section_names(&mut self) {
        let mut names = Strings::new();
        for section in &mut self.sections {
            section.shdr.sh_name = names.add(&section.name);
        }
        self.set_strings(self.ehdr.e_shstrndx.into(), names);
    }

    fn set_strings(&mut self, index: usize, strings: Strings) {
        if let Some(section) = self.sections.get_mut(index)
            && section.shdr.sh_type == SHT_STRTAB
        {
            section.data = Data::Bytes(strings.0);
        }
    }

    fn remove_at(&mut self, index: usize) -> Section {
        let removed = self.sections.remove(index);
        let moved = |old: u32| match old as usize {
            old if old == index => 0,
            old if old > index => old as u32 - 1,
            old => old as u32,
        };
        self.ehdr.e_shstrndx = moved(self.ehdr.e_shstrndx.into()) as u16;
        for section in &mut self.sections {
            section.shdr.sh_link = moved(section.shdr.sh_link);
            // A symbol table's `sh_info` counts symbols.
            if section.shdr.sh_type != SHT_SYMTAB {
                section.shdr.sh_info = moved(section.shdr.sh_info);
            }
            if let Data::Symbols(symbols) = &mut section.data {
                for Symbol { sym, .. } in symbols {
                    let is_index = sym.st_shndx < SHN_LORESERVE;
                    if is_index && usize::from(sym.st_shndx) == index {
                        *sym = Sym { st_name: sym.st_name, st_info: sym.st_info, ..Sym::default() };
                    } else if is_index {
                        sym.st_shndx = moved(sym.st_shndx.into()) as u16;
                    }
                }
            }
        }
        removed
    }

    fn is_referred_to(&self, symbol: usize) -> bool {
        self.sections.iter().any(|section| match &section.data {
            Data::Relas(relas) => relas.iter().any(|r| r.symbol() as usize == symbol),
            _ => false,
        })
    }

    fn drop_symbol(&mut self, index: usize) {
        self.symbols_mut().remove(index);
        for section in &mut self.sections {
            if let Data::Relas(relas) = &mut section.data {
                for rela in relas {
                    if rela.symbol() as usize > index {
                        rela.set_symbol(rela.symbol() - 1);
                    }
                }
            }
        }
    }
}

/// The alignment of contents in the file; a broken one in the header means none.
fn file_alignment(shdr: &Shdr) -> usize {
    let align = shdr.sh_addralign;
    if align.is_power_of_two() && align <= FILE_ALIGN_MAX { align as usize } else { 1 }
}

/// A string table under construction.
struct Strings(Vec<u8>);

impl Strings {
    fn new() -> Self {
        Self(vec![0])
    }

    /// The offset of `text`; the empty one is at 0.
    fn add(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let offset = self.0.len() as u32;
        self.0.extend(text.as_bytes());
        self.0.push(0);
        offset
    }
}
