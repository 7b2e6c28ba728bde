//! From a [`Payload`] to an [`Elf`]: places things into sections and resolves labels.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::build::{Area, Function, Hook, HookBody, Old, Payload, Replacement};
use super::chunk::{Chunk, Reloc};
use super::elf::{Data, Elf, Section, Symbol};
use super::note::Note;
use super::wire::{
    Func, R_X86_64_64, Rela, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_NOTE, SHT_RELA,
    SHT_STRTAB, SHT_SYMTAB, STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_NOTYPE, STT_OBJECT, STT_SECTION,
    Sym,
};

const FUNCS: Area = Area::loaded(".livepatch.funcs", SHF_WRITE, 8);

impl Payload {
    /// The payload laid out, ready to be broken.
    ///
    /// # Panics
    /// If a label occurs twice or an exported one not at all.
    pub fn elf(&self) -> Elf {
        let mut assembly = Assembly::default();
        for item in &self.items {
            let place = assembly.add(&item.area, &item.content);
            assembly.label(&item.label, place, item.content.bytes.len());
        }
        assembly.add_functions(self);
        assembly.add_hooks(&self.hooks);
        assembly.add_notes(self);
        assembly.finish(&self.exports)
    }

    /// The payload's file.
    ///
    /// # Panics
    /// As [`Payload::elf`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.elf().to_bytes()
    }
}

/// A section under construction.
struct Region {
    area: Area,
    data: Data,
    fixups: Vec<Fixup>,
}

/// A reference from a region.
struct Fixup {
    offset: u64,
    kind: u32,
    to: Target,
    addend: i64,
}

enum Target {
    Place(Place),
    Symbol(String),
}

/// Somewhere in the payload.
#[derive(Clone, Copy)]
struct Place {
    region: usize,
    offset: u64,
}

struct Label {
    place: Place,
    size: usize,
}

#[derive(Default)]
struct Assembly {
    regions: Vec<Region>,
    labels: BTreeMap<String, Label>,
}

impl Assembly {
    fn region(&mut self, area: &Area) -> usize {
        if let Some(index) = self.regions.iter().position(|r| r.area.name == area.name) {
            return index;
        }
        self.regions.push(Region {
            area: area.clone(),
            data: match area.sh_type {
                SHT_NOBITS => Data::NoBits(0),
                _ => Data::Bytes(Vec::new()),
            },
            fixups: Vec::new(),
        });
        self.regions.len() - 1
    }

    /// Puts `chunk` at the next aligned place of a section.
    fn add(&mut self, area: &Area, chunk: &Chunk) -> Place {
        let index = self.region(area);
        let region = &mut self.regions[index];
        let offset = region.data.size().next_multiple_of(area.align.max(1));
        match &mut region.data {
            Data::Bytes(bytes) => {
                bytes.resize(offset as usize, 0);
                bytes.extend(&chunk.bytes);
            }
            Data::NoBits(size) => *size = offset + chunk.bytes.len() as u64,
            _ => unreachable!("only the assembly itself fills `{}`", area.name),
        }
        region.fixups.extend(chunk.relocs.iter().map(|reloc| fixup(offset, reloc)));
        Place { region: index, offset }
    }

    fn label(&mut self, label: &str, place: Place, size: usize) {
        let earlier = self.labels.insert(label.into(), Label { place, size });
        assert!(earlier.is_none(), "the payload has two labels `{label}`");
    }

    fn add_functions(&mut self, payload: &Payload) {
        if payload.functions.is_empty() {
            return;
        }
        let size = payload.func_version.size() as u64;
        let mut funcs = Vec::new();
        let mut fixups = Vec::new();
        for (base, function) in (0..).step_by(size as usize).zip(&payload.functions) {
            funcs.push(Func {
                name: 0,
                new_addr: match function.new {
                    Replacement::Jump(addr) => addr,
                    _ => 0,
                },
                old_addr: match function.old {
                    Old::At(addr) => addr,
                    _ => 0,
                },
                new_size: new_size(function),
                old_size: function.old_size,
                version: payload.func_version.number(),
                pad: [0; 39],
                expectation: function.expectation,
            });
            let pointers = [
                (0, self.name_of(function)),
                (8, self.replacement_of(function)),
                (16, original_of(function)),
            ];
            for (field, to) in pointers {
                fixups.extend(to.map(|to| pointer(base + field, to)));
            }
        }
        self.regions.push(Region {
            area: FUNCS,
            data: Data::Funcs(payload.func_version, funcs),
            fixups,
        });
    }

    fn name_of(&mut self, function: &Function) -> Option<Target> {
        let mut text = Vec::from(function.name.as_deref()?);
        text.push(0);
        Some(Target::Place(self.add(&Area::RODATA, &text.into())))
    }

    fn replacement_of(&mut self, function: &Function) -> Option<Target> {
        match &function.new {
            Replacement::Code(code) => {
                let place = self.add(&Area::TEXT, code);
                if let Some(label) = &function.label {
                    self.label(label, place, code.bytes.len());
                    return Some(Target::Symbol(label.clone()));
                }
                Some(Target::Place(place))
            }
            Replacement::Symbol(name) => Some(Target::Symbol(name.clone())),
            Replacement::Nop(_) | Replacement::Jump(_) => None,
        }
    }

    fn add_hooks(&mut self, hooks: &[(Hook, HookBody)]) {
        for (hook, body) in hooks {
            let target = match body {
                HookBody::Code(code) => {
                    let place = self.add(&Area::TEXT, &HookBody::guarded(code));
                    Some(Target::Place(place))
                }
                HookBody::Symbol(name) => Some(Target::Symbol(name.clone())),
                HookBody::Null => None,
            };
            let area = Area::loaded(hook.section(), 0, 8);
            let place = self.add(&area, &[0; 8].into());
            self.regions[place.region].fixups.extend(target.map(|to| pointer(place.offset, to)));
        }
    }

    fn add_notes(&mut self, payload: &Payload) {
        if let Some(text) = &payload.metadata {
            self.add(&Area::loaded(".modinfo", 0, 1), &text.as_slice().into());
        }
        for (name, id) in [
            (".note.gnu.build-id", &payload.build_id),
            (".livepatch.depends", &payload.depends),
            (".livepatch.xen_depends", &payload.xen_depends),
        ] {
            self.regions.push(Region {
                area: Area {
                    name: Cow::Borrowed(name),
                    sh_type: SHT_NOTE,
                    sh_flags: SHF_ALLOC,
                    align: 4,
                },
                data: Data::Note(Note::build_id(id)),
                fixups: Vec::new(),
            });
        }
    }

    fn finish(mut self, exports: &[String]) -> Elf {
        // Code first, as linkers do and as people expect when they look at a dump.
        let mut order: Vec<_> = (0..self.regions.len()).collect();
        order.sort_by_key(|&index| self.regions[index].area.name != Area::TEXT.name);
        let mut symbols = Symbols::new(&self, exports, &order);
        let relas: Vec<_> = order
            .iter()
            .map(|&index| {
                let fixups = &self.regions[index].fixups;
                fixups.iter().map(|f| symbols.resolve(&self, f)).collect()
            })
            .collect();

        let mut sections = Vec::new();
        for &index in &order {
            let region = &mut self.regions[index];
            let data = core::mem::replace(&mut region.data, Data::NoBits(0));
            let Area { name, sh_type, sh_flags, align } = &region.area;
            sections.push(Section::new(name, *sh_type, *sh_flags, *align, data));
        }
        let symtab = 1 + order.len() + relas.iter().filter(|r: &&Vec<_>| !r.is_empty()).count();
        for (target, relas) in (1..).zip(relas) {
            if !relas.is_empty() {
                sections.push(rela_section(&sections[target - 1], target, symtab, relas));
            }
        }
        sections.extend(symbols.sections(symtab));
        Elf::new(sections)
    }
}

fn fixup(base: u64, reloc: &Reloc) -> Fixup {
    Fixup {
        offset: base + reloc.offset,
        kind: reloc.kind,
        to: Target::Symbol(reloc.symbol.clone()),
        addend: reloc.addend,
    }
}

fn pointer(offset: u64, to: Target) -> Fixup {
    Fixup { offset, kind: R_X86_64_64, to, addend: 0 }
}

fn original_of(function: &Function) -> Option<Target> {
    match &function.old {
        Old::Symbol(name) => Some(Target::Symbol(name.clone())),
        Old::ByName | Old::At(_) => None,
    }
}

fn new_size(function: &Function) -> u32 {
    match &function.new {
        Replacement::Code(code) => code.bytes.len() as u32,
        Replacement::Nop(bytes) => *bytes,
        // Xen does not use it for a jump; the function is not ours to measure.
        Replacement::Jump(_) | Replacement::Symbol(_) => function.old_size,
    }
}

fn rela_section(to: &Section, index: usize, symtab: usize, relas: Vec<Rela>) -> Section {
    let name = format!(".rela{}", to.name);
    let mut section = Section::new(&name, SHT_RELA, 0, 8, Data::Relas(relas));
    section.shdr.sh_link = symtab as u32;
    section.shdr.sh_info = index as u32;
    section.shdr.sh_entsize = size_of::<Rela>() as u64;
    section
}

/// The symbol table under construction. Local symbols come first, as ELF demands, so that the
/// section symbols, whose number is known beforehand, are followed by exported and undefined ones.
struct Symbols {
    symbols: Vec<Symbol>,
    /// Index of each region's section symbol.
    of_region: Vec<u32>,
}

impl Symbols {
    fn new(assembly: &Assembly, exports: &[String], order: &[usize]) -> Self {
        let mut table = Self {
            symbols: Vec::from([Symbol::default()]),
            of_region: alloc::vec![0; order.len()],
        };
        let section_of = |region: usize| {
            let position = order.iter().position(|&r| r == region);
            position.map_or(0, |p| p as u16 + 1)
        };
        for &region in order {
            if assembly.refers_to_section(region, exports) {
                let area = &assembly.regions[region].area;
                table.of_region[region] = table.push(
                    &area.name,
                    Sym {
                        st_info: Sym::info(STB_LOCAL, STT_SECTION),
                        st_shndx: section_of(region),
                        ..Sym::default()
                    },
                );
            }
        }
        for name in exports {
            let Some(label) = assembly.labels.get(name) else {
                panic!("the payload exports `{name}`, but has no such label");
            };
            let is_code = assembly.regions[label.place.region].area.sh_flags & SHF_EXECINSTR != 0;
            let kind = if is_code { STT_FUNC } else { STT_OBJECT };
            table.push(
                name,
                Sym {
                    st_info: Sym::info(STB_GLOBAL, kind),
                    st_shndx: section_of(label.place.region),
                    st_value: label.place.offset,
                    st_size: label.size as u64,
                    ..Sym::default()
                },
            );
        }
        table
    }

    fn push(&mut self, name: &str, sym: Sym) -> u32 {
        self.symbols.push(Symbol { name: name.into(), sym });
        self.symbols.len() as u32 - 1
    }

    fn resolve(&mut self, assembly: &Assembly, fixup: &Fixup) -> Rela {
        let (symbol, addend) = match &fixup.to {
            Target::Place(place) => self.in_section(*place, fixup.addend),
            Target::Symbol(name) => {
                let global = |s: &Symbol| s.name == *name && s.sym.binding() == STB_GLOBAL;
                match (self.symbols.iter().position(global), assembly.labels.get(name)) {
                    (Some(index), _) => (index as u32, fixup.addend),
                    (None, Some(label)) => self.in_section(label.place, fixup.addend),
                    (None, None) => (self.undefined(name), fixup.addend),
                }
            }
        };
        let mut rela = Rela { r_offset: fixup.offset, r_info: 0, r_addend: addend };
        rela.set_symbol(symbol);
        rela.set_kind(fixup.kind);
        rela
    }

    fn in_section(&self, place: Place, addend: i64) -> (u32, i64) {
        (self.of_region[place.region], place.offset as i64 + addend)
    }

    fn undefined(&mut self, name: &str) -> u32 {
        self.push(name, Sym { st_info: Sym::info(STB_GLOBAL, STT_NOTYPE), ..Sym::default() })
    }

    /// `.symtab` at the given index, `.strtab` and `.shstrtab` behind it.
    fn sections(self, symtab: usize) -> [Section; 3] {
        let mut symbols = Section::new(".symtab", SHT_SYMTAB, 0, 8, Data::Symbols(self.symbols));
        symbols.shdr.sh_link = symtab as u32 + 1;
        symbols.shdr.sh_entsize = size_of::<Sym>() as u64;
        let strings = |name| Section::new(name, SHT_STRTAB, 0, 1, Data::Bytes(Vec::new()));
        [symbols, strings(".strtab"), strings(".shstrtab")]
    }
}

impl Assembly {
    /// Whether anything refers to a place in the region other than by an exported symbol.
    fn refers_to_section(&self, region: usize, exports: &[String]) -> bool {
        let fixups = self.regions.iter().flat_map(|r| &r.fixups);
        let mut places = fixups.filter_map(|fixup| match &fixup.to {
            Target::Place(place) => Some(*place),
            Target::Symbol(name) if exports.contains(name) => None,
            Target::Symbol(name) => self.labels.get(name).map(|label| label.place),
        });
        places.any(|place| place.region == region)
    }
}
