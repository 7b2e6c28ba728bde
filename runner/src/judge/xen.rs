//! Recognises that Xen is dying, and selects which of its last lines to quote.

use std::collections::VecDeque;

/// Xen lines remembered for a quotation.
const REMEMBERED: usize = 120;
/// Lines quoted where no line says what is wrong.
const TAIL: usize = 10;

/// After one of these nothing more will come than a dump and a reboot.
const DYING: &[&str] = &[
    "Panic on CPU",
    "FATAL TRAP",
    "FATAL PAGE FAULT",
    "DOUBLE FAULT",
    "Reboot in five seconds",
    "Manual reset required",
    "Dom0 crashed",
    "Domain 0 crashed",
    "Dom0 halted",
    "Domain 0 halted",
    "halting machine",
];

/// A dying Xen that says the same so often in a row will not say anything else: each attempt to tell
/// of a fault runs into the next one.
const REPEATS: usize = 8;

/// The last line that Xen prints before it waits.
const DEAD: &[&str] = &["Reboot in five seconds", "Manual reset required"];

/// Begins a register dump.
const DUMP: &str = "----[ Xen-";

/// What Xen says when something is wrong; a quotation begins at the first of these.
const TROUBLE: &[&str] = &[
    "Panic on CPU",
    "FATAL",
    "DOUBLE FAULT",
    "Assertion",
    "Xen BUG at",
    "Xen WARN at",
    "domain_crash",
    "Triple fault",
    "triple fault",
    "Dom0 crashed",
    "Domain 0 crashed",
    "Dom0 halted",
    "Domain 0 halted",
    "Unhandled",
];

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

/// Follows Xen's lines.
#[derive(Debug)]
pub struct Watch {
    lines: VecDeque<String>,
    /// How often the last line came in a row, beside the first time.
    repeats: usize,
    vitals: Vitals,
    /// What it panicked of.
    panic: Option<String>,
    panic_follows: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Watch::new()
    }
}

impl Watch {
    /// A watch over a Xen that has not said anything yet.
    pub fn new() -> Self {
        Watch {
            lines: VecDeque::new(),
            repeats: 0,
            vitals: Vitals::Alive,
            panic: None,
            panic_follows: false,
        }
    }

    /// Takes a line that begins with `(XEN)`.
    pub fn line(&mut self, line: &str) {
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        if has(DEAD) {
            self.vitals = Vitals::Dead;
        } else if has(DYING) {
            self.vitals = self.vitals.max(Vitals::Dying);
        }
        let again = self.lines.back().is_some_and(|last| last == line);
        self.repeats = if again { self.repeats + 1 } else { 0 };
        if self.vitals == Vitals::Dying && self.repeats >= REPEATS {
            self.vitals = Vitals::Dead;
        }

        let said = line.trim_start_matches("(XEN)").trim();
        if self.panic.is_none() {
            if said.starts_with("Panic on CPU") {
                self.panic_follows = true;
            } else if self.panic_follows && !said.is_empty() && !said.starts_with('*') {
                self.panic = Some(said.to_owned());
            }
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

    /// How far Xen is on its way out.
    pub fn vitals(&self) -> Vitals {
        self.vitals
    }

    /// One line on what went wrong, if Xen said so.
    pub fn headline(&self) -> Option<String> {
        let trouble = || {
            let line =
                self.lines.iter().find(|line| TROUBLE.iter().any(|word| line.contains(word)))?;
            Some(format!("Xen: {}", line.trim_start_matches("(XEN)").trim()))
        };
        self.panic.as_ref().map(|why| format!("Xen panicked: {why}")).or_else(trouble)
    }

    /// Whether it panicked, and said of what.
    pub fn has_panicked(&self) -> bool {
        self.panic.is_some()
    }

    /// Xen's lines from the first sign of trouble on, or its last few.
    pub fn quote(&self) -> Vec<String> {
        let start = self
            .lines
            .iter()
            .position(|line| line.contains(DUMP) || TROUBLE.iter().any(|word| line.contains(word)))
            .unwrap_or(self.lines.len().saturating_sub(TAIL));
        self.lines.iter().skip(start).cloned().collect()
    }
}
