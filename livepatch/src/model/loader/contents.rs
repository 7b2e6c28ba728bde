//! What is in the sections: `check_special_sections` to `build_symbol_table`.

use alloc::string::String;
use alloc::vec::Vec;

use super::checks::Check;
use super::memory::{Memory, within};
use super::sections::Sections;
use super::terms::{
    Address, Base, Item, Refusal, Refused, Result, Surroundings, Unforeseen, XenSymbol, check,
    number, unknown, until_nul,
};
use crate::Errno;
use crate::change::Change;
use crate::model::rules::Rules;
use crate::payload::Hook;
use crate::payload::code::{ENDBR64, ENDBR64_POISON};
use crate::payload::note::NT_GNU_BUILD_ID;
use crate::payload::wire::{FuncVersion, SHF_WRITE, SHN_UNDEF, SHT_NOBITS};

const NOTE_HEAD: u64 = 12;
const JUMP: u32 = 5;
const ENDBR_SIZE: u32 = 4;
const NOP: u8 = 0x90;
/// The most NOPs that Xen puts over a function.
const NOPS_MAX: u32 = 31;
/// The longest symbol that Xen keeps, its NUL included (`KSYM_NAME_LEN`).
const SYMBOL_MAX: usize = 128;
const SHF_MERGE: u64 = 1 << 4;

/// A loaded payload, as far as it matters what it does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// Functions in their order.
    pub functions: Vec<Function>,
    /// Load and unload hooks, and the single ones.
    pub hooks: Vec<(Hook, HookCode)>,
    /// What the payload's variables hold that [`HookCode::Takes`] refers to, at first.
    pub variables: Vec<i32>,
    /// Its build-id.
    pub build_id: Vec<u8>,
    /// The build-id in `.livepatch.depends`.
    pub depends: Vec<u8>,
    /// What LIST returns with it.
    pub metadata: Vec<u8>,
    /// Symbols that it offers.
    pub symbols: Vec<Vec<u8>>,
    /// Whether it can be applied after it was reverted.
    pub safe_to_reapply: bool,
    /// Why the model can't tell what comes of it when it is applied, if so.
    pub risk: Option<Unforeseen>,
}

/// A function to replace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// Which function of Xen's; `None` for one that nobody calls.
    pub target: Option<XenSymbol>,
    /// What it then returns.
    pub returns: Returns,
    /// How applying it ends early, if its expectation is not met.
    pub unmet: Option<Errno>,
}

/// What a replaced function returns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Returns {
    /// A string.
    Text(String),
    /// A number.
    Number(u32),
    /// Nobody knows, or nobody calls it.
    Other,
}

/// What a hook does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookCode {
    /// It is a null pointer.
    Null,
    /// Returns this.
    Returns(i32),
    /// Returns this variable, and leaves 0 there.
    Takes(usize),
    /// Nobody knows.
    Other,
}

/// `check_xen_buildid`, which reads the file before anything is loaded.
pub fn check_xen_early(elf: &Sections<'_>, xen_build_id: &[u8]) -> Result<()> {
    let Some(index) = elf.find(b".livepatch.xen_depends") else {
        return Err(Check::XenNote.on(Item::Absent(".livepatch.xen_depends")).into());
    };
    let item = Item::Section(index);
    if elf.headers[index].sh_type == SHT_NOBITS && elf.headers[index].sh_size > NOTE_HEAD {
        return unknown("the contents of a note");
    }
    let note = elf.contents(index).unwrap_or_default();
    match parse_note(note.len() as u64, |at, len| {
        // What is read behind the section is still in the file, or near it.
        let start = elf.headers[index].sh_offset + at;
        elf.file.get(start as usize..(start + len) as usize)
    }) {
        Ok(id) => check(id == xen_build_id, Check::ThisXen.on(item)),
        Err(Refusal::Refused(_)) => Err(Check::XenNote.on(item).into()),
        Err(unforeseen) => Err(unforeseen),
    }
}

/// `xen_build_id_check` and the checks before it; ENODATA for a note of another kind.
fn parse_note<'m>(size: u64, read: impl Fn(u64, u64) -> Option<&'m [u8]>) -> Result<&'m [u8]> {
    let unknown = Unforeseen::Unknown("the contents of a note");
    check(size > NOTE_HEAD, Check::NoteSize)?;
    let head = read(0, NOTE_HEAD).ok_or(unknown)?;
    let [name_size, id_size, kind] = [0, 4, 8].map(|at| u32::from_le_bytes(number(head, at)));
    check(kind == NT_GNU_BUILD_ID, Check::NoteKind)?;
    check(name_size.checked_add(id_size).is_some(), Check::NoteParts)?;
    check(name_size >= 4, Check::NoteParts)?;
    let room = u64::from(size as u32) - NOTE_HEAD;
    check(u64::from(name_size + id_size) <= room, Check::NoteParts)?;
    let owner = read(NOTE_HEAD, 4).ok_or(unknown)?;
    check(owner == *b"GNU\0", Check::NoteKind)?;
    check(id_size != 0, Check::NoteId)?;
    let at = NOTE_HEAD + u64::from(name_size).next_multiple_of(4);
    Ok(read(at, id_size.into()).ok_or(unknown)?)
}

/// Everything that is needed to judge the sections.
pub struct Contents<'a, 'f> {
    pub elf: &'a Sections<'f>,
    pub memory: &'a Memory<'f>,
    pub rules: &'a Rules,
    pub around: Surroundings<'a>,
}

/// An element of `.livepatch.funcs`, resolved.
struct Resolved {
    old: Address,
    new: Address,
    function: Function,
}

impl Contents<'_, '_> {
    /// All checks that come after the relocations, in their order.
    pub fn read(&self) -> Result<Image> {
        self.check_special_sections()?;
        if self.rules.has(Change::HooksAlone) {
            self.check_patching_sections()?;
        }
        let mut risk = None;
        let functions = self.functions(&mut risk)?;
        let mut variables = Variables::default();
        let hooks = self.hooks(&mut variables)?;
        for (hook, code) in &hooks {
            let listed = matches!(hook, Hook::Load | Hook::Unload);
            let instead = matches!(hook, Hook::Apply | Hook::Revert);
            let patches_nothing = matches!(code, HookCode::Takes(_) | HookCode::Returns(0));
            let beyond = match code {
                HookCode::Other => true,
                HookCode::Null => listed,
                _ => instead && patches_nothing && !functions.is_empty(),
            };
            if beyond {
                risk.get_or_insert(Unforeseen::Effect("what a hook does"));
            }
        }

        let build_id = self.note(b".note.gnu.build-id")?;
        check(!self.around.others.has_build_id(build_id), Check::NewBuildId)?;
        let depends = self.note(b".livepatch.depends")?;
        let late = self.asks_late_for_xen();
        let xen_depends = if late { Some(self.note(b".livepatch.xen_depends")?) } else { None };
        self.tables()?;
        let metadata = self.metadata()?;
        check(xen_depends.is_none_or(|id| id == self.around.build_id), Check::ThisXenLate)?;
        let symbols = self.symbols(&functions)?;
        Ok(Image {
            functions: functions.into_iter().map(|resolved| resolved.function).collect(),
            hooks,
            variables: variables.values,
            build_id: build_id.to_vec(),
            depends: depends.to_vec(),
            metadata: metadata.to_vec(),
            symbols,
            safe_to_reapply: self.memory.safe_to_reapply,
            risk,
        })
    }

    pub(super) fn size(&self, section: usize) -> u64 {
        self.elf.headers[section].sh_size
    }

    /// Whether the payload's Xen is compared after everything else.
    fn asks_late_for_xen(&self) -> bool {
        self.rules.has(Change::XenDepends) && !self.rules.has(Change::XenDependsFirst)
    }

    fn check_special_sections(&self) -> Result<()> {
        let wanted = [
            (".livepatch.funcs", !self.rules.has(Change::HooksAlone)),
            (".livepatch.depends", true),
            (".livepatch.xen_depends", self.asks_late_for_xen()),
            (".note.gnu.build-id", true),
        ];
        wanted.into_iter().filter(|(_, wanted)| *wanted).try_for_each(|(name, _)| {
            let Some(index) = self.elf.find(name.as_bytes()) else {
                return Err(Check::Needed.on(Item::Absent(name)).into());
            };
            check(self.size(index) != 0, Check::Needed.on(Item::Section(index)))
        })
    }

    fn check_patching_sections(&self) -> Result<()> {
        let hooks = Hook::ALL.map(|hook| hook.section().as_bytes());
        let names = core::iter::once(&b".livepatch.funcs"[..]).chain(hooks);
        let mut found = false;
        for index in names.filter_map(|name| self.elf.find(name)) {
            check(self.size(index) != 0, Check::PatchingSize.on(Item::Section(index)))?;
            found = true;
        }
        check(found, Check::Patching)
    }

    /// Where a named section has been loaded.
    pub(super) fn place(&self, section: usize) -> Result<u64> {
        match self.memory.place(section) {
            Some(place) => Ok(place),
            None => unknown("the contents of a section that is not loaded"),
        }
    }

    fn functions(&self, risk: &mut Option<Unforeseen>) -> Result<Vec<Resolved>> {
        let Some(section) = self.elf.find(b".livepatch.funcs") else { return Ok(Vec::new()) };
        let second = self.rules.has(Change::FunctionVersion2);
        let version = if second { FuncVersion::V2 } else { FuncVersion::V1 };
        let size = version.size() as u64;
        let whole = self.size(section).is_multiple_of(size);
        check(whole, Check::FunctionsSize.on(Item::Section(section)))?;
        let start = self.place(section)?;
        let writable = self.elf.headers[section].sh_flags & SHF_WRITE != 0;
        if !writable && !self.rules.read_only_functions() {
            *risk = Some(Unforeseen::Effect("read-only functions"));
        }
        let mut functions = Vec::new();
        let places = (start..start + self.size(section)).step_by(size as usize);
        for (number, at) in places.enumerate() {
            let function = self.function(at, Item::Function(number), version, risk)?;
            if functions.iter().any(|other: &Resolved| other.old == function.old) {
                risk.get_or_insert(Unforeseen::Effect("what a function becomes"));
            }
            functions.push(function);
        }
        Ok(functions)
    }

    fn function(
        &self,
        at: u64,
        item: Item,
        version: FuncVersion,
        risk: &mut Option<Unforeseen>,
    ) -> Result<Resolved> {
        let unknown = Unforeseen::Unknown("a function's fields");
        let pointer = |field| self.memory.pointer(at + field).ok_or(unknown);
        let rest = self.memory.bytes(at + 24, version.size() as u64 - 24).ok_or(unknown)?;
        let word = |field: usize| u32::from_le_bytes(number(rest, field - 24));
        let (new, new_size, old_size) = (pointer(8)?, word(24), word(28));

        check(rest[32 - 24] == version.number(), Check::FunctionVersion.on(item))?;
        check(old_size != 0, Check::OldSize.on(item))?;
        let old = pointer(16)?;
        let by_name = old.is_null();
        // Where the name was looked up last, its absence is not noticed before a bad size is.
        let lookup = || -> Result<Address> {
            if by_name { self.lookup(pointer(0)?, item) } else { Ok(self.in_xen(old)) }
        };
        let resolved = lookup();
        let old = match resolved {
            Ok(old) => old,
            Err(Refusal::Refused(refused)) if !self.rules.has(Change::NameBeforeSize) => {
                check_size(item, new, new_size, old_size, false)?;
                return Err(refused.into());
            }
            Err(refusal) => return Err(refusal),
        };
        let endbr = self.begins_with_endbr(old, new, old_size)?;
        check_size(item, new, new_size, old_size, endbr)?;
        if !new.is_null() {
            check_distance(item, old, new)?;
        }
        if version == FuncVersion::V2
            && !self.rules.has(Change::FunctionState)
            && rest[33 - 24..72 - 24].iter().any(|&byte| byte != 0)
        {
            *risk = Some(Unforeseen::Effect("a function's private fields"));
        }
        let function = self.judge(old, new, new_size, endbr, risk);
        let unmet = match version {
            _ if !self.rules.has(Change::Expectations) => None,
            FuncVersion::V1 => None,
            FuncVersion::V2 => self.unmet(old, old_size, &rest[72 - 24..], risk),
        };
        Ok(Resolved { old, new, function: Function { unmet, ..function } })
    }

    /// `resolve_old_address`
    fn lookup(&self, name: Address, item: Item) -> Result<Address> {
        if name.base != Base::Own {
            return unknown("a function's name");
        }
        let Some(name) = self.memory.string(name.offset) else {
            return unknown("a function's name");
        };
        match self.around.xen.find(name) {
            Some(symbol) => Ok(Address { base: Base::Xen(symbol), offset: 0 }),
            None if self.around.others.has_symbol(name) => {
                Ok(Address { base: Base::Other, offset: 0 })
            }
            None => Err(Check::FunctionName.on(item).into()),
        }
    }

    /// An address that the payload gives as a number is one of Xen's, if there is something.
    fn in_xen(&self, address: Address) -> Address {
        match address.base {
            Base::Absolute => match self.around.xen.around(address.offset) {
                Some((symbol, offset)) => Address { base: Base::Xen(symbol), offset },
                None => address,
            },
            _ => address,
        }
    }

    /// Whether Xen finds an ENDBR64 at the function; it looks only if there is new code.
    fn begins_with_endbr(&self, old: Address, new: Address, old_size: u32) -> Result<bool> {
        if !self.rules.has(Change::EndbrJump) {
            return Ok(false);
        }
        match old {
            Address { base: Base::Own, offset } => {
                let Some(bytes) = self.memory.bytes(offset, 4) else {
                    return unknown("the code at a function");
                };
                Ok(self.is_endbr(bytes))
            }
            Address { base: Base::Xen(symbol), offset: 0 } => {
                match self.around.xen.begins_with_endbr(symbol) {
                    Some(endbr) => Ok(endbr),
                    // It makes no difference then.
                    None if !(JUMP..JUMP + ENDBR_SIZE).contains(&old_size) => Ok(false),
                    None => unknown("whether a function begins with ENDBR64"),
                }
            }
            Address { base: Base::Xen(symbol), offset } => {
                match self.around.xen.bytes(symbol, offset, ENDBR64.len()) {
                    Some(bytes) => Ok(self.is_endbr(bytes)),
                    None => unknown("the code at a function"),
                }
            }
            _ if new.is_null() => Ok(false),
            _ => unknown("the code at a function"),
        }
    }

    fn is_endbr(&self, bytes: &[u8]) -> bool {
        bytes == ENDBR64 || self.rules.has(Change::EndbrPoison) && bytes == ENDBR64_POISON
    }

    /// What becomes of a function once it is replaced, and whether the model can follow that.
    fn judge(
        &self,
        old: Address,
        new: Address,
        new_size: u32,
        endbr: bool,
        risk: &mut Option<Unforeseen>,
    ) -> Function {
        let mut beyond = || {
            risk.get_or_insert(Unforeseen::Effect("what a function becomes"));
        };
        let skipped = if endbr { ENDBR_SIZE } else { 0 };
        let overwritten = if new.is_null() { new_size } else { JUMP + skipped };
        if new.is_null() && new_size < skipped {
            beyond();
        }
        let mut function = Function { target: None, returns: Returns::Other, unmet: None };
        match old {
            Address { base: Base::Own, offset } => {
                if !self.rules.own_text_is_patchable() {
                    beyond();
                }
                if !self.is_idle(offset, overwritten) {
                    beyond();
                }
            }
            Address { base: Base::Xen(symbol), offset: 0 } => {
                function.target = Some(symbol);
                if new.is_null() && new_size == 0 {
                    function.target = None;
                } else {
                    function.returns = self.returned(new);
                }
                let understood = matches!(
                    (symbol, &function.returns),
                    (XenSymbol::Extra, Returns::Text(_))
                        | (XenSymbol::Minor | XenSymbol::Major, Returns::Number(_))
                );
                if function.target.is_some() && !understood {
                    beyond();
                }
            }
            _ => beyond(),
        }
        function
    }

    /// Whether there are only NOPs in the payload's code, behind an ENDBR64 maybe.
    fn is_idle(&self, at: u64, len: u32) -> bool {
        let Some(bytes) = self.memory.bytes(at, len.into()) else { return false };
        let nops = bytes.strip_prefix(&ENDBR64).unwrap_or(bytes);
        self.memory.is_text(at) && nops.iter().all(|&byte| byte == NOP)
    }

    /// What code of ours returns.
    fn returned(&self, code: Address) -> Returns {
        let Address { base: Base::Own, offset: at } = code else { return Returns::Other };
        if !self.memory.is_text(at) {
            return Returns::Other;
        }
        if let Some(bytes) = self.memory.bytes(at, 6)
            && let [0xb8, a, b, c, d, 0xc3] = *bytes
        {
            return Returns::Number(u32::from_le_bytes([a, b, c, d]));
        }
        // lea rax, [rip+1]; ret
        const TEXT: [u8; 8] = [0x48, 0x8d, 0x05, 0x01, 0x00, 0x00, 0x00, 0xc3];
        if self.memory.bytes(at, 8).is_some_and(|bytes| bytes == TEXT)
            && let Some(text) = self.memory.string(at + 8)
            && let Ok(text) = core::str::from_utf8(text)
            // XENVER_extraversion has room for 16 bytes.
            && text.len() < 16
        {
            return Returns::Text(text.into());
        }
        Returns::Other
    }

    /// `livepatch_verify_expectation_fn`
    fn unmet(
        &self,
        old: Address,
        old_size: u32,
        expectation: &[u8],
        risk: &mut Option<Unforeseen>,
    ) -> Option<Errno> {
        let (enabled, len, reserved) =
            (expectation[0] & 1 != 0, expectation[0] >> 1 & 0x1f, expectation[0] >> 6);
        if !enabled {
            return None;
        }
        if reserved != 0 {
            return Some(Errno::EINVAL);
        }
        if old_size < len.into() {
            return Some(Errno::ERANGE);
        }
        let expected = &expectation[1..=len.into()];
        let code = match old {
            Address { base: Base::Own, offset } => self.memory.bytes(offset, len.into()),
            Address { base: Base::Xen(symbol), offset } => {
                self.around.xen.bytes(symbol, offset, len.into())
            }
            _ => None,
        };
        let there: Option<&[u8]> = match old {
            _ if code.is_some() => code,
            // No function begins like what we put into an expectation that is not to be met.
            Address { base: Base::Xen(_), .. } if expected.iter().all(|&byte| byte == 0xcc) => {
                Some(&[0; 31][..len.into()])
            }
            Address { base: Base::Xen(_), .. } if expected.iter().all(|&byte| byte == 0) => {
                Some(&[1; 31][..len.into()])
            }
            _ => None,
        };
        match there {
            _ if len == 0 => None,
            Some(there) if there == expected => None,
            Some(_) => Some(Errno::EINVAL),
            None => {
                risk.get_or_insert(Unforeseen::Unknown("what is at a function"));
                None
            }
        }
    }

    fn hooks(&self, variables: &mut Variables) -> Result<Vec<(Hook, HookCode)>> {
        let mut hooks = Vec::new();
        for hook in Hook::ALL {
            let listed = matches!(hook, Hook::Load | Hook::Unload);
            let Some(section) = self.elf.find(hook.section().as_bytes()) else { continue };
            let known = match hook {
                Hook::Load | Hook::Unload => true,
                Hook::Apply | Hook::Revert => self.rules.has(Change::ActionHooks),
                _ => self.rules.has(Change::PrePostHooks),
            };
            if !known {
                continue;
            }
            let size = self.size(section);
            let item = Item::Section(section);
            check(size.is_multiple_of(8), Check::HooksSize.on(item))?;
            check(listed || size == 8, Check::SingleHook.on(item))?;
            let start = self.place(section)?;
            for at in (start..start + size).step_by(8) {
                hooks.push((hook, self.hook(at, variables)));
            }
        }
        Ok(hooks)
    }

    /// What the code does that the pointer there leads to.
    fn hook(&self, pointer: u64, variables: &mut Variables) -> HookCode {
        let at = match self.memory.pointer(pointer) {
            Some(to) if to.is_null() => return HookCode::Null,
            Some(Address { base: Base::Own, offset }) if self.memory.is_text(offset) => offset,
            _ => return HookCode::Other,
        };
        if self.memory.bytes(at, 4).is_none_or(|bytes| bytes != ENDBR64) {
            return HookCode::Other;
        }
        let at = at + 4;
        if let Returns::Number(value) = self.returned(Address { base: Base::Own, offset: at }) {
            return HookCode::Returns(value.cast_signed());
        }
        // xor eax, eax; xchg eax, [rip+variable]; ret
        let taking = self.memory.bytes(at, 4).is_some_and(|b| b == [0x31, 0xc0, 0x87, 0x05])
            && self.memory.bytes(at + 8, 1).is_some_and(|b| b == [0xc3]);
        // The displacement counts from its end.
        match self.memory.reference(at + 4) {
            Some(Address { base: Base::Own, offset }) if taking => {
                variables.at(offset.wrapping_add(4), self.memory)
            }
            _ => HookCode::Other,
        }
    }

    /// A note that Xen reads from memory.
    fn note(&self, name: &[u8]) -> Result<&[u8]> {
        let Some(section) = self.elf.find(name) else {
            // Only one that an earlier check has not asked for.
            return Ok(&[]);
        };
        let size = self.size(section);
        let item = Item::Section(section);
        check(size > NOTE_HEAD, Check::NoteSize.on(item))?;
        let start = self.place(section)?;
        let id = parse_note(size, |at, len| self.memory.bytes(start + at, len));
        id.map_err(|refusal| match refusal {
            Refusal::Refused(refused) if !self.rules.has(Change::ForeignNotes) => {
                Refused { errno: Errno::EINVAL, item: Some(item), ..refused }.into()
            }
            Refusal::Refused(refused) => Refused { item: Some(item), ..refused }.into(),
            unforeseen => unforeseen,
        })
    }

    fn metadata(&self) -> Result<&[u8]> {
        let Some(section) = self.elf.find(b".modinfo").filter(|_| self.rules.has(Change::Modinfo))
        else {
            return Ok(&[]);
        };
        let size = self.size(section);
        if size == 0 {
            return unknown("the metadata");
        }
        let start = self.place(section)?;
        let Some(metadata) = self.memory.bytes(start, size) else {
            return unknown("the metadata");
        };
        check(metadata.last() == Some(&0), Check::Metadata.on(Item::Section(section)))?;
        Ok(metadata)
    }

    /// `build_symbol_table`: the new symbols.
    fn symbols(&self, functions: &[Resolved]) -> Result<Vec<Vec<u8>>> {
        let mut new = Vec::new();
        for (index, symbol) in self.elf.symbols.iter().enumerate().skip(1) {
            let section = usize::from(symbol.sym.st_shndx);
            let counts = symbol.sym.st_shndx != SHN_UNDEF
                && section < self.elf.headers.len()
                && self.elf.is_loaded(section)
                && !symbol.name.is_empty()
                && !(self.elf.headers[section].sh_flags & SHF_MERGE != 0
                    && symbol.name.starts_with(b".L"));
            if !counts {
                continue;
            }
            if symbol.name.len() >= SYMBOL_MAX {
                return unknown("a symbol of that length");
            }
            let value = self.memory.value(index);
            if functions.iter().any(|function| Some(function.new) == value) {
                continue;
            }
            let name = until_nul(symbol.name);
            let Surroundings { xen, others, .. } = self.around;
            let known = xen.find(&name).is_some() || others.has_symbol(&name);
            if known && !self.rules.has(Change::KnownSymbols) {
                return unknown("a second symbol of a name");
            }
            check(!known, Check::NewSymbol.on(Item::Symbol(index)))?;
            new.push(name);
        }
        Ok(new)
    }
}

/// `arch_livepatch_verify_func`
fn check_size(item: Item, new: Address, new_size: u32, old_size: u32, endbr: bool) -> Result<()> {
    if new.is_null() {
        check(new_size <= NOPS_MAX, Check::NopsMost.on(item))?;
        return check(old_size >= new_size, Check::NopsSize.on(item));
    }
    let room = if endbr { JUMP + ENDBR_SIZE } else { JUMP };
    check(old_size >= room, Check::JumpRoom.on(item))
}

/// `livepatch_verify_distance`
fn check_distance(item: Item, old: Address, new: Address) -> Result<()> {
    let within = match (old.base, new.base) {
        (Base::Own, Base::Own) => within(old.offset.wrapping_sub(new.offset)),
        (Base::Absolute, _) => None,
        (_, Base::Absolute) if new.offset < 1 << 63 => Some(false),
        (_, Base::Absolute) => None,
        (_, _) => match within(new.offset) {
            Some(true) if new.offset.cast_signed().unsigned_abs() > 1 << 29 => None,
            known => known,
        },
    };
    match within {
        Some(true) => Ok(()),
        Some(false) => Err(Check::Distance.on(item).into()),
        None => unknown("a distance"),
    }
}

/// Variables that hooks refer to.
#[derive(Default)]
struct Variables {
    places: Vec<u64>,
    values: Vec<i32>,
}

impl Variables {
    fn at(&mut self, place: u64, memory: &Memory<'_>) -> HookCode {
        if let Some(index) = self.places.iter().position(|&other| other == place) {
            return HookCode::Takes(index);
        }
        // Two that overlap are one more than the model can follow.
        let overlap = |&other: &u64| other.abs_diff(place) < 4;
        match memory.bytes(place, 4) {
            Some(bytes) if !self.places.iter().any(overlap) => {
                self.places.push(place);
                self.values.push(i32::from_le_bytes(number(bytes, 0)));
                HookCode::Takes(self.places.len() - 1)
            }
            _ => HookCode::Other,
        }
    }
}

impl Image {
    /// What a single hook does; `None` if there is none that Xen would call.
    pub fn single(&self, hook: Hook) -> Option<HookCode> {
        let found = self.hooks.iter().find(|(when, _)| *when == hook);
        found.map(|(_, code)| *code).filter(|code| *code != HookCode::Null)
    }

    /// Whether it has a hook that always keeps it from being reverted.
    pub fn stays(&self) -> bool {
        [Hook::PreRevert, Hook::Revert]
            .iter()
            .any(|&hook| matches!(self.single(hook), Some(HookCode::Returns(..=-1 | 1..))))
    }

    /// Whether it has a hook that REPLACE can't do with.
    pub fn vetoes(&self) -> bool {
        [Hook::PreApply, Hook::PostApply, Hook::PreRevert, Hook::PostRevert]
            .iter()
            .any(|&hook| self.single(hook).is_some())
    }
}
