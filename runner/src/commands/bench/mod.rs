//! `xtf-runner bench`: how long things take, and how that compares.
//!
//! A round measures everything once, one after the other, and the rounds repeat: what else the
//! machine does meets all quantities alike, so that ratios hold where times don't.

mod figures;
mod stopwatch;

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use figures::{Figures, Quantity};
use protocol::metadata::Environment;
use protocol::programs::BENCH_HYPERCALL;
use stopwatch::Stopwatch;

use crate::base::exit::{Error, Exit, Result};
use crate::base::output::{json, write_out};
use crate::base::signals::StopSignal;
use crate::cli::BenchArgs;
use crate::commands::{chosen, testbed};
use crate::image::Image;
use crate::machine::Boot;
use crate::machine::as_dom0::AsDom0;
use crate::machine::logs::RunLogs;
use crate::machine::qemu::{BootMode, Qemu};
use crate::machine::session::{Session, cpus};
use crate::machine::snapshot::{FromSnapshot, SnapshotUse};
use crate::machine::testbed::Testbed;
use crate::plan::select::{Selected, Wanted};
use crate::plan::spec::MachineSpec;
use crate::plan::{self, Sharing};
use crate::results::event::{Listener, RunEvent};
use crate::results::policy::Policy;
use crate::xen::hypervisor::XenUnderTest;

/// The test that is as small as one of upstream's.
const SMALL_TEST: &str = "example";

const FLOOR: Quantity = Quantity { name: "boot, no test", base: None };
const TO_GUEST: Quantity = Quantity { name: "  up to the guest's first line", base: None };
const LEAVING: Quantity = Quantity { name: "  from its last line to QEMU's end", base: None };
const PLAIN: Quantity = Quantity { name: "boot, no test, real time", base: Some(FLOOR.name) };
const SMALL: Quantity = Quantity { name: "one small test, to its result", base: None };
const CONTINUED: Quantity = Quantity { name: "  from a snapshot", base: Some(SMALL.name) };
const UPSTREAM: Quantity = Quantity { name: "  upstream's image", base: Some(SMALL.name) };
const SUITE: Quantity = Quantity { name: "suite", base: None };
const SUITE_JOBS: Quantity = Quantity { name: "  -j", base: Some(SUITE.name) };
const BOOTED: Quantity = Quantity { name: "  --isolate --snapshot never", base: Some(SUITE.name) };
const ISOLATED: Quantity = Quantity { name: "  --isolate", base: Some(SUITE.name) };
const ISOLATED_JOBS: Quantity = Quantity { name: "  --isolate -j", base: Some(SUITE.name) };

/// Runs the command.
pub fn bench(args: &BenchArgs) -> Result<Exit> {
    let on = chosen(&args.bed.on)?;
    let xen = on.with(on.obtain()?);
    let rig = testbed(on, &args.bed)?;
    let jobs = args.jobs.unwrap_or_else(cpus);
    let suite = plan::choose(&rig.image, args.selection.wanted(), &args.env)?;
    let upstream = args.against.as_deref().map(upstream_image).transpose()?;
    let bench = Bench { rig: &rig, xen: &xen, jobs, stop: &StopSignal::install()? };

    let mut figures =
        Figures::new(&xen.bootable()?.provenance, &rig.version, cpus().get(), jobs.get());
    let mut worst = Exit::Success;
    for round in 1..=args.rounds.get() {
        eprintln!("round {round} of {}", args.rounds);
        for &environment in &args.env {
            bench.boots(environment, upstream.as_ref(), &mut figures)?;
        }
        if !args.no_suite {
            worst = worst.max(bench.suite(&suite, &args.env, &mut figures)?);
        }
        if bench.stop.requested().is_some() {
            break;
        }
    }
    figures.compare();
    if args.json {
        write_out(&json(&figures)?)?;
    } else {
        write_out(&figures.text())?;
    }
    Ok(bench.stop.requested().unwrap_or(worst))
}

/// An image about whose tests nothing is known, and where it boots.
fn upstream_image(path: &Path) -> Result<(Image, Environment)> {
    let image = Image::foreign(path)?;
    let name = image.path.file_name().map(|name| name.to_string_lossy());
    let hvm = name.is_some_and(|name| name.starts_with("test-hvm"));
    let environment = if hvm { Environment::Pvh64 } else { Environment::Pv64 };
    Ok((image, environment))
}

struct Bench<'a> {
    rig: &'a Testbed,
    xen: &'a XenUnderTest,
    jobs: NonZeroUsize,
    stop: &'a StopSignal,
}

impl Bench<'_> {
    /// One round of single boots.
    fn boots(
        &self,
        environment: Environment,
        upstream: Option<&(Image, Environment)>,
        figures: &mut Figures,
    ) -> Result<()> {
        let place = Some(environment);
        let none = self.boot(&self.rig.image, environment, BootMode::Fast, &[])?;
        let plain = self.boot(&self.rig.image, environment, BootMode::Plain, &[])?;
        let example = self.named(SMALL_TEST)?;
        let continued = self.second_boot(environment, &example)?;
        let small = self.boot(&self.rig.image, environment, BootMode::Fast, &example)?;
        for (quantity, sample) in [
            (&FLOOR, none.whole()),
            (&TO_GUEST, none.to_guest()),
            (&LEAVING, none.leaving()),
            (&PLAIN, plain.whole()),
            (&SMALL, small.to_result()),
            (&CONTINUED, continued.to_result()),
        ] {
            self.add(figures, quantity, environment, sample)?;
        }
        if let Some((image, _)) = upstream.filter(|(_, place)| *place == environment) {
            let theirs = self.boot(image, environment, BootMode::Fast, &[])?;
            self.add(figures, &UPSTREAM, environment, theirs.to_result())?;
        }
        // In real time: in a fast boot the guest's clock counts instructions.
        let inside = self.named(BENCH_HYPERCALL)?;
        let inside = self.boot(&self.rig.image, environment, BootMode::Plain, &inside)?;
        for (what, time) in &inside.figures {
            figures.add_named(&format!("hypercall {what}"), None, place, *time);
        }
        Ok(())
    }

    /// One round of the suite, in all environments together.
    fn suite(
        &self,
        tests: &[Selected],
        environments: &[Environment],
        figures: &mut Figures,
    ) -> Result<Exit> {
        let mut worst = Exit::Success;
        use Sharing::{Allowed, Isolated};
        use SnapshotUse::{Auto, Never};
        let one = NonZeroUsize::MIN;
        for (quantity, sharing, snapshot, jobs) in [
            (&SUITE, Allowed, Never, one),
            (&SUITE_JOBS, Allowed, Never, self.jobs),
            (&BOOTED, Isolated, Never, one),
            (&ISOLATED, Isolated, Auto, one),
            (&ISOLATED_JOBS, Isolated, Auto, self.jobs),
        ] {
            let boots = self.rig.boots(self.xen, tests, environments, sharing);
            let start = Instant::now();
            let how = Way { image: &self.rig.image, mode: BootMode::Fast, snapshot, jobs };
            let exit = self.run(&how, boots, &mut Failures)?;
            if self.stop.requested().is_some() {
                return Ok(worst);
            }
            figures.add(quantity, None, start.elapsed());
            worst = worst.max(exit);
        }
        Ok(worst)
    }

    fn add(
        &self,
        figures: &mut Figures,
        quantity: &Quantity,
        environment: Environment,
        sample: Option<Duration>,
    ) -> Result<()> {
        match sample {
            Some(sample) => figures.add(quantity, Some(environment), sample),
            None if self.stop.requested().is_some() => {}
            None => {
                let (what, place) = (quantity.name.trim(), environment.name());
                return Err(Error::Data(format!(
                    "{what} ({place}): the guest did not print its last line; for more, use \
                     `xtf-runner run {SMALL_TEST} --env {place}`"
                )));
            }
        }
        Ok(())
    }

    /// The selection of one test.
    fn named(&self, name: &str) -> Result<Vec<Selected>> {
        let words = [name.to_owned()];
        let wanted = Wanted { selectors: &words, ..Wanted::default() };
        let everywhere = [Environment::Pv64, Environment::Pvh64];
        plan::choose(&self.rig.image, wanted, &everywhere)
    }

    /// A boot of the default machine.
    fn small_boot<'t>(&'t self, environment: Environment, tests: &'t [Selected]) -> Boot<'t> {
        let machine = MachineSpec { vcpus: 1, ..MachineSpec::default() };
        Boot {
            xen: self.xen,
            environment,
            machine,
            tests: tests.iter().map(Cow::Borrowed).collect(),
        }
    }

    /// A boot of `image` for `tests`.
    fn boot(
        &self,
        image: &Image,
        environment: Environment,
        mode: BootMode,
        tests: &[Selected],
    ) -> Result<Stopwatch> {
        let mut watch = Stopwatch::default();
        let jobs = NonZeroUsize::MIN;
        let how = Way { image, mode, snapshot: SnapshotUse::Never, jobs };
        self.run(&how, vec![self.small_boot(environment, tests)], &mut watch)?;
        Ok(watch)
    }

    /// A boot for `tests` from a snapshot that the boot before it has made.
    fn second_boot(&self, environment: Environment, tests: &[Selected]) -> Result<Stopwatch> {
        let boot = self.small_boot(environment, tests);
        let mut watch = Stopwatch::default();
        let (mode, jobs) = (BootMode::Fast, NonZeroUsize::MIN);
        let how = Way { image: &self.rig.image, mode, snapshot: SnapshotUse::Always, jobs };
        self.run(&how, vec![boot.clone(), boot], &mut watch)?;
        Ok(watch)
    }

    fn run(
        &self,
        how: &Way<'_>,
        boots: Vec<Boot<'_>>,
        listener: &mut dyn Listener,
    ) -> Result<Exit> {
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder for logs".into(),
            source,
        })?;
        let &Way { image, mode, snapshot, jobs } = how;
        let qemu = Qemu { mode, ..self.rig.qemu.clone() };
        let dom0 = AsDom0 { qemu: &qemu, ..self.rig.dom0() };
        let backend = FromSnapshot::new(dom0, &boots, snapshot)?;
        let logs = RunLogs::create(dir.path(), self.stop)?;
        let test_time = self.rig.test_time(None);
        let session = Session {
            image,
            policy: Policy::default(),
            ..self.rig.session(&backend, logs, self.stop, jobs, &test_time)
        };
        session.run(boots, listener)
    }
}

/// How boots are done.
struct Way<'a> {
    image: &'a Image,
    mode: BootMode,
    snapshot: SnapshotUse,
    jobs: NonZeroUsize,
}

/// Tells of tests that fail, whose time is not what it should be.
struct Failures;

impl Listener for Failures {
    fn event(&mut self, event: &RunEvent<'_>) {
        if let RunEvent::TestSettled { outcome, .. } = event
            && outcome.weighed.status.is_bad()
        {
            let (place, name) = (outcome.environment.name(), &outcome.report.name);
            eprintln!("note: {place} {name}: {}", outcome.weighed.status);
        }
    }
}
