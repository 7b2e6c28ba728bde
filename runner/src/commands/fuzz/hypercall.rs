//! `fuzz hypercall`: one domain after the other makes random hypercalls, each from a seed of its own.
//!
//! The guest's half is the test `hypercall-fuzz`. A domain that dies is only counted. A Xen that
//! dies or no longer answers, a privileged call that succeeds, or memory that changed is a finding,
//! once it occurred again from its seed on a fresh boot. The target lives in the runner because
//! nothing guides it: the plugin counts what a dom0 under QEMU executes, and a domain's calls are
//! few beside what it takes to make the domain.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{IsTerminal, Write as _, stderr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use protocol::programs::{EVERY as EVERY_WORD, FROM, HYPERCALL_FUZZ, PERFORMED, SEED, STEP, STEPS};

use crate::base::environment::Environment;
use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::note;
use crate::base::plural::count;
use crate::base::signals::StopSignal;
use crate::base::status::Status;
use crate::cli::{DomainBackend, HypercallArgs};
use crate::image;
use crate::judge::{Event, TestReport, console};
use crate::machine::boot::{self, Limits};
use crate::machine::debug::Debug;
use crate::machine::logs::RunLogs;
use crate::machine::qemu::{BootMode, Qemu};
use crate::machine::rig::the_xen;
use crate::machine::session::{Backend as _, Prepared};
use crate::machine::xl::{Domains, Remote, Source, booted_xens};
use crate::plan::Boot;
use crate::plan::config::{Config, Hypervisor};
use crate::plan::select::Selected;
use crate::plan::spec::join;
use crate::results::Known;
use crate::results::expect::{Expectations, Subject};
use crate::xen::hypervisor::{self, Cache};

/// So many domains in a row without a call are no accident.
const STILLBORN: usize = 3;
/// How many calls before the last one are tried first when a finding comes again.
const BEFORE: [u64; 2] = [0, 9];
/// A line on the console takes longer than a call: there is one for so many. Which call it was comes
/// out when they are made again, one by one.
const EVERY: u64 = 32;
/// The status line changes this often on a terminal,
const LIVE: Duration = Duration::from_millis(500);
/// and a new one comes this often elsewhere.
const LOG: Duration = Duration::from_secs(5);

/// What makes a domain's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calls {
    environment: Environment,
    seed: u64,
    from: u64,
    steps: u64,
    every: u64,
}

impl Calls {
    fn words(&self) -> String {
        let Calls { seed, from, steps, every, .. } = self;
        format!("{SEED}={seed} {FROM}={from} {STEPS}={steps} {EVERY_WORD}={every}")
    }
}

/// What came of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Went {
    /// It made all its calls.
    Well,
    /// It died; how.
    Died(String),
    /// It has shown that something is wrong with Xen.
    Wrong(Flaw),
}

/// Something that is wrong with Xen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flaw {
    status: Status,
    /// What tells it from others, as a file's name.
    name: String,
    how: String,
    words: Vec<String>,
}

impl Flaw {
    /// The flaw of which `report` tells, if any; `host` is what is left of the host.
    fn of(report: &TestReport, host: Host) -> Option<Flaw> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let failed = report.cases.iter().find(|case| case.verdict.status() == Status::Failure);
        let (status, what, how) = match (host, failed) {
            (Host::Gone, _) => {
                let how = report.reasons.first().map_or("Xen died", String::as_str);
                // Where it was is another place in each build.
                (Status::Crash, how.split(" at ").next().unwrap_or(how).to_owned(), how)
            }
            (Host::Silent, _) => (Status::Timeout, "hang".into(), "the host no longer answers"),
            (Host::Alive, Some(case)) => {
                let how = case.diagnostics.last().map_or("a claim is broken", String::as_str);
                let call = how.split_once("step ").and_then(|(_, rest)| rest.split(": ").nth(1));
                let what = call.map_or("memory".into(), |call| format!("grants-{call}"));
                (Status::Failure, what, how)
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
enum Host {
    Alive,
    /// Its machine runs, and does not answer.
    Silent,
    Gone,
}

/// One domain.
struct Round {
    went: Went,
    /// The step and text of the last call.
    last: Option<(u64, String)>,
    version: Option<String>,
    provenance: String,
}

/// A flaw that came again, or that nobody can try again.
struct Finding {
    flaw: Flaw,
    expected: Option<Known>,
    path: PathBuf,
    times: usize,
}

struct Campaign<'a> {
    args: &'a HypercallArgs,
    config: &'a Config,
    xen: &'a Hypervisor,
    test: &'a Selected,
    image: PathBuf,
    backend: &'a Domains<'a>,
    expectations: Expectations,
    logs: RunLogs,
    stop: &'a StopSignal,
    start: Instant,
    /// The number of the next domain's folder, those of second attempts among them.
    rounds: Cell<usize>,
    domains: usize,
    calls: u64,
    /// Deaths by the call that was the last one, and one example of each.
    deaths: BTreeMap<String, (usize, String)>,
    findings: BTreeMap<String, Finding>,
    unconfirmed: usize,
}

/// Runs the command.
pub fn fuzz(args: &HypercallArgs) -> Result<Exit> {
    let booting = args.backend == DomainBackend::QemuXl;
    let wrong = match (&args.xen, &args.host) {
        (Some(_), _) if !booting => {
            "--xen chooses what QEMU boots, but --backend xl runs on the Xen of the Xen host; omit \
             --xen, or use --backend qemu-xl"
        }
        (_, Some(_)) if booting => "--host needs --backend xl",
        _ => "",
    };
    if !wrong.is_empty() {
        return Err(Error::Usage(wrong.into()));
    }
    let config = Config::load(args.places.config.as_deref())?;
    let image = image::find(args.places.image.as_deref(), &config.workspace)?;
    let test =
        image.tests.iter().find(|test| test.name == HYPERCALL_FUZZ).cloned().ok_or_else(|| {
            let path = image.path.display();
            Error::Data(format!(
                "the image {path} has no test {HYPERCALL_FUZZ}; build it with `make build`"
            ))
        })?;
    let qemu = Qemu { mode: BootMode::Plain, ..Qemu::of(args.qemu.as_deref(), &config) };
    let xen = if booting {
        the_xen(&config, args.xen.as_deref())?
    } else {
        Hypervisor::elsewhere(args.host.as_deref().unwrap_or("xl"))
    };
    let mut xens = Vec::new();
    if booting {
        qemu.probe()?;
        let cache = Cache::of_workspace(&config.workspace)?.looking(args.fetch.look());
        xens = booted_xens(std::slice::from_ref(&xen), &cache)?;
    }
    let stop = StopSignal::install()?;
    let base = args.logs.clone().unwrap_or(config.workspace.join("logs"));
    let logs = RunLogs::create(&base, &stop)?;
    let source = if booting {
        Source::Booted { qemu: &qemu, xens, logs: logs.dir().to_owned() }
    } else {
        let remote = args.host.as_ref().map(|host| Remote::of(host, args.ssh_config.as_deref()));
        Source::Given { name: xen.name.clone(), remote }
    };
    let backend = Domains::new(source, &image, String::new())?;
    let mut campaign = Campaign {
        args,
        config: &config,
        xen: &xen,
        test: &Selected::from(test),
        image: image.path.clone(),
        backend: &backend,
        expectations: Expectations::load(args.expect.as_deref(), &config, &image.tests)?,
        logs,
        stop: &stop,
        start: Instant::now(),
        rounds: Cell::new(1),
        domains: 0,
        calls: 0,
        deaths: BTreeMap::new(),
        findings: BTreeMap::new(),
        unconfirmed: 0,
    };
    let done = campaign.run();
    campaign.summary();
    for name in backend.sweep() {
        note(&format!("destroyed the domain {name}, which had been left behind"));
    }
    done?;
    Ok(campaign.stop.requested().unwrap_or(campaign.verdict()))
}

impl Campaign<'_> {
    fn run(&mut self) -> Result<()> {
        let seeds = (0..).map(|round| self.args.seed.wrapping_add(round));
        let kinds = self.args.env.iter().cycle();
        let (steps, mut stillborn) = (self.args.steps, 0);
        let mut told = None;
        for (seed, &environment) in seeds.zip(kinds) {
            let seconds = self.start.elapsed().as_secs();
            let over = self.args.seconds.is_some_and(|limit| seconds >= limit);
            if over || self.stop.requested().is_some() {
                break;
            }
            let calls = Calls { environment, seed, from: 0, steps, every: EVERY };
            let round = self.round(calls)?;
            if self.stop.requested().is_some() {
                break;
            }
            self.domains += 1;
            self.calls += match (&round.went, &round.last) {
                (Went::Well, _) => steps,
                (_, last) => last.as_ref().map_or(0, |(step, _)| step + 1),
            };
            stillborn = if round.last.is_some() { 0 } else { stillborn + 1 };
            match &round.went {
                Went::Well => {}
                Went::Died(how) if stillborn == STILLBORN => {
                    return Err(Error::Tool(format!(
                        "{STILLBORN} domains in a row made no call; the last one: {how}; logs: {}",
                        self.logs.dir().display()
                    )));
                }
                Went::Died(how) => self.died(calls, &round, how)?,
                Went::Wrong(flaw) => self.found(calls, &round, flaw)?,
            }
            self.tell(&mut told);
        }
        Ok(())
    }

    /// A domain makes these calls.
    fn round(&self, calls: Calls) -> Result<Round> {
        let Calls { environment, seed, .. } = calls;
        let mut machine = self.config.machine(self.xen, self.test);
        machine.guest_cmdline = join([&machine.guest_cmdline, &calls.words()]);
        let boot = Boot { xen: 0, environment, machine, tests: vec![self.test] };
        let time = self.config.test_time(self.test);
        let limits = Limits {
            boot: Duration::from_secs(self.config.qemu.boot_timeout_s),
            test: &|_| time,
            enough: &boot::never_enough,
            debug: Debug::No,
        };
        let title = format!("{}-{seed}", environment.name());
        let elf = self.backend.xen_file(0);
        let mut logs =
            self.logs.boot(self.rounds.replace(self.rounds.get() + 1), &title, elf, &self.image)?;
        let prepared = self.backend.prepare(&boot, &limits, self.stop, &mut logs)?;
        let Prepared { provenance, start, .. } = prepared;
        let (carrier, judge) = start.map_err(|why| {
            let environment = environment.name();
            Error::Usage(format!("{why}; remove {environment} from --env"))
        })?;
        let mut last = None;
        let outcome =
            boot::run(carrier.as_ref(), judge, &limits, self.stop, &mut logs, &mut |event| {
                if let Event::Line(line) = event
                    && line.speaker == console::Speaker::Guest
                    && let Some((_, call)) = line.text.split_once(PERFORMED)
                    && let Some(step) = step(call)
                {
                    last = Some((step, call.to_owned()));
                }
            })?;
        let went = match outcome.judgement.settled.first() {
            Some(report) if report.status == Status::Success => Went::Well,
            Some(report) if report.status == Status::Skip => {
                return Err(Error::Tool(format!(
                    "the guest skipped its test: {}",
                    report.reasons.join("; ")
                )));
            }
            Some(report) => Flaw::of(report, self.host())
                .map_or_else(|| Went::Died(report.reasons.join("; ")), Went::Wrong),
            None => Went::Died("stopped".into()),
        };
        if !matches!(went, Went::Wrong(_)) && last.is_some() {
            // Thousands of them would fill the disk; the seed tells it all again.
            fs::remove_dir_all(logs.dir()).io("remove", logs.dir())?;
        }
        Ok(Round { went, last, version: outcome.judgement.version, provenance })
    }

    fn host(&self) -> Host {
        match (self.backend.is_powered(0), self.backend.answers(0)) {
            (_, true) => Host::Alive,
            (true, false) => Host::Silent,
            (false, false) => Host::Gone,
        }
    }

    fn died(&mut self, calls: Calls, round: &Round, how: &str) -> Result<()> {
        let again = match &round.last {
            Some((from, _)) => {
                let steps = calls.steps.min(from + EVERY);
                Some(self.round(Calls { from: *from, steps, every: 1, ..calls })?)
            }
            None => None,
        };
        let round = match &again {
            Some(again) => match &again.went {
                Went::Wrong(flaw) => return self.found(calls, again, flaw),
                Went::Died(_) => again,
                // It took what came before.
                Went::Well => round,
            },
            None => round,
        };
        let path = self.logs.dir().join("deaths.txt");
        let mut file = File::options().append(true).create(true).open(&path).io("open", &path)?;
        let environment = calls.environment.name();
        let (name, call) = match &round.last {
            Some((_, call)) => (call.split(' ').nth(2).unwrap_or("?"), call.as_str()),
            None => ("before the first call", "no call"),
        };
        writeln!(file, "{environment} {call}: {how}").io("write", &path)?;
        let example = || (0, format!("{environment} {call}"));
        self.deaths.entry(name.to_owned()).or_insert_with(example).0 += 1;
        Ok(())
    }

    /// Tries again what has gone wrong, on a fresh boot, and keeps it.
    fn found(&mut self, calls: Calls, round: &Round, flaw: &Flaw) -> Result<()> {
        let subject = Subject {
            xen: &self.xen.name,
            version: round.version.as_deref(),
            environment: calls.environment,
        };
        if let Some(finding) = self.findings.get_mut(&flaw.name) {
            finding.times += 1;
            self.backend.power_off();
            return Ok(());
        }
        let shortest = self.again(calls, round, flaw)?;
        self.backend.power_off();
        if self.stop.requested().is_some() {
            return Ok(());
        }
        let Some((calls, round)) = shortest else {
            self.unconfirmed += 1;
            note(&format!("not confirmed: {} ({})", flaw.how, calls.words()));
            return Ok(());
        };
        let mut evidence = vec![flaw.how.clone()];
        evidence.extend(flaw.words.iter().cloned());
        let expected = self.expectations.of_finding(&flaw.name, flaw.status, &evidence, subject);
        let path = self.keep(calls, &round, flaw)?;
        if expected.is_none() {
            note(&format!("new finding: {}: {}\n{}", flaw.name, flaw.how, path.display()));
        }
        let finding = Finding { flaw: flaw.clone(), expected, path, times: 1 };
        self.findings.insert(flaw.name.clone(), finding);
        Ok(())
    }

    /// The fewest calls that show `flaw` again, and how they went; `round` is how it showed first.
    fn again(&self, calls: Calls, round: &Round, flaw: &Flaw) -> Result<Option<(Calls, Round)>> {
        let step = round.last.as_ref().map_or(0, |(step, _)| *step);
        // The last calls may not have come through.
        let steps = calls.steps.min(step + 1 + EVERY);
        let mut froms: Vec<u64> = BEFORE.iter().map(|count| step.saturating_sub(*count)).collect();
        froms.push(0);
        froms.dedup();
        for from in froms {
            let Some(shown) = self.shows(Calls { from, steps, every: 1, ..calls }, flaw)? else {
                // Of another boot there is no more to learn where the host is not ours.
                if !self.backend.is_powered(0) && self.host() != Host::Alive {
                    break;
                }
                continue;
            };
            // It tells the last call, which is then tried alone.
            let alone = match &shown.1.last {
                Some((last, _)) if *last > from => {
                    self.shows(Calls { from: *last, ..shown.0 }, flaw)?
                }
                _ => None,
            };
            return Ok(Some(alone.unwrap_or(shown)));
        }
        Ok(None)
    }

    /// Makes `calls` on a fresh boot; if they show `flaw`, those up to the last one.
    fn shows(&self, calls: Calls, flaw: &Flaw) -> Result<Option<(Calls, Round)>> {
        self.backend.power_off();
        let round = self.round(calls)?;
        let same = matches!(&round.went, Went::Wrong(same) if same.name == flaw.name);
        let steps = round.last.as_ref().map_or(calls.steps, |(step, _)| step + 1);
        Ok(same.then_some((Calls { steps, ..calls }, round)))
    }

    /// Writes a finding down as a script that replays it.
    fn keep(&self, calls: Calls, round: &Round, flaw: &Flaw) -> Result<PathBuf> {
        let elf = self.backend.xen_file(0);
        let id = elf.and_then(hypervisor::build_id).unwrap_or_else(|| self.xen.name.clone());
        let dir = self.args.findings.join(&id);
        fs::create_dir_all(&dir).io("create", &dir)?;
        let path = dir.join(format!("{}.sh", flaw.name));
        let mut text = format!("#!/bin/sh\n# {}\n# Xen: {}, {id}\n", flaw.how, round.provenance);
        if let Some((_, call)) = &round.last {
            let _ = writeln!(text, "# the last call: {call}");
        }
        text += &self.command(calls);
        text.push('\n');
        for line in &flaw.words {
            let _ = writeln!(text, "# | {line}");
        }
        fs::write(&path, text).io("write", &path)?;
        Ok(path)
    }

    /// The command that makes these calls again.
    fn command(&self, calls: Calls) -> String {
        let args = self.args;
        let mut words = vec!["run".into(), HYPERCALL_FUZZ.into(), "--env".into()];
        words.push(calls.environment.name().to_owned());
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([name.to_owned(), value]);
            }
        };
        // Who replays it may stand elsewhere.
        let text = |path: &PathBuf| {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
        };
        match args.backend {
            DomainBackend::Xl => option("--backend", Some("xl".into())),
            DomainBackend::QemuXl => {
                option("--backend", Some("qemu-xl".into()));
                option("--xen", Some(self.xen.name.clone()));
            }
        }
        option("--host", args.host.clone());
        option("--ssh-config", args.ssh_config.as_ref().map(text));
        option("--config", args.places.config.as_ref().map(text));
        option("--image", args.places.image.as_ref().map(text));
        option("--cmdline", Some(calls.words()));
        let words = words.iter().map(|word| shlex::try_quote(word).unwrap_or(word.into()));
        format!("exec xtf-runner {}", words.collect::<Vec<_>>().join(" "))
    }

    /// The status line.
    fn tell(&self, told: &mut Option<Instant>) {
        let live = stderr().is_terminal();
        let pause = if live { LIVE } else { LOG };
        if told.is_some_and(|told| told.elapsed() < pause) {
            return;
        }
        *told = Some(Instant::now());
        let line = self.line();
        // On a terminal it takes the last one's place.
        if live { eprint!("\r{line}\x1b[K") } else { eprintln!("{line}") }
    }

    fn line(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        let deaths: usize = self.deaths.values().map(|(count, _)| count).sum();
        format!(
            "{seconds:.0} s: {} ({:.1}/s), {} ({:.0}/s), {}, {}",
            count(self.domains, "domain"),
            self.domains as f64 / seconds,
            count(self.calls, "call"),
            self.calls as f64 / seconds,
            count(deaths, "death"),
            count(self.findings.len(), "finding")
        )
    }

    fn summary(&self) {
        if stderr().is_terminal() {
            eprintln!();
        }
        println!("{}; {} unconfirmed", self.line(), self.unconfirmed);
        let mut deaths: Vec<_> = self.deaths.iter().collect();
        deaths.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (name, (count, example)) in deaths {
            println!(" death {count:>4} × {name}, as {example}");
        }
        if !self.deaths.is_empty() {
            println!("       all of them: {}", self.logs.dir().join("deaths.txt").display());
        }
        for (name, Finding { flaw, expected, path, times }) in &self.findings {
            match expected {
                Some(Known { reason, link, .. }) => {
                    let link = link.as_ref().map(|link| format!(" ({link})")).unwrap_or_default();
                    println!(" KNOWN {name} ({times}): {reason}{link}");
                }
                None => {
                    let path = path.display();
                    println!("{} {name} ({times} times): {}\n       {path}", flaw.status, flaw.how);
                }
            }
        }
    }

    fn verdict(&self) -> Exit {
        let news = self.findings.values().filter(|finding| finding.expected.is_none());
        news.map(|finding| finding.flaw.status.into()).fold(Exit::Success, Ord::max)
    }
}

/// The step of a call as it is on the console.
fn step(call: &str) -> Option<u64> {
    let value = |word: &str| word.split_once('=').filter(|(key, _)| *key == STEP)?.1.parse().ok();
    call.split(' ').find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{CaseReport, Verdict};

    /// A report of the test: why it did not end, and what was said with its case.
    fn report(reason: Option<&str>, verdict: Verdict, said: &str) -> TestReport {
        let case = CaseReport {
            name: "xen_lives_on_and_grants_nothing".into(),
            verdict,
            diagnostics: vec![said.into()],
            elapsed: Duration::ZERO,
        };
        TestReport {
            cases: if reason.is_none() { vec![case] } else { Vec::new() },
            reasons: reason.map(str::to_owned).into_iter().collect(),
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
        let died = report(Some("Xen panicked: FATAL PAGE FAULT at f+0x1"), Verdict::Success, "");
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
        let said = "# step 264: kexec_op: answers success, not an error";
        let granted = report(None, Verdict::Failure, said);
        assert_eq!(
            flaw(&granted, Host::Alive),
            Some((
                Status::Failure,
                "hypercall-grants-kexec-op".into(),
                "step 264: kexec_op: answers success, not an error".into()
            ))
        );
        let changed = report(None, Verdict::Failure, "expected: memory as it was");
        let (status, name, _) = flaw(&changed, Host::Alive).unwrap();
        assert_eq!((status, name.as_str()), (Status::Failure, "hypercall-memory"));
        let well = report(None, Verdict::Success, "");
        assert_eq!(flaw(&well, Host::Alive), None);
    }

    #[test]
    fn the_step_is_read_off_the_console() {
        assert_eq!(step("seed=2 step=1302 event_channel_op [5, 3443e8]"), Some(1302));
        assert_eq!(step("seed=2 step=x event_channel_op"), None);
        assert_eq!(step("event_channel_op"), None);
    }
}
