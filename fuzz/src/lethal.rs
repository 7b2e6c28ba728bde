//! What is known to kill some Xens, told from the payloads in a program.
//!
//! All of it needs the control domain. A fuzzer that does not know these finds nothing else: it
//! would spend its time booting. So each is tried once in a run, under its name, and then left out.
//! Whether it is tolerated is up to the expectations file.

use livepatch::abi::ActionCmd;
use livepatch::payload::{Hook, Target};
use livepatch::program::{
    Fault, FuncField, FunctionSpec, FunctionTarget, HookDoes, Op, PayloadSpec, Program,
    SectionName, Step, SymField,
};

/// A way to kill Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lethal {
    /// A section to load with alignment 0 overlaps an earlier one.
    AlignZero,
    /// Code of the payload's, or the way to it, is damaged, and the payload is applied.
    CodeWild,
    /// An empty `.modinfo`: its last byte is looked for before its first.
    EmptyModinfo,
    /// A function replaced twice by one payload keeps the second replacement when it is reverted.
    FunctionTwice,
    /// An apply or revert hook that does not do what it replaces.
    IdleAction,
    /// A function without an address, whose name is no text of the payload's.
    NameWild,
    /// NOPs over a part of a function of Xen's, which is then run.
    NopWild,
    /// A section that Xen reads is not loaded.
    NotLoaded,
    /// A null pointer among the load or unload hooks.
    NullHook,
    /// A function at an address that is not its own.
    OldAddressWild,
    /// Relocations of section 0.
    RelocationsOfNothing,
    /// Fewer than 4 bytes of NOPs over an ENDBR64.
    ShortNop,
    /// A section's size that wraps around the end of all addresses.
    SizeWraps,
    /// A symbol table without names.
    SymbolsWithoutNames,
}

impl Lethal {
    /// All of them.
    #[cfg(test)]
    const ALL: [Lethal; 14] = [
        Lethal::AlignZero,
        Lethal::CodeWild,
        Lethal::EmptyModinfo,
        Lethal::FunctionTwice,
        Lethal::IdleAction,
        Lethal::NameWild,
        Lethal::NopWild,
        Lethal::NotLoaded,
        Lethal::NullHook,
        Lethal::OldAddressWild,
        Lethal::RelocationsOfNothing,
        Lethal::ShortNop,
        Lethal::SizeWraps,
        Lethal::SymbolsWithoutNames,
    ];

    /// What it is called in reports and in the names of files.
    pub fn name(self) -> &'static str {
        match self {
            Lethal::AlignZero => "align-0",
            Lethal::CodeWild => "code-wild",
            Lethal::EmptyModinfo => "empty-modinfo",
            Lethal::FunctionTwice => "function-twice",
            Lethal::IdleAction => "idle-action-hook",
            Lethal::NameWild => "name-wild",
            Lethal::NopWild => "nop-wild",
            Lethal::NotLoaded => "not-loaded",
            Lethal::NullHook => "null-load-hook",
            Lethal::OldAddressWild => "old-addr-wild",
            Lethal::RelocationsOfNothing => "rela-sh-info-0",
            Lethal::ShortNop => "short-nop-on-endbr",
            Lethal::SizeWraps => "size-wraps",
            Lethal::SymbolsWithoutNames => "symtab-sh-link-0",
        }
    }
}

/// All that is known to be lethal in `program`, each once, in order.
pub fn in_program(program: &Program, target: &Target) -> Vec<Lethal> {
    let mut found = Vec::new();
    let applies = |step: &Step| match &step.op {
        Op::Action(action) => matches!(action.cmd, ActionCmd::Apply | ActionCmd::Replace),
        _ => false,
    };
    let applied = program.steps.iter().any(applies);
    for step in &program.steps {
        if let Op::Upload(upload) = &step.op {
            in_recipe(&upload.payload, &mut found);
            if applied && upload.payload.functions.iter().any(covers_xen) {
                found.push(Lethal::NopWild);
            }
            if applied && upload.payload.faults.iter().any(damages_code) {
                found.push(Lethal::CodeWild);
            }
            if !upload.payload.faults.is_empty() {
                let file = upload.payload.to_bytes(target);
                let _ = File(&file).examine(&mut found);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn in_recipe(payload: &PayloadSpec, found: &mut Vec<Lethal>) {
    for (index, function) in payload.functions.iter().enumerate() {
        if payload.functions[..index].iter().any(|other| other.target == function.target) {
            found.push(Lethal::FunctionTwice);
        }
        if function.nop.is_some_and(|bytes| u64::from(bytes) < ENDBR64) {
            found.push(Lethal::ShortNop);
        }
    }
    for hook in &payload.hooks {
        let null = hook.does == HookDoes::Null;
        match hook.hook {
            Hook::Load | Hook::Unload if null => found.push(Lethal::NullHook),
            Hook::Apply | Hook::Revert if !null => found.push(Lethal::IdleAction),
            _ => {}
        }
    }
}

/// Whether a function of Xen's gets NOPs, which may end anywhere in it or behind it.
fn covers_xen(function: &FunctionSpec) -> bool {
    let own = matches!(function.target, FunctionTarget::Own | FunctionTarget::OwnEndbr);
    function.nop.is_some() && !own
}

/// Whether code may no longer be what it was, or no longer where it is looked for.
fn damages_code(fault: &Fault) -> bool {
    match fault {
        Fault::Func(_, field, _) => *field == FuncField::NewAddr,
        Fault::Sym(_, field, _) => matches!(field, SymField::Value | SymField::Shndx),
        Fault::Shdr(section, ..) | Fault::Remove(section) | Fault::Content(section, ..) => {
            !matches!(section, SectionName::Modinfo | SectionName::Shstrtab | SectionName::Strtab)
        }
        Fault::Rela(..) | Fault::Byte(..) => true,
        Fault::Ehdr(..) | Fault::Note(..) | Fault::Truncate(_) => false,
    }
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

const SHT_SYMTAB: u32 = 2;
const SHT_RELA: u32 = 4;
const SHT_NOBITS: u32 = 8;
const SHT_REL: u32 = 9;
const SHF_ALLOC: u64 = 2;
const R_X86_64_64: u64 = 1;
/// Bytes of an element of `.livepatch.funcs`, and where in it the name, the addresses and the new
/// size are.
const FUNC: u64 = 104;
const FUNC_NAME: u64 = 0;
const FUNC_NEW: u64 = 8;
const FUNC_OLD: u64 = 16;
const FUNC_NEW_SIZE: u64 = 24;
/// Bytes of that instruction.
const ENDBR64: u64 = 4;

impl File<'_> {
    fn number<const N: usize>(&self, at: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.0.get(at..at.checked_add(N)?)?);
        Some(u64::from_le_bytes(bytes))
    }

    fn sections(&self) -> Option<Vec<Section>> {
        let table = self.number::<8>(0x28)?;
        let stride = self.number::<2>(0x3a)?;
        let count = self.number::<2>(0x3c)?;
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

    fn text(&self, at: u64) -> String {
        let bytes = usize::try_from(at).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// Adds what is lethal; ends early where the file is so damaged that Xen refuses it at once.
    fn examine(&self, found: &mut Vec<Lethal>) -> Option<()> {
        let sections = self.sections()?;
        let before = found.len();
        let loaded = |section: &Section| section.flags & SHF_ALLOC != 0;
        for section in sections.iter().skip(1) {
            match section.kind {
                SHT_SYMTAB if section.link == 0 => found.push(Lethal::SymbolsWithoutNames),
                SHT_RELA | SHT_REL if section.info == 0 => {
                    found.push(Lethal::RelocationsOfNothing);
                }
                _ => {}
            }
            if section.kind != SHT_NOBITS && section.offset.checked_add(section.size).is_none() {
                found.push(Lethal::SizeWraps);
            }
            if loaded(section) && section.align == 0 {
                found.push(Lethal::AlignZero);
            }
            let read = section.name.starts_with(".livepatch.")
                || [".note.gnu.build-id", ".modinfo"].contains(&section.name.as_str());
            if read && !loaded(section) {
                found.push(Lethal::NotLoaded);
            }
            if section.name == ".modinfo" && section.size == 0 {
                found.push(Lethal::EmptyModinfo);
            }
        }
        if !sections.iter().skip(1).any(loaded) {
            found.push(Lethal::NotLoaded);
        }
        if found.len() > before {
            // Xen does not get as far as the functions.
            return Some(());
        }
        let index = sections.iter().position(|section| section.name == ".livepatch.funcs")?;
        let funcs = &sections[index];
        for func in 0..funcs.size.min(4096) / FUNC {
            let field = |field: u64| self.field(&sections, index, func * FUNC + field);
            let (name, new, old) = (field(FUNC_NAME)?, field(FUNC_NEW)?, field(FUNC_OLD)?);
            let size = self.number::<4>(funcs.offset.checked_add(func * FUNC + FUNC_NEW_SIZE)?)?;
            if new == Address::Null && size < ENDBR64 {
                found.push(Lethal::ShortNop);
            }
            match old {
                Address::Wild => found.push(Lethal::OldAddressWild),
                Address::Null if name != Address::Good => found.push(Lethal::NameWild),
                _ => {}
            }
        }
        Some(())
    }

    /// The address that will be `at` in the section `index`, relocations done.
    fn field(&self, sections: &[Section], index: usize, at: u64) -> Option<Address> {
        let relocations = sections
            .iter()
            .filter(|section| section.kind == SHT_RELA && section.info as usize == index)
            .flat_map(|section| (0..section.size.min(4096) / 24).map(|n| section.offset + n * 24));
        let mut address = match self.number::<8>(sections[index].offset.checked_add(at)?)? {
            0 => Address::Null,
            _ => Address::Wild,
        };
        for rela in relocations {
            match self.number::<8>(rela)? {
                there if there == at => {
                    address = self.symbol(sections, rela).unwrap_or(Address::Wild);
                }
                there if there.abs_diff(at) < 8 => address = Address::Wild,
                _ => {}
            }
        }
        Some(address)
    }

    /// Where the relocation at `rela` leads.
    fn symbol(&self, sections: &[Section], rela: u64) -> Option<Address> {
        if self.number::<4>(rela + 8)? != R_X86_64_64 {
            return Some(Address::Wild);
        }
        let symtab = sections.iter().find(|section| section.kind == SHT_SYMTAB)?;
        let symbol = symtab.offset.checked_add(self.number::<4>(rela + 12)? * 24)?;
        let place = self.number::<2>(symbol + 6)?;
        let addend = self.number::<8>(rela + 16)?;
        // Xen resolves what is undefined, or refuses; what is elsewhere has to be in its section.
        let good = match sections.get(usize::try_from(place).ok()?) {
            _ if place == 0 => addend == 0,
            Some(section) => self.number::<8>(symbol + 8)?.wrapping_add(addend) < section.size,
            None => false,
        };
        Some(if good { Address::Good } else { Address::Wild })
    }
}

/// What is known of an address in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    /// It is of something that is there.
    Good,
    /// It is 0.
    Null,
    /// It is anything.
    Wild,
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;

    use livepatch::abi::Revision;
    use livepatch::program::parse;

    fn lethal(text: &str) -> Vec<Lethal> {
        let target = Target::new(Revision::V2, [0x5a; 20]);
        in_program(&parse(text).unwrap(), &target)
    }

    #[test]
    fn each_is_told_and_nothing_else_is() {
        for (text, expected) in [
            ("upload \"p\" id=0 func=extra", None),
            ("upload \"p\" id=0 func=extra/symbol meta=\"x\" set=ehdr.machine:3", None),
            ("upload \"p\" id=0 func=extra truncate=100", None),
            ("upload \"p\" id=0 func=extra remove=.livepatch.depends", None),
            ("upload \"p\" id=0 func=own/nop:4 hook=preapply/null", None),
            ("upload \"p\" id=0 func=extra set=.text.align:0", Some(Lethal::AlignZero)),
            (
                "upload \"p\" id=0 func=extra meta=\"x\" set=.modinfo.size:0",
                Some(Lethal::EmptyModinfo),
            ),
            ("upload \"p\" id=0 func=extra func=minor func=extra", Some(Lethal::FunctionTwice)),
            ("upload \"p\" id=0 func=extra hook=apply/ret:0", Some(Lethal::IdleAction)),
            ("upload \"p\" id=0 func=extra remove=.rela.livepatch.funcs", Some(Lethal::NameWild)),
            (
                "upload \"p\" id=0 func=own set=.rela.livepatch.funcs[5].offset:12",
                Some(Lethal::OldAddressWild),
            ),
            (
                "upload \"p\" id=0 func=major/symbol set=.rela.livepatch.funcs[2].addend:0xfa5f779cb52503ec",
                Some(Lethal::OldAddressWild),
            ),
            ("upload \"p\" id=0 func=extra byte=100:1\naction apply \"p\"", Some(Lethal::CodeWild)),
            (
                "upload \"p\" id=0 func=extra set=symbols[2].value:0x20b7e95a",
                Some(Lethal::NameWild),
            ),
            ("upload \"p\" id=0 func=extra set=.livepatch.funcs.flags:0", Some(Lethal::NotLoaded)),
            ("upload \"p\" id=0 func=extra/nop:11\naction apply \"p\"", Some(Lethal::NopWild)),
            ("upload \"p\" id=0 func=extra/nop:11\naction revert \"p\"", None),
            ("upload \"p\" id=0 func=extra hook=load/null", Some(Lethal::NullHook)),
            (
                "upload \"p\" id=0 func=extra set=funcs[0].old_addr:0x1000",
                Some(Lethal::OldAddressWild),
            ),
            (
                "upload \"p\" id=0 func=extra set=.rela.livepatch.funcs.info:0",
                Some(Lethal::RelocationsOfNothing),
            ),
            ("upload \"p\" id=0 func=own-endbr/nop:3", Some(Lethal::ShortNop)),
            (
                "upload \"p\" id=0 func=own-endbr/nop:9 set=funcs[0].new_size:0x100000002",
                Some(Lethal::ShortNop),
            ),
            (
                "upload \"p\" id=0 func=extra set=.strtab.size:0xffffffffffffffff",
                Some(Lethal::SizeWraps),
            ),
            ("upload \"p\" id=0 func=extra set=.symtab.link:0", Some(Lethal::SymbolsWithoutNames)),
        ] {
            assert_eq!(lethal(text), Vec::from_iter(expected), "{text}");
        }
    }

    /// The file can't know what this file calls them otherwise.
    #[test]
    fn each_is_expected_by_the_project() {
        let text = include_str!("../../expectations.toml");
        let names = text.lines().filter_map(|line| line.strip_prefix("test = \"fuzz/"));
        let names: BTreeSet<&str> = names.map(|rest| rest.trim_end_matches('"')).collect();
        assert_eq!(names, Lethal::ALL.iter().map(|lethal| lethal.name()).collect());
    }

    #[test]
    fn several_are_told_once_each() {
        let text = "upload \"p\" id=0 func=extra hook=load/null hook=unload/null\n\
                    upload \"q\" id=1 func=extra func=extra\n";
        assert_eq!(lethal(text), [Lethal::FunctionTwice, Lethal::NullHook]);
    }
}
