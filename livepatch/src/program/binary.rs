//! Programs as bytes, for fuzzers: any bytes at all are some program.
//!
//! [`decode`] never fails. It takes numbers out of the bytes one after the other, each is brought
//! into range, and where the bytes end all the rest is 0. Common values take one byte, so that a
//! changed byte is mostly another common value. [`encode`] is its inverse: what it writes is read
//! back as the same program.

use alloc::vec::Vec;

use super::op::{
    ActionArg, GetArg, ListArg, NameArg, Op, Outer, Placement, Sink, Source, Step, UploadArg,
};
use super::spec::{
    Defect, EhdrField, ExpectSpec, FuncField, FunctionSpec, FunctionTarget, HookDoes, HookSpec,
    IdSpec, NoteField, PayloadSpec, RelaField, SectionName, ShdrField, SymField, SymbolSpec, Table,
    TableSpec,
};
use super::words::Word;
use super::{Program, STANDARD_NAMES};
use crate::abi::ActionCmd;
use crate::payload::Hook;

/// Numbers that are interesting wherever they are allowed; each takes one byte.
const NOTABLE: [u64; 16] = [
    u64::MAX,
    u32::MAX as u64,
    u16::MAX as u64,
    1 << 31,
    (1 << 31) - 1,
    1 << 63,
    (2 << 20) + 1,
    2 << 20,
    1025,
    1024,
    (-22i32).cast_unsigned() as u64,
    ListArg::ROOM as u64,
    ListArg::ROOM as u64 - 1,
    0xffff_8000_0000_0000,
    1 << 32,
    4096,
];

/// Numbers below this are one byte.
const SMALL: u64 = 0xe0;
const FIRST_NOTABLE: u8 = SMALL as u8;
const FIRST_LONG: u8 = FIRST_NOTABLE + NOTABLE.len() as u8;

/// The steps that the bytes stand for, at most `limit`.
pub fn decode(bytes: &[u8], limit: usize) -> Program {
    let mut input = Input(bytes);
    let mut steps = Vec::new();
    while !input.0.is_empty() && steps.len() < limit {
        steps.push(Step::read(&mut input));
    }
    Program { steps }
}

/// The bytes of a program.
pub fn encode(program: &Program) -> Vec<u8> {
    let mut out = Vec::new();
    program.steps.iter().for_each(|step| step.put(&mut out));
    out
}

/// What is left to decode.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.byte())
    }

    fn number(&mut self) -> u64 {
        let tag = self.byte();
        match tag {
            0..FIRST_NOTABLE => tag.into(),
            FIRST_NOTABLE..FIRST_LONG => NOTABLE[usize::from(tag - FIRST_NOTABLE)],
            // Which of the three the tag is must not depend on the order of the others.
            _ => match tag % 3 {
                0 => u16::from_le_bytes(self.bytes()).into(),
                1 => u32::from_le_bytes(self.bytes()).into(),
                _ => u64::from_le_bytes(self.bytes()),
            },
        }
    }

    fn word<T: Word>(&mut self) -> T {
        T::from_number(self.byte())
    }

    /// A list of at most `most` items, preceded by their number.
    fn list<T: Coded>(&mut self, most: usize) -> Vec<T> {
        let count = usize::from(self.byte()) % (most + 1);
        (0..count).map(|_| T::read(self)).collect()
    }
}

fn put_number(out: &mut Vec<u8>, value: u64) {
    if value < SMALL {
        out.push(value as u8);
    } else if let Some(index) = NOTABLE.iter().position(|&notable| notable == value) {
        out.push(FIRST_NOTABLE + index as u8);
    } else if let Ok(short) = u16::try_from(value) {
        out.push(long_tag(0));
        out.extend(short.to_le_bytes());
    } else if let Ok(long) = u32::try_from(value) {
        out.push(long_tag(1));
        out.extend(long.to_le_bytes());
    } else {
        out.push(long_tag(2));
        out.extend(value.to_le_bytes());
    }
}

/// The first tag whose remainder by 3 tells this width.
const fn long_tag(width: u8) -> u8 {
    FIRST_LONG + (width + 3 - FIRST_LONG % 3) % 3
}

fn put_list<T: Coded>(out: &mut Vec<u8>, items: &[T]) {
    out.push(items.len() as u8);
    items.iter().for_each(|item| item.put(out));
}

/// What can be written and read back.
trait Coded: Sized {
    fn read(input: &mut Input<'_>) -> Self;
    fn put(&self, out: &mut Vec<u8>);
}

/// Implements [`Coded`] for enumerations with words: one byte.
macro_rules! coded_words {
    ($($name:ty),+) => { $(
        impl Coded for $name {
            fn read(input: &mut Input<'_>) -> Self {
                input.word()
            }
            fn put(&self, out: &mut Vec<u8>) {
                out.push(self.number());
            }
        }
    )+ };
}

coded_words!(Source, Placement, FunctionTarget, ExpectSpec, Hook, SymbolSpec, SectionName);
coded_words!(EhdrField, ShdrField, FuncField, SymField, RelaField, NoteField, Table);

/// Implements [`Coded`] for integers: what does not fit is cut.
macro_rules! coded_numbers {
    ($($name:ty),+) => { $(
        impl Coded for $name {
            fn read(input: &mut Input<'_>) -> Self {
                input.number() as Self
            }
            fn put(&self, out: &mut Vec<u8>) {
                put_number(out, (*self).into());
            }
        }
    )+ };
}

coded_numbers!(u8, u16, u32, u64);

impl Coded for i32 {
    fn read(input: &mut Input<'_>) -> Self {
        u32::read(input).cast_signed()
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.cast_unsigned().put(out);
    }
}

impl<T: Coded> Coded for Option<T> {
    fn read(input: &mut Input<'_>) -> Self {
        (input.byte() & 1 == 1).then(|| T::read(input))
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.is_some().into());
        if let Some(value) = self {
            value.put(out);
        }
    }
}

/// Kinds of steps in the lower bits of the first byte; more of the frequent ones, so that random
/// bytes make programs in which something happens.
const KINDS: [Kind; 16] = [
    Kind::Upload,
    Kind::Action,
    Kind::Get,
    Kind::List,
    Kind::Look,
    Kind::Bare,
    Kind::Upload,
    Kind::Upload,
    Kind::Action,
    Kind::Action,
    Kind::Action,
    Kind::Action,
    Kind::Action,
    Kind::List,
    Kind::Get,
    Kind::Action,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upload,
    Action,
    Get,
    List,
    Look,
    Bare,
}

/// In the first byte: that both bits are set says that an [`Outer`] follows. One byte in four of
/// random ones, which is enough.
const HAS_OUTER: u8 = 0b1100_0000;

impl Coded for Step {
    fn read(input: &mut Input<'_>) -> Self {
        let first = input.byte();
        let op = match KINDS[usize::from(first) % KINDS.len()] {
            Kind::Upload => Op::Upload(UploadArg::read(input)),
            Kind::Action => Op::Action(ActionArg::read(input)),
            Kind::Get => Op::Get(GetArg::read(input)),
            Kind::List => Op::List(ListArg::read(input)),
            Kind::Bare => Op::Bare(u32::read(input)),
            Kind::Look => return Op::Look.into(),
        };
        let outer = if first & HAS_OUTER == HAS_OUTER { Outer::read(input) } else { Outer::PLAIN };
        Self { op, outer }
    }

    fn put(&self, out: &mut Vec<u8>) {
        let kind = match self.op {
            Op::Upload(_) => Kind::Upload,
            Op::Action(_) => Kind::Action,
            Op::Get(_) => Kind::Get,
            Op::List(_) => Kind::List,
            Op::Bare(_) => Kind::Bare,
            Op::Look => Kind::Look,
        };
        let index = KINDS.iter().position(|&k| k == kind).unwrap_or(0) as u8;
        let outer = self.outer != Outer::PLAIN && kind != Kind::Look;
        out.push(if outer { index | HAS_OUTER } else { index });
        match &self.op {
            Op::Upload(upload) => upload.put(out),
            Op::Action(action) => action.put(out),
            Op::Get(get) => get.put(out),
            Op::List(list) => list.put(out),
            Op::Bare(sub_op) => sub_op.put(out),
            Op::Look => {}
        }
        if outer {
            self.outer.put(out);
        }
    }
}

impl Coded for Outer {
    fn read(input: &mut Input<'_>) -> Self {
        Self { version: Option::read(input), flags: u32::read(input), at: Placement::read(input) }
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.version.put(out);
        self.flags.put(out);
        self.at.put(out);
    }
}

/// Tags of a name from here on say that it is spelled out.
const SPELLED_NAME: u8 = 0xe0;
/// In the tag of a name that is not spelled out, set if where it lies, its size and padding follow.
const ODD_NAME: u8 = 0x10;

impl NameArg {
    fn is_plain(&self) -> bool {
        self.at == Source::Ample && self.size.is_none() && self.pad == [0; 3]
    }
}

impl Coded for NameArg {
    fn read(input: &mut Input<'_>) -> Self {
        let tag = input.byte();
        let mut name = if tag < SPELLED_NAME {
            Self::new(STANDARD_NAMES[usize::from(tag) % STANDARD_NAMES.len()])
        } else {
            let size = input.byte();
            Self::from_bytes((0..size).map(|_| input.byte()).collect())
        };
        if tag & ODD_NAME != 0 {
            name.at = input.word();
            name.size = Option::read(input);
            name.pad = core::array::from_fn(|_| u16::read(input));
        }
        name
    }

    fn put(&self, out: &mut Vec<u8>) {
        let odd = if self.is_plain() { 0 } else { ODD_NAME };
        let standard = STANDARD_NAMES.iter().position(|&name| {
            self.bytes.strip_suffix(b"\0").is_some_and(|bytes| bytes == name.as_bytes())
        });
        match standard {
            Some(index) => out.push(index as u8 | odd),
            None => {
                out.push(SPELLED_NAME | odd);
                out.push(self.bytes.len() as u8);
                out.extend(&self.bytes);
            }
        }
        if odd != 0 {
            self.at.put(out);
            self.size.put(out);
            self.pad.iter().for_each(|pad| pad.put(out));
        }
    }
}

impl Coded for UploadArg {
    fn read(input: &mut Input<'_>) -> Self {
        let name = NameArg::read(input);
        let payload = PayloadSpec::read(input);
        let odd = input.byte() & 3 == 3;
        let size = if odd { Option::read(input) } else { None };
        let at = if odd { input.word() } else { Source::Ample };
        Self { name, payload, size, at }
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.name.put(out);
        self.payload.put(out);
        let odd = self.size.is_some() || self.at != Source::Ample;
        out.push(if odd { 3 } else { 0 });
        if odd {
            self.size.put(out);
            self.at.put(out);
        }
    }
}

impl Coded for GetArg {
    fn read(input: &mut Input<'_>) -> Self {
        let name = NameArg::read(input);
        let odd = input.byte() & 3 == 3;
        let (state, rc) = if odd { (u32::read(input), i32::read(input)) } else { (0, 0) };
        Self { name, state, rc }
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.name.put(out);
        let odd = (self.state, self.rc) != (0, 0);
        out.push(if odd { 3 } else { 0 });
        if odd {
            self.state.put(out);
            self.rc.put(out);
        }
    }
}

impl Coded for Sink {
    fn read(input: &mut Input<'_>) -> Self {
        let tag = input.byte();
        match Self::WORDS.get(usize::from(tag) % (Self::WORDS.len() + 1)) {
            Some((_, sink)) => *sink,
            None => Self::Tight(u16::read(input)),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match (Self::WORDS.iter().position(|(_, sink)| sink == self), self) {
            (Some(index), _) => out.push(index as u8),
            (None, Self::Tight(bytes)) => {
                out.push(Self::WORDS.len() as u8);
                bytes.put(out);
            }
            (None, _) => unreachable!("every other sink has a word"),
        }
    }
}

impl Coded for ListArg {
    fn read(input: &mut Input<'_>) -> Self {
        let (idx, nr) = (u32::read(input), u32::read(input));
        let mut list = Self { idx, nr, ..Self::EMPTY };
        if input.byte() & 3 == 3 {
            list.version = u32::read(input);
            list.pad = u32::read(input);
            list.name_total = u32::read(input);
            list.metadata_total = u32::read(input);
            list.arrays = core::array::from_fn(|_| Sink::read(input));
        }
        list
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.idx.put(out);
        self.nr.put(out);
        let plain = Self { idx: self.idx, nr: self.nr, ..Self::EMPTY };
        out.push(if *self == plain { 0 } else { 3 });
        if *self != plain {
            self.version.put(out);
            self.pad.put(out);
            self.name_total.put(out);
            self.metadata_total.put(out);
            self.arrays.iter().for_each(|sink| sink.put(out));
        }
    }
}

/// The actions that exist, by the lower bits of their byte; what is above is any number.
const ACTIONS: [ActionCmd; 4] =
    [ActionCmd::Unload, ActionCmd::Revert, ActionCmd::Apply, ActionCmd::Replace];
const OTHER_ACTION: u8 = 0xf0;

impl Coded for ActionCmd {
    fn read(input: &mut Input<'_>) -> Self {
        match input.byte() {
            tag @ ..OTHER_ACTION => ACTIONS[usize::from(tag) % ACTIONS.len()],
            _ => u32::read(input).into(),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match ACTIONS.iter().position(|cmd| cmd == self) {
            Some(index) => out.push(index as u8),
            None => {
                out.push(OTHER_ACTION);
                u32::from(*self).put(out);
            }
        }
    }
}

impl Coded for ActionArg {
    fn read(input: &mut Input<'_>) -> Self {
        let (name, cmd) = (NameArg::read(input), ActionCmd::read(input));
        let mut action = Self { name, cmd, timeout: 0, flags: 0, pad: 0 };
        if input.byte() & 3 == 3 {
            action.timeout = u32::read(input);
            action.flags = u32::read(input);
            action.pad = u32::read(input);
        }
        action
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.name.put(out);
        self.cmd.put(out);
        let odd = (self.timeout, self.flags, self.pad) != (0, 0, 0);
        out.push(if odd { 3 } else { 0 });
        if odd {
            self.timeout.put(out);
            self.flags.put(out);
            self.pad.put(out);
        }
    }
}

impl Coded for IdSpec {
    fn read(input: &mut Input<'_>) -> Self {
        match input.byte() {
            0 => Self::Xen,
            1 => Self::Nobody,
            id => Self::Payload((id - 2) % PayloadSpec::IDS),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Xen => 0,
            Self::Nobody => 1,
            Self::Payload(id) => id + 2,
        });
    }
}

impl Coded for FunctionSpec {
    fn read(input: &mut Input<'_>) -> Self {
        let target = input.word();
        let mut function = Self::new(target);
        if input.byte() & 1 == 1 {
            function.nop = Option::read(input);
            function.old_size = u32::read(input);
            function.by_symbol = input.byte() & 1 == 1;
            function.expect = input.word();
        }
        function
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.target.put(out);
        let odd = *self != Self::new(self.target);
        out.push(odd.into());
        if odd {
            self.nop.put(out);
            self.old_size.put(out);
            out.push(self.by_symbol.into());
            self.expect.put(out);
        }
    }
}

impl Coded for HookSpec {
    fn read(input: &mut Input<'_>) -> Self {
        let hook = input.word();
        let does = match input.byte() % 3 {
            0 => HookDoes::Return(i32::read(input)),
            1 => HookDoes::Once(i32::read(input)),
            _ => HookDoes::Null,
        };
        Self { hook, does }
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.hook.put(out);
        match self.does {
            HookDoes::Return(value) => {
                out.push(0);
                value.put(out);
            }
            HookDoes::Once(value) => {
                out.push(1);
                value.put(out);
            }
            HookDoes::Null => out.push(2),
        }
    }
}

impl Coded for TableSpec {
    fn read(input: &mut Input<'_>) -> Self {
        Self { table: input.word(), size: input.byte() }
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.table.put(out);
        out.push(self.size);
    }
}

/// In the byte of a payload's parts, each bit set if the part follows.
#[derive(Clone, Copy)]
enum Part {
    Hooks = 1 << 0,
    Variables = 1 << 1,
    Metadata = 1 << 2,
    Symbols = 1 << 3,
    Depends = 1 << 4,
    XenDepends = 1 << 5,
    Faults = 1 << 6,
    Tables = 1 << 7,
}

impl Coded for PayloadSpec {
    fn read(input: &mut Input<'_>) -> Self {
        let mut spec = Self::new(input.byte() % Self::IDS);
        let parts = input.byte();
        let has = |part: Part| parts & part as u8 != 0;
        spec.functions = input.list(Self::FUNCTIONS_MAX);
        if has(Part::Hooks) {
            spec.hooks = input.list(Self::HOOKS_MAX);
        }
        if has(Part::Variables) {
            spec.data = input.byte();
            spec.bss = u32::read(input) % (Self::BSS_MAX + 1);
        }
        if has(Part::Metadata) {
            let size = input.byte();
            spec.metadata = Some((0..size).map(|_| input.byte()).collect());
        }
        if has(Part::Symbols) {
            spec.export = Option::read(input);
            spec.import = Option::read(input);
        }
        if has(Part::Tables) {
            spec.tables = input.list(Self::TABLES_MAX);
            let mut before = Vec::new();
            // A section that is there twice means the first one to some, the last one to others.
            spec.tables.retain(|table: &TableSpec| {
                let new = !before.contains(&table.table);
                before.push(table.table);
                new
            });
        }
        if has(Part::Depends) {
            spec.depends = IdSpec::read(input);
        }
        if has(Part::XenDepends) {
            spec.xen_depends = IdSpec::read(input);
        }
        if has(Part::Faults) {
            spec.defects = input.list(Self::DEFECTS_MAX);
        }
        spec
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.id);
        let parts = [
            (Part::Hooks, !self.hooks.is_empty()),
            (Part::Variables, self.data > 0 || self.bss > 0),
            (Part::Metadata, self.metadata.is_some()),
            (Part::Symbols, self.export.is_some() || self.import.is_some()),
            (Part::Depends, self.depends != IdSpec::Xen),
            (Part::XenDepends, self.xen_depends != IdSpec::Xen),
            (Part::Faults, !self.defects.is_empty()),
            (Part::Tables, !self.tables.is_empty()),
        ];
        let present = parts.iter().filter(|(_, there)| *there);
        let parts = present.fold(0, |bits, (part, _)| bits | *part as u8);
        let has = |part: Part| parts & part as u8 != 0;
        out.push(parts);
        put_list(out, &self.functions);
        if has(Part::Hooks) {
            put_list(out, &self.hooks);
        }
        if has(Part::Variables) {
            out.push(self.data);
            self.bss.put(out);
        }
        if let Some(metadata) = &self.metadata {
            out.push(metadata.len() as u8);
            out.extend(metadata);
        }
        if has(Part::Symbols) {
            self.export.put(out);
            self.import.put(out);
        }
        if has(Part::Tables) {
            put_list(out, &self.tables);
        }
        if has(Part::Depends) {
            self.depends.put(out);
        }
        if has(Part::XenDepends) {
            self.xen_depends.put(out);
        }
        if has(Part::Faults) {
            put_list(out, &self.defects);
        }
    }
}

impl Coded for Defect {
    fn read(input: &mut Input<'_>) -> Self {
        match input.byte() % 10 {
            0 => Self::Shdr(input.word(), input.word(), u64::read(input)),
            1 => Self::Func(input.byte(), input.word(), u64::read(input)),
            2 => Self::Ehdr(input.word(), u64::read(input)),
            3 => Self::Sym(input.byte(), input.word(), u64::read(input)),
            4 => Self::Rela(input.word(), input.byte(), input.word(), u64::read(input)),
            5 => Self::Note(input.word(), input.word(), u64::read(input)),
            6 => Self::Content(input.word(), u16::read(input), input.byte()),
            7 => Self::Byte(u32::read(input), input.byte()),
            8 => Self::Remove(input.word()),
            _ => Self::Truncate(u32::read(input)),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Shdr(section, field, value) => {
                out.extend([0, section.number(), field.number()]);
                value.put(out);
            }
            Self::Func(index, field, value) => {
                out.extend([1, index, field.number()]);
                value.put(out);
            }
            Self::Ehdr(field, value) => {
                out.extend([2, field.number()]);
                value.put(out);
            }
            Self::Sym(index, field, value) => {
                out.extend([3, index, field.number()]);
                value.put(out);
            }
            Self::Rela(section, index, field, value) => {
                out.extend([4, section.number(), index, field.number()]);
                value.put(out);
            }
            Self::Note(section, field, value) => {
                out.extend([5, section.number(), field.number()]);
                value.put(out);
            }
            Self::Content(section, offset, value) => {
                out.extend([6, section.number()]);
                offset.put(out);
                out.push(value);
            }
            Self::Byte(offset, value) => {
                out.push(7);
                offset.put(out);
                out.push(value);
            }
            Self::Remove(section) => out.extend([8, section.number()]),
            Self::Truncate(size) => {
                out.push(9);
                size.put(out);
            }
        }
    }
}
