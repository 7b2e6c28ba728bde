//! `xtf-runner mutate`: how strong the tests are, measured by breaking Xen on purpose.
//!
//! [`symbols`] reads Xen and its symbols, and [`sites`] finds what to break. A run on Xen
//! itself gives the [`baseline`], and tells what may [`reach`] which site. [`agenda`] chooses the
//! boots of each mutant, [`campaign`] carries them out, [`journal`] remembers the results, and
//! [`report`] shows them.

mod agenda;
mod baseline;
mod campaign;
mod journal;
mod reach;
mod report;
mod saved;
mod sites;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agenda::{Agenda, Beginning};
use baseline::Baseline;
use campaign::Campaign;
use journal::{Fate, Journal, SettledMutant, Subject};
use reach::BootReach;
use report::{Progress, Source};
use saved::Saved;
use sites::{Id, Site};

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::hash::sha256;
use crate::base::output::{note, write_out};
use crate::base::signals::StopSignal;
use crate::base::source_lines::SourceLines;
use crate::cli::MutateArgs;
use crate::commands::{chosen, testbed};
use crate::machine::Boot;
use crate::machine::as_dom0::{AsDom0, as_it_is};
use crate::machine::backend::Backend;
use crate::machine::boot::Limits;
use crate::machine::logs::RunLogs;
use crate::machine::plugin::{Phase, Plugin};
use crate::machine::session::cpus;
use crate::machine::snapshot::FromSnapshot;
use crate::machine::testbed::Testbed;
use crate::plan::{self, Sharing};
use crate::report::Record;
use crate::results::event::{Listener, RunEvent};
use crate::xen::hypervisor::XenFile;
use crate::xen::mutation::{Flow, Operator};
use crate::xen::place::Place;
use crate::xen::symbols::{self, Build, KnownSymbols};

/// Runs the command.
pub fn mutate(args: &MutateArgs) -> Result<Exit> {
    let on = chosen(&args.bed.on)?;
    let build = on.build(args.functions.symbols.as_deref())?;
    let operators = operators(args);
    let flow = Flow::of(&build.symbols);
    let mut sites = Vec::new();
    for function in build.functions(&args.functions.functions, args.functions.preset)? {
        sites.extend(sites::find(function, &operators, &flow)?);
    }
    if let Some(only) = &args.only {
        sites = vec![sites::by_name(&sites, only)?.clone()];
    }
    if sites.is_empty() {
        let names: Vec<&str> = operators.iter().map(|operator| operator.name()).collect();
        return Err(Error::EmptySelection(format!(
            "the chosen functions have nothing to break for --operators {}; name others, or other \
             --functions",
            names.join(",")
        )));
    }
    if let Some(share) = args.partition {
        let mut index = 0..;
        sites.retain(|site| share.holds_one(index.next().unwrap_or_default(), || site.name()));
    }
    if sites.is_empty() {
        return Err(Error::EmptySelection("this share of the mutants is empty".into()));
    }
    if !args.survivors_of.is_empty() {
        let known = read_any(&args.survivors_of, &build)?;
        let killed =
            |site: &Site<'_>| known.get(&site.id()).is_some_and(|it| it.killer().is_some());
        sites.retain(|site| !killed(site));
        if sites.is_empty() {
            let why = "--survivors-of: each of the chosen mutants was killed";
            return Err(Error::EmptySelection(why.into()));
        }
    }
    let lines = SourceLines::read(&build.syms.path);
    let source = Source { symbols: &build.symbols, lines: &lines };
    if args.list {
        write_out(&report::listing(&source, &sites))?;
        return Ok(Exit::Success);
    }

    let rig = testbed(on, &args.bed)?;
    rig.image.must_have(&args.env)?;
    let tests = plan::choose(&rig.image, args.selection.wanted(), &args.env)?;
    let xen = rig.on.with(build.ready.clone());
    let measure = Measure {
        args,
        build: &build,
        source,
        sites: &sites,
        boots: &rig.boots(&xen, &tests, &args.env, Sharing::Allowed),
        rig: &rig,
        stop: &StopSignal::install()?,
    };
    if args.only.is_some() {
        measure.one()
    } else if !args.read.is_empty() {
        measure.recorded()
    } else {
        measure.all()
    }
}

/// What these files have on this Xen, whatever the tests.
fn read_any(paths: &[PathBuf], build: &Build) -> Result<HashMap<Id, SettledMutant>> {
    let xen = sha256(build.binary.bytes());
    let mut all = HashMap::new();
    for known in read_each(paths, "this Xen", |path| Journal::read_any(path, &xen)) {
        journal::merge(&mut all, known?.into_values());
    }
    Ok(all)
}

/// What `read` finds in each of these files; says of which it finds nothing about `what`.
fn read_each(
    paths: &[PathBuf],
    what: &str,
    read: impl Fn(&Path) -> Result<HashMap<Id, SettledMutant>>,
) -> impl Iterator<Item = Result<HashMap<Id, SettledMutant>>> {
    paths.iter().map(move |path| {
        let known = read(path)?;
        if known.is_empty() {
            note(&format!("{} has no result for {what}", path.display()));
        }
        Ok(known)
    })
}

/// What to break, each kind once. A mutant that the user names may be of any kind.
fn operators(args: &MutateArgs) -> Vec<Operator> {
    let chosen = |operator: &Operator| match args.operators.as_slice() {
        [] => *operator == Operator::Branch || args.only.is_some(),
        some => some.contains(operator),
    };
    Operator::ALL.into_iter().filter(chosen).collect()
}

/// What is measured, and with what.
struct Measure<'a> {
    args: &'a MutateArgs,
    build: &'a Build,
    source: Source<'a>,
    sites: &'a [Site<'a>],
    boots: &'a [Boot<'a>],
    rig: &'a Testbed,
    stop: &'a StopSignal,
}

impl Measure<'_> {
    /// The only site, as `run` would run it.
    fn one(&self) -> Result<Exit> {
        let site = &self.sites[0];
        if let Some(why) = site.mutation.equivalent {
            note(&format!("a campaign does not run {}, which changes nothing: {why}", site.name()));
        }
        let logs = self.logs()?;
        let elf = logs.dir().join("mutant");
        let mutant = self.mutant(site)?;
        fs::write(&elf, mutant).io("write", &elf)?;
        let what = format!("{} with {} broken", self.build.ready.provenance, site.name());
        // By that, `debug` finds its symbols.
        let version = self.build.ready.version.clone();
        let mutant = self.rig.on.with(XenFile { version, ..XenFile::file(elf, what) });
        let boots = self.boots.iter().map(|boot| boot.on(&mutant)).collect();
        let mut record = Record::without_files();
        let mut reporter = record.show(self.rig.about(), false);
        let exit = self.run(&self.rig.dom0(), boots, logs, self.args.timeout, &mut reporter)?;
        if exit >= Exit::Usage {
            return Ok(exit);
        }
        let killed = !matches!(exit, Exit::Success | Exit::Skip);
        let outcome = if killed { "killed" } else { "survived" };
        write_out(&format!("{} at {:#x}: {outcome}\n", site.name(), site.address))?;
        Ok(Exit::Success)
    }

    /// What was found before, by whatever host.
    fn recorded(&self) -> Result<Exit> {
        let all = match self.args.any_tests {
            true => read_any(&self.args.read, self.build)?,
            false => self.of_this_campaign()?,
        };
        let findings = self.of_sites(all);
        write_out(&match self.args.markdown {
            true => report::markdown(&self.rig.on.xen.name, &self.source, self.sites, &findings),
            false => report::summary(&self.source, self.sites, &findings, None)?,
        })?;
        let (known, all) = (findings.len(), self.counted().count());
        if known < all {
            note(&format!("{} of {all} mutants have no result in what was read", all - known));
            return Ok(Exit::Error);
        }
        Ok(self.grade(&findings))
    }

    /// What the files have on this Xen, image and selection.
    fn of_this_campaign(&self) -> Result<HashMap<Id, SettledMutant>> {
        let subject = self.subject()?;
        let what = "this Xen, image and selection";
        let mut all = HashMap::new();
        for known in read_each(&self.args.read, what, |path| Journal::read(path, &subject)) {
            all.extend(known?);
        }
        Ok(all)
    }

    /// Those of `known` that are about the chosen mutants.
    fn of_sites(&self, known: HashMap<Id, SettledMutant>) -> BTreeMap<Id, SettledMutant> {
        let chosen: HashSet<Id> = self.counted().map(Site::id).collect();
        known.into_iter().filter(|(id, _)| chosen.contains(id)).collect()
    }

    /// The mutants that are run.
    fn counted(&self) -> impl Iterator<Item = &Site<'_>> {
        self.sites.iter().filter(|site| site.counts())
    }

    /// The tests on Xen itself, then on each mutant.
    fn all(&self) -> Result<Exit> {
        let (journal, known) = match &self.args.out {
            Some(path) => {
                let (journal, known) = Journal::open(path, &self.subject()?, self.args.resume)?;
                (Some(journal), known)
            }
            None => (None, HashMap::new()),
        };
        let mut findings = self.of_sites(known);
        let todo: Vec<&Site<'_>> =
            self.counted().filter(|site| !findings.contains_key(&site.id())).collect();

        let start = Instant::now();
        if !todo.is_empty() {
            let logs = self.logs()?;
            let dir = logs.dir().to_owned();
            let image =
                |boot: &Boot<'_>| logs.small(self.rig.image.of(boot.environment)).to_owned();
            let images: Vec<PathBuf> = self.boots.iter().map(image).collect();
            let plugin = self.plugin();
            let mut record = Record::without_files();
            let reporter = record.show(self.rig.about(), false);
            let mut witness = Witness { reporter, baseline: Baseline::default() };
            let exit = self.on_xen_itself(logs, plugin.as_ref(), &mut witness)?;
            if exit != Exit::Success {
                eprintln!("error: cannot measure: not all tests succeed on Xen itself");
                return Ok(exit);
            }
            let baseline = &witness.baseline;
            let reach = plugin.map(|_| self.reach(baseline)).transpose()?;
            let snapshots = FromSnapshot::many(self.rig.dom0(), self.boots)?;
            let boots = if reach.is_some() { self.boots } else { &[] };
            let saved = self.saved(&snapshots, boots, baseline, &images, &dir)?;
            let beginning = |index| match saved.has(index) {
                true => Beginning::Saved,
                false => Beginning::PowerOn,
            };
            let beginnings: Vec<Beginning> = (0..self.boots.len()).map(beginning).collect();
            let agenda = Agenda {
                tests: &self.rig.image.tests,
                boots: self.boots,
                reach: reach.as_deref(),
                beginnings: &beginnings,
                baseline,
            };
            let campaign = Campaign {
                rig: self.rig,
                images: &images,
                binary: &self.build.binary,
                sites: &self.ordered(),
                agenda,
                saved: &saved,
                timeout: self.args.timeout.map(Duration::from_secs),
                stop: self.stop,
            };
            self.rest(&todo, &campaign, journal, &mut findings)?;
        }
        write_out(&report::summary(&self.source, self.sites, &findings, Some(start.elapsed()))?)?;
        if let Some(stopped) = self.stop.requested() {
            return Ok(stopped);
        }
        Ok(self.grade(&findings))
    }

    /// The plugin, if QEMU loads it; else the user is told why not.
    fn plugin(&self) -> Option<Plugin> {
        let (config, qemu) = (&self.rig.on.config, &self.rig.qemu.binary);
        let plugin = Plugin::find(self.args.plugin.as_deref(), config, qemu);
        plugin
            .inspect_err(|why| {
                note(&format!("every test runs on each mutant, which takes longer: {why}"));
            })
            .ok()
    }

    /// All tests on Xen itself, observed by the `plugin`.
    fn on_xen_itself(
        &self,
        logs: RunLogs,
        plugin: Option<&Plugin>,
        listener: &mut dyn Listener,
    ) -> Result<Exit> {
        let addresses = self.addresses();
        // Those of the boot and, around the cases of each test, two more.
        let marks = |boot: &Boot<'_>| {
            1 + boot.tests.iter().map(|test| test.test.cases.len() + 2).sum::<usize>()
        };
        let rows = self.boots.iter().map(marks).max().unwrap_or(0);
        let prepare = |dir: &Path| match plugin {
            Some(plugin) => plugin.prepare_phases(dir, &addresses, rows),
            None => as_it_is(dir),
        };
        let backend = AsDom0 { prepare: &prepare, ..self.rig.dom0() };
        self.run(&backend, self.boots.to_vec(), logs, None, listener)
    }

    /// What each boot on Xen itself executed.
    fn reach(&self, baseline: &Baseline) -> Result<Vec<BootReach>> {
        let functions: Vec<u64> = self.ordered().iter().map(|site| site.function.address).collect();
        let addresses = self.addresses();
        let index = |site: &&Site<'_>| addresses.binary_search(&site.address).unwrap_or_default();
        let places: Vec<usize> = self.ordered().iter().map(index).collect();
        let of_sites = |mut phase: Phase| {
            phase.executed = places.iter().map(|place| phase.executed[*place]).collect();
            phase
        };
        let of_boot = |(index, boot): (usize, &Boot<'_>)| {
            let lost = || Error::Tool(format!("internal error: boot {index} was not seen"));
            let witnessed = baseline.boot(index).ok_or_else(lost)?;
            let phases: Vec<Phase> =
                Phase::read(&witnessed.dir)?.into_iter().map(of_sites).collect();
            let reach = BootReach::of(&phases, witnessed).map_err(|why| {
                let image = self.rig.image.of(boot.environment).path.display();
                let dir = witnessed.dir.display();
                Error::Data(format!(
                    "cannot tell which case executes what: {why}; are runner and image {image} of \
                     the same build? (logs: {dir})"
                ))
            })?;
            let exact = self.rig.qemu.is_fast(boot);
            Ok(if exact { reach } else { reach.blurred(&functions) })
        };
        self.boots.iter().enumerate().map(of_boot).collect()
    }

    /// All mutants that are run, in the order of their numbers.
    fn ordered(&self) -> Vec<&Site<'_>> {
        let mut sites: Vec<&Site<'_>> = self.counted().collect();
        sites.sort_by_key(|site| site.id());
        sites
    }

    /// Their instructions, each once.
    fn addresses(&self) -> Vec<u64> {
        let mut addresses: Vec<u64> = self.ordered().iter().map(|site| site.address).collect();
        addresses.dedup();
        addresses
    }

    /// Saves the machines that mutants of `boots` go on from, with logs in `dir`, for the guests in
    /// the files `images`.
    fn saved<'s>(
        &self,
        snapshots: &'s FromSnapshot<'s>,
        boots: &[Boot<'_>],
        baseline: &Baseline,
        images: &[PathBuf],
        dir: &Path,
    ) -> Result<Saved<'s>> {
        let patience = baseline.start_timeout();
        let of_test = |_: &str| patience;
        let limits = Limits::new(patience, &of_test);
        let ram = |(number, (boot, image)): (usize, (&Boot<'_>, &PathBuf))| {
            let dir = dir.join(format!("saved-{number}"));
            snapshots.ram(boot, image, dir, &limits, self.stop)
        };
        let rams = (1..).zip(boots.iter().zip(images)).map(ram).collect::<Result<_>>()?;
        let symbols = KnownSymbols::of(self.build.binary.clone());
        let place = symbols.and_then(|symbols| Place::of(&symbols));
        Ok(Saved::find(snapshots, rams, &place, &self.ordered()))
    }

    /// The mutants of `todo`.
    fn rest(
        &self,
        todo: &[&Site<'_>],
        campaign: &Campaign<'_>,
        mut journal: Option<Journal>,
        findings: &mut BTreeMap<Id, SettledMutant>,
    ) -> Result<()> {
        let jobs = self.args.jobs.unwrap_or_else(cpus);
        let killed = findings.values().filter(|finding| finding.killer().is_some()).count();
        let mut progress = Progress::new(self.counted().count(), findings.len(), killed);
        let done = campaign.run(todo, jobs, |finding| {
            progress.settled(&finding);
            // What is undecided is left to the next run.
            if let Some(journal) = journal.as_mut().filter(|_| finding.is_decided()) {
                journal.add(&finding)?;
            }
            findings.insert(finding.id, finding);
            Ok(())
        });
        progress.end();
        done
    }

    fn mutant(&self, site: &Site<'_>) -> Result<Vec<u8>> {
        self.build
            .binary
            .with(site.physical(), &site.mutation.bytes)
            .ok_or_else(|| symbols::in_file(&self.build.ready.path, "is too short"))
    }

    /// The tests on Xen itself, or on a mutant.
    fn run(
        &self,
        backend: &dyn Backend,
        boots: Vec<Boot<'_>>,
        logs: RunLogs,
        limit: Option<u64>,
        listener: &mut dyn Listener,
    ) -> Result<Exit> {
        // The mutants' time is measured by what Xen itself takes, undisturbed.
        let jobs = NonZeroUsize::MIN;
        let test_time = self.rig.test_time(limit);
        let session = self.rig.session(backend, logs, self.stop, jobs, &test_time);
        session.run(boots, listener)
    }

    fn logs(&self) -> Result<RunLogs> {
        RunLogs::create(&self.rig.on.config.logs(self.args.logs.logs.as_deref()), self.stop)
    }

    fn subject(&self) -> Result<Subject> {
        let mut images: Vec<&str> =
            self.args.env.iter().map(|&place| &*self.rig.image.of(place).sha256).collect();
        images.dedup();
        // The arguments alone: with another QEMU the findings are the same.
        let boots =
            self.boots.iter().map(|boot| Ok(self.rig.qemu.invocation(boot)?.args.join(" ")));
        Ok(Subject {
            xen: sha256(self.build.binary.bytes()),
            image: images.join(" "),
            boots: boots.collect::<Result<_>>()?,
        })
    }

    /// Whether each was decided, and enough was killed.
    fn grade(&self, findings: &BTreeMap<Id, SettledMutant>) -> Exit {
        let settled = || self.counted().filter_map(|site| findings.get(&site.id()));
        if !settled().all(SettledMutant::is_decided) {
            return Exit::Tool;
        }
        let settled = || settled().filter(|finding| finding.verdict != Fate::Patched);
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
