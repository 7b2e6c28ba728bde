//! From a program to its text.

use core::fmt::{self, Display, Formatter};

use super::super::op::{
    ActionArg, GetArg, ListArg, ListArray, NameArg, Op, Outer, Placement, Sink, Source, Step,
    UploadArg,
};
use super::super::spec::{
    Defect, ExpectSpec, FunctionSpec, HookDoes, HookSpec, IdSpec, PayloadSpec, TableSpec,
};
use super::super::{Program, Word};
use super::ACTIONS;

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.op {
            Op::Upload(upload) => upload.fmt(f)?,
            Op::Get(get) => get.fmt(f)?,
            Op::List(list) => list.fmt(f)?,
            Op::Action(action) => action.fmt(f)?,
            Op::Bare(sub_op) => write!(f, "op {}", Number(u64::from(*sub_op)))?,
            Op::Look => return f.write_str("look"),
        }
        self.outer.fmt(f)
    }
}

/// A number as people want to see it: small ones decimal, others hexadecimal.
struct Number(u64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 < 10_000 { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

/// ` word=N`, unless N is what it is anyway.
fn number(f: &mut Formatter<'_>, word: &str, value: impl Into<u64>, usual: u64) -> fmt::Result {
    let value = value.into();
    if value == usual { Ok(()) } else { write!(f, " {word}={}", Number(value)) }
}

fn word<T: Word>(f: &mut Formatter<'_>, key: &str, value: T, usual: T) -> fmt::Result {
    if value == usual { Ok(()) } else { write!(f, " {key}={}", value.word()) }
}

/// Bytes in quotes.
struct Quoted<'a>(&'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for &byte in self.0 {
            match byte {
                b'"' => f.write_str("\\\""),
                b'\\' => f.write_str("\\\\"),
                b'\n' => f.write_str("\\n"),
                b' '..=b'~' => write!(f, "{}", byte as char),
                _ => write!(f, "\\x{byte:02x}"),
            }?;
        }
        f.write_str("\"")
    }
}

impl Display for Outer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(version) = self.version {
            write!(f, " version={version:#x}")?;
        }
        number(f, "op-flags", self.flags, 0)?;
        word(f, "at", self.at, Placement::Ample)
    }
}

impl Display for NameArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.bytes.split_last() {
            Some((0, text)) => Quoted(text).fmt(f),
            _ => write!(f, "raw{}", Quoted(&self.bytes)),
        }?;
        if let Some(size) = self.size {
            write!(f, " name-size={}", Number(size.into()))?;
        }
        if self.pad != [0; 3] {
            let [a, b, c] = self.pad.map(|pad| Number(pad.into()));
            write!(f, " name-pad={a},{b},{c}")?;
        }
        word(f, "name-at", self.at, Source::Ample)
    }
}

impl Display for UploadArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "upload {} {}", self.name, self.payload)?;
        if let Some(size) = self.size {
            write!(f, " size={}", Number(size))?;
        }
        word(f, "payload-at", self.at, Source::Ample)
    }
}

impl Display for GetArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "get {}", self.name)?;
        number(f, "state", self.state, 0)?;
        if self.rc == 0 { Ok(()) } else { write!(f, " rc={}", self.rc) }
    }
}

impl Display for ListArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("list")?;
        number(f, "idx", self.idx, 0)?;
        number(f, "nr", self.nr, 0)?;
        number(f, "pad", self.pad, 0)?;
        number(f, "stamp", self.version, 0)?;
        number(f, "name-total", self.name_total, Self::ROOM.into())?;
        number(f, "metadata-total", self.metadata_total, Self::ROOM.into())?;
        for ((array, _), sink) in ListArray::WORDS.iter().zip(self.arrays) {
            match sink {
                Sink::Ample => {}
                Sink::Tight(bytes) => write!(f, " {array}=tight:{}", Number(bytes.into()))?,
                sink => {
                    let word = Sink::WORDS.iter().find(|(_, known)| *known == sink);
                    write!(f, " {array}={}", word.map_or("?", |(word, _)| word))?;
                }
            }
        }
        Ok(())
    }
}

impl Display for ActionArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match ACTIONS.iter().find(|(_, cmd)| *cmd == self.cmd) {
            Some((word, _)) => write!(f, "action {word} {}", self.name)?,
            None => {
                let cmd = Number(u32::from(self.cmd).into());
                write!(f, "action {cmd} {}", self.name)?;
            }
        }
        number(f, "timeout", self.timeout, 0)?;
        number(f, "flags", self.flags, 0)?;
        number(f, "pad", self.pad, 0)
    }
}

impl Display for IdSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen => f.write_str("xen"),
            Self::Nobody => f.write_str("nobody"),
            Self::Payload(id) => id.fmt(f),
        }
    }
}

impl Display for PayloadSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "id={}", self.id)?;
        self.functions.iter().try_for_each(|function| write!(f, " func={function}"))?;
        self.hooks.iter().try_for_each(|hook| write!(f, " hook={hook}"))?;
        number(f, "data", self.data, 0)?;
        number(f, "bss", self.bss, 0)?;
        if let Some(metadata) = &self.metadata {
            write!(f, " meta={}", Quoted(metadata))?;
        }
        if let Some(symbol) = self.export {
            write!(f, " export={}", symbol.word())?;
        }
        if let Some(symbol) = self.import {
            write!(f, " import={}", symbol.word())?;
        }
        for TableSpec { table, size } in &self.tables {
            write!(f, " table={}:{size}", table.word())?;
        }
        if self.depends != IdSpec::Xen {
            write!(f, " depends={}", self.depends)?;
        }
        if self.xen_depends != IdSpec::Xen {
            write!(f, " xen-depends={}", self.xen_depends)?;
        }
        self.defects.iter().try_for_each(|defect| write!(f, " {defect}"))
    }
}

impl Display for FunctionSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.target.word())?;
        if let Some(bytes) = self.nop {
            write!(f, "/nop:{}", Number(bytes.into()))?;
        }
        if self.old_size != Self::OLD_SIZE {
            write!(f, "/old-size:{}", Number(self.old_size.into()))?;
        }
        if self.by_symbol {
            f.write_str("/symbol")?;
        }
        if self.expect != ExpectSpec::Nothing {
            write!(f, "/expect:{}", self.expect.word())?;
        }
        Ok(())
    }
}

impl Display for HookSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let when = self.hook.word();
        match self.does {
            HookDoes::Return(value) => write!(f, "{when}/ret:{value}"),
            HookDoes::Once(value) => write!(f, "{when}/once:{value}"),
            HookDoes::Null => write!(f, "{when}/null"),
        }
    }
}

impl Display for Defect {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ehdr(field, value) => write!(f, "set=ehdr.{}:{}", field.word(), Number(value)),
            Self::Shdr(section, field, value) => {
                write!(f, "set={}.{}:{}", section.word(), field.word(), Number(value))
            }
            Self::Func(index, field, value) => {
                write!(f, "set=funcs[{index}].{}:{}", field.word(), Number(value))
            }
            Self::Sym(index, field, value) => {
                write!(f, "set=symbols[{index}].{}:{}", field.word(), Number(value))
            }
            Self::Rela(section, index, field, value) => {
                write!(f, "set={}[{index}].{}:{}", section.word(), field.word(), Number(value))
            }
            Self::Note(section, field, value) => {
                write!(f, "set={}.note-{}:{}", section.word(), field.word(), Number(value))
            }
            Self::Byte(offset, value) => write!(f, "byte={}:{}", Number(offset.into()), value),
            Self::Content(section, offset, value) => {
                write!(f, "byte={}+{}:{value}", section.word(), Number(offset.into()))
            }
            Self::Remove(section) => write!(f, "remove={}", section.word()),
            Self::Truncate(size) => write!(f, "truncate={}", Number(size.into())),
        }
    }
}
