//! What is in a program, as short texts that a person can read: the features from which
//! [`learn`](crate::learn) draws its lessons.
//!
//! A program has a scope for each payload that it uploads, with all that it does with it, and one
//! for the program as a whole. None of it is about any Xen: a feature tells what an input looks
//! like, by the field that is unusual and by the class of its value.

use std::collections::BTreeSet;
use std::fmt::Display;

use livepatch::abi::ActionCmd;
use livepatch::payload::Target;
use livepatch::program::{
    ActionArg, Defect, ExpectSpec, FunctionSpec, HookDoes, IdSpec, ListArg, ListArray, NameArg, Op,
    Outer, PayloadSpec, Program, Sink, Source, Step, UploadArg, Word,
};

/// The features of one scope.
pub type Scope = BTreeSet<String>;

/// Marks the scope of a program as a whole.
const WHOLE: &str = "the program as a whole";
/// As many elements of a table are looked at.
const ELEMENTS: u64 = 64;

/// The scopes of `program`: its payloads', then its own if it has not just one payload.
pub fn scopes(program: &Program, target: &Target) -> Vec<Scope> {
    let uploads = program.steps.iter().filter(|step| matches!(step.op, Op::Upload(_))).count();
    let mut whole = Scope::from([WHOLE.to_owned()]);
    let mut scopes = Vec::new();
    for (index, step) in program.steps.iter().enumerate() {
        match &step.op {
            Op::Upload(upload) => {
                let mut scope = Scope::new();
                outer(&mut scope, step);
                payload(&mut scope, upload, &uses(&program.steps[index + 1..], &upload.name));
                if !upload.payload.defects.is_empty() {
                    scope.extend(unusual(&upload.payload, target));
                }
                whole.extend(scope.iter().cloned());
                scopes.push(scope);
            }
            _ => call(&mut whole, step),
        }
    }
    add(&mut whole, format!("{} payloads", at_most(uploads, 3)));
    if uploads != 1 {
        scopes.push(whole);
    }
    scopes
}

fn add(scope: &mut Scope, feature: impl Into<String>) {
    scope.insert(feature.into());
}

fn at_most(count: usize, most: usize) -> String {
    if count < most { count.to_string() } else { format!("{most} or more") }
}

/// What is done with the payload `name` later on.
fn uses(steps: &[Step], name: &NameArg) -> Scope {
    let mut uses = Scope::new();
    let mut before: Option<&str> = None;
    for step in steps {
        let Op::Action(action) = &step.op else { continue };
        if action.name.bytes != name.bytes {
            continue;
        }
        let word = command(action);
        add(&mut uses, word);
        if let Some(before) = before {
            add(&mut uses, format!("{word} after {before}"));
        }
        before = Some(word);
    }
    uses
}

fn command(action: &ActionArg) -> &'static str {
    match action.cmd {
        ActionCmd::Unload => "unload",
        ActionCmd::Revert => "revert",
        ActionCmd::Apply => "apply",
        ActionCmd::Replace => "replace",
        ActionCmd::Other(_) => "another action",
    }
}

/// The class of a number: 0, or its power of two.
fn class(number: u64) -> String {
    match number.checked_ilog2() {
        None => "0".into(),
        Some(0) => "1".into(),
        Some(log) => format!("from 2^{log}"),
    }
}

/// A coarser one.
fn size(number: u64) -> &'static str {
    match number {
        0 => "0",
        1..=63 => "small",
        64..=4095 => "medium",
        4096..=0x7fff_ffff => "large",
        0x8000_0000..=0x7fff_ffff_ffff_ffff => "huge",
        _ => "wraps",
    }
}

fn both(scope: &mut Scope, what: impl Display, number: u64) {
    add(scope, format!("{what}: {}", size(number)));
    add(scope, format!("{what}: {}", class(number)));
}

/// What surrounds a call.
fn outer(scope: &mut Scope, step: &Step) {
    let Outer { version, flags, at } = step.outer;
    if version.is_some() {
        add(scope, "another interface version");
    }
    if flags != 0 {
        add(scope, format!("flags of the call: {}", size(flags.into())));
    }
    if at != Outer::PLAIN.at {
        add(scope, format!("structure at {}", at.word()));
    }
    if let Some(name) = step.op.name() {
        if name.at != Source::Ample {
            add(scope, format!("name at {}", name.at.word()));
        }
        if name.size.is_some() {
            add(scope, "another size of a name");
        }
        if name.pad != [0; 3] {
            add(scope, "padding of a name");
        }
    }
}

/// A call that uploads nothing.
fn call(scope: &mut Scope, step: &Step) {
    outer(scope, step);
    match &step.op {
        Op::Get(_) => add(scope, "GET"),
        Op::List(list) => listing(scope, list),
        Op::Action(action) => {
            add(scope, command(action));
            for (what, value) in
                [("flags", action.flags), ("timeout", action.timeout), ("padding", action.pad)]
            {
                if value != 0 {
                    add(scope, format!("{what} of {}: {}", command(action), size(value.into())));
                }
            }
        }
        Op::Bare(_) => add(scope, "another sub-op"),
        Op::Look | Op::Upload(_) => {}
    }
}

fn listing(scope: &mut Scope, list: &ListArg) {
    add(scope, "LIST");
    for (what, value, plain) in [
        ("nr", list.nr, 0),
        ("idx", list.idx, 0),
        ("padding", list.pad, 0),
        ("bytes of names", list.name_total, ListArg::ROOM),
        ("bytes of metadata", list.metadata_total, ListArg::ROOM),
    ] {
        if value != plain {
            add(scope, format!("LIST's {what}: {}", size(value.into())));
        }
    }
    for ((word, _), sink) in ListArray::WORDS.iter().zip(list.arrays) {
        let at = match sink {
            Sink::Ample => continue,
            Sink::Tight(_) => "tight",
            _ => Sink::WORDS.iter().find(|(_, at)| *at == sink).map_or("?", |(word, _)| word),
        };
        add(scope, format!("LIST's {word} at {at}"));
    }
}

/// A payload as the recipe has it, and what is done with it.
fn payload(scope: &mut Scope, upload: &UploadArg, uses: &Scope) {
    let spec = &upload.payload;
    scope.extend(uses.iter().cloned());
    if let Some(stated) = upload.size {
        add(scope, format!("size of the upload: {}", size(stated)));
    }
    if upload.at != Source::Ample {
        add(scope, format!("payload at {}", upload.at.word()));
    }
    add(scope, format!("{} functions", spec.functions.len()));
    for (index, each) in spec.functions.iter().enumerate() {
        function(scope, each, &spec.functions[..index]);
    }
    for hook in &spec.hooks {
        let does = match hook.does {
            HookDoes::Return(0) => "returns 0",
            HookDoes::Return(_) => "returns an error",
            HookDoes::Once(_) => "returns an error once",
            HookDoes::Null => "null",
        };
        add(scope, format!("{} hook", hook.hook.word()));
        add(scope, format!("{} hook: {does}", hook.hook.word()));
    }
    belongings(scope, spec);
    let mut faulty = Scope::new();
    for each in &spec.defects {
        defect(&mut faulty, each);
    }
    // What is broken is one thing, what becomes of it once it is put to use is another.
    let used = ["apply", "replace"].into_iter().any(|word| uses.contains(word));
    for feature in faulty {
        if used {
            add(scope, format!("{feature}, and in use"));
        }
        add(scope, feature);
    }
}

fn function(scope: &mut Scope, function: &FunctionSpec, before: &[FunctionSpec]) {
    let FunctionSpec { target, nop, old_size, by_symbol, expect } = *function;
    let word = target.word();
    add(scope, format!("function {word}"));
    if before.iter().any(|other| other.target == target) {
        add(scope, "a function again");
        add(scope, format!("function {word} again"));
    }
    if let Some(bytes) = nop {
        add(scope, "NOPs");
        both(scope, "NOPs", bytes.into());
        add(scope, format!("NOPs on {word}"));
        both(scope, format_args!("NOPs on {word}"), bytes.into());
    }
    if old_size != FunctionSpec::OLD_SIZE {
        both(scope, "stated size of a function", old_size.into());
    }
    if by_symbol {
        add(scope, "a function by symbol");
    }
    if expect != ExpectSpec::Nothing {
        add(scope, format!("a function expects {}", expect.word()));
    }
}

fn belongings(scope: &mut Scope, spec: &PayloadSpec) {
    if spec.data != 0 {
        add(scope, "variables");
    }
    if spec.bss != 0 {
        add(scope, format!("zeroes: {}", size(spec.bss.into())));
    }
    if let Some(metadata) = &spec.metadata {
        add(scope, "metadata");
        add(scope, format!("metadata: {}", size(metadata.len() as u64)));
    }
    for (what, symbol) in [("exports", spec.export), ("imports", spec.import)] {
        if let Some(symbol) = symbol {
            add(scope, format!("{what} {}", symbol.word()));
        }
    }
    for (what, id) in [("depends", spec.depends), ("depends on Xen", spec.xen_depends)] {
        match id {
            IdSpec::Xen => {}
            IdSpec::Nobody => add(scope, format!("{what}: nobody")),
            IdSpec::Payload(_) => add(scope, format!("{what}: a payload")),
        }
    }
}

/// Something broken, from the coarsest to the finest.
fn defect(scope: &mut Scope, defect: &Defect) {
    let mut field = |table: &str, field: &str, value: u64| {
        add(scope, format!("broken {table}"));
        add(scope, format!("broken {table} {field}"));
        add(scope, format!("broken {table} {field}: {}", size(value)));
    };
    match *defect {
        Defect::Ehdr(f, value) => field("ELF header", f.word(), value),
        Defect::Func(_, f, value) => field("function", f.word(), value),
        Defect::Sym(_, f, value) => field("symbol", f.word(), value),
        Defect::Note(section, f, value) => {
            field("note", f.word(), value);
            field(section.word(), f.word(), value);
        }
        Defect::Rela(section, _, f, value) => {
            field("relocation", f.word(), value);
            field(section.word(), f.word(), value);
        }
        Defect::Shdr(section, f, value) => {
            field("section header", f.word(), value);
            field(section.word(), f.word(), value);
        }
        Defect::Remove(section) => {
            add(scope, "a section removed");
            add(scope, format!("{} removed", section.word()));
        }
        Defect::Byte(..) => add(scope, "a byte of the file"),
        Defect::Content(section, ..) => {
            add(scope, "a byte of a section");
            add(scope, format!("a byte of {}", section.word()));
        }
        Defect::Truncate(_) => add(scope, "cut short"),
    }
}

/// What the file of a payload looks like in which it differs from the same without defects.
fn unusual(payload: &PayloadSpec, target: &Target) -> Scope {
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
        if !sections.iter().skip(1).any(|section| section.flags & 2 != 0) {
            add(scope, "no section is loaded");
        }
        let index = sections.iter().position(|section| section.name == ".livepatch.funcs")?;
        let funcs = &sections[index];
        for func in 0..(funcs.size / FUNC).min(ELEMENTS) {
            let mut known = Vec::new();
            for (field, what) in ADDRESSES {
                let address = self.address(&sections, index, func * FUNC + field)?;
                add(scope, format!("{what} {address}"));
                known.push(format!("{what} {address}"));
            }
            add(scope, known.join(", "));
            for (field, what) in SIZES {
                let bytes = self.number::<4>(funcs.offset.checked_add(func * FUNC + field)?)?;
                both(scope, what, bytes);
                both(scope, format_args!("{}, {what}", known[1]), bytes);
            }
        }
        Some(())
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
            0 => "null",
            _ => "a number",
        };
        for rela in relocations {
            match self.number::<8>(rela)? {
                there if there == at => address = self.symbol(sections, rela).unwrap_or("a number"),
                there if there.abs_diff(at) < 8 => address = "a number",
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
            Some(section) => {
                let value = self.number::<8>(symbol.checked_add(8)?)?.wrapping_add(addend);
                (value < section.size).then_some("of its own")
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use livepatch::abi::Revision;
    use livepatch::program::parse;

    use super::*;

    fn of(text: &str) -> Vec<Scope> {
        scopes(&parse(text).unwrap(), &Target::new(Revision::V2, [0x5a; 20]))
    }

    #[track_caller]
    fn has(scope: &Scope, features: &[&str]) {
        for feature in features {
            assert!(scope.contains(*feature), "«{feature}» is not in {scope:#?}");
        }
    }

    #[test]
    fn a_payload_and_what_is_done_with_it_is_a_scope() {
        let all = of("upload \"p\" id=0 func=extra/old-size:32 hook=load/ret:0 data=4\n\
                      action apply \"p\"\naction revert \"p\"\n");
        assert_eq!(all.len(), 1);
        has(&all[0], &["function extra", "load hook: returns 0", "variables", "apply"]);
        has(&all[0], &["revert after apply", "stated size of a function: from 2^5"]);
        assert!(!all[0].contains("section header, size 0"));
    }

    #[test]
    fn payloads_do_not_mix_but_in_the_whole() {
        let all = of("upload \"p\" id=0 func=extra\nupload \"q\" id=1 meta=\"m\"\n\
                      action apply \"q\"\nget \"q\" at=tight\n");
        let [first, second, whole] = &all[..] else { panic!("{all:#?}") };
        assert!(!first.contains("apply") && second.contains("apply"));
        assert!(!first.contains("metadata") && !second.contains("function extra"));
        has(whole, &[WHOLE, "2 payloads", "metadata", "function extra", "structure at tight"]);
    }

    #[test]
    fn broken_fields_are_told_by_their_class_and_in_the_file() {
        let all = of("upload \"p\" id=0 func=extra set=.rodata.align:8192\naction apply \"p\"");
        has(&all[0], &["broken section header align", "broken .rodata align: large"]);
        has(&all[0], &["broken .rodata align, and in use", "contents, alignment beyond a page"]);
        assert!(!all[0].contains(".text, alignment usual"), "{all:#?}");
        let all = of("upload \"p\" id=0 func=extra meta=\"m\" remove=.modinfo");
        has(&all[0], &[".modinfo removed", "a section removed"]);
    }

    #[test]
    fn calls_without_a_payload_are_a_scope() {
        let all = of("list nr=70000 name=tight:4\nop 99\n");
        assert_eq!(all.len(), 1);
        has(&all[0], &["LIST's nr: large", "LIST's name at tight", "another sub-op", "0 payloads"]);
    }

    #[test]
    fn nothing_is_too_damaged_to_be_described() {
        for seed in 0..2000 {
            let mix = livepatch::program::Mix {
                wild: true,
                faulty: 256,
                ..crate::vary::mix(crate::vary::Programs::Calls)
            };
            let program = livepatch::program::Generator::new(seed, mix).program(3);
            scopes(&program, &Target::new(Revision::V2, [0x5a; 20]));
        }
    }
}
