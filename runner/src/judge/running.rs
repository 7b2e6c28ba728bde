//! The test that is under way, from its subtest line over its cases to its report.

use std::time::Duration;

use protocol::console::Totals;

use super::catalogue::MAX_CASES;
use super::judgement::{CaseReport, Event, TestReport, Verdict};
use super::reason::Reason;
use super::state::{Judge, Running};
use crate::base::plural;
use crate::base::status::Status;

impl Judge {
    /// A subtest line.
    pub(super) fn subtest(&mut self, name: &str, now: Duration) -> Option<Event> {
        if let Some(open) = self.running.take() {
            let why = format!("subtest `{name}` began before the result line");
            self.close(open, Status::Error, vec![Reason::Violation(why)], Vec::new(), now);
        }
        let slot = self.slot_of(name);
        match slot {
            None => {
                let why = self.why_not_listed(name);
                self.violation(format!("subtest `{name}` {why}"));
            }
            Some(slot) if self.reports[slot].is_some() => {
                self.violation(format!("subtest `{name}` began a second time"));
            }
            Some(_) => {}
        }
        let slot = slot.filter(|&slot| self.reports[slot].is_none());
        let without_header = !std::mem::take(&mut self.subtest_ktap);
        let without_plan = self.plan.is_none();
        self.diagnostics.clear();
        self.news = false;
        self.xen.forget();
        self.running = Some(Running::new(slot, name, now));
        if let Some(why) = self.unknown_test(name) {
            self.violation(why);
        }
        if without_header {
            self.violation("subtest without its KTAP header");
        }
        if without_plan {
            self.violation("subtest before the plan line of the run");
        }
        slot.map(|_| Event::TestStarted(name.to_owned()))
    }

    /// A plan inside a subtest.
    pub(super) fn subtest_plan(&mut self, count: usize) {
        let Some(running) = &mut self.running else {
            return self.violation("a case plan outside a subtest");
        };
        if running.plan.is_some() {
            self.violation("a second case plan");
        } else {
            running.plan = Some(count.min(MAX_CASES));
            if let Some(why) = self.list_cases(count) {
                self.violation(why);
            }
            let planned = self.catalogue.is_none().then_some(self.running.as_ref()).flatten();
            let slot = planned.and_then(|running| running.slot);
            let known = slot.map(|slot| self.expected[slot].cases.len());
            if let Some(known) = known.filter(|&known| known != count) {
                let cases = plural::count(count, "case");
                self.violation(format!(
                    "the plan line says {cases}, but the image's metadata says {known}"
                ));
            }
        }
    }

    /// The result line of a case.
    pub(super) fn case(&mut self, number: usize, name: &str, said: Verdict, now: Duration) {
        let diagnostics = std::mem::take(&mut self.diagnostics);
        let news = std::mem::take(&mut self.news);
        let Some(running) = &mut self.running else {
            return self.violation(format!("case `{name}` outside a subtest"));
        };
        count(&mut running.totals, &said, news);
        let planned = running.plan;
        let next = running.next;
        // A lost line is no reason to doubt those behind it.
        let is_free = planned.is_some_and(|planned| (1..=planned).contains(&number))
            && !running.numbers.contains(&number);
        let place = if is_free { number } else { next };
        let slot = running.slot.filter(|_| self.catalogue.is_none());
        let known = slot.map(|slot| self.expected[slot].cases.get(place - 1).cloned());
        // Under a name that is damaged nothing good is said of any case.
        let is_known = |slot: usize| {
            let planned = &self.expected[slot].cases;
            planned.get(place - 1).is_some_and(|case| case == name)
                || planned.iter().any(|case| case == name)
        };
        let verdict = match said {
            said if said.status().is_bad() || slot.is_none_or(is_known) => said,
            _ => Verdict::Error("the image has no case of this name".into()),
        };
        // A runaway guest must not grow the report: what exceeds the plan is only a violation.
        let surplus = running.cases.len() >= planned.unwrap_or(MAX_CASES);
        let duplicate = running.reported.contains(name);
        if !surplus {
            let elapsed = now.saturating_sub(std::mem::replace(&mut running.last_case, now));
            running.report(CaseReport { name: name.to_owned(), verdict, diagnostics, elapsed });
            running.numbers.insert(place);
            running.next = place + 1;
        }
        if planned.is_some() && !surplus {
            self.bytes = 0;
            self.guest_bytes = 0;
        }
        if planned.is_none() {
            self.violation(format!("case `{name}` before the case plan"));
        }
        if surplus {
            self.violation(format!("case `{name}` exceeds the plan"));
        } else if duplicate {
            self.violation(format!("case `{name}` was reported twice"));
        } else if let Some(known) = known
            && known.as_deref() != Some(name)
        {
            let wanted = known.map_or("no further case".into(), |known| format!("`{known}`"));
            self.violation(format!("case {place} is `{name}`, the image's metadata says {wanted}"));
        }
        if !surplus && let Some(why) = self.name_case(place, name) {
            self.violation(why);
        }
        if number != next {
            self.violation(format!("case `{name}` has number {number} instead of {next}"));
        }
    }

    /// What the guest says that the running test's cases come to.
    pub(super) fn totals(&mut self, told: Totals) {
        // Who tells them once tells them always.
        self.tells_totals = true;
        match &mut self.running {
            None => self.violation("totals outside a subtest"),
            Some(running) if running.told_totals.is_some() => self.violation("totals told twice"),
            Some(running) => running.told_totals = Some(told),
        }
    }

    /// The result line of a test.
    pub(super) fn test(&mut self, number: usize, name: &str, verdict: Verdict, now: Duration) {
        let next = self.results + 1;
        self.results = next;
        self.guest_status =
            Status::of_parts(self.guest_status.into_iter().chain([verdict.status()]));
        let mut reasons = Vec::new();
        if number != next {
            let why = format!("test `{name}` has number {number} instead of {next}");
            reasons.push(Reason::Violation(why));
            if self.plan.is_some_and(|plan| (next..=plan).contains(&number)) {
                // Those before it were lost.
                self.results = number;
                self.correct_place(name, number);
            }
        }
        if self.plan.is_none() {
            reasons.push(Reason::Violation("result line before the plan line of the run".into()));
        }
        let diagnostics = std::mem::take(&mut self.diagnostics);
        match self.running.take() {
            Some(running) if running.name == name => {
                self.finish_test(running, verdict, reasons, diagnostics, now);
            }
            open => {
                if let Some(open) = open {
                    let why = format!("closed by the result line of `{name}`");
                    self.close(open, Status::Error, vec![Reason::Violation(why)], Vec::new(), now);
                }
                self.lone_result(name, verdict, reasons, diagnostics, now);
            }
        }
    }

    /// A result line with its subtest before it.
    fn finish_test(
        &mut self,
        running: Running,
        verdict: Verdict,
        mut reasons: Vec<Reason>,
        diagnostics: Vec<String>,
        now: Duration,
    ) {
        let reported = running.cases.len();
        match running.plan {
            None => reasons.push(Reason::Violation("subtest without a case plan".into())),
            Some(plan) if reported < plan => {
                let why = format!("{reported} of {plan} planned cases were reported");
                reasons.push(Reason::Violation(why));
            }
            Some(_) => {}
        }
        match running.told_totals {
            Some(told) if told != running.totals => {
                let why = format!("the totals are {told}, but the cases give {}", running.totals);
                reasons.push(Reason::Violation(why));
            }
            None if self.tells_totals => {
                reasons.push(Reason::Violation("subtest without its totals".into()));
            }
            _ => {}
        }
        let computed = Status::of_parts(running.cases.iter().map(|case| case.verdict.status()));
        let computed = computed.unwrap_or_else(|| {
            reasons.push(Reason::Told("no case was reported".into()));
            Status::Error
        });
        let mut status = computed;
        match verdict {
            // The framework's own checks after the last case end here.
            Verdict::Error(why) if computed <= Status::Error => {
                status = Status::Error;
                reasons.push(Reason::Told(why));
            }
            Verdict::Deviation(_) => {
                reasons.push(Reason::Violation(
                    "the result line of a test cannot be a deviation".into(),
                ));
            }
            Verdict::Skip(why) if computed == Status::Skip => reasons.push(Reason::Told(why)),
            verdict if verdict.status() != computed => {
                let said = verdict.status();
                let why = format!("the result line says {said}, but its cases give {computed}");
                reasons.push(Reason::Violation(why));
            }
            _ => {}
        }
        self.close(running, status, reasons, diagnostics, now);
    }

    /// A result line without a subtest: right only for a test that could not begin.
    fn lone_result(
        &mut self,
        name: &str,
        verdict: Verdict,
        mut reasons: Vec<Reason>,
        diagnostics: Vec<String>,
        now: Duration,
    ) {
        let slot = self.slot_of(name);
        let Some(slot) = slot.filter(|&slot| self.reports[slot].is_none()) else {
            let what = match slot {
                Some(_) => "was reported twice",
                None if self.catalogue.is_none() => "was reported but not selected",
                None => self.why_not_listed(name),
            };
            return self.violation(format!("test `{name}` {what}"));
        };
        reasons.extend(self.unknown_test(name).map(Reason::Violation));
        let status = verdict.status();
        reasons.push(match verdict {
            Verdict::Skip(why) | Verdict::Error(why) => Reason::Told(why),
            _ => Reason::Violation("result line without a subtest".into()),
        });
        let running = Running::unbegun(slot, name, now);
        self.close(running, status, reasons, diagnostics, now);
    }

    /// Turns a running test into its report. Its cases and the reasons can only make `status`
    /// worse.
    pub(super) fn close(
        &mut self,
        running: Running,
        status: Status,
        reasons: Vec<Reason>,
        diagnostics: Vec<String>,
        now: Duration,
    ) -> Option<&mut TestReport> {
        let Some(slot) = running.slot else {
            self.adopt(running.violations);
            return None;
        };
        let seen = Status::of_parts(running.cases.iter().map(|case| case.verdict.status()));
        let mut status = seen.filter(|seen| seen.is_bad()).map_or(status, |seen| status.max(seen));
        let reasons: Vec<Reason> = running.violations.into_iter().chain(reasons).collect();
        if reasons.iter().any(Reason::casts_doubt) {
            status = status.max(Status::Error);
        }
        self.last_reported = Some(slot);
        let unknown = |name: &&String| !running.reported.contains(*name);
        let not_run = match status {
            Status::Skip => Vec::new(),
            _ => self.expected[slot].cases.iter().filter(unknown).cloned().collect(),
        };
        Some(self.reports[slot].insert(TestReport {
            not_run,
            cases: running.cases,
            reasons: reasons.iter().map(Reason::to_string).collect(),
            diagnostics,
            began: running.began,
            elapsed: now.saturating_sub(running.since),
            ..TestReport::new(running.name, status)
        }))
    }
}

/// Counts a case of which the guest `said` this, with or without `news`.
fn count(totals: &mut Totals, said: &Verdict, news: bool) {
    let place = match said {
        Verdict::Success if news => &mut totals.xpass,
        Verdict::Success => &mut totals.pass,
        Verdict::Failure => &mut totals.fail,
        Verdict::Deviation(_) => &mut totals.xfail,
        Verdict::Skip(_) => &mut totals.skip,
        // No guest says the last two.
        Verdict::Error(_) | Verdict::Crash(_) | Verdict::Timeout(_) => &mut totals.error,
    };
    *place += 1;
}
