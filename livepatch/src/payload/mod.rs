//! Live patches built at run time: no Xen source tree and no compiler on the target.
//!
//! A payload is a relocatable ELF object that Xen links into itself. It is made on two levels:
//!
//! 1. [`Payload`] describes a correct one in the terms of its author: which function is replaced
//!    by what, which hooks run, what it depends on.
//! 2. [`Elf`] is that payload laid out: every header, symbol and relocation as a value that may
//!    be broken on purpose. [`Elf::to_bytes`] writes down what it is told and repairs nothing.
//!
//! ```
//! use xtf_livepatch::abi::Revision;
//! use xtf_livepatch::payload::{Function, Payload, Target, code};
//!
//! let target = Target::new(Revision::V2, [0x5A; 20]);
//! let payload = Payload::new(&target, b"unique id of this payload")
//!     .function(Function::named("xen_extra_version", code::return_str("-patched")));
//! let file = payload.to_bytes();
//! # assert!(file.len() < 2048);
//!
//! // The same payload, refused with EOPNOTSUPP because of its machine type.
//! let mut elf = payload.elf();
//! elf.ehdr.e_machine = 3;
//! # assert_eq!(elf.to_bytes()[18..20], [3, 0]);
//! // The same payload, refused with EINVAL because it replaces nothing.
//! let mut elf = payload.elf();
//! elf.section_mut(".livepatch.funcs").shdr.sh_size = 0;
//! # let _ = (file, elf.to_bytes());
//! ```
//!
//! # What Xen requires
//!
//! The choices below are those that work on every release from 4.8 on; each is Xen's demand or a
//! way around a release's fault.
//!
//! - Every section header has a real file offset and an alignment of at least 1: Xen checks the
//!   first even where there is no content.
//! - `.livepatch.funcs` is writable: some releases write into it, and 4.8 and 4.9 allow a second
//!   APPLY only then.
//! - No other section is writable unless the author adds data: Xen refuses to APPLY a payload
//!   again after a REVERT if it may have changed its own data.
//! - References inside of the payload go through unnamed section symbols: each named symbol takes
//!   part in Xen's duplicate check.
//! - `.livepatch.xen_depends` is always there: demanded since 4.14, ignored before.

mod assemble;
mod build;
mod chunk;
pub mod code;
mod elf;
pub(crate) mod note;
mod read;
pub mod wire;

pub use build::{Area, Function, Hook, HookBody, Old, Payload, Replacement, Target};
pub use chunk::{Chunk, Reloc};
pub use elf::{Data, Elf, Section, Symbol};
pub use note::Note;
pub use read::section;
pub use wire::{Ehdr, Expectation, Func, FuncVersion, Rela, Shdr, Sym};
