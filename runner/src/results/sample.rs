//! A made-up run that contains everything a report can show.

use std::path::Path;
use std::time::Duration;

use super::document::{Document, Host, Run, Unit};
use super::{About, Recorder};
use crate::base::exit::{Error, Exit};
use crate::base::status::Status;
use crate::image::{Image, TestMeta};
use crate::judge::{CaseReport, Cause, SeenChange, Sights, TestReport, Verdict};
use crate::results::again::Again;
use crate::results::event::{BootFacts, RunEvent, SettledTest};
use crate::results::expect::{Expectations, Subject};
use crate::results::{Evidence, PayloadStep};
use protocol::metadata::Environment::{self, Pv64, Pvh64};

/// What is known of the outcomes.
pub const EXPECTATIONS: &str = r#"
[[expect]]
xen = "4.20*"
test = "elf/sections/*"
status = "FAILURE"
reason = "fixed by the next point release"
link = "https://example.org/bug/7"

[[expect]]
xen = "4.17"
environment = "pv64"
test = "stack"
status = "FAILURE"
reason = "was broken once"

[[expect]]
test = "elf/sections/gone"
status = "FAILURE"
reason = "nobody remembers"

[[expect]]
test = "crash"
status = "CRASH"
panic = "Xen panicked: *"
reason = "dies in livepatch_op"
"#;

/// The tests of the image.
pub fn tests() -> Vec<TestMeta> {
    let test = |name: &str, cases: &[&str]| TestMeta {
        title: format!("What {name} proves"),
        cases: cases.iter().map(|case| (*case).into()).collect(),
        ..TestMeta::named(name)
    };
    vec![
        test("list", &["list/one", "list/many", "list/later"]),
        test("elf", &["sections/none", "sections/some", "hooks"]),
        test("stack", &["depth/1", "depth/2"]),
        test("crash", &["dies"]),
        test("trap", &["faults", "after", "later", "last"]),
        test("priv", &["x"]),
        test("soak", &["long", "longer"]),
        test("tool", &["x"]),
    ]
}

fn case(name: &str, verdict: Verdict, said: &[&str], ms: u64) -> CaseReport {
    CaseReport {
        name: name.into(),
        verdict,
        diagnostics: said.iter().map(|line| (*line).to_owned()).collect(),
        elapsed: Duration::from_millis(ms),
    }
}

fn report(name: &str, cases: Vec<CaseReport>) -> TestReport {
    let status = Status::of_parts(cases.iter().map(|case| case.verdict.status()));
    let elapsed = cases.iter().map(|case| case.elapsed).sum::<Duration>();
    TestReport {
        cases,
        began: true,
        elapsed: elapsed + Duration::from_millis(5),
        ..TestReport::new(name, status.unwrap_or(Status::Skip))
    }
}

/// The end of a boot in a case of `report`, by its verdict.
fn ended(mut report: TestReport, cause: Cause, at: &str, verdict: Verdict) -> TestReport {
    report.status = report.status.max(verdict.status());
    report.cause = Some(cause);
    report.cases.push(case(at, verdict, &[], 0));
    report
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn list() -> TestReport {
    let skip = Verdict::Skip("needs <two> CPUs & more".into());
    let deviation = Verdict::Deviation("doc-16: expected EINVAL, got success".into());
    report(
        "list",
        vec![
            case("list/one", Verdict::Success, &["ok 1 not a result line"], 2),
            case("list/many", skip, &[], 1),
            case("list/later", deviation, &[], 12_345),
        ],
    )
}

fn elf(bad: bool) -> TestReport {
    let some = if bad { Verdict::Failure } else { Verdict::Success };
    let said: &[&str] = if bad { &["expected \"EINVAL\", got <success> ]]>"] } else { &[] };
    let hooks = if bad { Verdict::Error("no memory".into()) } else { Verdict::Success };
    report(
        "elf",
        vec![
            case("sections/none", Verdict::Success, &[], 3),
            case("sections/some", some, said, 4),
            case("hooks", hooks, &[], 5),
        ],
    )
}

fn stack(bad: bool) -> TestReport {
    let deep = if bad { Verdict::Failure } else { Verdict::Success };
    report("stack", vec![case("depth/1", Verdict::Success, &[], 3), case("depth/2", deep, &[], 4)])
}

fn crash(dies: bool) -> TestReport {
    if !dies {
        return report("crash", vec![case("dies", Verdict::Success, &[], 3)]);
    }
    let why = Verdict::Crash("Xen panicked: FATAL PAGE FAULT".into());
    let mut report = ended(report("crash", Vec::new()), Cause::Xen, "dies", why);
    report.xen_words = lines(
        "(XEN) ----[ Xen-4.17.7  x86_64  debug=n  Not tainted ]----\n\
         (XEN) RIP:    e008:[<ffff82d04020d0b4>] livepatch_op+0x1a4/0x1810\n\
         (XEN) Panic on CPU 0:\n(XEN) FATAL PAGE FAULT\n(XEN) [error_code=0000]",
    );
    report
}

fn trap() -> TestReport {
    let why = Verdict::Crash("the guest died: TRAP unexpected trap #PF at 0x101000".into());
    let before = vec![case("faults", Verdict::Failure, &["expected ENOENT, got EINVAL"], 3)];
    let mut report = ended(report("trap", before), Cause::Guest, "after", why);
    report.diagnostics = lines("TRAP unexpected trap #PF at 0x101000\nrax 0x0 rbx 0x1\ncr2 0x0");
    report.backtrace = vec![0x101000, 0x102000];
    report.not_run = vec!["later".into(), "last".into()];
    report
}

/// What two more boots say of the rest of [`trap`]: another death, and nothing.
fn more_of_trap() -> [TestReport; 2] {
    let why = Verdict::Crash("Xen panicked: Assertion 'x' failed at y.c:3".into());
    let mut second = ended(report("trap", Vec::new()), Cause::Xen, "later", why);
    second.xen_words = lines("(XEN) Assertion 'x' failed at y.c:3\n(XEN) Panic on CPU 0:");
    let why = "before the first test began: Xen panicked: out of memory";
    let nothing =
        TestReport { reasons: vec![why.into()], ..TestReport::new("trap", Status::Crash) };
    [second, nothing]
}

fn skipped() -> TestReport {
    let mut report = report("priv", Vec::new());
    report.reasons = vec!["livepatch is not built into this Xen".into()];
    report
}

fn soak() -> TestReport {
    let before = vec![case("long", Verdict::Success, &[], 20_000)];
    let why = Verdict::Timeout("no result within 30 s".into());
    ended(report("soak", before), Cause::Time, "longer", why)
}

fn tool() -> TestReport {
    let why = "QEMU died: was killed by signal 11: qemu: internal trouble";
    ended(report("tool", Vec::new()), Cause::Qemu, "x", Verdict::Error(why.into()))
}

/// The run, before it is known what it is about.
fn run() -> Run {
    Run {
        runner: "0.1.0".into(),
        started: "2026-01-02T03:04:05+00:00".into(),
        host: Host { name: "host".into(), kernel: "Linux 6.1.0".into(), cpus: 2 },
        command: ["xtf-runner", "run", "--xen", "all"].map(String::from).to_vec(),
        directory: "/home/user/xtf".into(),
        ..Run::default()
    }
}

/// Tells a recorder of a run.
struct Teller {
    recorder: Recorder,
    expectations: Expectations,
    plan: Vec<Unit>,
    boots: usize,
}

impl Teller {
    fn new() -> Teller {
        let mut expectations = Expectations::default();
        expectations.parse(EXPECTATIONS, "expectations.toml").unwrap();
        let (path, sha256) = ("/home/user/xtf/xtf".into(), "00ff".into());
        let image = Image { path, sha256, tests: tests(), is_32bit: false, narrow: None };
        let places =
            || tests().into_iter().flat_map(|test| [(test.name.clone(), Pv64), (test.name, Pvh64)]);
        let again = Again {
            program: "xtf-runner".into(),
            tests: places().map(|place| (place.clone(), vec![place.0])).collect(),
            xens: ["4.17", "4.20"].map(|xen| (xen.into(), vec!["--xen".into(), xen.into()])).into(),
            options: ["--cmdline", "a=<b> c"].map(str::to_owned).into(),
        };
        let about = About {
            expectations: expectations.clone(),
            whole_matrix: true,
            again: Some(again),
            ..About::image(&image, "QEMU emulator version 7.2.22")
        };
        let names = tests().into_iter().map(|test| test.name);
        let units = names.flat_map(|test| {
            [("4.17", Pv64), ("4.17", Pvh64), ("4.20", Pv64)].map(|(xen, environment)| Unit {
                xen: xen.into(),
                environment,
                test: test.clone(),
            })
        });
        let mut plan: Vec<Unit> = units.collect();
        plan.sort_by_key(|unit| (unit.xen.clone(), unit.environment));
        let mut recorder = Recorder::new(run());
        recorder.is_about(about);
        recorder.event(&RunEvent::RunStarted {
            boots: 3,
            plan: &plan,
            logs: Path::new("/home/user/xtf/logs/20260102-030405"),
        });
        Teller { recorder, expectations, plan, boots: 0 }
    }

    fn boot(
        &mut self,
        xen: &str,
        environment: Environment,
        attempt: usize,
        reports: Vec<TestReport>,
    ) {
        self.boot_of(self.boots + 1, (xen, environment), attempt, reports);
    }

    /// A boot for tests that began in the boot `began`.
    fn boot_of(
        &mut self,
        began: usize,
        (xen, environment): (&str, Environment),
        attempt: usize,
        reports: Vec<TestReport>,
    ) {
        self.boots += 1;
        let boot = self.boots;
        let tests: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        let logs =
            format!("/home/user/xtf/logs/20260102-030405/{boot:03}-{xen}-{}", environment.name());
        let provenance = format!("xen-hypervisor-{xen} (Debian)");
        let facts = BootFacts {
            provenance: &provenance,
            build_id: Some("c0ffee"),
            backend: "qemu",
            loader: Some("direct"),
            mode: "fast, tcg",
            command: "qemu-system-x86_64 -kernel xen -append 'console=com1 <x>'",
            logs: Path::new(&logs),
            power_on: None,
        };
        self.recorder.event(&RunEvent::BootStarted {
            boot,
            xen,
            environment,
            tests: &tests,
            facts: &facts,
        });
        if environment == Pv64 {
            let seen = |name: &str, commit: &str, present, surprising| SeenChange {
                name: name.into(),
                commit: Some(commit.into()),
                present,
                surprising,
            };
            let sights = Sights {
                changes: vec![
                    seen("xen-depends-first", "fa49f4be41", true, true),
                    seen("bounded-list", "4c3ce492ed", false, false),
                ],
                notes: vec![format!(
                    "{xen}.7 behaves as since fa49f4be41 (xen-depends-first): backported"
                )],
            };
            self.recorder.event(&RunEvent::XenSeen { boot, sights: &sights });
        }
        let version = format!("{xen}.7");
        let cause = reports.iter().find_map(|report| report.cause);
        for report in reports {
            let version = Some(version.as_str());
            let weighed = self.expectations.weigh(&report, Subject { xen, version, environment });
            let index = self.plan.iter().position(|unit| {
                (unit.xen.as_str(), unit.environment, &unit.test)
                    == (xen, environment, &report.name)
            });
            let frame =
                |address: &u64| format!("{address:#x} tests::trap::faults at tests/src/trap.rs:12");
            let evidence = report.seen().map(|(diagnostics, backtrace, xen_words)| Evidence {
                diagnostics: diagnostics.to_vec(),
                backtrace: backtrace.iter().map(frame).collect(),
                xen_words: xen_words.to_vec(),
            });
            let outcome = SettledTest {
                xen: xen.into(),
                environment,
                flaky: attempt > 1 && !weighed.status.is_bad(),
                evidence: evidence.collect(),
                report,
                weighed,
                attempt,
                again: false,
                amended: began != boot,
                index: index.unwrap(),
            };
            self.recorder.event(&RunEvent::TestSettled { boot: began, outcome: &outcome });
        }
        if boot == 1 {
            let step = PayloadStep {
                test: "payload-try".into(),
                payload: "lp".into(),
                step: "APPLY again".into(),
                answer: Some("EINVAL".into()),
                foretold: Some("success".into()),
                times: 1,
                xen_words: vec!["livepatch: lp: \"no\" <again>".into()],
            };
            let cut = PayloadStep { answer: None, foretold: None, ..step.clone() };
            self.recorder.event(&RunEvent::PayloadSteps { boot, steps: &[step, cut] });
        }
        self.recorder.event(&RunEvent::BootEnded {
            boot,
            elapsed: Duration::from_millis(1500),
            version: Some(&version),
            ended_by: cause,
        });
        if cause == Some(Cause::Xen) {
            let text = "recorded in 003/recording, 5 MB\nit can be debugged anywhere";
            self.recorder.event(&RunEvent::Recorded { boot, text });
        }
    }

    fn end(mut self, stopped: Option<Exit>) -> Document {
        let exit = stopped.unwrap_or(Exit::Timeout);
        let elapsed = Duration::from_millis(65_432);
        self.recorder.event(&RunEvent::RunEnded { elapsed, stopped, error: None, exit });
        self.recorder.document()
    }
}

/// The whole run.
pub fn whole() -> Document {
    let mut teller = Teller::new();
    let first = vec![list(), elf(false), stack(true), crash(true)];
    teller.boot("4.17", Pv64, 1, first);
    let mut trapped = trap();
    teller.boot("4.17", Pv64, 1, vec![trapped.clone()]);
    for more in more_of_trap() {
        let behind = trapped.cases.last().unwrap().name.clone();
        trapped.go_on(teller.boots + 1, &behind, more);
        teller.boot_of(2, ("4.17", Pv64), 1, vec![trapped.clone()]);
    }
    teller.boot("4.17", Pv64, 1, vec![skipped(), soak()]);
    teller.boot("4.17", Pv64, 1, vec![tool()]);
    let good = || report("trap", vec![case("faults", Verdict::Success, &[], 3)]);
    let fine = || report("tool", vec![case("x", Verdict::Success, &[], 3)]);
    teller.boot("4.17", Pvh64, 1, vec![list(), elf(false), stack(true), crash(false)]);
    teller.boot("4.17", Pvh64, 1, vec![good(), skipped(), list_like("soak"), fine()]);
    teller.boot("4.17", Pvh64, 2, vec![stack(false)]);
    teller.boot("4.20", Pv64, 1, vec![list(), elf(true), stack(true), crash(true)]);
    teller.boot("4.20", Pv64, 1, vec![good(), skipped(), list_like("soak"), fine()]);
    teller.end(None)
}

/// The same, stopped after its first boot.
pub fn stopped() -> Document {
    let mut teller = Teller::new();
    teller.boot("4.17", Pv64, 1, vec![list(), elf(false)]);
    teller.end(Some(Exit::Interrupted))
}

/// A run that never came to a boot.
pub fn not_started() -> Document {
    let mut recorder = Recorder::new(Run::of_this_process());
    recorder.did_not_start(&Error::Tool("apt-get is not installed".into()));
    recorder.document()
}

fn list_like(name: &str) -> TestReport {
    report(
        name,
        vec![
            case("long", Verdict::Success, &[], 300),
            case("longer", Verdict::Success, &[], 10_500),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::super::KnownVerdict;
    use super::*;

    #[test]
    fn it_has_everything() {
        let document = whole();
        for status in [
            Status::Success,
            Status::Skip,
            Status::Error,
            Status::Failure,
            Status::Crash,
            Status::Timeout,
        ] {
            assert!(document.tests.iter().any(|test| test.last.status == status), "{status}");
        }
        let news = |test: &&super::super::Test| test.known_verdict() == Some(KnownVerdict::News);
        assert!(document.tests.iter().any(|test| test.flaky));
        assert!(document.tests.iter().any(|test| test.is_known()));
        assert!(document.tests.iter().any(|test| news(&test)));
        assert!(document.expectations.iter().any(|expected| expected.stale));
        assert!(document.complete && !stopped().complete);
        assert_eq!(stopped().not_run.len(), 22);
    }
}
