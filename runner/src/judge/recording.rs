//! A console as something else recorded or streamed it: a serial line, a laboratory's log, another
//! CI's artefact.
//!
//! Compared with what QEMU hands over, such a console begins anywhere and holds several boots, each
//! of which begins with Xen's first line or, where no Xen speaks, with the guest's. Something may
//! stand in front of every line. Lines may be damaged where a buffer ran over or a
//! connection broke off: those that nearly are lines of the protocol are told by their numbers.

use protocol::console::BANNER;

use super::grammar::{self, Token};
use super::prefix::Prefix;
use super::splitter::{MAX_LINE, Speaker, Splitter, clean, strip_domain_prefix};
use super::xen::{self, FIRST, PREFIX};

/// Lines that are kept back at most, until it is known what is in front of all lines.
const MAX_HELD: usize = 64;

/// What a recording holds.
#[derive(Debug)]
pub enum Heard {
    /// Here a boot begins.
    Boot,
    /// A line of that boot.
    Line(RecordedLine),
}

/// A line, or a piece of one that is too long.
#[derive(Debug, Default)]
pub struct RecordedLine {
    /// Its number in the recording, from 1 on.
    pub number: usize,
    /// Its bytes as they were recorded, with their end.
    pub raw: Vec<u8>,
    /// What the machine said, with the end if it has one.
    pub text: String,
    /// What was not understood here: it is like a line of the protocol, or lacks what is in front of
    /// all other lines.
    pub puzzle: Option<String>,
}

/// What was seen of the boot at hand.
#[derive(Debug, Default)]
struct Seen {
    xen: bool,
    banner: bool,
    result: bool,
}

/// Takes a recording apart.
#[derive(Debug, Default)]
pub struct Recording {
    partial: Vec<u8>,
    /// The beginning of the line at hand was handed on already.
    goes_on: bool,
    /// Lines so far.
    lines: usize,
    prefix: Prefix,
    held: Vec<Vec<u8>>,
    boot: Option<Seen>,
    /// As the judge's own, to know what of the guest's is a line.
    splitter: Splitter,
}

impl Recording {
    /// Takes the next bytes, and hands to `sink` what they complete.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(Heard)) {
        for mut rest in bytes.split_inclusive(|&byte| byte == b'\n') {
            while !rest.is_empty() {
                let room = MAX_LINE - self.partial.len();
                let (piece, later) = rest.split_at(rest.len().min(room));
                self.partial.extend_from_slice(piece);
                rest = later;
                if piece.ends_with(b"\n") || self.partial.len() == MAX_LINE {
                    self.line(sink);
                }
            }
        }
    }

    /// The end of the recording, which may be in the middle of a line.
    pub fn finish(&mut self, sink: &mut impl FnMut(Heard)) {
        if !self.partial.is_empty() {
            self.line(sink);
        }
        self.release(sink);
    }

    /// How many lines it has, as far as it came.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Takes what has come as a line, unless it must be kept back.
    fn line(&mut self, sink: &mut impl FnMut(Heard)) {
        let raw = std::mem::take(&mut self.partial);
        let decided = self.prefix.learn(&clean(&raw));
        self.held.push(raw);
        if decided || !self.prefix.has_seen_any() || self.held.len() > MAX_HELD {
            self.release(sink);
        }
    }

    /// Hands on all that was kept back.
    fn release(&mut self, sink: &mut impl FnMut(Heard)) {
        if self.prefix.has_seen_any() {
            self.prefix.decide();
        }
        for raw in std::mem::take(&mut self.held) {
            self.heard(raw, sink);
        }
    }

    fn heard(&mut self, raw: Vec<u8>, sink: &mut impl FnMut(Heard)) {
        let goes_on = std::mem::replace(&mut self.goes_on, !raw.ends_with(b"\n"));
        self.lines += usize::from(!goes_on);
        let whole = clean(&raw);
        let stripped = if goes_on { Some(whole.as_str()) } else { self.prefix.strip(&whole) };
        let is_bare = stripped.is_none() && !whole.trim().is_empty();
        let text = stripped.unwrap_or(&whole);
        // What is left of a damaged time is not the beginning of a guest's line.
        let xen = text.find(PREFIX).filter(|_| is_bare);
        let mut text = text[xen.unwrap_or_default()..].to_owned();
        if self.begins_a_boot(&text) {
            self.boot = Some(Seen::default());
            self.splitter = Splitter::default();
            sink(Heard::Boot);
        }
        let Some(seen) = &mut self.boot else { return };
        if raw.ends_with(b"\n") {
            text.push('\n');
        }
        let mut puzzle = None;
        let mut listen = |line: super::splitter::Line| match line.speaker {
            Speaker::Xen => seen.xen |= xen::words(&line.text).starts_with(FIRST),
            Speaker::Guest => match grammar::parse(&line.text) {
                Token::Banner => seen.banner = true,
                Token::Final(_) => seen.result = true,
                Token::Malformed(_) => puzzle = Some(line.text),
                Token::Text | Token::Diagnostic(_)
                    if is_bare || grammar::is_like_protocol(&line.text) =>
                {
                    puzzle = Some(line.text);
                }
                _ => {}
            },
        };
        self.splitter.feed(text.as_bytes(), &mut listen);
        sink(Heard::Line(RecordedLine { number: self.lines, raw, text, puzzle }));
    }

    /// Whether a boot begins with this line.
    fn begins_a_boot(&self, text: &str) -> bool {
        // A loader may leave its last line without an end.
        let xen = text.find(PREFIX).map(|at| xen::words(&text[at..]));
        let by_xen = xen.is_some_and(|words| words.starts_with(FIRST));
        let by_guest = strip_domain_prefix(text).trim_end() == BANNER;
        match &self.boot {
            None => by_xen || by_guest || text.starts_with(PREFIX),
            Some(seen) if by_xen => seen.xen || seen.banner || seen.result,
            Some(seen) => by_guest && seen.result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../tests/fixtures/good.log");

    /// The texts of a recording, each boot's in one, with the puzzles by number.
    fn heard(console: &[u8], size: usize) -> (Vec<String>, Vec<usize>) {
        let (mut boots, mut puzzles) = (Vec::<String>::new(), Vec::new());
        let mut recording = Recording::default();
        let mut sink = |heard| match heard {
            Heard::Boot => boots.push(String::new()),
            Heard::Line(line) => {
                boots.last_mut().unwrap().push_str(&line.text);
                puzzles.extend(line.puzzle.map(|_| line.number));
            }
        };
        for piece in console.chunks(size) {
            recording.feed(piece, &mut sink);
        }
        recording.finish(&mut sink);
        (boots, puzzles)
    }

    #[test]
    fn boots_are_told_apart_in_any_cut_of_the_bytes() {
        let plain = GOOD.replace('\r', "");
        let console = format!("POST 17\r\n{GOOD}GNU GRUB\r\n{GOOD}");
        for size in [1, 7, 1 << 20] {
            let (boots, puzzles) = heard(console.as_bytes(), size);
            assert_eq!(boots, [plain.clone() + "GNU GRUB\n", plain.clone()]);
            assert!(puzzles.is_empty(), "{puzzles:?}");
        }
        // A domain's console has no Xen in it; who starts again before the end is no other boot.
        let domain = plain.lines().filter(|line| !line.starts_with("(XEN)")).collect::<Vec<_>>();
        let domain = domain.join("\n") + "\n";
        assert_eq!(heard((domain.clone() + &domain).as_bytes(), 64).0.len(), 2);
        let half = &domain[..domain.find("Test result").unwrap()];
        assert_eq!(heard((half.to_owned() + &domain).as_bytes(), 64).0.len(), 1);
    }

    #[test]
    fn an_endless_line_is_cut_in_the_same_places() {
        let endless = [b"(XEN) Xen version 4.17\n", &[b'x'; 2 * MAX_LINE + 7][..]].concat();
        let sizes = |size: usize| {
            let (mut recording, mut sizes) = (Recording::default(), Vec::new());
            let mut sink = |heard| match heard {
                Heard::Boot => {}
                Heard::Line(line) => sizes.push(line.raw.len()),
            };
            endless.chunks(size).for_each(|piece| recording.feed(piece, &mut sink));
            recording.finish(&mut sink);
            sizes
        };
        assert_eq!(sizes(endless.len()), [23, 65_536, 65_536, 7]);
        assert_eq!(sizes(1000), sizes(endless.len()));
    }

    #[test]
    fn a_text_is_no_boot() {
        for text in ["", "\n\n", "some text\nok 1 a\n1..3\n", "(xen) x\n", "x (XEN)\n"] {
            assert_eq!(heard(text.as_bytes(), 64).0.len(), 0, "{text}");
        }
        assert_eq!(heard(b"7: (XEN) x\n", 64).0, ["(XEN) x\n"]);
    }

    #[test]
    fn damaged_lines_are_told_by_their_numbers() {
        let plain = GOOD.replace('\r', "");
        let place = |of: &str| plain.lines().position(|line| line == of).unwrap() + 1;
        for (line, damaged) in [
            ("  ok 1 list/a", "  k 1 list/a"),
            ("  ok 1 list/a", "  okok 1 list/a"),
            ("  ok 1 list/a", "  ok1 list/a"),
            ("  not ok 2 list/b", "  no ok 2 list/b"),
            ("  not ok 2 list/b", "  nott ok 2 list/b"),
            ("  # Subtest: args", "  # Subest: args"),
            ("  # Subtest: args", "  Subtest: args"),
            ("KTAP version 1", "KTAP versio 1"),
            ("KTAP version 1", "KTAP version 11"),
            ("(d0) --- Xen Test Framework ---", "(d0) --- Xen Tst Framework ---"),
            ("Environment: PV 64bit (Long mode 4 levels)", "Envronment: PV 64bit"),
            ("1..3", "..3"),
            ("1..3", "1.3"),
            ("Test result: FAILURE", "Test resulFAILURE"),
            ("Test result: FAILURE", "Test result: FAIL"),
        ] {
            let console = plain.replacen(&format!("\n{line}\n"), &format!("\n{damaged}\n"), 1);
            assert_ne!(console, plain, "{line}");
            assert_eq!(heard(console.as_bytes(), 64).1, [place(line)], "{damaged}");
        }
        for line in
            ["of course", "Linux version 6.1", "ok", "[    1.0] foo 3 bar", "a 1 b", "1.5 GiB", ""]
        {
            let console = plain.replacen("\nKTAP", &format!("\n{line}\nKTAP"), 1);
            assert_eq!(heard(console.as_bytes(), 64).1, [0_usize; 0], "{line}");
        }
        // The halves of a line that Xen interrupts are none.
        let halves = plain.replacen("  not ok 2 list/b", "  not o(XEN) x\nk 2 list/b", 1);
        assert_eq!(heard(halves.as_bytes(), 64).1, [0_usize; 0]);
    }

    #[test]
    fn lines_without_what_all_others_have_are_told() {
        let stamped: String = GOOD.lines().map(|line| format!("[ 1.5] {line}\n")).collect();
        let plain: String = GOOD.lines().map(|line| format!("{line}\n")).collect();
        assert_eq!(heard(stamped.as_bytes(), 9), (vec![plain], vec![]));
        let bare = stamped.replacen("\n[ 1.5] 1..3", "\n\n[ 11..3", 1);
        assert_eq!(heard(bare.as_bytes(), 9).1, [11]);
        // A damaged time in front of Xen's words is no half of a guest's line.
        let damaged = stamped.replacen("[ 1.5] (XEN) livepatch", "[ 1.(XEN) livepatch", 1);
        assert_ne!(damaged, stamped);
        let plain: String = GOOD.lines().map(|line| format!("{line}\n")).collect();
        assert_eq!(heard(damaged.as_bytes(), 9), (vec![plain], vec![]));
        // What can be understood without it is.
        let bare = stamped.replacen("[ 1.5]   ok 1 list", "  ok 1 list", 1);
        assert_eq!(heard(bare.as_bytes(), 9).1, [0_usize; 0]);
    }

    /// What was seen of a boot tells whether Xen's first line begins another one.
    #[test]
    fn xens_first_line_begins_a_boot_if_anything_was_seen_of_one() {
        let first = "(XEN) Xen version 4.17\n";
        for (before, boots) in [
            ("(XEN) the end of another line\n", 1),
            (first, 2),
            ("--- Xen Test Framework ---\n", 2),
            ("(XEN) x\nTest result: SUCCESS\n", 2),
        ] {
            let console = format!("{before}{first}");
            assert_eq!(heard(console.as_bytes(), 64).0.len(), boots, "{before}");
        }
    }

    #[test]
    fn so_many_lines_are_held_and_not_one_more() {
        let handed_on = |lines: usize| {
            let mut recording = Recording::default();
            let mut count = 0;
            let mut sink = |heard| count += usize::from(matches!(heard, Heard::Line(_)));
            recording.feed(b"--- Xen Test Framework ---\n", &mut sink);
            recording.feed(b"x\n".repeat(lines - 1).as_slice(), &mut sink);
            count
        };
        assert_eq!((handed_on(MAX_HELD), handed_on(MAX_HELD + 1)), (0, MAX_HELD + 1));
    }

    #[test]
    fn nothing_is_held_for_ever() {
        let mut recording = Recording::default();
        let mut lines = 0;
        let mut sink = |heard| lines += usize::from(matches!(heard, Heard::Line(_)));
        recording.feed(b"--- Xen Test Framework ---\n", &mut sink);
        recording.feed(b"x\n".repeat(MAX_HELD).as_slice(), &mut sink);
        assert_eq!(lines, MAX_HELD + 1);
        let endless = vec![b'x'; 1 << 20];
        let mut longest = 0;
        for _ in 0..8 {
            recording.feed(&endless, &mut |heard| match heard {
                Heard::Line(line) => longest = longest.max(line.text.len()),
                Heard::Boot => {}
            });
        }
        assert_eq!(longest, MAX_LINE);
        assert!(recording.partial.len() < MAX_LINE);
        assert_eq!(recording.lines(), MAX_HELD + 2);
    }
}
