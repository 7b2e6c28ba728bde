//! The serial console's bytes to clean lines, each known to be Xen's or the guest's.
//!
//! Bytes come in any cut and in any state: half lines, CR LF, NULs, terminal escapes, broken UTF-8,
//! lines without an end. Nothing here may grow without bound or refuse its input.
//!
//! A line of Xen's may begin in the middle of another: Xen prints what a guest says in pieces of
//! 127 bytes (`guest_console_write` in xen/drivers/char/console.c), and another CPU may speak
//! between two of them. The guest's line goes on behind that.

use super::timestamp;
use super::xen::PREFIX;
use crate::base::plain::plain;

/// Longest line kept; the rest of a longer one is dropped. Far above any protocol line.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// Who printed a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Begins with `(XEN) `; the prefix and the time behind it stay in the text.
    Xen,
    /// Everything else; a `(d0) ` or `(d0v0) ` prefix of Xen's and the time behind it are removed.
    Guest,
}

/// One line, without its end and without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who printed it.
    pub speaker: Speaker,
    /// What it says.
    pub text: String,
}

/// Splits a byte stream into [`Line`]s.
#[derive(Debug, Default)]
pub struct Splitter {
    partial: Vec<u8>,
    /// The part of a guest's line that came before Xen spoke in its middle.
    half: String,
}

impl Splitter {
    /// Takes the next bytes and hands every line that they complete to `sink`.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Line)) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (body, complete) = match piece.split_last() {
                Some((b'\n', body)) => (body, true),
                _ => (piece, false),
            };
            let room = MAX_LINE.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&body[..body.len().min(room)]);
            if complete {
                self.line(&mut sink);
            }
        }
    }

    /// The end of the stream, which may be in the middle of a line. Returns the half of a guest's
    /// line whose rest never came because Xen spoke.
    pub fn finish(&mut self, mut sink: impl FnMut(Line)) -> Option<Line> {
        if !self.partial.is_empty() {
            self.line(&mut sink);
        }
        let text = std::mem::take(&mut self.half);
        (!text.is_empty()).then_some(Line { speaker: Speaker::Guest, text })
    }

    /// Takes what has come as a line.
    fn line(&mut self, sink: &mut impl FnMut(Line)) {
        let text = clean(&self.partial);
        self.partial.clear();
        let starts = text.match_indices(PREFIX).map(|(at, _)| at);
        let mut starts = starts.filter(|&at| at == 0 || text[at + PREFIX.len()..].starts_with(' '));
        let mut start = starts.next();
        let before = &text[..start.unwrap_or(text.len())];
        if start.is_none() {
            let text = std::mem::take(&mut self.half) + strip_domain_prefix(before);
            return sink(Line { speaker: Speaker::Guest, text });
        }
        let room = MAX_LINE.saturating_sub(self.half.len());
        self.half.extend(strip_domain_prefix(before).chars().take(room));
        while let Some(from) = start {
            start = starts.next();
            let text = text[from..start.unwrap_or(text.len())].to_owned();
            sink(Line { speaker: Speaker::Xen, text });
        }
    }
}

/// Text without control characters and terminal escapes.
pub(super) fn clean(raw: &[u8]) -> String {
    // Other control characters go first, so that a NUL inside an escape sequence does not save it.
    let raw: Vec<u8> =
        raw.iter().copied().filter(|&b| b == 0x1b || b == b'\t' || !b.is_ascii_control()).collect();
    // Broken UTF-8 stays visible: a damaged name must not look whole.
    plain(&anstream::adapter::strip_str(&String::from_utf8_lossy(&raw)).to_string())
}

/// Removes one `(d0) ` or `(d0v0) `, which some Xens put before a guest's lines, and the time.
pub(super) fn strip_domain_prefix(text: &str) -> &str {
    fn digits(text: &str) -> Option<&str> {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        (rest.len() < text.len()).then_some(rest)
    }
    fn prefix(text: &str) -> Option<&str> {
        let rest = digits(text.strip_prefix("(d")?)?;
        let rest = match rest.strip_prefix('v') {
            Some(vcpu) => digits(vcpu)?,
            None => rest,
        };
        rest.strip_prefix(") ")
    }
    prefix(text).map_or(text, timestamp::strip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Line> {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, |line| out.push(line));
        }
        let half = splitter.finish(|line| out.push(line));
        out.extend(half);
        out
    }

    fn guest(text: &str) -> Line {
        Line { speaker: Speaker::Guest, text: text.into() }
    }

    #[test]
    fn half_lines_join() {
        assert_eq!(lines(&[b"ok ", b"1 a\r", b"\nok 2 b"]), [guest("ok 1 a"), guest("ok 2 b")]);
    }

    #[test]
    fn noise_is_removed() {
        assert_eq!(
            lines(&[b"\0ok\r 1\x1b[31m a\x1b[0m\x07\r\n", b"  \x1b[2Jok 2 b\n", b"\xff\xfe\n"]),
            [guest("ok 1 a"), guest("  ok 2 b"), guest("\u{fffd}\u{fffd}")]
        );
    }

    #[test]
    fn domain_prefixes_are_stripped_once() {
        assert_eq!(
            lines(&[b"(d0) ok 1 a\n(d12v3)   ok 2 b\n"]),
            [guest("ok 1 a"), guest("  ok 2 b")]
        );
        assert_eq!(
            lines(&[b"(d0) (d0) x\n(dx) y\n(d0v) z\n"]),
            [guest("(d0) x"), guest("(dx) y"), guest("(d0v) z")]
        );
        assert_eq!(
            lines(&[b"(d1) [    1.000000]   ok 2 b\n[    1.000000] Linux\n"]),
            [guest("  ok 2 b"), guest("[    1.000000] Linux")]
        );
    }

    fn xen(text: &str) -> Line {
        Line { speaker: Speaker::Xen, text: text.into() }
    }

    #[test]
    fn xen_lines_are_told_apart() {
        assert_eq!(
            lines(&[b"(XEN) Xen version\r\n(XEN)\n(xen) x\n"]),
            [xen("(XEN) Xen version"), xen("(XEN)"), guest("(xen) x")]
        );
    }

    #[test]
    fn a_guest_goes_on_where_xen_interrupted_it() {
        assert_eq!(
            lines(&[b"  ok 1 li(XEN) a\n(XEN) b\nst/a\n  ok 2 b\n"]),
            [xen("(XEN) a"), xen("(XEN) b"), guest("  ok 1 list/a"), guest("  ok 2 b")]
        );
        assert_eq!(lines(&[b"(XEN) x(XEN) y(XEN)z\n"]), [xen("(XEN) x"), xen("(XEN) y(XEN)z")]);
        assert_eq!(lines(&[b"ok 1 li(XEN) a"]), [xen("(XEN) a"), guest("ok 1 li")]);
    }

    #[test]
    fn endless_lines_are_bounded() {
        let megabyte = vec![b'x'; 1 << 20];
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        for _ in 0..8 {
            splitter.feed(&megabyte, |line| out.push(line));
        }
        splitter.feed(b"\nok 1 a\n", |line| out.push(line));
        assert_eq!(out[0].text.len(), MAX_LINE);
        assert_eq!(out[1], guest("ok 1 a"));
        let half = [&megabyte[..MAX_LINE / 2], b"(XEN) x\n"].concat();
        for _ in 0..8 {
            splitter.feed(&half, |line| out.push(line));
        }
        splitter.feed(b"\n", |line| out.push(line));
        assert_eq!(out.last().unwrap().text.len(), MAX_LINE);
    }
}
