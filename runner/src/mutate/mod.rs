//! `xtf-runner mutate`: how strong the tests are, measured by breaking Xen on purpose.
//!
//! [`xen_symbols`] reads Xen and its symbols, [`sites`] finds the branches to invert, [`campaign`] runs
//! the tests on each mutant, [`journal`] remembers the results, and [`report`] shows them.

mod campaign;
mod journal;
mod report;
mod sites;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::slice;
use std::time::{Duration, Instant};

use campaign::{Baseline, Campaign};
use journal::{Finding, Journal, Subject};
use report::Progress;
use sites::Site;

use crate::accel::Kvm;
use crate::backend::{AsDom0, as_it_is};
use crate::cli::{BootMode, MutateArgs};
use crate::config::{Config, Hypervisor};
use crate::debug::Debug;
use crate::event::{Listener, RunEvent};
use crate::exit::{Error, Exit, IoContext, Result};
use crate::hypervisor::{self, Cache, Ready};
use crate::image::{Image, TestMeta};
use crate::logs::RunLogs;
use crate::plan::{self, Boot, How};
use crate::qemu::Qemu;
use crate::report::without_files;
use crate::run::{cpus, find_image, write_out};
use crate::session::{Policy, Session};
use crate::signals::Stop;
use crate::xen_symbols::{self, BootXen, Build, Symbols};

/// Runs the command.
pub fn mutate(args: &MutateArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    let xen = xen_symbols::the_xen(args.xen.as_deref(), &config)?;
    let cache = Cache::of_workspace(&config.workspace)?;
    let build = Build::obtain(&xen, args.symbols.as_deref(), &cache)?;
    let mut sites = Vec::new();
    for function in build.functions(&args.functions)? {
        sites.extend(sites::find(function)?);
    }
    if let Some(only) = &args.only {
        sites = vec![sites::by_name(&sites, only)?.clone()];
    }
    if sites.is_empty() {
        return Err(Error::EmptySelection(
            "the chosen functions have no conditional branch".into(),
        ));
    }
    if args.list {
        write_out(&report::listing(&build.symbols, &sites))?;
        return Ok(Exit::Success);
    }

    let image = find_image(&args.places, &config)?;
    config.check_tests(&image)?;
    let tests = plan::choose(&image, &args.selection, &args.env)?;
    let machine = |xen: &Hypervisor, test: &TestMeta| config.machine(xen, test);
    let boots = plan::boots(&tests, slice::from_ref(&xen), &args.env, &How::plain(&machine));
    let qemu = Qemu {
        binary: args.qemu.clone().unwrap_or_else(|| config.qemu.binary.clone()),
        kvm: Kvm::Never,
        mode: BootMode::Fast,
        debug: Debug::No,
        guest_cmdline: String::new(),
        xen_cmdline: String::new(),
    };
    let version = qemu.probe()?;
    let measure = Measure {
        args,
        config: &config,
        xen: &xen,
        ready: &build.ready,
        binary: &build.binary,
        symbols: &build.symbols,
        sites: &sites,
        image: &image,
        boots: &boots,
        qemu: &qemu,
        version: &version,
        stop: &Stop::install()?,
    };
    if args.only.is_some() { measure.one() } else { measure.all() }
}

/// What is measured, and with what.
struct Measure<'a> {
    args: &'a MutateArgs,
    config: &'a Config,
    xen: &'a Hypervisor,
    ready: &'a Ready,
    binary: &'a BootXen,
    symbols: &'a Symbols,
    sites: &'a [Site<'a>],
    image: &'a Image,
    boots: &'a [Boot<'a>],
    qemu: &'a Qemu,
    version: &'a str,
    stop: &'a Stop,
}

impl Measure<'_> {
    /// The only site, as `run` would run it.
    fn one(&self) -> Result<Exit> {
        let site = &self.sites[0];
        let logs = RunLogs::create(&self.config.workspace.join("logs"))?;
        let elf = logs.dir().join("mutant");
        let mutant = self.mutant(site)?;
        fs::write(&elf, mutant).io("write", &elf)?;
        let what = format!("{} with {} inverted", self.ready.provenance, site.name());
        let mutant = Ready { elf, provenance: what };
        let time = |test: &TestMeta| {
            let own = || self.config.test_time(test);
            self.args.timeout.map_or_else(own, Duration::from_secs)
        };
        let mut reporter = without_files(self.image, self.version)?;
        let backend = self.backend(&mutant);
        let exit = self.session(&backend, logs, &time).run(self.boots.to_vec(), &mut reporter)?;
        if exit >= Exit::Usage {
            return Ok(exit);
        }
        let killed = !matches!(exit, Exit::Success | Exit::Skip);
        let outcome = if killed { "killed" } else { "survived" };
        write_out(&format!("{} at {:#x}: {outcome}\n", site.name(), site.address))?;
        Ok(Exit::Success)
    }

    /// The tests on Xen itself, then on each mutant.
    fn all(&self) -> Result<Exit> {
        let mut recorded = match &self.args.out {
            Some(path) => Some(Journal::open(path, &self.subject()?, self.args.resume)?),
            None => None,
        };
        let mut findings: BTreeMap<u64, Finding> = BTreeMap::new();
        if let Some((_, known)) = &mut recorded {
            findings.extend(known.drain());
        }
        findings.retain(|&address, _| self.sites.iter().any(|site| site.address == address));
        let todo: Vec<&Site<'_>> =
            self.sites.iter().filter(|site| !findings.contains_key(&site.address)).collect();

        let start = Instant::now();
        if !todo.is_empty() {
            let logs = RunLogs::create(&self.config.workspace.join("logs"))?;
            let mut witness = Witness {
                reporter: without_files(self.image, self.version)?,
                baseline: Baseline::default(),
            };
            let time = |test: &TestMeta| self.config.test_time(test);
            let backend = self.backend(self.ready);
            let session = self.session(&backend, logs, &time);
            let exit = session.run(self.boots.to_vec(), &mut witness)?;
            if exit != Exit::Success {
                eprintln!("error: nothing to measure: the tests don't all succeed on Xen itself");
                return Ok(exit);
            }
            self.rest(
                &todo,
                &witness.baseline,
                recorded.map(|(journal, _)| journal),
                &mut findings,
            )?;
        }
        write_out(&report::summary(self.symbols, self.sites, &findings, start.elapsed()))?;
        if let Some(stopped) = self.stop.requested() {
            return Ok(stopped);
        }
        Ok(self.grade(&findings))
    }

    /// The mutants of `todo`.
    fn rest(
        &self,
        todo: &[&Site<'_>],
        baseline: &Baseline,
        mut journal: Option<Journal>,
        findings: &mut BTreeMap<u64, Finding>,
    ) -> Result<()> {
        let timeout = self.args.timeout.map_or_else(|| baseline.timeout(), Duration::from_secs);
        let campaign = Campaign {
            xen: self.xen,
            binary: self.binary,
            image: self.image,
            boots: self.boots,
            qemu: self.qemu,
            baseline,
            timeout,
            stop: self.stop,
        };
        let jobs = self.args.jobs.unwrap_or_else(cpus);
        let killed = findings.values().filter(|finding| finding.killer().is_some()).count();
        let mut progress = Progress::new(self.sites.len(), findings.len(), killed);
        let done = campaign.run(todo, jobs, |finding| {
            progress.settled(&finding);
            if let Some(journal) = &mut journal {
                journal.add(&finding)?;
            }
            findings.insert(finding.address, finding);
            Ok(())
        });
        progress.end();
        done
    }

    fn mutant(&self, site: &Site<'_>) -> Result<Vec<u8>> {
        self.binary
            .inverted(site.opcode)
            .ok_or_else(|| xen_symbols::in_file(&self.ready.elf, "is too short"))
    }

    /// Xen itself or a mutant, as what the tests run on.
    fn backend<'s>(&'s self, ready: &'s Ready) -> AsDom0<'s> {
        AsDom0 {
            xens: slice::from_ref(self.xen),
            ready: slice::from_ref(ready),
            qemu: self.qemu,
            version: self.version,
            prepare: &as_it_is,
        }
    }

    fn session<'s>(
        &'s self,
        backend: &'s AsDom0<'s>,
        logs: RunLogs,
        test_time: &'s (dyn Fn(&TestMeta) -> Duration + Sync),
    ) -> Session<'s> {
        Session {
            backend,
            image: self.image,
            debug: Debug::No,
            xen_syms: &[],
            logs,
            stop: self.stop,
            // The mutants' time is measured by what Xen itself takes, undisturbed.
            jobs: NonZeroUsize::MIN,
            policy: Policy::declared(self.image),
            test_time,
            boot_timeout: Duration::from_secs(self.config.qemu.boot_timeout_s),
        }
    }

    fn subject(&self) -> Result<Subject> {
        let image = fs::read(&self.image.path).io("read", &self.image.path)?;
        // The arguments alone: with another QEMU the findings are the same.
        let boots = self.boots.iter().map(|boot| self.qemu.invocation(boot).args.join(" "));
        Ok(Subject {
            xen: hypervisor::sha256(self.binary.bytes()),
            image: hypervisor::sha256(&image),
            boots: boots.collect(),
        })
    }

    /// Whether enough was killed.
    fn grade(&self, findings: &BTreeMap<u64, Finding>) -> Exit {
        let settled = || self.sites.iter().filter_map(|site| findings.get(&site.address));
        let killed = settled().filter(|finding| finding.killer().is_some()).count();
        let wanted = usize::from(self.args.fail_under.unwrap_or(0));
        if 100 * killed < wanted * settled().count() { Exit::Failure } else { Exit::Success }
    }
}

/// Shows a run and remembers it.
struct Witness<R> {
    reporter: R,
    baseline: Baseline,
}

impl<R: Listener> Listener for Witness<R> {
    fn event(&mut self, event: &RunEvent<'_>) {
        self.reporter.event(event);
        self.baseline.event(event);
    }
}
