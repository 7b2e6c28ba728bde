//! Taking in the console line by line: whose it is, what it means, and what the supervisor has to
//! know at once.

use crate::base::plural;
use std::time::Duration;

use protocol::console::{BACKTRACE, BUILD_ID, NEWS, PANIC, TELLS_TOTALS, TRAP, XEN};
use protocol::metadata::Environment;

use super::catalogue::MAX_TESTS;
use super::end::taint;
use super::grammar::{self, Depth, Token};
use super::judgement::Event;
use super::splitter::{Line, Speaker};
use super::state::Judge;

/// Diagnostics kept for each result.
pub(super) const MAX_DIAGNOSTICS: usize = 100;

impl Judge {
    /// Takes console bytes that arrived at `now` (since the start of the boot).
    pub fn feed(&mut self, bytes: &[u8], now: Duration, mut events: impl FnMut(Event)) {
        self.heard |= !bytes.is_empty();
        let mut splitter = std::mem::take(&mut self.splitter);
        // A result line ends the counting of what came before it, and of nothing behind it.
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.bytes = self.bytes.saturating_add(piece.len() as u64);
            splitter.feed(piece, |line| self.line(line, now, &mut events));
        }
        self.splitter = splitter;
    }

    pub(super) fn line(&mut self, line: Line, now: Duration, events: &mut impl FnMut(Event)) {
        match line.speaker {
            Speaker::Xen => {
                self.command_line.xen_line(&line.text);
                self.xen.line(&line.text);
            }
            Speaker::Guest => {
                if self.command_line.is_demanded() && !self.banner {
                    self.firmware.line(&line.text);
                }
                self.guest_bytes = self.guest_bytes.saturating_add(line.text.len() as u64 + 1);
                let settled = self.last_reported;
                let event = self.guest_line(&line.text, now);
                // Whatever happens from here on is the next test's aftermath.
                let next = matches!(event, Some(Event::TestStarted(_) | Event::TestEnded));
                if next
                    && settled != self.announced
                    && let Some(mut report) = settled.and_then(|slot| self.reports[slot].clone())
                {
                    self.announced = settled;
                    self.hear_of_command_line();
                    taint(&mut report, &self.reasons);
                    events(Event::TestSettled(Box::new(report)));
                }
                event.into_iter().for_each(&mut *events);
            }
        }
        events(Event::Line(line));
    }

    fn guest_line(&mut self, text: &str, now: Duration) -> Option<Event> {
        let token = grammar::parse(text);
        if self.result.is_some() {
            if !matches!(token, Token::Text | Token::Diagnostic(_)) {
                self.violation(format!("line after the last line: `{text}`"));
            }
            return None;
        }
        match token {
            Token::Text => {}
            Token::Malformed(why) => self.violation(format!("{why}: `{text}`")),
            Token::Banner if self.banner => self.violation("the guest started a second time"),
            Token::Banner => self.banner = true,
            Token::Environment(name) => self.environment(name),
            Token::Ktap(Depth::Test) if self.ktap => self.violation("a second KTAP header"),
            Token::Ktap(Depth::Test) => self.ktap = true,
            Token::Ktap(Depth::Case) => {
                if self.subtest_ktap || self.running.is_some() {
                    self.violation("KTAP header inside a subtest");
                }
                self.subtest_ktap = true;
            }
            Token::Plan(Depth::Test, count) => {
                self.plan(count);
                let sights = std::mem::take(&mut self.sights);
                return (!sights.are_none()).then(|| Event::Sights(Box::new(sights)));
            }
            Token::Plan(Depth::Case, count) => self.subtest_plan(count),
            Token::Totals(totals) => self.totals(totals),
            Token::Subtest(name) => return self.subtest(name, now),
            Token::Diagnostic(text) => return self.diagnostic(text),
            Token::Result(Depth::Case, number, name, verdict) => {
                self.case(number, name, verdict, now);
            }
            Token::Result(Depth::Test, number, name, verdict) => {
                self.test(number, name, verdict, now);
                return Some(Event::TestEnded);
            }
            Token::Final(status) => {
                self.result = Some(status);
                return Some(Event::Final);
            }
        }
        None
    }

    fn environment(&mut self, name: &str) {
        self.environment_seen = true;
        let is = |banner: &str| {
            name.strip_prefix(banner).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        match self.environment {
            Some(wanted) if is(wanted) => {}
            Some(wanted) => {
                self.violation(format!("the guest runs in `{name}`, not in `{wanted}`"));
            }
            None => {
                let mut known = Environment::ALL.map(Environment::banner).into_iter();
                self.environment = known.find(|banner| is(banner));
                if self.environment.is_none() {
                    self.violation(format!("the guest runs in `{name}`, which nobody knows"));
                }
            }
        }
    }

    fn plan(&mut self, count: usize) {
        if self.plan.is_some() {
            self.violation("a second plan");
        } else if self.catalogue.is_some() && count > MAX_TESTS {
            // As if it were lost: what comes is heard all the same.
            return self.violation(format!("the plan line says {count} tests"));
        } else if self.catalogue.is_some() {
            self.make_room(count);
        } else if count != self.expected.len() {
            let expected = self.expected.len();
            let tests = plural::count(count, "test");
            self.violation(format!("the plan line says {tests}, but {expected} were selected"));
        }
        self.plan.get_or_insert(count.min(MAX_TESTS));
    }

    fn diagnostic(&mut self, text: &str) -> Option<Event> {
        self.news |= text.starts_with(NEWS);
        if self.plan.is_none() {
            self.tells_totals |= text == TELLS_TOTALS;
            self.sights.guest_diagnostic(text);
            if let Some(note) = self.command_line.guest_diagnostic(text) {
                self.sights.note(note);
            }
        }
        if let Some(id) = text.strip_prefix(BUILD_ID).filter(|_| self.plan.is_none()) {
            let is_hex = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit());
            self.build_id = is_hex.then(|| id.to_owned());
            let demanded =
                self.demanded_build_id.as_deref().filter(|demanded| is_hex && *demanded != id);
            if let Some(demanded) = demanded {
                let why = format!(
                    "the guest runs on a Xen with the build-id {id}, but that of its file is {demanded}"
                );
                self.violation(why);
            }
        }
        if let Some(version) = text.strip_prefix(XEN)
            && self.plan.is_none()
        {
            self.version = version.split(' ').next().map(str::to_owned);
            return self.version.clone().map(Event::Xen);
        }
        if text.starts_with(PANIC) || text.starts_with(TRAP) {
            self.panic.get_or_insert_default();
        }
        let Some(panic) = &mut self.panic else {
            if self.diagnostics.len() < MAX_DIAGNOSTICS {
                self.diagnostics.push(text.to_owned());
            }
            return None;
        };
        if let Some(addresses) = text.strip_prefix(BACKTRACE) {
            let room = MAX_DIAGNOSTICS.saturating_sub(panic.backtrace.len());
            let addresses = addresses.split_whitespace().take(room).filter_map(|word| {
                u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
            });
            panic.backtrace.extend(addresses);
        } else if panic.lines.len() < MAX_DIAGNOSTICS {
            panic.lines.push(text.to_owned());
        }
        None
    }
}
