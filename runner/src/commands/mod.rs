//! The subcommands: one file or folder each, which says what the command does, in order.
//!
//! A command plans, gets a Xen, boots, and reports with what the other rooms offer. It may print, and
//! read what its arguments name. Nothing below this room knows a command.

pub(crate) mod bench;
pub(crate) mod coverage;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod dom0;
pub(crate) mod export;
pub mod fuzz;
pub(crate) mod generate;
pub(crate) mod list;
pub(crate) mod mutate;
pub(crate) mod new;
pub(crate) mod payload;
pub(crate) mod replay;
pub(crate) mod run;
