//! From a recipe to a payload's file.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::spec::{
    Defect, EhdrField, ExpectSpec, FuncField, FunctionSpec, FunctionTarget, HookDoes, IdSpec,
    NoteField, PayloadSpec, RelaField, SectionName, ShdrField, SymField, Table, TableSpec,
};
use super::words::Word;
use crate::payload::wire::{R_X86_64_PC32, SHF_EXECINSTR};
use crate::payload::{
    Area, Chunk, Data, Ehdr, Elf, Expectation, Func, Function, HookBody, Note, Old, Payload, Rela,
    Replacement, Shdr, Sym, Target, code,
};

/// NOPs of a function of the payload's own.
const OWN_NOPS: usize = 32;
/// The label of the code that tables are about,
const LISTED: &str = "listed";
/// and its NOPs.
const LISTED_NOPS: usize = 32;
/// The label of what alternatives put in its place.
const REPLACEMENT: &str = "replacement";
/// Bytes of an instruction with an alternative.
const REPLACED: u8 = 5;
/// A feature that Xen requires: long mode.
const LONG_MODE: u16 = 2 * 32 + 29;
/// A feature that no CPU has: a reserved bit of CPUID leaf 1.
const RESERVED: u16 = 10;

impl FunctionTarget {
    /// The name under which Xen is asked for the function.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Extra => "xen_extra_version",
            Self::Minor => "xen_minor_version",
            Self::Major => "xen_major_version",
            Self::Own => "own",
            Self::OwnEndbr => "own-endbr",
            Self::Nobody => "xtf_nobody",
        }
    }
}

impl PayloadSpec {
    /// The build-id of the payload with that `id`.
    pub fn build_id(id: u8) -> [u8; 8] {
        let [tens, ones] = digits(id);
        [b'x', b't', b'f', b'-', b'i', b'd', tens, ones]
    }

    /// What XENVER_extraversion tells while that payload's `extra` is in effect.
    pub fn extra_version(id: u8) -> String {
        let [tens, ones] = digits(id);
        format!("-p{}{}", tens as char, ones as char)
    }

    /// What its `minor` and `major` return.
    pub const fn number(id: u8) -> u32 {
        0x100 + id as u32
    }

    /// The file, for a Xen with the target's build-id.
    pub fn to_bytes(&self, target: &Target) -> Vec<u8> {
        let mut elf = self.correct(target).elf();
        for defect in &self.defects {
            if let Defect::Remove(section) = *defect
                && elf.section_index(section.word()).is_some()
                && !matches!(section, SectionName::Symtab | SectionName::Shstrtab)
            {
                elf.remove(section.word());
            }
        }
        self.defects.iter().for_each(|defect| defect.break_field(&mut elf));
        let mut file = elf.to_bytes();
        for defect in &self.defects {
            match *defect {
                Defect::Byte(offset, value) => {
                    if let Some(byte) = file.get_mut(offset as usize) {
                        *byte = value;
                    }
                }
                Defect::Content(section, offset, value) => {
                    let place = elf.section_index(section.word());
                    let place = place.and_then(|index| elf.sections[index].place());
                    let byte = place.and_then(|p| file.get_mut(p)?.get_mut(usize::from(offset)));
                    if let Some(byte) = byte {
                        *byte = value;
                    }
                }
                Defect::Truncate(size) => file.truncate(size as usize),
                _ => {}
            }
        }
        file
    }

    /// The payload before anything is broken.
    pub fn correct(&self, target: &Target) -> Payload {
        let mut payload = Payload::new(target, Self::build_id(self.id))
            .depends(id_bytes(self.depends, target))
            .xen_depends(id_bytes(self.xen_depends, target));
        if self.functions.iter().any(|f| f.target == FunctionTarget::Own) {
            let own = code::nops(OWN_NOPS).then(code::ret());
            payload = payload.text(FunctionTarget::Own.symbol(), own);
        }
        if self.functions.iter().any(|f| f.target == FunctionTarget::OwnEndbr) {
            let own = code::endbr64().then(code::nops(OWN_NOPS)).then(code::ret());
            payload = payload.text(FunctionTarget::OwnEndbr.symbol(), own);
        }
        for function in &self.functions {
            payload = payload.function(self.function(function));
        }
        for (number, hook) in self.hooks.iter().enumerate() {
            let body = match hook.does {
                HookDoes::Return(value) => code::return_u32(value.cast_unsigned()).into(),
                HookDoes::Once(value) => {
                    let variable = format!("once-{number}");
                    payload = payload.data(&variable, value.to_le_bytes());
                    code::take_u32_at(&variable).into()
                }
                HookDoes::Null => HookBody::Null,
            };
            payload = payload.hook(hook.hook, body);
        }
        if self.data > 0 {
            payload = payload.data("data", alloc::vec![0xd5; self.data.into()]);
        }
        if self.bss > 0 {
            payload = payload.bss("bss", self.bss as usize);
        }
        if let Some(export) = self.export {
            payload = payload.rodata(export.symbol(), [self.id; 8]).export(export.symbol());
        }
        if let Some(import) = self.import
            // The payload's own definition would satisfy it.
            && self.export != Some(import)
        {
            payload = payload.rodata("import", Chunk::address_of(import.symbol()));
        }
        if let Some(metadata) = &self.metadata {
            let mut text = metadata.clone();
            text.push(0);
            payload = payload.section(Area::loaded(".modinfo", 0, 1), "metadata", text);
        }
        if !self.tables.is_empty() {
            payload = payload.text(LISTED, code::nops(LISTED_NOPS).then(code::ret()));
        }
        for table in &self.tables {
            if table.table == Table::Alternatives {
                let area = Area::loaded(".altinstr_replacement", SHF_EXECINSTR, 1);
                payload = payload.section(area, REPLACEMENT, code::nops(LISTED_NOPS));
            }
            let area = Area::loaded(table.table.word(), 0, 1);
            payload = payload.section(area, table.table.word(), table.chunk());
        }
        payload
    }

    fn function(&self, spec: &FunctionSpec) -> Function {
        let new = match spec.nop {
            Some(bytes) => Replacement::Nop(bytes),
            None if spec.target == FunctionTarget::Extra => {
                code::return_str(&Self::extra_version(self.id)).into()
            }
            None => code::return_u32(Self::number(self.id)).into(),
        };
        let own = matches!(spec.target, FunctionTarget::Own | FunctionTarget::OwnEndbr);
        let symbol = spec.target.symbol();
        let function = if own || spec.by_symbol {
            Function::symbol(symbol, new)
        } else {
            Function::named(symbol, new)
        };
        let expectation = spec.expectation();
        let function = Function { expectation, ..function.old_size(spec.old_size) };
        debug_assert!(!own || matches!(function.old, Old::Symbol(_)));
        function
    }
}

impl TableSpec {
    fn chunk(self) -> Chunk {
        let size = usize::from(self.size);
        let entry = self.table.entry();
        let mut chunk = Chunk::default();
        for index in 0..size / entry {
            // Of the first few instructions, over and over.
            let at = (index % 8) as i64;
            let address = |offset| Chunk::new([0; 4]).reloc(0, R_X86_64_PC32, LISTED, offset);
            let known = chunk.bytes.len();
            chunk = chunk.then(address(at));
            chunk = match self.table {
                Table::Exceptions => chunk.then(address(at + 1)),
                Table::Alternatives => {
                    let feature = if index % 2 == 0 { LONG_MODE } else { RESERVED };
                    let [low, high] = feature.to_le_bytes();
                    let new = Chunk::new([0; 4]).reloc(0, R_X86_64_PC32, REPLACEMENT, 0);
                    chunk.then(new).then(Chunk::new([low, high, REPLACED, REPLACED, 0, 0]))
                }
                _ => chunk,
            };
            chunk.bytes.resize(known + entry, 0);
        }
        chunk.bytes.resize(size, 0);
        chunk
    }
}

impl FunctionSpec {
    fn expectation(&self) -> Expectation {
        match self.expect {
            ExpectSpec::Nothing => Expectation::NONE,
            ExpectSpec::Right => match self.target {
                FunctionTarget::Own => Expectation::of(&[0x90; 5]),
                FunctionTarget::OwnEndbr => Expectation::of(&[0xf3, 0x0f, 0x1e, 0xfa, 0x90]),
                _ => Expectation::of(&[]),
            },
            ExpectSpec::Wrong => Expectation::of(&[0xcc; 5]),
            ExpectSpec::Reserved => {
                Expectation { head: Expectation::head(true, 0, 1), data: [0; 31] }
            }
            ExpectSpec::Long => Expectation::of(&[0xcc; 31]),
        }
    }
}

fn digits(id: u8) -> [u8; 2] {
    [b'0' + id / 10 % 10, b'0' + id % 10]
}

fn id_bytes(id: IdSpec, target: &Target) -> Vec<u8> {
    match id {
        IdSpec::Xen => target.xen_build_id.clone(),
        IdSpec::Nobody => b"nobody's".to_vec(),
        IdSpec::Payload(id) => PayloadSpec::build_id(id).to_vec(),
    }
}

impl Defect {
    /// Breaks a field, if that is what it does and the field is there.
    fn break_field(&self, elf: &mut Elf) {
        match *self {
            Self::Ehdr(field, value) => field.set(&mut elf.ehdr, value),
            Self::Shdr(section, field, value) => {
                if let Some(index) = elf.section_index(section.word()) {
                    field.set(&mut elf.sections[index].shdr, value);
                }
            }
            Self::Func(index, field, value) => {
                if let Some(Data::Funcs(_, funcs)) = data(elf, SectionName::Funcs)
                    && let Some(func) = wrapped(funcs, index)
                {
                    field.set(func, value);
                }
            }
            Self::Sym(index, field, value) => {
                if let Some(Data::Symbols(symbols)) = data(elf, SectionName::Symtab)
                    && let Some(symbol) = wrapped(symbols, index)
                {
                    field.set(&mut symbol.sym, value);
                }
            }
            Self::Rela(section, index, field, value) => {
                if let Some(Data::Relas(relas)) = data(elf, section)
                    && let Some(rela) = wrapped(relas, index)
                {
                    field.set(rela, value);
                }
            }
            Self::Note(section, field, value) => {
                if let Some(Data::Note(note)) = data(elf, section) {
                    field.set(note, value);
                }
            }
            Self::Remove(_) | Self::Byte(..) | Self::Content(..) | Self::Truncate(_) => {}
        }
    }
}

fn data(elf: &mut Elf, section: SectionName) -> Option<&mut Data> {
    let index = elf.section_index(section.word())?;
    Some(&mut elf.sections[index].data)
}

fn wrapped<T>(items: &mut [T], index: u8) -> Option<&mut T> {
    let index = usize::from(index).checked_rem(items.len())?;
    items.get_mut(index)
}

impl EhdrField {
    const fn set(self, ehdr: &mut Ehdr, value: u64) {
        match self {
            Self::Class => ehdr.e_ident[4] = value as u8,
            Self::ByteOrder => ehdr.e_ident[5] = value as u8,
            Self::IdentVersion => ehdr.e_ident[6] = value as u8,
            Self::OsAbi => ehdr.e_ident[7] = value as u8,
            Self::AbiVersion => ehdr.e_ident[8] = value as u8,
            Self::Type => ehdr.e_type = value as u16,
            Self::Machine => ehdr.e_machine = value as u16,
            Self::Version => ehdr.e_version = value as u32,
            Self::Entry => ehdr.e_entry = value,
            Self::Phoff => ehdr.e_phoff = value,
            Self::Shoff => ehdr.e_shoff = value,
            Self::Flags => ehdr.e_flags = value as u32,
            Self::Ehsize => ehdr.e_ehsize = value as u16,
            Self::Phentsize => ehdr.e_phentsize = value as u16,
            Self::Phnum => ehdr.e_phnum = value as u16,
            Self::Shentsize => ehdr.e_shentsize = value as u16,
            Self::Shnum => ehdr.e_shnum = value as u16,
            Self::Shstrndx => ehdr.e_shstrndx = value as u16,
        }
    }
}

impl ShdrField {
    const fn set(self, shdr: &mut Shdr, value: u64) {
        match self {
            Self::Name => shdr.sh_name = value as u32,
            Self::Type => shdr.sh_type = value as u32,
            Self::Flags => shdr.sh_flags = value,
            Self::Addr => shdr.sh_addr = value,
            Self::Offset => shdr.sh_offset = value,
            Self::Size => shdr.sh_size = value,
            Self::Link => shdr.sh_link = value as u32,
            Self::Info => shdr.sh_info = value as u32,
            Self::Align => shdr.sh_addralign = value,
            Self::Entsize => shdr.sh_entsize = value,
        }
    }
}

impl FuncField {
    fn set(self, func: &mut Func, value: u64) {
        match self {
            Self::Name => func.name = value,
            Self::NewAddr => func.new_addr = value,
            Self::OldAddr => func.old_addr = value,
            Self::NewSize => func.new_size = value as u32,
            Self::OldSize => func.old_size = value as u32,
            Self::Version => func.version = value as u8,
            Self::Pad => func.pad[..8].copy_from_slice(&value.to_le_bytes()),
            // Offset 64 of the element: 31 bytes into the padding.
            Self::Applied => func.pad[31..].copy_from_slice(&value.to_le_bytes()),
            Self::Expectation => func.expectation.head = value as u8,
        }
    }
}

impl SymField {
    const fn set(self, sym: &mut Sym, value: u64) {
        match self {
            Self::Name => sym.st_name = value as u32,
            Self::Info => sym.st_info = value as u8,
            Self::Other => sym.st_other = value as u8,
            Self::Shndx => sym.st_shndx = value as u16,
            Self::Value => sym.st_value = value,
            Self::Size => sym.st_size = value,
        }
    }
}

impl RelaField {
    const fn set(self, rela: &mut Rela, value: u64) {
        match self {
            Self::Offset => rela.r_offset = value,
            Self::Type => rela.set_kind(value as u32),
            Self::Symbol => rela.set_symbol(value as u32),
            Self::Addend => rela.r_addend = value as i64,
        }
    }
}

impl NoteField {
    fn set(self, note: &mut Note, value: u64) {
        match self {
            Self::NameSize => note.namesz = value as u32,
            Self::DescSize => note.descsz = value as u32,
            Self::Type => note.kind = value as u32,
            Self::Owner => {
                if let Some(byte) = note.name.first_mut() {
                    *byte = value as u8;
                }
            }
        }
    }
}
