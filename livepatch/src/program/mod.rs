//! Sequences of livepatch calls, right and wrong ones, as data: generated, mutated, written down
//! as text, and run again.
//!
//! A [`Program`] is a list of [`Step`]s. Each is one call in which every argument is a value that
//! may be wrong: names without a NUL, addresses where nothing is mapped, padding that is not 0,
//! payloads with broken headers. There are three ways to get one:
//!
//! - [`parse`] reads the text form, which people read and edit; [`Program`]'s `Display` writes it.
//! - [`decode`] makes one of any bytes, for fuzzers that mutate bytes; [`encode`] is its inverse.
//! - a [`Generator`] makes up steps from a seed.
//!
//! ```
//! use xtf_livepatch::program::parse;
//!
//! let program = parse(
//!     "# A payload on another one's shoulders can't be pulled from below.\n\
//!      upload \"p0\" id=0 func=extra\n\
//!      upload \"p1\" id=1 func=minor depends=0\n\
//!      action apply \"p0\"\n\
//!      action apply \"p1\"\n\
//!      action revert \"p0\"\n",
//! )?;
//! assert_eq!(program.steps.len(), 5);
//! assert_eq!(parse(&program.to_string())?, program);
//! # Ok::<_, xtf_livepatch::program::ParseError>(())
//! ```
//!
//! # The text form
//!
//! One step per line. `#` begins a comment. What is not said is as in a correct call.
//!
//! | Line | Words that may follow |
//! |---|---|
//! | `upload NAME id=N` | what the payload is made of (below); `size=N` `payload-at=SOURCE` |
//! | `get NAME` | `state=N` `rc=N`: what is in the structure beforehand |
//! | `list` | `idx=N` `nr=N` `pad=N` `stamp=N` `name-total=N` `metadata-total=N`; `status=SINK`, and likewise `name=` `len=` `metadata=` `metadata-len=` |
//! | `action CMD NAME` | `timeout=N` `flags=N` `pad=N`; CMD is `unload`, `revert`, `apply`, `replace` or a number |
//! | `op N` | a sub-op of that number with zeroes behind it |
//! | `look` | nothing: compares what the patched functions return |
//!
//! NAME is `"text"`, to which a NUL is added, or `raw"bytes"`, to which none is; `\"`, `\\`, `\n`
//! and `\xNN` are escapes. Behind it may stand `name-size=N`, `name-pad=N,N,N`,
//! `name-at=SOURCE`. On every line but `look` may stand `version=N` (the interface version),
//! `op-flags=N` and `at=PLACE` (where the structure lies).
//!
//! The addresses have words of [`Source`] (Xen reads), [`Sink`] (Xen writes; also `tight:N`) and
//! [`Placement`] (the structure): `ample`, `tight`, `read-only`, `unmapped`, `null`,
//! `non-canonical`, `xen-range`.
//!
//! A payload is made of:
//!
//! | Word | Means |
//! |---|---|
//! | `func=TARGET` | replaces a function ([`FunctionTarget`]); `/nop:N`, `/old-size:N`, `/symbol`, `/expect:WORD` ([`ExpectSpec`]) may follow |
//! | `hook=WHEN/ret:N`, `/once:N`, `/null` | calls a hook that returns N, or N only the first time, or is a null pointer |
//! | `data=N` `bss=N` | bytes of variables |
//! | `meta="text"` | metadata, to which a NUL is added |
//! | `export=SYM` `import=SYM` | a global symbol that it has, or needs ([`SymbolSpec`]) |
//! | `table=NAME:N` | a table of N bytes of instructions of its own ([`Table`]) |
//! | `depends=ID` `xen-depends=ID` | `xen`, `nobody`, or the id of a payload |
//! | `set=ehdr.FIELD:N` | a field of the ELF header ([`EhdrField`]) |
//! | `set=SECTION.FIELD:N` | of a section's header ([`ShdrField`]) or of a note ([`NoteField`], as `note-FIELD`) |
//! | `set=funcs[I].FIELD:N`, `set=symbols[I].FIELD:N`, `set=SECTION[I].FIELD:N` | of a function, a symbol, a relocation ([`FuncField`], [`SymField`], [`RelaField`]) |
//! | `byte=OFFSET:N` `byte=SECTION+OFFSET:N` | a byte of the file, or of a section's contents |
//! | `remove=SECTION` `truncate=N` | the file without a section, or only its first N bytes |

mod binary;
mod build;
mod generate;
mod minimize;
mod op;
mod rng;
mod spec;
mod text;
mod words;

use alloc::vec::Vec;

pub use binary::{decode, encode};
pub use generate::{Generator, Mix};
pub use minimize::minimize;
pub use op::{
    ActionArg, GetArg, ListArg, ListArray, NameArg, Op, Outer, Placement, Sink, Source, Step,
    UploadArg,
};
pub use rng::Rng;
pub use spec::{
    Defect, EhdrField, ExpectSpec, FuncField, FunctionSpec, FunctionTarget, HookDoes, HookSpec,
    IdSpec, NoteField, PayloadSpec, RelaField, SectionName, ShdrField, SymField, SymbolSpec, Table,
    TableSpec,
};
pub use text::{ParseError, parse};
pub use words::Word;

/// A sequence of livepatch calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Program {
    /// What is done, in this order.
    pub steps: Vec<Step>,
}

/// Names that generated steps use: few, so that they meet again.
pub const STANDARD_NAMES: [&str; 16] = [
    "p0",
    "p1",
    "p2",
    "p3",
    "p4",
    "p5",
    "p6",
    "p7",
    "p8",
    "p9",
    "p10",
    "p11",
    "",
    "p",
    "P0",
    LONGEST_NAME,
];

/// 127 characters, which with a NUL is the most that Xen takes.
pub const LONGEST_NAME: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
     xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
const _: () = assert!(LONGEST_NAME.len() + 1 == crate::abi::NAME_SIZE_MAX);
