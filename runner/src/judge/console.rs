//! The serial console's bytes to clean lines, each known to be Xen's or the guest's.
//!
//! Bytes come in any cut and in any state: half lines, CR LF, NULs, terminal escapes, broken UTF-8,
//! lines without an end. Nothing here may grow without bound or refuse its input.

/// Longest line kept; the rest of a longer one is dropped. Far above any protocol line.
const MAX_LINE: usize = 64 * 1024;

/// Who printed a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Begins with `(XEN) `; the prefix stays in the text.
    Xen,
    /// Everything else; a `(d0) ` or `(d0v0) ` prefix of Xen's is removed.
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
                sink(clean(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// The last line, if the stream ended in the middle of one.
    pub fn finish(&mut self) -> Option<Line> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| clean(&rest))
    }
}

fn clean(raw: &[u8]) -> Line {
    // Other control characters go first, so that a NUL inside an escape sequence does not save it.
    let raw: Vec<u8> =
        raw.iter().copied().filter(|&b| b == 0x1b || b == b'\t' || !b.is_ascii_control()).collect();
    // Broken UTF-8 stays visible: a damaged name must not look whole.
    let text = anstream::adapter::strip_str(&String::from_utf8_lossy(&raw)).to_string();
    if text.starts_with("(XEN)") {
        return Line { speaker: Speaker::Xen, text };
    }
    Line { speaker: Speaker::Guest, text: strip_domain_prefix(&text).to_owned() }
}

/// Removes one `(d0) ` or `(d0v0) `, which some Xens put before a guest's lines.
fn strip_domain_prefix(text: &str) -> &str {
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
    prefix(text).unwrap_or(text)
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
        out.extend(splitter.finish());
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
    }

    #[test]
    fn xen_lines_are_told_apart() {
        let got = lines(&[b"(XEN) Xen version\r\n (XEN) not at the start\n"]);
        assert_eq!(got[0], Line { speaker: Speaker::Xen, text: "(XEN) Xen version".into() });
        assert_eq!(got[1].speaker, Speaker::Guest);
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
    }
}
