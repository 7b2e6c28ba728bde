//! `xtf-runner run`: from the command line to an exit code.

mod domains;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::environment::Environment;
use crate::base::exit::{Error, Exit, Result};
use crate::base::output::{note, write_out};
use crate::base::signals::StopSignal;
use crate::cli::{BackendKind, FlakyResult, ReportArgs, RunArgs};
use crate::image::{self, Image};
use crate::machine::accel::{self, Accel, KvmProbe};
use crate::machine::as_dom0::{AsDom0, as_it_is};
use crate::machine::debug::Debug;
use crate::machine::logs::RunLogs;
use crate::machine::qemu::{Kvm, Qemu};
use crate::machine::session::{Session, cpus};
use crate::machine::snapshot::{FromSnapshot, SnapshotUse};
use crate::plan::config::{Config, Hypervisor, Origin};
use crate::plan::{self, Boot, How, Sharing};
use crate::report::{self, Files, Form};
use crate::results::expect::Expectations;
use crate::results::policy::Policy;
use crate::results::{About, seconds};
use crate::xen::hypervisor::{self, Cache, XenUnderTest};

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    check(args)?;
    if args.backend != BackendKind::Qemu {
        return domains::run(args, &config);
    }
    let xens = config.select(&args.xen)?;
    let cache = Cache::of_workspace(&config.workspace)?.looking(args.look());

    let files = files(&args.reports)?;
    let obtain = |xen: &Hypervisor| hypervisor::obtain(xen, &cache, &mut note);
    if args.fetch_only {
        for xen in &xens {
            let ready = obtain(xen)?;
            let known = hypervisor::describe_cached(xen, &cache)?.unwrap_or(ready.provenance);
            note(&format!("{}: {} is {known}", xen.name, ready.elf.display()));
        }
        return Ok(Exit::Success);
    }

    let image = image::find(args.places.image.as_deref(), &config.workspace)?;
    config.check_tests(&image)?;
    let environments = args.environments();
    let tests = plan::choose(&image, args.selection.wanted(), environments)?;
    let how = How {
        sharing: if args.isolate { Sharing::Isolated } else { Sharing::Allowed },
        partition: args.partition,
        machine: &|xen, test| config.machine(xen, test),
    };
    let boots = plan::boots(&tests, &xens, environments, &how);
    let debug = match (args.gdb, args.keep) {
        (true, _) => Debug::Gdb,
        (_, true) => Debug::Keep,
        _ => Debug::No,
    };
    if debug == Debug::Gdb && boots.len() != 1 {
        return Err(Error::Usage(format!(
            "--gdb needs a single boot, and this selection takes {}; name one test, --env and \
             --xen",
            boots.len()
        )));
    }
    let mut qemu = Qemu {
        // Until it is known better.
        kvm: if args.accel == Accel::Kvm { Kvm::Always } else { Kvm::Never },
        mode: args.boot,
        debug,
        guest_cmdline: args.cmdline.clone().unwrap_or_default(),
        xen_cmdline: args.xen_cmdline.clone().unwrap_or_default(),
        ..Qemu::of(args.qemu.as_deref(), &config)
    };
    if args.dry_run {
        return dry_run(&boots, &xens, &cache, &image, qemu, args.accel, &obtain);
    }

    if let (Some(share), true) = (args.partition, boots.is_empty()) {
        // Shares are made without knowing what there is: one may get nothing.
        note(&format!("share {share} of this run holds no test"));
    }
    let policy = policy(&args.reports, &config, &image)?;
    let version = qemu.probe()?;
    let ready: Vec<XenUnderTest> = xens.iter().map(obtain).collect::<Result<_>>()?;
    if let (Accel::Kvm, Some(why)) = (args.accel, accel::unusable()) {
        return Err(Error::Tool(format!("--accel kvm, but {why}; try --accel tcg")));
    }
    let stop = StopSignal::install()?;
    if args.accel == Accel::Auto {
        let oracle = KvmProbe { qemu: &qemu, version: &version, image: &image, cache: &cache };
        qemu.kvm = oracle.ask(&boots, &xens, &ready, Some(&stop), &mut note)?;
    }
    let xen_syms: Vec<Option<PathBuf>> = match debug {
        Debug::No => {
            xens.iter().zip(&ready).map(|(xen, ready)| with_lines(xen, ready, &cache)).collect()
        }
        _ => xens.iter().zip(&ready).map(|(xen, ready)| find_symbols(xen, ready, &cache)).collect(),
    };
    let base = args.logs.clone().unwrap_or_else(|| config.workspace.join("logs"));
    let mut about = About::run_of(&image, &version)?;
    about.run.slow_s = seconds(Duration::from_secs(args.reports.slow_timeout));
    about.expectations = policy.expectations.clone();
    about.whole_matrix = args.selection.words.is_empty()
        && args.selection.exclude.is_empty()
        && args.partition.is_none()
        && config.are_all(&xens)
        && Environment::DOM0.iter().all(|environment| environments.contains(environment));
    let dom0 =
        AsDom0 { xens: &xens, ready: &ready, qemu: &qemu, version: &version, prepare: &as_it_is };
    let backend = FromSnapshot::new(dom0, &boots, args.snapshot);
    let session = Session {
        backend: &backend,
        image: &image,
        debug,
        xen_syms: &xen_syms,
        logs: RunLogs::create(&base, &stop)?,
        stop: &stop,
        jobs: match debug {
            Debug::Keep => NonZeroUsize::MIN,
            _ => args.jobs.unwrap_or_else(cpus),
        },
        policy,
        test_time: &|test| args.timeout.map_or_else(|| config.test_time(test), Duration::from_secs),
        boot_timeout: Duration::from_secs(config.qemu.boot_timeout_s),
    };
    report_on(&session, boots, about, files, args.verbose)
}

/// Runs the boots and tells of them.
pub fn report_on(
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

/// Refuses options that the backend has no use for: they would be lost in silence.
fn check(args: &RunArgs) -> Result<()> {
    let wrong = match args.backend {
        BackendKind::Qemu if args.environments().contains(&Environment::Hvm64) => {
            "hvm64 is a domain, but --backend qemu runs the image as dom0; use --backend qemu-xl"
        }
        BackendKind::Xl if !args.xen.is_empty() => {
            "--xen chooses what QEMU boots, but --backend xl runs on the Xen of the Xen host; omit \
             --xen, or use --backend qemu-xl"
        }
        BackendKind::Xl if args.fetch_only => "--fetch-only does not apply to --backend xl",
        BackendKind::Xl if args.xen_cmdline.is_some() => {
            "--xen-cmdline does not apply to --backend xl: its Xen is already running"
        }
        BackendKind::Qemu | BackendKind::QemuXl if args.host.is_some() => {
            "--host needs --backend xl"
        }
        BackendKind::Xl | BackendKind::QemuXl if args.snapshot == SnapshotUse::Always => {
            "--snapshot always needs --backend qemu"
        }
        BackendKind::Xl | BackendKind::QemuXl if args.gdb || args.keep => {
            "--gdb and --keep need --backend qemu"
        }
        _ => return Ok(()),
    };
    Err(Error::Usage(wrong.into()))
}

/// What counts as a success, from all that have a say in it.
pub fn policy(args: &ReportArgs, config: &Config, image: &Image) -> Result<Policy> {
    let mut expectations = Expectations::load(args.expect.as_deref(), config, &image.tests)?;
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

/// The xen-syms of `xen`, if the configuration has a file of the same build. Debian's has no line
/// tables, and without them Xen's own words say as much.
fn with_lines(xen: &Hypervisor, ready: &XenUnderTest, cache: &Cache) -> Option<PathBuf> {
    let origin = xen.symbols.as_ref().filter(|origin| matches!(origin, Origin::Path(_)))?;
    let syms = match hypervisor::obtain_symbols(origin, ready, cache, &mut note) {
        Ok(syms) => syms,
        Err(error) => {
            note(&format!("no source lines for Xen {}'s messages: {error}", xen.name));
            return None;
        }
    };
    let [boots, has] = [&ready.elf, &syms.elf].map(|elf| hypervisor::build_id(elf));
    if boots.is_none() || boots != has {
        note(&format!(
            "no source lines for Xen {}'s messages: its symbols belong to another build",
            xen.name
        ));
        return None;
    }
    Some(syms.elf)
}

/// The xen-syms of `xen`, for a debugger, which works without.
fn find_symbols(xen: &Hypervisor, ready: &XenUnderTest, cache: &Cache) -> Option<PathBuf> {
    let origin = xen.symbols.as_ref()?;
    match hypervisor::obtain_symbols(origin, ready, cache, &mut note) {
        Ok(syms) => Some(syms.elf),
        Err(e) => {
            note(&format!("continuing without Xen's symbols: {e}"));
            None
        }
    }
}

fn dry_run(
    boots: &[Boot<'_>],
    xens: &[Hypervisor],
    cache: &Cache,
    image: &Image,
    mut qemu: Qemu,
    accel: Accel,
    obtain: &dyn Fn(&Hypervisor) -> Result<XenUnderTest>,
) -> Result<Exit> {
    let mut elves: Vec<PathBuf> = Vec::new();
    for xen in xens {
        let elf = match hypervisor::would_be(xen, cache)? {
            Some(elf) => elf,
            None => obtain(xen)?.elf,
        };
        if !elf.is_file() {
            eprintln!("note: Xen {} is not in the cache; download it with --fetch-only", xen.name);
        }
        elves.push(elf);
    }
    let mut text = String::new();
    if accel == Accel::Auto && elves.iter().all(|elf| elf.is_file()) {
        let ready: Vec<XenUnderTest> =
            elves.iter().map(|elf| XenUnderTest::file(elf.clone(), String::new())).collect();
        let version = qemu.probe()?;
        let oracle = KvmProbe { qemu: &qemu, version: &version, image, cache };
        qemu.kvm = oracle.ask(boots, xens, &ready, None, &mut |text| eprintln!("note: {text}"))?;
    }
    for boot in boots {
        let invocation = qemu.invocation(boot);
        text += &invocation.shell_anywhere(&elves[boot.xen], &image.path);
        text.push('\n');
    }
    write_out(&text)?;
    Ok(Exit::Success)
}
