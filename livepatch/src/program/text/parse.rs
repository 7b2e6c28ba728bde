//! From text to a program.

use alloc::format;
use alloc::vec::Vec;

use super::super::op::{
    ActionArg, GetArg, ListArg, ListArray, NameArg, Op, Outer, Sink, Source, Step, UploadArg,
};
use super::super::spec::{
    Defect, EhdrField, FunctionSpec, HookDoes, HookSpec, IdSpec, PayloadSpec, SectionName,
    TableSpec,
};
use super::super::{Program, Word};
use super::ACTIONS;
use super::scan::{ParseError, Piece, Result};
use crate::abi::ActionCmd;

/// The program that a text describes.
///
/// # Errors
/// The first place that makes no sense.
pub fn parse(text: &str) -> core::result::Result<Program, ParseError> {
    let mut steps = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = Piece::words(number, line)?;
        if let Some((&verb, rest)) = words.split_first() {
            steps.push(step(verb, rest)?);
        }
    }
    Ok(Program { steps })
}

/// Words that are still to be read.
struct Words<'a, 'w> {
    verb: Piece<'a>,
    rest: &'w [Piece<'a>],
}

impl<'a> Words<'a, '_> {
    /// The next word, which must be there.
    fn next(&mut self, what: &str) -> Result<Piece<'a>> {
        let Some((&first, rest)) = self.rest.split_first() else {
            return Err(self.verb.error(format!("`{}` needs {what}", self.verb.text)));
        };
        self.rest = rest;
        Ok(first)
    }

    fn name(&mut self) -> Result<NameArg> {
        let word = self.next("a name")?;
        match word.strip("raw") {
            Some(raw) => Ok(NameArg::from_bytes(raw.quoted(NameArg::BYTES_MAX)?)),
            None => {
                let mut bytes = word.quoted(NameArg::BYTES_MAX - 1)?;
                bytes.push(0);
                Ok(NameArg::from_bytes(bytes))
            }
        }
    }

    /// Gives every `key=value` that is left to `take`, which says whether it knows the key; the
    /// rest must be what any call may have.
    fn options(
        &self,
        outer: &mut Outer,
        mut take: impl FnMut(&str, Piece<'a>) -> Result<bool>,
    ) -> Result<()> {
        let mut seen: Vec<&str> = Vec::new();
        for &word in self.rest {
            let Some((key, value)) = word.split('=') else {
                return Err(word.error(format!("`{}` is not `word=value`", word.text)));
            };
            if seen.contains(&key.text) && !MAY_REPEAT.contains(&key.text) {
                return Err(key.error(format!("`{}` stands here twice", key.text)));
            }
            seen.push(key.text);
            if take(key.text, value)? {
                continue;
            }
            match key.text {
                "version" => outer.version = Some(value.integer()?),
                "op-flags" => outer.flags = value.integer()?,
                "at" => outer.at = value.word()?,
                _ => {
                    let (key_text, verb) = (key.text, self.verb.text);
                    return Err(key.error(format!("`{verb}` has no word `{key_text}`")));
                }
            }
        }
        Ok(())
    }
}

/// Words that are items of a list.
const MAY_REPEAT: [&str; 7] = ["func", "hook", "table", "set", "byte", "remove", "truncate"];

fn step(verb: Piece<'_>, rest: &[Piece<'_>]) -> Result<Step> {
    let mut words = Words { verb, rest };
    let mut outer = Outer::PLAIN;
    let op = match verb.text {
        "upload" => Op::Upload(upload(&mut words, &mut outer)?),
        "get" => Op::Get(get(&mut words, &mut outer)?),
        "list" => Op::List(list(&words, &mut outer)?),
        "action" => Op::Action(action(&mut words, &mut outer)?),
        "op" => {
            let sub_op = words.next("a number")?.integer()?;
            words.options(&mut outer, |_, _| Ok(false))?;
            Op::Bare(sub_op)
        }
        "look" => match words.rest.first() {
            Some(more) => return Err(more.error("nothing may follow `look`")),
            None => Op::Look,
        },
        other => {
            return Err(
                verb.error(format!("`{other}` is none of upload, get, list, action, op, look"))
            );
        }
    };
    Ok(Step { op, outer })
}

fn name_option(name: &mut NameArg, key: &str, value: Piece<'_>) -> Result<bool> {
    match key {
        "name-size" => name.size = Some(value.integer()?),
        "name-at" => name.at = value.word::<Source>()?,
        "name-pad" => {
            let three = value.split(',').and_then(|(a, rest)| Some((a, rest.split(',')?)));
            let Some((a, (b, c))) = three else {
                return Err(value.error("padding is three numbers: N,N,N"));
            };
            name.pad = [a.integer()?, b.integer()?, c.integer()?];
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn upload(words: &mut Words<'_, '_>, outer: &mut Outer) -> Result<UploadArg> {
    let name = words.name()?;
    let mut upload =
        UploadArg { name, payload: PayloadSpec::new(0), size: None, at: Source::Ample };
    let mut has_id = false;
    words.options(outer, |key, value| {
        match key {
            "id" => {
                upload.payload.id = id(value)?;
                has_id = true;
            }
            "size" => upload.size = Some(value.integer()?),
            "payload-at" => upload.at = value.word()?,
            _ => {
                return Ok(name_option(&mut upload.name, key, value)?
                    || payload_option(&mut upload.payload, key, value)?);
            }
        }
        Ok(true)
    })?;
    if !has_id {
        return Err(words.verb.error("`upload` needs the payload's id=N"));
    }
    Ok(upload)
}

fn id(value: Piece<'_>) -> Result<u8> {
    Ok(value.number((PayloadSpec::IDS - 1).into())? as u8)
}

fn payload_option(spec: &mut PayloadSpec, key: &str, value: Piece<'_>) -> Result<bool> {
    let limited = |there: usize, most: usize| {
        if there < most { Ok(()) } else { Err(value.error(format!("at most {most} of these"))) }
    };
    match key {
        "func" => {
            limited(spec.functions.len(), PayloadSpec::FUNCTIONS_MAX)?;
            spec.functions.push(function(value)?);
        }
        "hook" => {
            limited(spec.hooks.len(), PayloadSpec::HOOKS_MAX)?;
            spec.hooks.push(hook(value)?);
        }
        "data" => spec.data = value.integer()?,
        "bss" => spec.bss = value.number(PayloadSpec::BSS_MAX.into())? as u32,
        "meta" => spec.metadata = Some(value.quoted(usize::from(u8::MAX))?),
        "export" => spec.export = Some(value.word()?),
        "import" => spec.import = Some(value.word()?),
        "table" => {
            limited(spec.tables.len(), PayloadSpec::TABLES_MAX)?;
            let table = table(value)?;
            if spec.tables.iter().any(|other| other.table == table.table) {
                return Err(value.error(format!("{} is there already", table.table.word())));
            }
            spec.tables.push(table);
        }
        "depends" => spec.depends = id_spec(value)?,
        "xen-depends" => spec.xen_depends = id_spec(value)?,
        "set" | "byte" | "remove" | "truncate" => {
            limited(spec.defects.len(), PayloadSpec::DEFECTS_MAX)?;
            spec.defects.push(match key {
                "set" => set(value)?,
                "byte" => byte(value)?,
                "remove" => Defect::Remove(value.word()?),
                _ => Defect::Truncate(value.integer()?),
            });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn table(value: Piece<'_>) -> Result<TableSpec> {
    match value.split(':') {
        Some((table, size)) => Ok(TableSpec { table: table.word()?, size: size.integer()? }),
        None => Err(value.error("this is table=NAME:N, with N bytes")),
    }
}

fn id_spec(value: Piece<'_>) -> Result<IdSpec> {
    match value.text {
        "xen" => Ok(IdSpec::Xen),
        "nobody" => Ok(IdSpec::Nobody),
        _ => id(value).map(IdSpec::Payload),
    }
}

/// The parts between slashes.
fn parts(value: Piece<'_>) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let here = rest?;
        match here.split('/') {
            Some((first, after)) => {
                rest = Some(after);
                Some(first)
            }
            None => rest.take(),
        }
    })
}

fn function(value: Piece<'_>) -> Result<FunctionSpec> {
    let mut parts = parts(value);
    let mut function = FunctionSpec::new(parts.next().unwrap_or(value).word()?);
    for part in parts {
        match part.split(':').map(|(key, value)| (key.text, value)) {
            Some(("nop", bytes)) => function.nop = Some(bytes.integer()?),
            Some(("old-size", bytes)) => function.old_size = bytes.integer()?,
            Some(("expect", what)) => function.expect = what.word()?,
            None if part.text == "symbol" => function.by_symbol = true,
            _ => {
                return Err(part.error(format!(
                    "`{}` is none of nop:N, old-size:N, symbol, expect:WORD",
                    part.text
                )));
            }
        }
    }
    Ok(function)
}

fn hook(value: Piece<'_>) -> Result<HookSpec> {
    let Some((when, what)) = value.split('/') else {
        return Err(value.error("a hook is WHEN/ret:N, WHEN/once:N or WHEN/null"));
    };
    let does = match what.split(':').map(|(key, value)| (key.text, value)) {
        Some(("ret", value)) => HookDoes::Return(value.signed()?),
        Some(("once", value)) => HookDoes::Once(value.signed()?),
        None if what.text == "null" => HookDoes::Null,
        _ => return Err(what.error(format!("`{}` is none of ret:N, once:N, null", what.text))),
    };
    Ok(HookSpec { hook: when.word()?, does })
}

/// `WHERE.FIELD:VALUE`
fn set(value: Piece<'_>) -> Result<Defect> {
    let form = "this is set=WHERE.FIELD:N";
    let (path, number) = value.split_last(':').ok_or_else(|| value.error(form))?;
    let (place, field) = path.split_last('.').ok_or_else(|| path.error(form))?;
    let number = number.integer()?;
    if let Some((table, index)) = place.split('[') {
        let index = index.text.strip_suffix(']').map(|text| index.until(text.len()));
        let index = index.ok_or_else(|| place.error("the index is not closed by `]`"))?;
        let index = index.integer()?;
        return Ok(match table.text {
            "funcs" => Defect::Func(index, field.word()?, number),
            "symbols" => Defect::Sym(index, field.word()?, number),
            _ => Defect::Rela(table.word()?, index, field.word()?, number),
        });
    }
    Ok(match (place.text, field.strip("note-")) {
        ("ehdr", _) => Defect::Ehdr(field.word::<EhdrField>()?, number),
        (_, Some(field)) => Defect::Note(place.word()?, field.word()?, number),
        (_, None) => Defect::Shdr(place.word()?, field.word()?, number),
    })
}

/// `OFFSET:VALUE` or `SECTION+OFFSET:VALUE`
fn byte(value: Piece<'_>) -> Result<Defect> {
    let (place, byte) =
        value.split_last(':').ok_or_else(|| value.error("this is byte=OFFSET:N"))?;
    let byte = byte.integer()?;
    match place.split('+') {
        Some((section, offset)) => {
            Ok(Defect::Content(section.word::<SectionName>()?, offset.integer()?, byte))
        }
        None => Ok(Defect::Byte(place.integer()?, byte)),
    }
}

fn get(words: &mut Words<'_, '_>, outer: &mut Outer) -> Result<GetArg> {
    let mut get = GetArg { name: words.name()?, state: 0, rc: 0 };
    words.options(outer, |key, value| {
        match key {
            "state" => get.state = value.integer()?,
            "rc" => get.rc = value.signed()?,
            _ => return name_option(&mut get.name, key, value),
        }
        Ok(true)
    })?;
    Ok(get)
}

fn list(words: &Words<'_, '_>, outer: &mut Outer) -> Result<ListArg> {
    let mut list = ListArg::EMPTY;
    words.options(outer, |key, value| {
        match key {
            "idx" => list.idx = value.integer()?,
            "nr" => list.nr = value.integer()?,
            "pad" => list.pad = value.integer()?,
            "stamp" => list.version = value.integer()?,
            "name-total" => list.name_total = value.integer()?,
            "metadata-total" => list.metadata_total = value.integer()?,
            _ => match ListArray::from_word(key) {
                Some(array) => list.arrays[usize::from(array.number())] = sink(value)?,
                None => return Ok(false),
            },
        }
        Ok(true)
    })?;
    Ok(list)
}

fn sink(value: Piece<'_>) -> Result<Sink> {
    if let Some(bytes) = value.strip("tight:") {
        return bytes.integer().map(Sink::Tight);
    }
    let known = Sink::WORDS.iter().find(|(word, _)| *word == value.text);
    known.map(|(_, sink)| *sink).ok_or_else(|| {
        let words: Vec<_> = Sink::WORDS.iter().map(|(word, _)| *word).collect();
        value.error(format!("`{}` is none of {}, tight:N", value.text, words.join(", ")))
    })
}

fn action(words: &mut Words<'_, '_>, outer: &mut Outer) -> Result<ActionArg> {
    let cmd = words.next("what to do")?;
    let known = ACTIONS.iter().find(|(word, _)| *word == cmd.text).map(|(_, known)| *known);
    let cmd = match known {
        Some(known) => known,
        None if cmd.text.starts_with(|c: char| c.is_ascii_digit()) => {
            ActionCmd::from(cmd.integer::<u32>()?)
        }
        None => {
            return Err(cmd.error(format!(
                "`{}` is none of unload, revert, apply, replace, nor a number",
                cmd.text
            )));
        }
    };
    let name = words.name()?;
    let mut action = ActionArg { name, cmd, timeout: 0, flags: 0, pad: 0 };
    words.options(outer, |key, value| {
        match key {
            "timeout" => action.timeout = value.integer()?,
            "flags" => action.flags = value.integer()?,
            "pad" => action.pad = value.integer()?,
            _ => return name_option(&mut action.name, key, value),
        }
        Ok(true)
    })?;
    Ok(action)
}
