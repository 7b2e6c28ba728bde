//! The recipe of a payload: a correct one, and defects put in afterwards.

use alloc::vec::Vec;

use super::words::{Word, words};
use crate::payload::Hook;

/// A payload by recipe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PayloadSpec {
    /// Which one of [`PayloadSpec::IDS`]: decides its build-id and what its functions return.
    pub id: u8,
    /// Functions to replace, at most [`PayloadSpec::FUNCTIONS_MAX`].
    pub functions: Vec<FunctionSpec>,
    /// Hooks, at most [`PayloadSpec::HOOKS_MAX`].
    pub hooks: Vec<HookSpec>,
    /// Bytes of variables with a value: a payload that has some can't be applied twice.
    pub data: u8,
    /// Bytes of variables that begin as zero, likewise.
    pub bss: u32,
    /// Contents of `.modinfo`, at most 255 bytes; a NUL is added. None without that section.
    pub metadata: Option<Vec<u8>>,
    /// A global symbol that it defines.
    pub export: Option<SymbolSpec>,
    /// A symbol that it refers to.
    pub import: Option<SymbolSpec>,
    /// Tables of instructions, at most [`PayloadSpec::TABLES_MAX`], each once.
    pub tables: Vec<TableSpec>,
    /// Whose build-id is in `.livepatch.depends`.
    pub depends: IdSpec,
    /// Whose build-id is in `.livepatch.xen_depends`.
    pub xen_depends: IdSpec,
    /// What is broken, at most [`PayloadSpec::DEFECTS_MAX`]. Sections are removed first; the
    /// others come about in their order. A defect in what the payload lacks changes nothing.
    pub defects: Vec<Defect>,
}

impl PayloadSpec {
    /// How many different build-ids there are.
    pub const IDS: u8 = 32;
    /// The most functions.
    pub const FUNCTIONS_MAX: usize = 3;
    /// The most hooks.
    pub const HOOKS_MAX: usize = 4;
    /// The most tables.
    pub const TABLES_MAX: usize = 3;
    /// The most defects.
    pub const DEFECTS_MAX: usize = 7;
    /// The most bytes of variables that begin as zero.
    pub const BSS_MAX: u32 = 2 << 20;

    /// A correct payload that replaces nothing yet.
    pub const fn new(id: u8) -> Self {
        Self {
            id,
            functions: Vec::new(),
            hooks: Vec::new(),
            data: 0,
            bss: 0,
            metadata: None,
            export: None,
            import: None,
            tables: Vec::new(),
            depends: IdSpec::Xen,
            xen_depends: IdSpec::Xen,
            defects: Vec::new(),
        }
    }
}

words! {
    /// A function that may be replaced.
    FunctionTarget {
        /// `xen_extra_version`: what XENVER_extraversion tells.
        Extra = "extra",
        /// `xen_minor_version`: the lower half of what XENVER_version returns.
        Minor = "minor",
        /// `xen_major_version`: the upper half.
        Major = "major",
        /// 32 NOPs and a `ret` of the payload's own, which nobody calls.
        Own = "own",
        /// The same behind an ENDBR64.
        OwnEndbr = "own-endbr",
        /// `xtf_nobody`, which does not exist.
        Nobody = "nobody",
    }
}

/// A function to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionSpec {
    /// Which one.
    pub target: FunctionTarget,
    /// None for code that returns something of the payload's own; else so many bytes of NOPs.
    pub nop: Option<u32>,
    /// Stated bytes of the function.
    pub old_size: u32,
    /// Whether Xen finds it through an undefined symbol instead of its name.
    pub by_symbol: bool,
    /// What it expects there.
    pub expect: ExpectSpec,
}

impl FunctionSpec {
    /// Stated bytes of a function, if nothing else is said.
    pub const OLD_SIZE: u32 = 16;

    /// Replaces a function by code, in the most usual way.
    pub const fn new(target: FunctionTarget) -> Self {
        Self {
            target,
            nop: None,
            old_size: Self::OLD_SIZE,
            by_symbol: false,
            expect: ExpectSpec::Nothing,
        }
    }
}

words! {
    /// What a function expects at its address before it is replaced (4.14+).
    ExpectSpec {
        /// Nothing.
        Nothing = "nothing",
        /// What is there: of Xen's functions no byte at all, which counts as fulfilled.
        Right = "right",
        /// Something else.
        Wrong = "wrong",
        /// Nothing, but with a reserved bit set.
        Reserved = "reserved",
        /// 31 bytes of something else: more than most functions have.
        Long = "long",
    }
}

/// A hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookSpec {
    /// When.
    pub hook: Hook,
    /// What it does.
    pub does: HookDoes,
}

/// What a hook does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookDoes {
    /// Returns this.
    Return(i32),
    /// Returns this once, then 0. It has a variable for that.
    Once(i32),
    /// It is a null pointer.
    Null,
}

impl Word for Hook {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("load", Self::Load),
        ("unload", Self::Unload),
        ("preapply", Self::PreApply),
        ("apply", Self::Apply),
        ("postapply", Self::PostApply),
        ("prerevert", Self::PreRevert),
        ("revert", Self::Revert),
        ("postrevert", Self::PostRevert),
    ];
}

words! {
    /// A section with a table of a payload's own instructions.
    Table {
        /// Frames of `run_in_exception_handler`.
        BugFrames0 = ".bug_frames.0",
        /// Frames of WARN.
        BugFrames1 = ".bug_frames.1",
        /// Frames of BUG.
        BugFrames2 = ".bug_frames.2",
        /// Frames of ASSERT.
        BugFrames3 = ".bug_frames.3",
        /// Instructions that may fault, and where to go on.
        Exceptions = ".ex_table",
        /// Instructions with a replacement for some CPUs.
        Alternatives = ".altinstructions",
        /// Calls through pointers that become direct ones (4.21+).
        Calls = ".alt_call_sites",
    }
}

impl Table {
    /// Bytes of an entry, since Xen 4.11.
    pub const fn entry(self) -> usize {
        match self {
            Self::Alternatives => 14,
            Self::Calls => 4,
            _ => 8,
        }
    }
}

/// A table: correct entries, and what is left of its bytes as zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableSpec {
    /// Which one.
    pub table: Table,
    /// Its bytes.
    pub size: u8,
}

/// A build-id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdSpec {
    /// Xen's.
    Xen,
    /// Nobody's.
    Nobody,
    /// That of the payload with this `id`.
    Payload(u8),
}

words! {
    /// A symbol that payloads define and refer to.
    SymbolSpec {
        /// `xtf_shared_0`.
        Shared0 = "shared-0",
        /// `xtf_shared_1`.
        Shared1 = "shared-1",
        /// `xen_deny`, which Xen has.
        Xen = "xen",
    }
}

impl SymbolSpec {
    /// Its name in the payload.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Shared0 => "xtf_shared_0",
            Self::Shared1 => "xtf_shared_1",
            Self::Xen => "xen_deny",
        }
    }
}

words! {
    /// A section that a payload may have.
    SectionName {
        /// Code.
        Text = ".text",
        /// Constants.
        Rodata = ".rodata",
        /// Variables.
        Data = ".data",
        /// Variables that begin as zero.
        Bss = ".bss",
        /// The functions to replace.
        Funcs = ".livepatch.funcs",
        /// The payload's build-id.
        BuildId = ".note.gnu.build-id",
        /// What it depends on.
        Depends = ".livepatch.depends",
        /// The Xen that it is for.
        XenDepends = ".livepatch.xen_depends",
        /// Metadata.
        Modinfo = ".modinfo",
        /// Symbols.
        Symtab = ".symtab",
        /// Their names.
        Strtab = ".strtab",
        /// The sections' names.
        Shstrtab = ".shstrtab",
        /// Relocations of the functions to replace.
        RelaFuncs = ".rela.livepatch.funcs",
        /// Relocations of code.
        RelaText = ".rela.text",
        /// Relocations of constants.
        RelaRodata = ".rela.rodata",
        /// Hook.
        Load = ".livepatch.hooks.load",
        /// Hook.
        Unload = ".livepatch.hooks.unload",
        /// Hook.
        PreApply = ".livepatch.hooks.preapply",
        /// Hook.
        Apply = ".livepatch.hooks.apply",
        /// Hook.
        PostApply = ".livepatch.hooks.postapply",
        /// Hook.
        PreRevert = ".livepatch.hooks.prerevert",
        /// Hook.
        Revert = ".livepatch.hooks.revert",
        /// Hook.
        PostRevert = ".livepatch.hooks.postrevert",
    }
}

words! {
    /// A field of the ELF header.
    EhdrField {
        /// Byte 4 of `e_ident`.
        Class = "class",
        /// Byte 5.
        ByteOrder = "data",
        /// Byte 6.
        IdentVersion = "ident-version",
        /// Byte 7.
        OsAbi = "osabi",
        /// Byte 8.
        AbiVersion = "abi-version",
        /// `e_type`
        Type = "type",
        /// `e_machine`
        Machine = "machine",
        /// `e_version`
        Version = "version",
        /// `e_entry`
        Entry = "entry",
        /// `e_phoff`
        Phoff = "phoff",
        /// `e_shoff`
        Shoff = "shoff",
        /// `e_flags`
        Flags = "flags",
        /// `e_ehsize`
        Ehsize = "ehsize",
        /// `e_phentsize`
        Phentsize = "phentsize",
        /// `e_phnum`
        Phnum = "phnum",
        /// `e_shentsize`
        Shentsize = "shentsize",
        /// `e_shnum`
        Shnum = "shnum",
        /// `e_shstrndx`
        Shstrndx = "shstrndx",
    }
}

words! {
    /// A field of a section header.
    ShdrField {
        /// `sh_name`
        Name = "name",
        /// `sh_type`
        Type = "type",
        /// `sh_flags`
        Flags = "flags",
        /// `sh_addr`
        Addr = "addr",
        /// `sh_offset`
        Offset = "offset",
        /// `sh_size`
        Size = "size",
        /// `sh_link`
        Link = "link",
        /// `sh_info`
        Info = "info",
        /// `sh_addralign`
        Align = "align",
        /// `sh_entsize`
        Entsize = "entsize",
    }
}

words! {
    /// A field of an element of `.livepatch.funcs`.
    FuncField {
        /// `name`
        Name = "name",
        /// `new_addr`
        NewAddr = "new_addr",
        /// `old_addr`
        OldAddr = "old_addr",
        /// `new_size`
        NewSize = "new_size",
        /// `old_size`
        OldSize = "old_size",
        /// `version`
        Version = "version",
        /// The first 8 bytes of padding.
        Pad = "pad",
        /// Padding at offset 64, once `applied` and `patch_offset`.
        Applied = "applied",
        /// The first byte of the expectation.
        Expectation = "expectation",
    }
}

words! {
    /// A field of a symbol.
    SymField {
        /// `st_name`
        Name = "name",
        /// `st_info`
        Info = "info",
        /// `st_other`
        Other = "other",
        /// `st_shndx`
        Shndx = "shndx",
        /// `st_value`
        Value = "value",
        /// `st_size`
        Size = "size",
    }
}

words! {
    /// A field of a relocation.
    RelaField {
        /// `r_offset`
        Offset = "offset",
        /// The lower half of `r_info`.
        Type = "type",
        /// The upper half of `r_info`.
        Symbol = "symbol",
        /// `r_addend`
        Addend = "addend",
    }
}

words! {
    /// A field of a note.
    NoteField {
        /// Bytes of the owner.
        NameSize = "namesz",
        /// Bytes of the contents.
        DescSize = "descsz",
        /// Type.
        Type = "type",
        /// The first byte of the owner.
        Owner = "owner",
    }
}

/// Something broken in a payload. Values too large for their field lose their upper bits; an
/// element's index wraps around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A field of the ELF header.
    Ehdr(EhdrField, u64),
    /// A field of a section's header.
    Shdr(SectionName, ShdrField, u64),
    /// A field of an element of `.livepatch.funcs`.
    Func(u8, FuncField, u64),
    /// A field of a symbol.
    Sym(u8, SymField, u64),
    /// A field of a relocation.
    Rela(SectionName, u8, RelaField, u64),
    /// A field of a note.
    Note(SectionName, NoteField, u64),
    /// The section is not there, nor is what applies to it.
    Remove(SectionName),
    /// A byte of the file, which is so many bytes from the start; none if that is beyond the end.
    Byte(u32, u8),
    /// A byte of a section's contents, likewise.
    Content(SectionName, u16, u8),
    /// The file ends after so many bytes, if it was longer.
    Truncate(u32),
}
