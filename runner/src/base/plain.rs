//! Text that others wrote, as text.

/// `text` without what a terminal would take for a command, or for a line of its own.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(plain("a\tb\u{e4}"), "a\tb\u{e4}");
        for command in ["\x1b[2J", "\u{9b}2J", "\x07", "\r", "\n", "\x7f", "\0"] {
            let text = plain(command);
            assert!(text.starts_with('\u{fffd}') && !text.contains(char::is_control), "{text:?}");
        }
    }
}
