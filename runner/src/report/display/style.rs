//! How the display looks: colours, the margin, and numbers of things.

use anstyle::{AnsiColor, Style};

/// Column where the lines below a test begin.
pub(super) const INDENT: &str = "             ";

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default().bold();

/// A number of things.
pub fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
