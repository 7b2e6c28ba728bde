//! What gdb is told before its user is: where names are, where the machine is, and commands of ours.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::symbols::Symbols;
use crate::base::exit::{IoContext, Result};
use crate::base::shell::quote_path;
use crate::machine::debug::GDB_SOCKET;

/// The file's name.
pub const SCRIPT: &str = "debug.gdb";

/// The commands of ours.
const COMMANDS: &str = include_str!("commands.gdb");

/// Writes it into the folder of the recording.
pub fn write(symbols: &Symbols, dir: &Path) -> Result<()> {
    let path = dir.join(SCRIPT);
    fs::write(&path, text(symbols)).io("write", &path)
}

/// The command that starts gdb with it.
pub fn command(dir: &Path) -> String {
    format!("cd {} && gdb -x {SCRIPT}", quote_path(dir))
}

fn text(symbols: &Symbols) -> String {
    // The machine is in 64-bit mode, whatever gdb's default is.
    let mut text = String::from("set confirm off\nset architecture i386:x86-64\n");
    if symbols.is_hvm {
        // QEMU's gdb server does not know nested paging: the guest's code can be had from its file
        // alone. Its hypercall page, which Xen fills, is empty there.
        text += "set trust-readonly-sections on\n";
    }
    let _ = writeln!(text, "file {}", quoted(&symbols.guest));
    if let Some(xen) = &symbols.xen {
        let _ = writeln!(text, "add-symbol-file {}", quoted(xen));
    }
    // To go back takes a boot.
    let _ = writeln!(text, "set remotetimeout unlimited\ntarget remote {GDB_SOCKET}");
    text + COMMANDS
}

/// A path as gdb reads one.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_first() {
        let mut symbols =
            Symbols { xen: Some("/x y/syms".into()), guest: "/xtf".into(), ..Symbols::default() };
        let whole = text(&symbols);
        let head = "file '/xtf'\nadd-symbol-file '/x y/syms'\nset remotetimeout unlimited\n\
                    target remote gdb.sock\n";
        assert!(whole.contains(head), "{whole}");
        assert!(whole.ends_with(COMMANDS), "{whole}");
        assert!(!whole.contains("trust-readonly-sections"), "{whole}");
        (symbols.xen, symbols.is_hvm) = (None, true);
        let whole = text(&symbols);
        assert!(!whole.contains("add-symbol-file"), "{whole}");
        assert!(whole.contains("set trust-readonly-sections on\n"), "{whole}");
    }
}
