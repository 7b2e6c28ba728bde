//! `xtf-runner run`: plans, obtains, boots, judges and reports. What the backends do differently is in
//! [`backend`].

mod backend;

use std::time::Duration;

use protocol::metadata::Environment;

use self::backend::ChosenBackend;
use crate::base::exit::{Error, Exit, Result};
use crate::base::output::{note, write_out};
use crate::base::signals::StopSignal;
use crate::cli::{BackendKind, FlakyResult, ReportArgs, RunArgs};
use crate::image::{self, Image, TestMeta};
use crate::machine::Boot;
use crate::machine::backend::Backend;
use crate::machine::debug::Debug;
use crate::machine::logs::RunLogs;
use crate::machine::session::Session;
use crate::machine::snapshot::SnapshotUse;
use crate::plan::config::{Config, Hypervisor};
use crate::plan::select::Selected;
use crate::plan::spec::MachineSpec;
use crate::plan::{self, How, Sharing};
use crate::report::{self, Files, Form};
use crate::results::expect::Expectations;
use crate::results::policy::Policy;
use crate::results::{About, seconds};

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    check(args)?;
    let mut backend = ChosenBackend::of(args, &config)?;
    let xens = backend.xens(&config)?;
    let files = files(&args.reports)?;
    if args.fetch_only {
        backend.fetch(&xens)?;
        return Ok(Exit::Success);
    }

    let image = image::find(args.places.image.as_deref(), &config.workspace)?;
    config.check_tests(&image)?;
    let machine = |xen: &Hypervisor, test: &TestMeta| config.machine(xen, test);
    let plan = Plan::of(args, &image, &backend, &machine)?;
    let count = plan.boots(&xens).len();
    if args.gdb && count != 1 {
        return Err(Error::Usage(format!(
            "--gdb needs a single boot, and this selection takes {count}; name one test, --env and \
             --xen"
        )));
    }
    if args.dry_run {
        write_out(&backend.dry_run(&plan, &xens, &image)?)?;
        return Ok(Exit::Success);
    }
    if let (Some(share), 0) = (args.partition, count) {
        // Shares are made without knowing what there is: one may get nothing.
        note(&format!("share {share} of this run holds no test"));
    }

    let policy = policy(&args.reports, &config)?;
    let about = about(args, &config, &xens, About::run_of(&image, backend.probe()?)?, &policy);
    let (xens, hosts) = backend.obtain(&xens)?;
    let boots = plan.boots(&xens);
    let stop = StopSignal::install()?;
    backend.accelerate(&boots, &image, Some(&stop), &mut note)?;

    let base = args.logs.clone().unwrap_or_else(|| config.workspace.join("logs"));
    let logs = RunLogs::create(&base, &stop)?;
    let carrier = backend.start(hosts, &xens, &boots, &image, logs.dir())?;
    let session = Session {
        backend: carrier.as_ref(),
        image: &image,
        debug: args.debug(),
        logs,
        stop: &stop,
        jobs: backend.jobs(),
        policy,
        test_time: &|test| args.timeout.map_or_else(|| config.test_time(test), Duration::from_secs),
        boot_timeout: Duration::from_secs(config.qemu.boot_timeout_s),
    };
    let exit = report_on(&session, boots, about, files, args.verbose);
    sweep(carrier.as_ref());
    exit
}

/// What is to run, on whatever Xens.
pub struct Plan<'a> {
    tests: Vec<Selected>,
    environments: &'a [Environment],
    how: How<'a>,
}

impl<'a> Plan<'a> {
    /// The tests of `image` that `args` mean, on the machines that `machine` knows of.
    fn of(
        args: &'a RunArgs,
        image: &Image,
        backend: &ChosenBackend<'_>,
        machine: &'a dyn Fn(&Hypervisor, &TestMeta) -> MachineSpec,
    ) -> Result<Plan<'a>> {
        let environments = args.environments();
        let tests = plan::choose_for(image, args.selection.wanted(), backend.role(), environments)?;
        let sharing = if args.isolate { Sharing::Isolated } else { Sharing::Allowed };
        let how = How { sharing, partition: args.partition, machine };
        Ok(Plan { tests, environments, how })
    }

    /// The boots on `xens`, be they obtained or not.
    pub fn boots<'s, X: AsRef<Hypervisor>>(&'s self, xens: &'s [X]) -> Vec<plan::Boot<'s, X>> {
        plan::boots(&self.tests, xens, self.environments, &self.how)
    }
}

/// What the results say about the run on `xens`.
fn about(
    args: &RunArgs,
    config: &Config,
    xens: &[Hypervisor],
    mut about: About,
    policy: &Policy,
) -> About {
    about.run.slow_s = seconds(Duration::from_secs(args.reports.slow_timeout));
    about.expectations = policy.expectations.clone();
    about.whole_matrix = args.backend == BackendKind::Qemu
        && args.selection.selectors.is_empty()
        && args.selection.exclude.is_empty()
        && args.partition.is_none()
        && config.are_all(xens)
        && Environment::DOM0.iter().all(|place| args.environments().contains(place));
    about
}

/// Runs the boots and tells of them.
fn report_on(
    session: &Session<'_>,
    boots: Vec<Boot<'_>>,
    about: About,
    files: Files,
    verbose: bool,
) -> Result<Exit> {
    let mut reporter = report::to_terminal(about, files, verbose);
    let exit = session.run(boots, &mut reporter);
    let written = reporter.finish();
    // What stopped the run matters more than what could not be told of it.
    exit.and_then(|exit| written.map(|_| exit))
}

/// Removes what would outlive the runner, and tells of it.
pub fn sweep(backend: &dyn Backend) {
    for name in backend.sweep() {
        note(&format!("destroyed the domain {name}, which had been left behind"));
    }
}

/// Refuses options that the backend has no use for: they would be lost in silence.
fn check(args: &RunArgs) -> Result<()> {
    check_host(args.backend == BackendKind::Xl, !args.xen.is_empty(), args.host.is_some())?;
    let wrong = match args.backend {
        BackendKind::Qemu if args.environments().contains(&Environment::Hvm64) => {
            "hvm64 is a domain, but --backend qemu runs the image as dom0; use --backend qemu-xl"
        }
        BackendKind::Xl if args.fetch_only => "--fetch-only does not apply to --backend xl",
        BackendKind::Xl if args.xen_cmdline.is_some() => {
            "--xen-cmdline does not apply to --backend xl: its Xen is already running"
        }
        BackendKind::Xl | BackendKind::QemuXl if args.snapshot == SnapshotUse::Always => {
            "--snapshot always needs --backend qemu"
        }
        BackendKind::Xl | BackendKind::QemuXl if args.debug() != Debug::No => {
            "--gdb and --keep need --backend qemu"
        }
        _ => return Ok(()),
    };
    Err(Error::Usage(wrong.into()))
}

/// Refuses --xen where the Xen host has its own (`on_host`), and --host elsewhere.
pub fn check_host(on_host: bool, xen: bool, host: bool) -> Result<()> {
    let wrong = match (on_host, xen, host) {
        (true, true, _) => {
            "--xen chooses what QEMU boots, but --backend xl runs on the Xen of the Xen host; omit \
             --xen, or use --backend qemu-xl"
        }
        (false, _, true) => "--host needs --backend xl",
        _ => return Ok(()),
    };
    Err(Error::Usage(wrong.into()))
}

/// What counts as a success, from all that have a say in it.
pub fn policy(args: &ReportArgs, config: &Config) -> Result<Policy> {
    let mut expectations = Expectations::load(args.expect.as_deref(), config)?;
    expectations.strict = args.strict_news;
    let flaky_fails = args.flaky_result == FlakyResult::Fail;
    Ok(Policy { expectations, retries: args.retries, flaky_fails })
}

/// The reports that are to be written.
pub fn files(args: &ReportArgs) -> Result<Files> {
    let wanted = [
        (Form::Json, &args.json),
        (Form::Junit, &args.junit),
        (Form::Ktap, &args.ktap),
        (Form::Html, &args.html),
    ];
    let wanted = wanted.into_iter().filter_map(|(form, path)| Some((form, path.clone()?)));
    Files::new(wanted.collect())
}
