//! Steps made up from a seed.

use alloc::vec::Vec;

use super::op::{
    ActionArg, GetArg, ListArg, NameArg, Op, Outer, Placement, Sink, Source, Step, UploadArg,
};
use super::rng::Rng;
use super::spec::{
    Defect, ExpectSpec, FunctionSpec, FunctionTarget, HookDoes, HookSpec, IdSpec, PayloadSpec,
    SymbolSpec, Table, TableSpec,
};
use super::words::Word;
use super::{Program, STANDARD_NAMES};
use crate::abi::{
    ACTION_FLAG_NODEPS, ACTION_REPLACE, ActionCmd, LIST_NR_MAX, NAME_SIZE_MAX, OP_FLAG_FORCE,
    PAYLOAD_SIZE_MAX,
};
use crate::payload::Hook;

/// How often what is generated; weights count against one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Weight of UPLOAD. What is uploaded is unloaded in the end, so this is about half of what
    /// UPLOAD and UNLOAD come to.
    pub upload: u32,
    /// Weight of GET.
    pub get: u32,
    /// Weight of LIST.
    pub list: u32,
    /// Weight of REVERT, APPLY and REPLACE.
    pub patch: u32,
    /// Weight of looking at what the patched functions return.
    pub look: u32,
    /// Weight of sub-ops that do not exist.
    pub bare: u32,
    /// Calls of 256 in which an argument is wrong.
    pub wrong: u32,
    /// Payloads of 256 that have a defect.
    pub faulty: u32,
    /// Whether payloads may be such that nobody can predict what they do.
    pub wild: bool,
}

impl Mix {
    /// A bit of everything.
    pub const DEFAULT: Self = Self {
        upload: 20,
        get: 20,
        list: 20,
        patch: 30,
        look: 5,
        bare: 1,
        wrong: 64,
        faulty: 64,
        wild: false,
    };

    /// Mostly calls that Xen answers at once.
    pub const CALLS: Self =
        Self { upload: 1, get: 60, list: 40, patch: 1, look: 1, ..Self::DEFAULT };

    /// Mostly payloads, which come and go.
    pub const PAYLOADS: Self =
        Self { upload: 60, get: 2, list: 2, patch: 4, look: 1, faulty: 160, ..Self::DEFAULT };
}

/// Makes up steps: the same ones for the same seed and mix.
///
/// It keeps an idea of what is loaded and applied, so that many steps make sense. The idea may be
/// wrong, as nobody tells it what Xen answered; then fewer do.
#[derive(Clone, Debug)]
pub struct Generator {
    rng: Rng,
    mix: Mix,
    /// Payloads believed to be loaded: the number of the name and the id.
    loaded: Vec<(u8, u8)>,
    /// Those believed to be applied, in their order.
    applied: Vec<(u8, u8)>,
    /// Payloads that were made up before, to be uploaded again.
    known: Vec<(u8, PayloadSpec)>,
}

/// The standard names that payloads get; the others stay unknown.
const NAMES_IN_USE: u32 = 13;
/// As many payloads are kept for further uploads.
const KNOWN_MAX: usize = 48;
/// As many payloads are believed to be loaded at most.
const LOADED_MAX: usize = 8;

impl Generator {
    /// The steps of a seed.
    pub const fn new(seed: u64, mix: Mix) -> Self {
        Self {
            rng: Rng::new(seed),
            mix,
            loaded: Vec::new(),
            applied: Vec::new(),
            known: Vec::new(),
        }
    }

    /// The next `count` steps.
    pub fn program(&mut self, count: usize) -> Program {
        Program { steps: (0..count).map(|_| self.step()).collect() }
    }

    /// The next step.
    pub fn step(&mut self) -> Step {
        let mix = self.mix;
        let weights = [mix.upload, mix.upload, mix.get, mix.list, mix.patch, mix.look, mix.bare];
        let total: u32 = weights.iter().sum();
        let mut choice = self.rng.below(total.max(1));
        let kind = weights.iter().position(|&weight| {
            let here = choice < weight;
            choice = choice.wrapping_sub(weight);
            here
        });
        let mut op = match kind {
            Some(0) if self.loaded.len() < LOADED_MAX => self.upload(),
            Some(0 | 1) => self.unload(),
            Some(2) => self.get(),
            Some(3) => self.list(),
            Some(4) => self.patch(),
            Some(5) => return Op::Look.into(),
            _ => Op::Bare(self.notable()),
        };
        if !self.chance(mix.wrong) {
            return op.into();
        }
        let mut outer = Outer::PLAIN;
        self.spoil(&mut op, &mut outer);
        // Mostly one thing is wrong, so that the answer is about that one.
        while self.rng.one_in(6) {
            self.spoil(&mut op, &mut outer);
        }
        Step { op, outer }
    }

    /// True so many times out of 256.
    const fn chance(&mut self, of_256: u32) -> bool {
        self.rng.below(256) < of_256
    }

    /// A number at which something may end.
    fn notable(&mut self) -> u32 {
        const NUMBERS: [u32; 20] = [
            0,
            1,
            2,
            3,
            4,
            5,
            7,
            8,
            12,
            16,
            31,
            32,
            64,
            127,
            128,
            1023,
            1024,
            1025,
            1 << 31,
            u32::MAX,
        ];
        match self.rng.below(8) {
            0 => self.rng.next_u32(),
            1 => 1 << self.rng.below(32),
            _ => self.rng.pick(&NUMBERS),
        }
    }

    fn notable_64(&mut self) -> u64 {
        match self.rng.below(8) {
            0 => self.rng.next_u64(),
            1 => 1 << self.rng.below(64),
            2 => u64::MAX - u64::from(self.notable()),
            _ => self.notable().into(),
        }
    }

    fn standard(number: u8) -> NameArg {
        NameArg::new(STANDARD_NAMES[usize::from(number) % STANDARD_NAMES.len()])
    }

    /// Mostly the name of something that is loaded.
    fn name(&mut self) -> NameArg {
        if self.loaded.is_empty() || self.rng.one_in(8) {
            let number = self.rng.below(STANDARD_NAMES.len() as u32) as u8;
            return Self::standard(number);
        }
        let (number, _) = self.rng.pick(&self.loaded);
        Self::standard(number)
    }

    fn get(&mut self) -> Op {
        Op::Get(GetArg { name: self.name(), state: 0, rc: 0 })
    }

    fn list(&mut self) -> Op {
        let mut list = ListArg { nr: self.rng.below(12), ..ListArg::EMPTY };
        match self.rng.below(4) {
            0 => list.nr = 0,
            1 => list.idx = self.rng.below(self.loaded.len() as u32 + 2),
            _ => {}
        }
        Op::List(list)
    }

    fn action(name: NameArg, cmd: ActionCmd) -> ActionArg {
        ActionArg { name, cmd, timeout: 0, flags: 0, pad: 0 }
    }

    fn unload(&mut self) -> Op {
        let idle: Vec<_> =
            self.loaded.iter().copied().filter(|p| !self.applied.contains(p)).collect();
        if idle.is_empty() || self.rng.one_in(10) {
            // What is on top of all has to go first.
            if let Some(top) = self.applied.pop() {
                return Op::Action(Self::action(Self::standard(top.0), ActionCmd::Revert));
            }
            return Op::Action(Self::action(self.name(), ActionCmd::Unload));
        }
        let gone = self.rng.pick(&idle);
        self.loaded.retain(|payload| *payload != gone);
        Op::Action(Self::action(Self::standard(gone.0), ActionCmd::Unload))
    }

    fn patch(&mut self) -> Op {
        let top = self.applied.last().copied();
        let any = if self.loaded.is_empty() { None } else { Some(self.rng.pick(&self.loaded)) };
        let mut action = match (self.rng.below(8), any, top) {
            (0..=2, Some(payload), _) => {
                if !self.applied.contains(&payload) {
                    self.applied.push(payload);
                }
                let mut action = Self::action(Self::standard(payload.0), ActionCmd::Apply);
                if self.rng.one_in(2) {
                    action.flags = ACTION_FLAG_NODEPS;
                }
                action
            }
            (3..=4, _, Some(top)) => {
                self.applied.pop();
                Self::action(Self::standard(top.0), ActionCmd::Revert)
            }
            (5, Some(payload), _) => {
                self.applied.clear();
                self.applied.push(payload);
                Self::action(Self::standard(payload.0), ActionCmd::Replace)
            }
            _ => {
                let cmd = 1 + self.rng.below(ACTION_REPLACE);
                Self::action(self.name(), cmd.into())
            }
        };
        if self.rng.one_in(8) {
            action.timeout = self.notable();
        }
        Op::Action(action)
    }

    /// Mostly a payload that was there before: what it meets then is another one.
    fn upload(&mut self) -> Op {
        let (number, payload) = if self.known.is_empty() || self.rng.one_in(4) {
            let made_up = self.make_up();
            if self.known.len() == KNOWN_MAX {
                let forgotten = self.rng.below(KNOWN_MAX as u32) as usize;
                self.known.swap_remove(forgotten);
            }
            self.known.push(made_up.clone());
            made_up
        } else {
            let again = self.rng.below(self.known.len() as u32) as usize;
            self.known[again].clone()
        };
        if payload.defects.is_empty() && !self.loaded.iter().any(|(name, _)| *name == number) {
            self.loaded.push((number, payload.id));
        }
        let name = Self::standard(number);
        Op::Upload(UploadArg { name, payload, size: None, at: Source::Ample })
    }

    /// The number of a name, and a payload.
    fn make_up(&mut self) -> (u8, PayloadSpec) {
        // Mostly a name and an id of its own.
        let number = self.rng.below(NAMES_IN_USE) as u8;
        let id = if self.rng.one_in(8) { self.rng.below(8) as u8 } else { number };
        let mut payload = PayloadSpec::new(id);
        self.functions(&mut payload);
        if self.rng.one_in(4) {
            self.hooks(&mut payload);
        }
        if payload.functions.is_empty() && payload.hooks.is_empty() {
            payload.functions.push(FunctionSpec::new(FunctionTarget::Own));
        }
        self.belongings(&mut payload);
        payload.depends = match self.rng.below(4) {
            0 => self.applied.last().map_or(IdSpec::Xen, |(_, id)| IdSpec::Payload(*id)),
            1 if self.rng.one_in(3) => IdSpec::Payload(self.rng.below(8) as u8),
            2 if self.rng.one_in(8) => IdSpec::Nobody,
            _ => IdSpec::Xen,
        };
        if self.chance(self.mix.faulty) {
            self.break_payload(&mut payload);
        }
        (number, payload)
    }

    fn functions(&mut self, payload: &mut PayloadSpec) {
        const TARGETS: [FunctionTarget; 6] = [
            FunctionTarget::Extra,
            FunctionTarget::Extra,
            FunctionTarget::Minor,
            FunctionTarget::Major,
            FunctionTarget::Own,
            FunctionTarget::OwnEndbr,
        ];
        let count = self.rng.pick(&[0, 1, 1, 1, 1, 1, 2, 3]);
        for _ in 0..count {
            let mut function = FunctionSpec::new(self.rng.pick(&TARGETS));
            // The model does not follow what becomes of it.
            let twice = payload.functions.iter().any(|other| other.target == function.target);
            if twice && !self.mix.wild {
                continue;
            }
            let own = matches!(function.target, FunctionTarget::Own | FunctionTarget::OwnEndbr);
            if own && self.rng.one_in(2) {
                // So many are right for either.
                function.nop = Some(4 + self.rng.below(13));
            }
            if self.rng.one_in(6) {
                let words = ExpectSpec::WORDS;
                function.expect = words[self.rng.below(words.len() as u32) as usize].1;
            }
            function.by_symbol = self.rng.one_in(6);
            payload.functions.push(function);
        }
    }

    fn hooks(&mut self, payload: &mut PayloadSpec) {
        // Those that take the place of the patching are for whoever varies programs.
        const HOOKS: [Hook; 6] = [
            Hook::Load,
            Hook::Unload,
            Hook::PreApply,
            Hook::PostApply,
            Hook::PreRevert,
            Hook::PostRevert,
        ];
        for _ in 0..=self.rng.below(2) {
            let hook = self.rng.pick(&HOOKS);
            let listed = matches!(hook, Hook::Load | Hook::Unload);
            if !listed && payload.hooks.iter().any(|other| other.hook == hook) {
                continue;
            }
            let value = self.rng.pick(&[0, 0, 0, -88, -22]);
            // A hook that always refuses to be reverted would stay for ever.
            let once = hook == Hook::PreRevert && value != 0;
            let does = match self.rng.below(4) {
                0 => HookDoes::Once(value),
                1 if !listed => HookDoes::Null,
                _ if once => HookDoes::Once(value),
                _ => HookDoes::Return(value),
            };
            payload.hooks.push(HookSpec { hook, does });
        }
    }

    fn belongings(&mut self, payload: &mut PayloadSpec) {
        if self.rng.one_in(8) {
            payload.data = 1 + self.rng.below(16) as u8;
        }
        if self.rng.one_in(16) {
            payload.bss = 1 + self.rng.below(8192);
        }
        if self.rng.one_in(4) {
            let size = self.rng.below(24);
            let letters = (0..size).map(|_| b'a' + self.rng.below(26) as u8);
            payload.metadata = Some(letters.collect());
        }
        // The model does not follow what they change.
        if self.mix.wild && self.rng.one_in(8) {
            self.tables(payload);
        }
        if self.rng.one_in(10) {
            payload.export = Some(self.symbol());
        }
        if self.rng.one_in(10) {
            payload.import = Some(self.symbol());
        }
    }

    fn tables(&mut self, payload: &mut PayloadSpec) {
        for _ in 0..=self.rng.below(2) {
            let table: Table = self.word();
            let entries = self.rng.below(4) as usize;
            // Mostly whole entries.
            let more = if self.rng.one_in(4) { self.rng.below(8) as usize } else { 0 };
            let size = (entries * table.entry() + more) as u8;
            if !payload.tables.iter().any(|other| other.table == table) {
                payload.tables.push(TableSpec { table, size });
            }
        }
    }

    fn symbol(&mut self) -> SymbolSpec {
        SymbolSpec::WORDS[self.rng.below(SymbolSpec::WORDS.len() as u32) as usize].1
    }

    /// Puts defects into a payload.
    fn break_payload(&mut self, payload: &mut PayloadSpec) {
        match self.rng.below(12) {
            0 => payload.xen_depends = IdSpec::Nobody,
            1 => payload.functions.push(FunctionSpec::new(FunctionTarget::Nobody)),
            2 => {
                let old_size = self.notable();
                if let Some(function) = payload.functions.first_mut() {
                    function.old_size = old_size;
                }
            }
            3 => {
                // Beyond what a function may lose, so that Xen refuses.
                let bytes = 17 + self.notable() % 1024;
                if let Some(function) = payload.functions.first_mut() {
                    function.nop = Some(bytes);
                }
            }
            4 if self.mix.wild => {
                let hook = Hook::WORDS[self.rng.below(Hook::WORDS.len() as u32) as usize].1;
                payload.hooks.push(HookSpec { hook, does: HookDoes::Null });
            }
            _ => {
                let defect = self.defect();
                payload.defects.push(defect);
                while self.rng.one_in(8) && payload.defects.len() < PayloadSpec::DEFECTS_MAX {
                    let defect = self.defect();
                    payload.defects.push(defect);
                }
            }
        }
        payload.functions.truncate(PayloadSpec::FUNCTIONS_MAX);
        payload.hooks.truncate(PayloadSpec::HOOKS_MAX);
    }

    fn word<T: Word>(&mut self) -> T {
        T::from_number(self.rng.below(T::WORDS.len() as u32) as u8)
    }

    fn defect(&mut self) -> Defect {
        match self.rng.below(16) {
            0..=2 => Defect::Ehdr(self.word(), self.notable_64()),
            3..=6 => Defect::Shdr(self.word(), self.word(), self.notable_64()),
            7..=8 => Defect::Func(self.rng.below(3) as u8, self.word(), self.notable_64()),
            9 => Defect::Sym(self.rng.below(8) as u8, self.word(), self.notable_64()),
            10..=11 => {
                let rela = self.rng.pick(&[
                    super::SectionName::RelaFuncs,
                    super::SectionName::RelaText,
                    super::SectionName::RelaRodata,
                ]);
                Defect::Rela(rela, self.rng.below(6) as u8, self.word(), self.notable_64())
            }
            12 => {
                let note = self.rng.pick(&[
                    super::SectionName::BuildId,
                    super::SectionName::Depends,
                    super::SectionName::XenDepends,
                ]);
                Defect::Note(note, self.word(), self.notable_64())
            }
            13 => Defect::Remove(self.word()),
            14 => Defect::Truncate(self.rng.below(2048)),
            _ => match self.rng.below(2) {
                0 => Defect::Byte(self.rng.below(2048), self.rng.next_u32() as u8),
                _ => Defect::Content(
                    self.word(),
                    self.rng.below(128) as u16,
                    self.rng.next_u32() as u8,
                ),
            },
        }
    }

    fn source(&mut self) -> Source {
        self.word()
    }

    fn sink(&mut self) -> Sink {
        match self.rng.below(3) {
            0 => Sink::Tight(self.rng.below(200) as u16),
            _ => Sink::WORDS[self.rng.below(Sink::WORDS.len() as u32) as usize].1,
        }
    }

    /// Makes one thing about a call wrong, or unusual.
    fn spoil(&mut self, op: &mut Op, outer: &mut Outer) {
        match self.rng.below(12) {
            0 => outer.version = Some(self.rng.below(0x20)),
            1 => {
                outer.flags = match self.rng.below(4) {
                    0 => OP_FLAG_FORCE,
                    1 => OP_FLAG_FORCE | self.notable(),
                    _ => self.notable(),
                }
            }
            2 => outer.at = self.word::<Placement>(),
            3..=6 if op.name().is_some() => {
                if let Some(name) = op.name_mut() {
                    self.spoil_name(name);
                }
            }
            _ => self.spoil_argument(op),
        }
    }

    fn spoil_name(&mut self, name: &mut NameArg) {
        match self.rng.below(6) {
            0 => name.at = self.source(),
            1 => name.pad[self.rng.below(3) as usize] = 1 << self.rng.below(16),
            2 => name.size = Some(self.notable() as u16),
            3 => {
                let odd = [0, 1, name.bytes.len() as u16 + 1, NAME_SIZE_MAX as u16 + 1];
                name.size = Some(self.rng.pick(&odd));
            }
            4 => {
                // Without a NUL, or with one more inside.
                let byte = if self.rng.one_in(2) { b'z' } else { 0 };
                let at = self.rng.below(name.bytes.len().max(1) as u32) as usize;
                match name.bytes.get_mut(at) {
                    Some(there) => *there = byte,
                    None => name.bytes.push(byte),
                }
            }
            _ => {
                name.bytes.pop();
                name.bytes.extend(*b"\0more\0");
            }
        }
    }

    fn spoil_argument(&mut self, op: &mut Op) {
        match op {
            Op::Upload(upload) => match self.rng.below(3) {
                0 => upload.at = self.source(),
                1 => {
                    let most = PAYLOAD_SIZE_MAX as u64;
                    let odd = [0, 1, 63, 64, most + 1, 1 << 32, u64::MAX];
                    upload.size = Some(self.rng.pick(&odd));
                }
                _ => upload.size = Some(u64::from(self.rng.below(4096))),
            },
            Op::Get(get) => {
                get.state = self.notable();
                get.rc = self.notable().cast_signed();
            }
            Op::List(list) => match self.rng.below(8) {
                0 => list.nr = self.notable(),
                1 => list.nr = LIST_NR_MAX + self.rng.below(2),
                2 => list.idx = self.notable(),
                3 => list.pad = self.notable(),
                4 => list.version = self.notable(),
                5 => list.name_total = self.rng.below(64),
                6 => list.metadata_total = self.rng.below(64),
                _ => list.arrays[self.rng.below(5) as usize] = self.sink(),
            },
            Op::Action(action) => match self.rng.below(4) {
                0 => action.pad = self.notable(),
                1 => action.flags = self.notable(),
                2 => action.timeout = self.notable(),
                _ => action.cmd = self.notable().into(),
            },
            Op::Bare(sub_op) => *sub_op = self.notable(),
            Op::Look => {}
        }
    }
}
