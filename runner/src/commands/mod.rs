//! The subcommands: one file or folder each, which says what the command does, in order.
//!
//! A command plans, gets a Xen, boots, and reports with what the other rooms offer. It may print, and
//! read what its arguments name. Nothing below this room knows a command.

pub mod bench;
pub mod coverage;
pub mod diff;
pub mod doctor;
pub mod dom0;
pub mod export;
pub mod fuzz;
pub mod generate;
pub mod list;
pub mod mutate;
pub mod new;
pub mod payload;
pub mod replay;
pub mod run;
