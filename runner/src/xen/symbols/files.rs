//! The two files of one Xen build: xen-syms, which names its functions, and the binary that boots.
//!
//! The one is linked at Xen's virtual addresses; the other is the same content wrapped in a 32-bit
//! ELF for the boot loader. Physical addresses, which both carry, lead from the one to the other.
//! Nothing is used before the build-id and each function's bytes agree.

use std::collections::HashMap;
use std::ops::Range;

use object::elf::PT_LOAD;
use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader, ProgramHeader};
use object::read::pe::PeFile64;
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::base::hash::hex;
use crate::base::plain::plain;
use crate::plan::xens::EFI_MAGIC;

/// A mistake in one of the files, in words that follow its name.
type Parsed<T> = std::result::Result<T, String>;

/// A function of Xen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XenFunction {
    /// Its symbol.
    pub name: String,
    /// The source file of a static one, as the symbol table has it.
    pub file: Option<String>,
    /// Its name in output: with the file where there are several of that name.
    pub label: String,
    /// Where it runs.
    pub address: u64,
    /// Where it is loaded.
    pub physical: u64,
    /// Its code.
    pub code: Vec<u8>,
}

impl XenFunction {
    /// The name that tells statics of the same name apart.
    pub fn full_name(&self) -> String {
        match &self.file {
            Some(file) => format!("{file}#{}", self.name),
            None => self.name.clone(),
        }
    }
}

#[cfg(test)]
impl XenFunction {
    /// A function for tests.
    pub fn sample(name: &str, file: Option<&str>, address: u64, code: &[u8]) -> XenFunction {
        XenFunction {
            name: name.into(),
            file: file.map(str::to_owned),
            label: name.into(),
            address,
            physical: address - 0x1000,
            code: code.to_vec(),
        }
    }
}

/// What xen-syms says.
#[derive(Debug)]
pub struct XenSyms {
    /// Identifies the build.
    pub build_id: Vec<u8>,
    /// All functions, by address.
    pub functions: Vec<XenFunction>,
    /// All functions and variables, by address.
    pub names: Vec<Name>,
}

/// Something that has a name and a place.
#[derive(Debug)]
pub struct Name {
    /// Where it begins.
    pub address: u64,
    /// How long it is.
    pub size: u64,
    /// Its symbol.
    pub name: String,
}

impl XenSyms {
    /// Reads a xen-syms.
    pub fn parse(bytes: &[u8]) -> Parsed<XenSyms> {
        let elf = ElfFile64::<Endianness>::parse(bytes)
            .map_err(|e| format!("is no 64-bit ELF file: {e}; is this a xen-syms?"))?;
        let build_id = build_id(&elf)?;
        let segments = Segment::of(&elf);
        let mut functions: Vec<XenFunction> = Vec::new();
        let mut names: Vec<Name> = Vec::new();
        // Statics follow the name of their source file; globals come after all of them.
        let mut file = None;
        for symbol in elf.symbols() {
            let name = || plain(&String::from_utf8_lossy(symbol.name_bytes().unwrap_or_default()));
            if matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data) {
                let (address, size) = (symbol.address(), symbol.size());
                names.push(Name { address, size, name: name() });
            }
            match symbol.kind() {
                SymbolKind::File => file = Some(name()),
                SymbolKind::Text if symbol.size() > 0 => {
                    let (address, size) = (symbol.address(), symbol.size());
                    let place = segments.iter().find_map(|segment| {
                        let skip = address.checked_sub(segment.address)?;
                        Some((segment.physical + skip, segment.slice(skip, size)?))
                    });
                    let (physical, range) = place.ok_or_else(|| {
                        format!("has no code of the function {} at {address:#x}", name())
                    })?;
                    functions.push(XenFunction {
                        name: name(),
                        file: file.clone().filter(|_| symbol.is_local()),
                        label: name(),
                        address,
                        physical,
                        code: bytes[range].to_vec(),
                    });
                }
                _ => {}
            }
        }
        if functions.is_empty() {
            return Err("has no function symbols; is it stripped?".into());
        }
        functions.sort_by_key(|function| function.address);
        let mut count: HashMap<String, usize> = HashMap::new();
        for function in &functions {
            *count.entry(function.name.clone()).or_default() += 1;
        }
        for function in functions.iter_mut().filter(|function| count[&function.name] > 1) {
            function.label = function.full_name();
        }
        names.sort_by_key(|name| name.address);
        Ok(XenSyms { build_id, functions, names })
    }

    /// `address` as `name+offset`, if it is in something that has a name.
    pub fn describe(&self, address: u64) -> Option<String> {
        let after = self.names.partition_point(|name| name.address <= address);
        let Name { address: start, size, name } = &self.names[after.checked_sub(1)?];
        match address - start {
            0 => Some(name.clone()),
            offset if offset < *size => Some(format!("{name}+{offset:#x}")),
            _ => None,
        }
    }
}

/// The Xen that boots.
#[derive(Clone, Debug)]
pub struct BootXen {
    bytes: Vec<u8>,
    build_id: Vec<u8>,
    segments: Vec<Segment>,
}

impl BootXen {
    /// Reads a bootable Xen.
    pub fn parse(bytes: Vec<u8>) -> Parsed<BootXen> {
        if bytes.starts_with(EFI_MAGIC) {
            return BootXen::parse_efi(bytes);
        }
        let elf = ElfFile32::<Endianness>::parse(bytes.as_slice())
            .map_err(|e| format!("is no 32-bit ELF file: {e}"))?;
        let (build_id, segments) = (build_id(&elf)?, Segment::of(&elf));
        Ok(BootXen { bytes, build_id, segments })
    }

    /// Reads a Xen that is an EFI application: what it holds at an address relative to its base, an
    /// ELF file holds at a physical one.
    fn parse_efi(bytes: Vec<u8>) -> Parsed<BootXen> {
        let pe =
            PeFile64::parse(bytes.as_slice()).map_err(|e| format!("is no EFI application: {e}"))?;
        let damaged = |e| format!("has a damaged build-id: {e}");
        let id = pe.pdb_info().map_err(damaged)?.ok_or(NO_BUILD_ID)?;
        let (build_id, base) = (id.guid().to_vec(), pe.relative_address_base());
        let segments = pe.sections().filter_map(|section| {
            let (address, (offset, size)) = (section.address(), section.file_range()?);
            let length = (bytes.len() as u64).saturating_sub(offset);
            Some(Segment { address, physical: address - base, offset, size: size.min(length) })
        });
        let segments = segments.collect();
        Ok(BootXen { bytes, build_id, segments })
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Identifies the build.
    pub fn build_id(&self) -> &[u8] {
        &self.build_id
    }

    /// Checks that `symbols` are of this build.
    pub fn check_build(&self, symbols: &XenSyms) -> Parsed<()> {
        if self.build_id == symbols.build_id {
            return Ok(());
        }
        let (mine, theirs) = (hex(&self.build_id), hex(&symbols.build_id));
        Err(format!("has the build-id {mine}, but its symbols belong to {theirs}"))
    }

    /// Checks that the code of `function` is where it is thought to be.
    pub fn check_code(&self, function: &XenFunction) -> Parsed<()> {
        let range = self.range(function.physical, function.code.len() as u64);
        if range.is_some_and(|range| self.bytes[range] == function.code) {
            return Ok(());
        }
        let XenFunction { name, physical, .. } = function;
        Err(format!("does not hold the code of {name} at the physical address {physical:#x}"))
    }

    /// A copy that has `bytes` at `physical`.
    pub fn with(&self, physical: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        let range = self.range(physical, bytes.len() as u64)?;
        let mut copy = self.bytes.clone();
        copy[range].copy_from_slice(bytes);
        Some(copy)
    }

    /// What is loaded at `physical`.
    pub fn at(&self, physical: u64, size: u64) -> Option<&[u8]> {
        Some(&self.bytes[self.range(physical, size)?])
    }

    fn range(&self, physical: u64, size: u64) -> Option<Range<usize>> {
        self.segments
            .iter()
            .find_map(|segment| segment.slice(physical.checked_sub(segment.physical)?, size))
    }
}

/// A part of a file that is loaded.
#[derive(Clone, Debug)]
struct Segment {
    address: u64,
    physical: u64,
    offset: u64,
    size: u64,
}

impl Segment {
    /// The loaded parts of `elf`, as far as the file really has them.
    fn of<Elf: FileHeader>(elf: &ElfFile<'_, Elf>) -> Vec<Segment> {
        let endian = elf.endian();
        let length = elf.data().len() as u64;
        elf.elf_program_headers()
            .iter()
            .filter(|header| header.p_type(endian) == PT_LOAD)
            .map(|header| {
                let offset = header.p_offset(endian).into();
                Segment {
                    address: header.p_vaddr(endian).into(),
                    physical: header.p_paddr(endian).into(),
                    offset,
                    size: header.p_filesz(endian).into().min(length.saturating_sub(offset)),
                }
            })
            .collect()
    }

    /// The range in the file of `size` bytes, after the first `skip` of this segment.
    fn slice(&self, skip: u64, size: u64) -> Option<Range<usize>> {
        let end = skip.checked_add(size).filter(|&end| end <= self.size)?;
        let [start, end] = [skip, end].map(|at| usize::try_from(self.offset + at).ok());
        Some(start?..end?)
    }
}

fn build_id<Elf: FileHeader>(elf: &ElfFile<'_, Elf>) -> Parsed<Vec<u8>>
where
    for<'data> ElfFile<'data, Elf>: Object<'data>,
{
    let id = elf.build_id().map_err(|e| format!("has a damaged build-id: {e}"))?;
    id.map(<[u8]>::to_vec).ok_or_else(|| NO_BUILD_ID.into())
}

/// Of a file without one.
const NO_BUILD_ID: &str = "has no build-id; symbols and live patches cannot be matched to it";

#[cfg(test)]
mod tests {
    use super::*;

    use crate::xen::symbols::xen_build::{self, BOOT_CONTENT, PHYSICAL, STRIDE, VIRTUAL};

    const FUNCTIONS: [xen_build::Function<'_>; 4] = [
        ("local", Some("common/a.c"), &[0x74, 0x00, 0xc3]),
        ("global", None, &[0x75, 0xfe, 0x90, 0xc3]),
        ("other", Some("common/b.c"), &[0xc3]),
        ("local", Some("common/b.c"), &[0xc3]),
    ];

    fn build() -> (BootXen, XenSyms) {
        let boot = BootXen::parse(xen_build::boot(1, &FUNCTIONS)).unwrap();
        (boot, XenSyms::parse(&xen_build::syms(1, &FUNCTIONS)).unwrap())
    }

    #[test]
    fn functions_are_found_in_both_files() {
        let (boot, symbols) = build();
        assert_eq!(boot.check_build(&symbols), Ok(()));
        let full: Vec<String> = symbols.functions.iter().map(XenFunction::full_name).collect();
        assert_eq!(full, ["common/a.c#local", "global", "common/b.c#other", "common/b.c#local"]);
        let labels = symbols.functions.iter().map(|function| function.label.as_str());
        assert!(labels.eq(["common/a.c#local", "global", "other", "common/b.c#local"]));
        for (index, function) in symbols.functions.iter().enumerate() {
            let skip = ((index + 1) * STRIDE) as u64;
            assert_eq!(
                (function.address, function.physical, function.code.as_slice()),
                (VIRTUAL + skip, PHYSICAL + skip, FUNCTIONS[index].2)
            );
            assert_eq!(boot.check_code(function), Ok(()));
        }
        let global = symbols.functions[1].address;
        assert_eq!(symbols.describe(global).as_deref(), Some("global"));
        assert_eq!(symbols.describe(global + 2).as_deref(), Some("global+0x2"));
        assert_eq!(symbols.describe(global + 4), None);
        assert_eq!(symbols.describe(0), None);
    }

    #[test]
    fn a_mutant_differs_in_what_was_changed() {
        let (boot, symbols) = build();
        let mutant = boot.with(symbols.functions[1].physical, &[0x74, 0x00]).unwrap();
        assert_eq!(mutant.len(), boot.bytes().len());
        let pairs = boot.bytes().iter().zip(&mutant).enumerate();
        let changed: Vec<_> = pairs.filter(|(_, (old, new))| old != new).collect();
        let at = BOOT_CONTENT + 2 * STRIDE;
        assert_eq!(changed, [(at, (&0x75, &0x74)), (at + 1, (&0xfe, &0x00))]);
        assert_eq!(boot.with(PHYSICAL - 1, &[0]), None);
        assert_eq!(boot.with(PHYSICAL + 0x1000, &[0]), None);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (boot, symbols) = build();
        let other = BootXen::parse(xen_build::boot(2, &FUNCTIONS)).unwrap();
        let why = other.check_build(&symbols).unwrap_err();
        assert!(why.starts_with("has the build-id 0202"), "{why}");

        let mut function = symbols.functions[0].clone();
        function.code[1] = 7;
        assert!(boot.check_code(&function).unwrap_err().contains("code of local"));
        function.physical = u64::MAX;
        assert!(boot.check_code(&function).is_err());

        for (bytes, why) in [
            (xen_build::boot(1, &FUNCTIONS), "64-bit ELF"),
            (xen_build::syms(1, &[]), "no function symbols"),
            (b"text".to_vec(), "64-bit ELF"),
        ] {
            assert!(XenSyms::parse(&bytes).unwrap_err().contains(why), "{why}");
        }
        let mut cut = xen_build::boot(1, &FUNCTIONS);
        cut.truncate(BOOT_CONTENT + 2 * STRIDE + 1);
        let cut = BootXen::parse(cut).unwrap();
        assert!(cut.check_code(&symbols.functions[0]).is_ok());
        assert!(cut.check_code(&symbols.functions[1]).is_err());
    }
}
