//! What every room may use: exit codes and the error type, processes, signals, patterns, hashes,
//! compression, numbers, nearly right names, and the two outputs of the program.
//!
//! Nothing here knows Xen, QEMU, or a test.

pub mod compressed;
pub mod exit;
pub mod hash;
pub mod number;
pub mod output;
pub mod pattern;
pub mod plain;
pub mod plural;
pub mod position;
pub mod process;
pub mod shell;
pub mod signals;
pub mod source_lines;
pub mod status;
pub mod suggest;
