//! What is wrong with Xen, by what a domain's test reported.

use crate::base::status::Status;
use crate::judge::TestReport;

/// Something that is wrong with Xen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub status: Status,
    /// What tells it from others, as a file's name.
    pub name: String,
    pub how: String,
    pub words: Vec<String>,
}

impl Flaw {
    /// The flaw of which `report` tells, if any; `host` is what is left of the host.
    pub fn of(report: &TestReport, host: Host) -> Option<Flaw> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let failed = report.cases.iter().find(|case| case.verdict.status() == Status::Failure);
        let (status, what, how) = match (host, failed) {
            (Host::Gone, _) => {
                let how = report.told().into_iter().next().unwrap_or("Xen died".into());
                // Where it was is another place in each build.
                (Status::Crash, how.split(" at ").next().unwrap_or(&how).to_owned(), how)
            }
            (Host::Silent, _) => {
                (Status::Timeout, "hang".into(), "the host no longer answers".into())
            }
            (Host::Alive, Some(case)) => {
                let how = case.diagnostics.last().map_or("a claim is broken", String::as_str);
                let call = how.split_once("step ").and_then(|(_, rest)| rest.split(": ").nth(1));
                let what = call.map_or("memory".into(), |call| format!("grants-{call}"));
                (Status::Failure, what, how.to_owned())
            }
            (Host::Alive, None) => return None,
        };
        let name: String = format!("hypercall-{what}").chars().map(plain).take(80).collect();
        let how = how.trim_start_matches("# ").to_owned();
        Some(Flaw { status, name, how, words: report.xen_words.clone() })
    }
}

/// What is left of the host after a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Alive,
    /// Its machine runs, and does not answer.
    Silent,
    Gone,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::programs::HYPERCALL_FUZZ;

    use super::*;
    use crate::judge::{CaseReport, Verdict};

    /// A report of the test: the verdict on its case, and what was said with it.
    fn report(verdict: Verdict, said: &str) -> TestReport {
        let case = CaseReport {
            name: "xen_lives_on_and_grants_nothing".into(),
            verdict,
            diagnostics: vec![said.into()],
            elapsed: Duration::ZERO,
        };
        TestReport {
            cases: vec![case],
            xen_words: vec!["(XEN) words".into()],
            began: true,
            ..TestReport::new(HYPERCALL_FUZZ, Status::Crash)
        }
    }

    fn flaw(report: &TestReport, host: Host) -> Option<(Status, String, String)> {
        Flaw::of(report, host).map(|flaw| (flaw.status, flaw.name, flaw.how))
    }

    #[test]
    fn what_is_left_of_the_host_decides() {
        let died = report(Verdict::Crash("Xen panicked: FATAL PAGE FAULT at f+0x1".into()), "");
        assert_eq!(
            flaw(&died, Host::Gone),
            Some((
                Status::Crash,
                "hypercall-Xen-panicked--FATAL-PAGE-FAULT".into(),
                "Xen panicked: FATAL PAGE FAULT at f+0x1".into()
            ))
        );
        assert_eq!(
            flaw(&died, Host::Silent),
            Some((Status::Timeout, "hypercall-hang".into(), "the host no longer answers".into()))
        );
        // The domain's own affair.
        assert_eq!(flaw(&died, Host::Alive), None);
    }

    #[test]
    fn a_broken_claim_is_named_by_the_call_or_by_what_changed() {
        let said = "# step 264: some_op: answers success, not an error";
        let granted = report(Verdict::Failure, said);
        assert_eq!(
            flaw(&granted, Host::Alive),
            Some((
                Status::Failure,
                "hypercall-grants-some-op".into(),
                "step 264: some_op: answers success, not an error".into()
            ))
        );
        let changed = report(Verdict::Failure, "expected: memory as it was");
        let (status, name, _) = flaw(&changed, Host::Alive).unwrap();
        assert_eq!((status, name.as_str()), (Status::Failure, "hypercall-memory"));
        let well = report(Verdict::Success, "");
        assert_eq!(flaw(&well, Host::Alive), None);
    }
}
