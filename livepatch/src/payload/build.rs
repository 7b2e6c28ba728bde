//! A correct payload in its author's terms.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::chunk::Chunk;
use super::code;
use super::wire::{
    Expectation, FuncVersion, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_PROGBITS,
};
use crate::abi::Revision;

/// `old_size` unless told otherwise, in bytes: at least the 9 that a jump behind an ENDBR64
/// needs. Xen cannot tell whether the function is that long, and writes only the jump.
const OLD_SIZE: u32 = 16;

/// The Xen that a payload is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The element type of `.livepatch.funcs`.
    pub func_version: FuncVersion,
    /// Xen's own build-id, as XENVER_build_id tells it.
    pub xen_build_id: Vec<u8>,
}

impl Target {
    /// A Xen with that interface and that build-id.
    pub fn new(revision: Revision, xen_build_id: impl Into<Vec<u8>>) -> Self {
        Self { func_version: revision.into(), xen_build_id: xen_build_id.into() }
    }
}

/// Where the function to replace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old {
    /// Xen looks up [`Function::name`], because `old_addr` is 0.
    ByName,
    /// At this address.
    At(u64),
    /// At this symbol: Xen relocates `old_addr`.
    Symbol(String),
}

/// What takes the function's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// Code that the payload brings along.
    Code(Chunk),
    /// So many bytes of NOPs over the function; Xen takes at most 31.
    Nop(u32),
    /// A jump to this address.
    Jump(u64),
    /// A jump to a label of the payload, or to a symbol of Xen or of another payload.
    Symbol(String),
}

impl From<Chunk> for Replacement {
    fn from(code: Chunk) -> Self {
        Self::Code(code)
    }
}

/// One function to replace: an element of `.livepatch.funcs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The function's name; Xen needs it with [`Old::ByName`] and prints it otherwise.
    pub name: Option<String>,
    /// Where it is.
    pub old: Old,
    /// Bytes of it. A jump needs 5, or 9 if it begins with ENDBR64.
    pub old_size: u32,
    /// What takes its place.
    pub new: Replacement,
    /// A label for the code of [`Replacement::Code`].
    pub label: Option<String>,
    /// What must be at its address when applying; not sent in [`FuncVersion::V1`].
    pub expectation: Expectation,
}

impl Function {
    fn new(name: Option<&str>, old: Old, new: Replacement) -> Self {
        Self {
            name: name.map(String::from),
            old,
            old_size: OLD_SIZE,
            new,
            label: None,
            expectation: Expectation::NONE,
        }
    }

    /// The function that Xen finds by its name; a static is spelled `file.c#name`.
    pub fn named(name: &str, new: impl Into<Replacement>) -> Self {
        Self::new(Some(name), Old::ByName, new.into())
    }

    /// The function at an address.
    pub fn at(addr: u64, new: impl Into<Replacement>) -> Self {
        Self::new(None, Old::At(addr), new.into())
    }

    /// The function at an undefined symbol, which Xen resolves like those in code.
    pub fn symbol(name: &str, new: impl Into<Replacement>) -> Self {
        Self::new(Some(name), Old::Symbol(name.into()), new.into())
    }

    /// Sets the bytes of the function to replace (16 otherwise).
    #[must_use]
    pub fn old_size(self, bytes: u32) -> Self {
        Self { old_size: bytes, ..self }
    }

    /// Gives the replacement's code a label.
    #[must_use]
    pub fn label(self, label: &str) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// Applies only if `bytes`, at most 31, are at the function's address.
    #[must_use]
    pub fn expecting(self, bytes: &[u8]) -> Self {
        Self { expectation: Expectation::of(bytes), ..self }
    }
}

/// A point in a payload's life at which Xen calls into it.
///
/// Before 4.14 there are only [`Hook::Load`] and [`Hook::Unload`]. A payload with any of the hooks
/// that have `Pre` or `Post` in their names cannot take part in a REPLACE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// While applying, before the patching; any number. The result is ignored.
    Load,
    /// While reverting, after the unpatching; any number. The result is ignored.
    Unload,
    /// Before applying; one. Any result but 0 prevents it.
    PreApply,
    /// Instead of the patching; one.
    Apply,
    /// After applying; one. The result is ignored.
    PostApply,
    /// Before reverting; one. Any result but 0 prevents it.
    PreRevert,
    /// Instead of the unpatching; one.
    Revert,
    /// After reverting; one. The result is ignored.
    PostRevert,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Self; 8] = [
        Self::Load,
        Self::Unload,
        Self::PreApply,
        Self::Apply,
        Self::PostApply,
        Self::PreRevert,
        Self::Revert,
        Self::PostRevert,
    ];

    /// The section that holds the pointers to the hook's functions.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Load => ".livepatch.hooks.load",
            Self::Unload => ".livepatch.hooks.unload",
            Self::PreApply => ".livepatch.hooks.preapply",
            Self::Apply => ".livepatch.hooks.apply",
            Self::PostApply => ".livepatch.hooks.postapply",
            Self::PreRevert => ".livepatch.hooks.prerevert",
            Self::Revert => ".livepatch.hooks.revert",
            Self::PostRevert => ".livepatch.hooks.postrevert",
        }
    }
}

/// What a hook's pointer points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookBody {
    /// Code that the payload brings along; an ENDBR64 is put in front of it.
    Code(Chunk),
    /// A label of the payload, or a symbol of Xen or of another payload.
    Symbol(String),
    /// Nothing, which Xen takes for a single hook that is not there.
    Null,
}

impl From<Chunk> for HookBody {
    fn from(code: Chunk) -> Self {
        Self::Code(code)
    }
}

/// A section that authors may put things into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// The section's name.
    pub name: Cow<'static, str>,
    /// `SHT_*`.
    pub sh_type: u32,
    /// `SHF_*`.
    pub sh_flags: u64,
    /// Alignment of the section and of each thing in it, in bytes.
    pub align: u64,
}

impl Area {
    /// Code.
    pub const TEXT: Self = Self::loaded(".text", SHF_EXECINSTR, 16);
    /// Constants.
    pub const RODATA: Self = Self::loaded(".rodata", 0, 8);
    /// Variables with an initial value.
    pub const DATA: Self = Self::loaded(".data", SHF_WRITE, 8);
    /// Variables that begin as zero.
    pub const BSS: Self = Self {
        name: Cow::Borrowed(".bss"),
        sh_type: SHT_NOBITS,
        sh_flags: SHF_ALLOC | SHF_WRITE,
        align: 8,
    };

    /// A section that Xen loads, with flags (`SHF_*`) besides that.
    pub const fn loaded(name: &'static str, sh_flags: u64, align: u64) -> Self {
        Self {
            name: Cow::Borrowed(name),
            sh_type: SHT_PROGBITS,
            sh_flags: SHF_ALLOC | sh_flags,
            align,
        }
    }
}

/// Something with a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub area: Area,
    pub label: String,
    pub content: Chunk,
}

/// A correct payload. Each method adds something and returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub(super) func_version: FuncVersion,
    pub(super) functions: Vec<Function>,
    pub(super) hooks: Vec<(Hook, HookBody)>,
    pub(super) items: Vec<Item>,
    pub(super) exports: Vec<String>,
    pub(super) metadata: Option<Vec<u8>>,
    pub(super) build_id: Vec<u8>,
    pub(super) depends: Vec<u8>,
    pub(super) xen_depends: Vec<u8>,
}

impl Payload {
    /// A payload that does nothing yet, with a build-id of its own: any bytes, at least one, that
    /// no other loaded payload has. It depends on nothing but the target.
    pub fn new(target: &Target, build_id: impl Into<Vec<u8>>) -> Self {
        Self {
            func_version: target.func_version,
            functions: Vec::new(),
            hooks: Vec::new(),
            items: Vec::new(),
            exports: Vec::new(),
            metadata: None,
            build_id: build_id.into(),
            depends: target.xen_build_id.clone(),
            xen_depends: target.xen_build_id.clone(),
        }
    }

    /// Replaces a function.
    #[must_use]
    pub fn function(mut self, function: Function) -> Self {
        self.functions.push(function);
        self
    }

    /// Has Xen call a hook. [`Hook::Load`] and [`Hook::Unload`] may be given several times.
    #[must_use]
    pub fn hook(mut self, hook: Hook, body: impl Into<HookBody>) -> Self {
        self.hooks.push((hook, body.into()));
        self
    }

    /// Adds code that functions, hooks and data may refer to by `label`.
    #[must_use]
    pub fn text(self, label: &str, code: impl Into<Chunk>) -> Self {
        self.section(Area::TEXT, label, code)
    }

    /// Adds a constant.
    #[must_use]
    pub fn rodata(self, label: &str, value: impl Into<Chunk>) -> Self {
        self.section(Area::RODATA, label, value)
    }

    /// Adds a variable. With it the payload can't be applied again after a REVERT.
    #[must_use]
    pub fn data(self, label: &str, value: impl Into<Chunk>) -> Self {
        self.section(Area::DATA, label, value)
    }

    /// Adds a variable of `size` bytes that begins as zero, likewise.
    #[must_use]
    pub fn bss(self, label: &str, size: usize) -> Self {
        self.section(Area::BSS, label, alloc::vec![0; size])
    }

    /// Adds something to any section, such as one of Xen's special ones.
    #[must_use]
    pub fn section(mut self, area: Area, label: &str, content: impl Into<Chunk>) -> Self {
        self.items.push(Item { area, label: label.into(), content: content.into() });
        self
    }

    /// Makes a label a global symbol, which payloads loaded later can refer to.
    ///
    /// Xen refuses a name that it has already (EEXIST), and does not offer others a symbol that is
    /// the replacement of a function ([`Function::label`]).
    #[must_use]
    pub fn export(mut self, label: &str) -> Self {
        self.exports.push(label.into());
        self
    }

    /// Adds an entry such as `key=value` to `.modinfo`, which LIST returns (4.14+). Each ends in a
    /// NUL there.
    #[must_use]
    pub fn metadata(mut self, entry: &str) -> Self {
        let text = self.metadata.get_or_insert_default();
        text.extend(entry.as_bytes());
        text.push(0);
        self
    }

    /// Depends on the payload with this build-id instead of on Xen: it must be the one applied
    /// last.
    #[must_use]
    pub fn depends(self, build_id: impl Into<Vec<u8>>) -> Self {
        Self { depends: build_id.into(), ..self }
    }

    /// States another Xen than the target's (4.14+ compares at UPLOAD).
    #[must_use]
    pub fn xen_depends(self, build_id: impl Into<Vec<u8>>) -> Self {
        Self { xen_depends: build_id.into(), ..self }
    }
}

impl HookBody {
    /// The code of a hook as it goes into the payload.
    pub(super) fn guarded(code: &Chunk) -> Chunk {
        code::endbr64().then(code.clone())
    }
}
