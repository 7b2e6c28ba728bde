//! Payloads as files, of which anything may be wrong.

use livepatch::payload::Target;
use livepatch::program::PayloadSpec;

use super::Scope;
use super::class::{add, both};

/// As many elements of a table are looked at.
const ELEMENTS: u64 = 64;

/// What the file of a payload looks like in which it differs from the same without defects.
pub fn unusual(payload: &PayloadSpec, target: &Target) -> Scope {
    let correct = PayloadSpec { defects: Vec::new(), ..payload.clone() };
    let [usual, mut seen] = [&correct, payload].map(|spec| {
        let mut scope = Scope::new();
        let _ = File(&spec.to_bytes(target)).describe(&mut scope);
        scope
    });
    seen.retain(|feature| !usual.contains(feature));
    seen
}

/// A payload's file, of which anything may be wrong.
struct File<'a>(&'a [u8]);

/// A section's header.
struct Section {
    name: String,
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
}

impl Section {
    const fn is_loaded(&self) -> bool {
        self.flags & 2 != 0
    }
}

/// Types of sections that are told apart.
const KINDS: [(u32, &str); 7] = [
    (0, "null"),
    (1, "contents"),
    (SHT_SYMTAB, "symbol table"),
    (3, "string table"),
    (SHT_RELA, "relocations"),
    (7, "note"),
    (8, "zeroes"),
];
const SHT_SYMTAB: u32 = 2;
const SHT_RELA: u32 = 4;
const FLAGS: [(u64, &str); 3] = [(1, "writable"), (2, "loaded"), (4, "executable")];
const R_X86_64_64: u64 = 1;
const PAGE: u64 = 4096;
/// Bytes of an element of a table of relocations, and of one of symbols.
const ENTRY: u64 = 24;
/// Begins the names of sections of pointers to hooks.
const HOOKS: &str = ".livepatch.hooks.";
const POINTER: u64 = 8;
/// Addresses that no relocation makes one of the payload, or of Xen.
const NULL: &str = "null";
const NUMBER: &str = "a number";
/// Bytes of an element of `.livepatch.funcs`, and its fields that hold an address or a size.
const FUNC: u64 = 104;
const ADDRESSES: [(u64, &str); 3] = [(0, "name"), (8, "new address"), (16, "old address")];
const SIZES: [(u64, &str); 2] = [(24, "new size"), (28, "old size")];

impl File<'_> {
    fn number<const N: usize>(&self, at: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.0.get(at..at.checked_add(N)?)?);
        Some(u64::from_le_bytes(bytes))
    }

    fn text(&self, at: u64) -> String {
        let bytes = usize::try_from(at).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let end = bytes.iter().take(64).position(|&byte| byte == 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    fn sections(&self) -> Option<Vec<Section>> {
        let table = self.number::<8>(0x28)?;
        let stride = self.number::<2>(0x3a)?;
        let count = self.number::<2>(0x3c)?.min(ELEMENTS);
        let names = self.number::<2>(0x3e)?;
        let field = |index: u64, offset: u64| table.checked_add(index * stride + offset);
        let names = self.number::<8>(field(names, 0x18)?)?;
        (0..count)
            .map(|index| {
                let word = |offset| self.number::<4>(field(index, offset)?);
                let long = |offset| self.number::<8>(field(index, offset)?);
                Some(Section {
                    name: self.text(names.checked_add(word(0)?)?),
                    kind: word(4)? as u32,
                    flags: long(8)?,
                    offset: long(0x18)?,
                    size: long(0x20)?,
                    link: word(0x28)? as u32,
                    info: word(0x2c)? as u32,
                    align: long(0x30)?,
                })
            })
            .collect()
    }

    /// Adds what can be read; ends early where the file is too damaged for that.
    fn describe(&self, scope: &mut Scope) -> Option<()> {
        let sections = self.sections()?;
        for section in sections.iter().skip(1) {
            let kind = KINDS.iter().find(|(kind, _)| *kind == section.kind);
            let kind = kind.map_or("section of another type", |(_, word)| word);
            let end = section.offset.checked_add(section.size);
            let size = match end {
                None => "wraps",
                Some(end) if end > self.0.len() as u64 => "beyond the file",
                _ if section.size == 0 => "0",
                _ => "within the file",
            };
            let align = match section.align {
                0 => "0",
                align if !align.is_power_of_two() => "odd",
                align if align > PAGE => "beyond a page",
                _ => "usual",
            };
            let index = |index: u32| match index {
                0 => "none",
                _ if (index as usize) < sections.len() => "a section",
                _ => "out of range",
            };
            let mut told = |what: String| {
                add(scope, format!("{kind}, {what}"));
                add(scope, format!("{}, {what}", section.name));
            };
            told(format!("size {size}"));
            told(format!("alignment {align}"));
            told(format!("link {}", index(section.link)));
            told(format!("info {}", index(section.info)));
            for (bit, word) in FLAGS {
                let not = if section.flags & bit == 0 { "not " } else { "" };
                told(format!("{not}{word}"));
            }
        }
        if !sections.iter().skip(1).any(Section::is_loaded) {
            add(scope, "no section is loaded");
        }
        for section in sections.iter().filter(|section| section.kind == SHT_RELA) {
            let target = match sections.get(section.info as usize) {
                _ if section.info == 0 => "no section",
                None => "what is no section",
                Some(target) if target.is_loaded() => "a loaded section",
                Some(_) => "a section that is not loaded",
            };
            add(scope, format!("relocations of {target}"));
        }
        self.hooks(&sections, scope);
        let index = sections.iter().position(|section| section.name == ".livepatch.funcs")?;
        let funcs = &sections[index];
        for func in 0..(funcs.size / FUNC).min(ELEMENTS) {
            let (mut known, mut found) = (Vec::new(), Vec::new());
            for (field, what) in ADDRESSES {
                let address = self.address(&sections, index, func * FUNC + field)?;
                add(scope, format!("{what} {address}"));
                known.push(format!("{what} {address}"));
                found.push(address);
            }
            add(scope, known.join(", "));
            let [name, new, old] = found[..] else { return None };
            for (what, address) in [("name", name), ("new address", new)] {
                add(scope, format!("{what} {}", leads(address)));
                add(scope, format!("{what} {}, old address {old}", leads(address)));
            }
            for (field, what) in SIZES {
                let bytes = self.number::<4>(funcs.offset.checked_add(func * FUNC + field)?)?;
                both(scope, what, bytes);
                both(scope, format_args!("{}, {what}", known[1]), bytes);
            }
        }
        Some(())
    }

    /// Where the hooks are, as far as their sections can be read.
    fn hooks(&self, sections: &[Section], scope: &mut Scope) {
        for (index, section) in sections.iter().enumerate() {
            if !section.name.starts_with(HOOKS) {
                continue;
            }
            for hook in 0..(section.size / POINTER).min(ELEMENTS) {
                let Some(address) = self.address(sections, index, hook * POINTER) else { break };
                for what in ["a hook", &section.name] {
                    add(scope, format!("{what} {address}"));
                    add(scope, format!("{what} {}", leads(address)));
                }
            }
        }
    }

    /// What the address at `at` in the section `index` will be, relocations done.
    fn address(&self, sections: &[Section], index: usize, at: u64) -> Option<&'static str> {
        let relocations = sections
            .iter()
            .filter(|section| section.kind == SHT_RELA && section.info as usize == index)
            .flat_map(|section| {
                let count = (section.size / ENTRY).min(ELEMENTS);
                (0..count).filter_map(|n| section.offset.checked_add(n * ENTRY))
            });
        let mut address = match self.number::<8>(sections[index].offset.checked_add(at)?)? {
            0 => NULL,
            _ => NUMBER,
        };
        for rela in relocations {
            match self.number::<8>(rela)? {
                there if there == at => address = self.symbol(sections, rela).unwrap_or(NUMBER),
                there if there.abs_diff(at) < 8 => address = NUMBER,
                _ => {}
            }
        }
        Some(address)
    }

    /// Where the relocation at `rela` leads.
    fn symbol(&self, sections: &[Section], rela: u64) -> Option<&'static str> {
        if self.number::<4>(rela + 8)? != R_X86_64_64 {
            return None;
        }
        let symtab = sections.iter().find(|section| section.kind == SHT_SYMTAB)?;
        let symbol = symtab.offset.checked_add(self.number::<4>(rela + 12)? * ENTRY)?;
        let section = self.number::<2>(symbol.checked_add(6)?)?;
        let addend = self.number::<8>(rela + 16)?;
        match sections.get(usize::try_from(section).ok()?) {
            _ if section == 0 => (addend == 0).then_some("of another's symbol"),
            Some(section) if section.is_loaded() => {
                let value = self.number::<8>(symbol.checked_add(8)?)?.wrapping_add(addend);
                Some(if value < section.size { "of its own" } else { "beyond a section" })
            }
            _ => None,
        }
    }
}

/// Whether an address leads anywhere.
fn leads(address: &str) -> &'static str {
    match address {
        NULL | NUMBER => "leads nowhere",
        _ => "leads somewhere",
    }
}
