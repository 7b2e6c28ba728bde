//! Recognises that Xen is dying, and selects which of its last lines to quote.

use std::collections::VecDeque;

use super::timestamp;

/// What Xen prints in front of a line.
pub(super) const PREFIX: &str = "(XEN)";

/// Begins the first line that Xen prints when it starts; its version follows.
pub(super) const FIRST: &str = "Xen version ";

/// Xen lines remembered for a quotation: the dumps of some CPUs.
const REMEMBERED: usize = 250;
/// Lines quoted where no line says what is wrong,
const TAIL: usize = 10;
/// and before a panic that comes without a dump: those say why.
const LEAD: usize = 6;

/// After one of these nothing more will come than a dump and a reboot.
const DYING: &[&str] = &[
    "Panic on CPU",
    "FATAL TRAP",
    "FATAL PAGE FAULT",
    "DOUBLE FAULT",
    "Watchdog timer detects",
    "Xen BUG at",
    "Assertion '",
    "Dom0 crashed",
    "Domain 0 crashed",
    "Dom0 halted",
    "Domain 0 halted",
];

/// A dying Xen that says the same so often in a row will not say anything else: each attempt to
/// tell of a fault runs into the next one.
const REPEATS: usize = 8;

/// The last line that Xen prints before it waits (`panic` in xen/drivers/char/console.c,
/// `hwdom_shutdown` in xen/common/shutdown.c). With the line of a regular reboot it does not wait.
const DEAD: &[&str] = &[
    "Reboot in five seconds",
    "Crash in five seconds",
    "Manual reset required",
    "rebooting machine in 5 seconds",
    "'noreboot' set - not rebooting",
    "halting machine",
];

/// Begins a register dump.
const DUMP: &str = "----[ Xen-";

/// What Xen says when something is wrong; a quotation begins at the first of these.
const TROUBLE: &[&str] = &[
    "Panic on CPU",
    "FATAL",
    "DOUBLE FAULT",
    "Watchdog timer detects",
    "NMI received",
    "Assertion '",
    "Xen BUG at",
    "Xen WARN at",
    "UBSAN:",
    "domain_crash",
    "Triple fault",
    "triple fault",
    "Dom0 crashed",
    "Domain 0 crashed",
    "Dom0 halted",
    "Domain 0 halted",
    "Unhandled",
];

/// Begins where Xen was in a register dump of its own: the selector is that of its code.
const RIP_IN_XEN: &str = "RIP:    e008:";

/// What Xen says in `line`, without its prefix and the time behind it.
pub fn words(line: &str) -> &str {
    let Some(said) = line.strip_prefix(PREFIX) else { return line.trim() };
    timestamp::strip(said.strip_prefix(' ').unwrap_or(said)).trim()
}

/// How far Xen is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vitals {
    /// Nothing unusual.
    Alive,
    /// Fatal words were seen; a dump may follow.
    Dying,
    /// Its last line was seen, or it does nothing but repeat itself.
    Dead,
}

/// How much of a panic was seen.
#[derive(Debug, Default)]
enum Panic {
    #[default]
    None,
    /// The line that says which CPU panics. Its reason comes next, unless another CPU or the end
    /// does.
    Announced,
    /// And the reason.
    Told(String),
}

/// Follows Xen's lines.
#[derive(Debug)]
pub struct XenWatch {
    lines: VecDeque<String>,
    /// How often the last line came in a row, beside the first time.
    repeats: usize,
    vitals: Vitals,
    panic: Panic,
    /// As its first line says.
    version: Option<String>,
}

impl Default for XenWatch {
    fn default() -> Self {
        XenWatch::new()
    }
}

impl XenWatch {
    /// A watch over a Xen that has not said anything yet.
    pub fn new() -> Self {
        XenWatch {
            lines: VecDeque::new(),
            repeats: 0,
            vitals: Vitals::Alive,
            panic: Panic::default(),
            version: None,
        }
    }

    /// Takes a line that begins with `(XEN)`.
    pub fn line(&mut self, line: &str) {
        let said = words(line);
        if let Some(version) = said.strip_prefix(FIRST) {
            self.version = version.split_whitespace().next().map(str::to_owned);
        }
        if has(said, DEAD) {
            self.vitals = Vitals::Dead;
        } else if has(said, DYING) {
            self.vitals = self.vitals.max(Vitals::Dying);
        }
        let again = self.lines.back().is_some_and(|last| words(last) == said);
        self.repeats = if again { self.repeats + 1 } else { 0 };
        if self.vitals == Vitals::Dying && self.repeats >= REPEATS {
            self.vitals = Vitals::Dead;
        }
        match self.panic {
            Panic::None if is_announcement(said) => self.panic = Panic::Announced,
            Panic::Announced if is_reason(said) => self.panic = Panic::Told(said.to_owned()),
            _ => {}
        }
        if self.lines.len() == REMEMBERED {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// A test begins: what Xen said before is not about it.
    pub fn forget(&mut self) {
        self.lines.clear();
    }

    /// Its version, as it said itself.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// How far Xen is on its way out.
    pub fn vitals(&self) -> Vitals {
        self.vitals
    }

    /// One line on what went wrong, if Xen said so.
    pub fn headline(&self) -> Option<String> {
        if let Panic::Told(why) = &self.panic {
            return Some(format!("Xen panicked: {why}"));
        }
        let mut said = self.lines.iter().map(|line| words(line));
        let trouble = said.find(|said| has(said, TROUBLE) && !is_announcement(said));
        if let Some(trouble) = trouble {
            return Some(format!("Xen: {trouble}"));
        }
        let place = self.cut_off_in().map(|place| format!(" in {place}"));
        match (&self.panic, place) {
            (Panic::None, None) => None,
            (Panic::None, Some(place)) => Some(format!("Xen: its register dump is cut off{place}")),
            (_, place) => {
                let place = place.unwrap_or_default();
                Some(format!("Xen panicked{place}: its reason is cut off"))
            }
        }
    }

    /// Where Xen was, if it came no further than to the register dump that says so.
    fn cut_off_in(&self) -> Option<&str> {
        let last = self.lines.iter().rev().map(|line| words(line));
        let mut dump = last.take_while(|said| !is_reason(said));
        let (_, place) = dump.find_map(|said| said.strip_prefix(RIP_IN_XEN))?.split_once("]")?;
        Some(place.trim()).filter(|place| !place.is_empty())
    }

    /// Whether it panicked.
    pub fn has_panicked(&self) -> bool {
        !matches!(self.panic, Panic::None)
    }

    /// Xen's lines from the first sign of trouble on, or its last few.
    pub fn quote(&self) -> Vec<String> {
        let trouble = |line: &String| line.contains(DUMP) || has(line, TROUBLE);
        let start = match self.lines.iter().position(trouble) {
            None => self.lines.len().saturating_sub(TAIL),
            Some(at) if is_announcement(words(&self.lines[at])) => at.saturating_sub(LEAD),
            Some(at) => at,
        };
        self.lines.iter().skip(start).cloned().collect()
    }
}

fn has(said: &str, words: &[&str]) -> bool {
    words.iter().any(|word| said.contains(word))
}

/// Says that a CPU panics; why is in the next line.
fn is_announcement(said: &str) -> bool {
    said.starts_with("Panic on CPU")
}

/// Whether a line can be why Xen panics: it is neither the frame around that nor a line of a dump,
/// which another CPU may print in between.
fn is_reason(said: &str) -> bool {
    const DUMPED: &[&str] = &[
        DUMP,
        "[<",
        "L4[",
        "L3[",
        "L2[",
        "L1[",
        "Xen code around",
        "Xen stack trace",
        "Xen call trace",
        "Pagetable walk",
    ];
    let first = said.split_whitespace().next().unwrap_or_default();
    // The last line of all may be cut.
    let alone = first == said;
    let is_register = matches!(first, "CPU:" | "RIP:" | "RFLAGS:")
        || first.len() <= 4
            && first.starts_with(char::is_lowercase)
            && (first.ends_with(':') || alone);
    let is_hex = first.bytes().all(|b| b.is_ascii_hexdigit());
    let is_memory = first == "--" || is_hex && (matches!(first.len(), 2 | 16) || alone);
    let is_dumped = DUMPED.iter().any(|begin| said.starts_with(begin) || begin.starts_with(said));
    let is_frame = said.is_empty() || said.starts_with('*') || is_announcement(said);
    !(is_register || is_memory || is_dumped || is_frame)
}
