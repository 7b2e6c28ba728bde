//! The end of a boot: whether it was regular, who is to blame if not, and what is left to report.

use std::time::Duration;

use super::grammar::{self, Token};
use super::judgement::{CaseReport, Cause, End, EndedIn, Event, Judgement, TestReport, Verdict};
use super::reason::Reason;
use super::splitter::{Line, Speaker};
use super::state::{GUEST_FLOOD_LIMIT, Judge, Running};
use super::xen::Vitals;
use crate::base::status::Status;

impl Judge {
    /// The judgement of a boot that could not be, for the reason `why`: every test is skipped.
    pub fn skip(self, why: &str) -> Judgement {
        let settled = self.expected.into_iter().map(|test| TestReport {
            reasons: vec![why.to_owned()],
            ..TestReport::new(test.name, Status::Skip)
        });
        Judgement {
            settled: settled.collect(),
            ended_by: None,
            ended_in: None,
            version: None,
            rerun: Vec::new(),
        }
    }

    /// Closes the books at `now`, knowing why the console ended.
    pub fn finish(mut self, end: End, now: Duration, mut events: impl FnMut(Event)) -> Judgement {
        let mut splitter = std::mem::take(&mut self.splitter);
        let half = splitter.finish(|line| {
            // Whoever has enough cut the line himself: its half says nothing about the guest.
            if !matches!(end, End::Enough) && is_said(&line) {
                self.line(line, now, &mut events);
            } else {
                events(Event::Line(line));
            }
        });
        // Nor does one that Xen cut.
        half.into_iter().for_each(|line| events(Event::Line(line)));
        let cause = self.cause_of_death(&end);
        let ended_by = cause.as_ref().map(|(_, cause, _)| *cause);
        let mut ended_in = None;
        if let Some((status, cause, reason)) = cause {
            ended_in = self.blame(status, cause, reason, now);
        } else {
            match (&end, self.running.take()) {
                (End::Interrupted, _) | (End::Enough, None) => {}
                (End::Enough, Some(running)) => {
                    self.close(running, Status::Error, Vec::new(), Vec::new(), now);
                }
                (_, running) => {
                    self.running = running;
                    self.check_whole(now);
                }
            }
        }
        self.hear_of_command_line();
        for report in self.reports.iter_mut().flatten() {
            taint(report, &self.reasons);
        }

        let interrupted = matches!(end, End::Interrupted | End::Enough);
        let rerun = self
            .expected
            .iter()
            .zip(&self.reports)
            .filter(|(_, report)| report.is_none() && !interrupted)
            .map(|(test, _)| test.name.clone())
            .collect();
        let settled = self.reports.into_iter().flatten().collect();
        Judgement { settled, ended_by, ended_in, version: self.version, rerun }
    }

    /// Why the boot did not come to its regular end, if it did not.
    fn cause_of_death(&self, end: &End) -> Option<(Status, Cause, Reason)> {
        if let End::Interrupted | End::Enough = end {
            return None;
        }
        let xen = || self.xen.headline();
        if self.xen.vitals() > Vitals::Alive && self.result.is_none() || self.xen.has_panicked() {
            let words = xen().unwrap_or_else(|| "Xen died".into());
            return Some((Status::Crash, Cause::Xen, Reason::Told(words)));
        }
        if self.result.is_some() {
            if let Some(panic) = &self.panic {
                let line = panic.lines.first().cloned().unwrap_or_default();
                let why = format!("the guest stopped: {line}");
                return Some((Status::Error, Cause::Guest, Reason::Told(why)));
            }
            return self.running.as_ref().map(|_| {
                let why = "the last line came before the test ended";
                (Status::Error, Cause::Guest, Reason::Violation(why.into()))
            });
        }
        if let Some(line) = self.panic.as_ref().and_then(|panic| panic.lines.first()) {
            let why = format!("the guest died: {line}");
            return Some((Status::Crash, Cause::Guest, Reason::Told(why)));
        }
        let silence = self.command_line.silence().filter(|_| !self.heard);
        let (status, cause, why) = match end {
            End::Exited | End::Over(_) => match xen().or(silence.clone()) {
                Some(words) if silence.is_some() => (Status::Error, Cause::Reset, words),
                Some(words) => (Status::Crash, Cause::Xen, words),
                None => {
                    let reset = "the machine was reset without a message from Xen (a triple fault, \
                                 or a shutdown without a result)";
                    let words = match end {
                        End::Over(console) => format!("{console} ends: it was cut, or {reset}"),
                        _ => reset.into(),
                    };
                    (Status::Crash, Cause::Reset, words)
                }
            },
            End::XenDied => (Status::Crash, Cause::Xen, xen().unwrap_or_else(|| "Xen died".into())),
            End::NotBooted => {
                let why = self.firmware.gave_up().unwrap_or_default();
                (Status::Error, Cause::Reset, why)
            }
            End::TimedOut(what) if self.bytes <= GUEST_FLOOD_LIMIT => {
                let silence = silence.map(|words| format!("; {words}")).unwrap_or_default();
                (Status::Timeout, Cause::Time, format!("{what}{silence}"))
            }
            End::TimedOut(what) => (Status::Crash, Cause::Flood, self.flood(what)),
            End::Flooded => {
                let what = "the console was cut off because its output did not end";
                (Status::Crash, Cause::Flood, self.flood(what))
            }
            End::ToolDied(what) => (Status::Error, Cause::Qemu, what.clone()),
            End::Interrupted | End::Enough => return None,
        };
        Some((status, cause, Reason::Told(why)))
    }

    /// What came instead of a result until the end that `what` tells.
    fn flood(&self, what: &str) -> String {
        format!("console flood: {} MiB without a result; {what}", self.bytes >> 20)
    }

    /// Settles an early end; the documentation of `judge` tells who is to blame. Returns the
    /// case that was under way.
    fn blame(
        &mut self,
        status: Status,
        cause: Cause,
        reason: Reason,
        now: Duration,
    ) -> Option<EndedIn> {
        self.list_somebody();
        let panic = self.panic.take().unwrap_or_default();
        let words = if status == Status::Crash { self.xen.quote() } else { Vec::new() };
        let diagnostics = std::mem::take(&mut self.diagnostics);

        let running = self.running.take().and_then(|running| {
            if running.slot.is_none() {
                // Nobody selected it: its violations stay, the blame goes on.
                self.adopt(running.violations.clone());
            }
            running.slot.map(|slot| (slot, running))
        });
        let mut ended_in = None;
        let slots: Vec<usize> = if let Some((slot, mut running)) = running {
            let planned = &self.expected[slot];
            let under_way = planned.cases.get(running.next - 1);
            match under_way.filter(|name| !running.reported.contains(*name)) {
                Some(case) => {
                    ended_in = Some(EndedIn { test: planned.name.clone(), case: case.clone() });
                    running.report(CaseReport {
                        name: case.clone(),
                        verdict: Verdict::of_end(status, reason.to_string()),
                        diagnostics,
                        elapsed: now.saturating_sub(running.last_case),
                    });
                    self.close(running, status, Vec::new(), Vec::new(), now);
                }
                None => {
                    self.close(running, status, vec![reason], diagnostics, now);
                }
            }
            vec![slot]
        } else if let Some(slot) = self.last_reported {
            if let Some(report) = &mut self.reports[slot] {
                report.status = report.status.max(status);
                report.reasons.push(format!("after its result was reported: {reason}"));
            }
            vec![slot]
        } else {
            let count = if self.plan.is_some() { 1 } else { self.expected.len() };
            let slots: Vec<usize> = (0..count.min(self.expected.len())).collect();
            for &slot in &slots {
                let open = Running::unbegun(slot, &self.expected[slot].name, now);
                let why = format!("before the first test began: {reason}");
                self.close(open, status, vec![Reason::Told(why)], diagnostics.clone(), now);
            }
            slots
        };
        for slot in slots {
            if let Some(report) = &mut self.reports[slot] {
                report.diagnostics.extend(panic.lines.iter().cloned());
                report.backtrace.clone_from(&panic.backtrace);
                report.xen_words.clone_from(&words);
                report.cause = Some(cause);
            }
        }
        ended_in
    }

    /// The checks of a boot that came to its regular end.
    fn check_whole(&mut self, now: Duration) {
        self.command_line.end();
        self.list_somebody();
        if self.plan.is_none() {
            self.violation("no plan line for the run");
        }
        if !self.banner {
            self.violation("no banner");
        }
        if !self.ktap {
            self.violation("no KTAP header");
        }
        if !self.environment_seen {
            self.violation("no environment line");
        }
        let said = self.result;
        if let (Some(said), Some(computed)) = (said, self.guest_status)
            && said != computed
        {
            self.violation(format!("the last line says {said}, but the tests give {computed}"));
        }
        for slot in 0..self.expected.len() {
            if self.reports[slot].is_none() {
                let open = Running::unbegun(slot, &self.expected[slot].name, now);
                let why = "selected, but not reported before the last line".into();
                self.close(open, Status::Error, vec![Reason::Violation(why)], Vec::new(), now);
            }
        }
    }
}

/// Whether a line that came without its end says something. Most of the protocol's lines may have
/// been longer: a result that is cut in front of its directive would be a success.
fn is_said(line: &Line) -> bool {
    let is_open = |text| {
        !matches!(grammar::parse(text), Token::Text | Token::Diagnostic(_) | Token::Final(_))
    };
    line.speaker == Speaker::Xen || !is_open(&line.text)
}

/// What is wrong with the whole boot casts doubt on every result in it.
pub(super) fn taint(report: &mut TestReport, reasons: &[Reason]) {
    if !reasons.is_empty() {
        report.status = report.status.max(Status::Error);
        report.reasons.extend(reasons.iter().map(Reason::to_string));
    }
}
