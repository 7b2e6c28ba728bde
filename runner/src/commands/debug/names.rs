//! What addresses are called, in Xen and in the guest.

use std::fs;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind, SymbolSection};

use super::symbols::Symbols;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::source_lines::SourceLines;

/// Something that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Where it begins.
    pub address: u64,
    /// How long it is; 0 if nobody says.
    pub size: u64,
    /// Whether it is code.
    pub is_code: bool,
    /// How people call it.
    pub name: String,
}

/// All that have one, by address.
pub struct Names {
    names: Vec<Name>,
    lines: Vec<SourceLines>,
}

impl Names {
    /// Those of a boot.
    pub fn read(symbols: &Symbols) -> Result<Names> {
        let files = symbols.xen.iter().chain([&symbols.guest]);
        let mut all = Names { names: Vec::new(), lines: Vec::new() };
        for path in files {
            all.names.extend(of_file(path)?);
            all.lines.push(SourceLines::read(path));
        }
        all.names.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
        all.names.dedup();
        Ok(all)
    }

    /// What is called `word`: a whole name, or the last part of a path.
    pub fn find(&self, word: &str) -> Vec<&Name> {
        let whole: Vec<&Name> = self.names.iter().filter(|name| name.name == word).collect();
        if !whole.is_empty() {
            return whole;
        }
        let part = format!("::{word}");
        self.names.iter().filter(|name| name.name.ends_with(&part)).collect()
    }

    /// What `address` is in.
    pub fn around(&self, address: u64) -> Option<&Name> {
        let after = self.names.partition_point(|name| name.address <= address);
        let before = self.names[..after].iter().rev();
        // Labels lie within functions, and have no size.
        before.take(8).find(|name| {
            let offset = address - name.address;
            offset < name.size || offset == 0
        })
    }

    /// `address` as `name+0x10`, or as a number.
    pub fn describe(&self, address: u64) -> String {
        match self.around(address) {
            None => format!("{address:#x}"),
            Some(name) if name.address == address => name.name.clone(),
            Some(name) => format!("{}+{:#x}", name.name, address - name.address),
        }
    }

    /// The source line of the instruction at `address`, if that is known, with `at` before it.
    pub fn line(&self, address: u64) -> String {
        let line = self.lines.iter().find_map(|lines| lines.of(address));
        line.map(|line| format!(" at {line}")).unwrap_or_default()
    }
}

fn of_file(path: &Path) -> Result<Vec<Name>> {
    let bytes = fs::read(path).io("read", path)?;
    let elf = object::File::parse(bytes.as_slice())
        .map_err(|e| Error::Data(format!("{}: {e}", path.display())))?;
    let names = elf.symbols().filter_map(|symbol| {
        let SymbolSection::Section(section) = symbol.section() else { return None };
        if matches!(symbol.kind(), SymbolKind::File | SymbolKind::Section | SymbolKind::Tls) {
            return None;
        }
        let section = elf.section_by_index(section).ok()?;
        let name = addr2line::demangle_auto(symbol.name().ok()?.into(), None).into_owned();
        // Rust's names end in a hash, which nobody can know.
        let name = match name.rsplit_once("::h") {
            Some((plain, hash)) if hash.len() == 16 => plain.to_owned(),
            _ => name,
        };
        let (address, size) = (symbol.address(), symbol.size());
        let is_code = section.kind() == SectionKind::Text;
        (!name.is_empty()).then_some(Name { address, size, is_code, name })
    });
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This very program stands in for both.
    #[test]
    fn functions_are_found_by_a_part_of_their_path() {
        let here = std::env::current_exe().unwrap();
        let symbols = Symbols { guest: here, ..Symbols::default() };
        let names = Names::read(&symbols).unwrap();
        let whole = names.find("xtf_runner::commands::debug::names::of_file");
        let [name] = whole[..] else { panic!("{whole:?}") };
        assert_eq!(names.find("names::of_file"), [name]);
        assert!(name.is_code && name.size > 4);
        assert_eq!(names.describe(name.address), name.name);
        assert_eq!(names.describe(name.address + 4), format!("{}+0x4", name.name));
        assert_eq!(names.describe(1), "0x1");
        assert!(names.line(name.address).contains("debug/names.rs:"));
        assert!(names.find("no_such_function").is_empty());
    }
}
