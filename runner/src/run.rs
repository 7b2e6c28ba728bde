//! `xtf-runner run`: from the command line to an exit code.

use std::collections::VecDeque;
use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::boot::{self, Limits, ToolFailure};
use crate::cli::{Places, RunArgs};
use crate::config::{Config, Hypervisor};
use crate::console::Source;
use crate::event::{Listener, RunEvent, TestOutcome};
use crate::exit::{Error, Exit, Result};
use crate::hypervisor::{self, Cache, Ready};
use crate::image::Image;
use crate::judge::Event;
use crate::logs::RunLogs;
use crate::plan::{self, Boot};
use crate::qemu::Qemu;
use crate::report::Display;
use crate::signals::Stop;
use crate::status::Status;
use crate::symbols;

/// Where the workspace's build leaves the image.
const BUILT_IMAGE: &str = "target/x86_64-unknown-none/release/xtf";

/// The image that `places` names, or the one that is found by itself.
pub fn find_image(places: &Places, config: &Config) -> Result<Image> {
    if let Some(path) = &places.image {
        return Image::open(path);
    }
    let built = config.workspace.join(BUILT_IMAGE);
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("xtf")));
    match beside.filter(|path| !built.is_file() && path.is_file()) {
        Some(path) => Image::open(&path),
        None => Image::open(&built),
    }
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    let xens = config.select(&args.xen)?;
    let cache = Cache::of_workspace(&config.workspace)?;
    let mut display = Display::new(anstream::AutoStream::auto(io::stdout()), args.verbose);

    if args.fetch_only {
        for xen in &xens {
            let ready = obtain(xen, &cache, &mut display)?;
            let text = format!("{}: {} is {}", xen.name, ready.elf.display(), ready.provenance);
            display.event(&RunEvent::Note(&text));
        }
        return Ok(Exit::Success);
    }

    let image = find_image(&args.places, &config)?;
    let boots = plan::choose(&image, &args.tests, xens.len(), &args.env)?;
    let qemu = Qemu {
        binary: args.qemu.clone().unwrap_or_else(|| config.qemu.binary.clone()),
        accel: args.accel,
        mode: args.boot,
        guest_cmdline: args.cmdline.clone().unwrap_or_default(),
        xen_cmdline: args.xen_cmdline.clone().unwrap_or_default(),
    };
    if args.dry_run {
        return dry_run(&boots, &xens, &cache, &image, &qemu, &mut display);
    }

    let version = qemu.probe()?;
    let ready: Vec<Ready> =
        xens.iter().map(|xen| obtain(xen, &cache, &mut display)).collect::<Result<_>>()?;
    let base = args.logs.clone().unwrap_or_else(|| config.workspace.join("logs"));
    let session = Session {
        xens: &xens,
        ready: &ready,
        image: &image,
        qemu: &qemu,
        version: &version,
        logs: RunLogs::create(&base)?,
        stop: &Stop::install()?,
        test_timeout: args.timeout.map(Duration::from_secs),
        boot_timeout: Duration::from_secs(config.qemu.boot_timeout_s),
    };
    session.run(boots, &mut display)
}

fn obtain(xen: &Hypervisor, cache: &Cache, display: &mut dyn Listener) -> Result<Ready> {
    hypervisor::obtain(xen, cache, &mut |text| display.event(&RunEvent::Note(text)))
}

fn dry_run(
    boots: &[Boot<'_>],
    xens: &[Hypervisor],
    cache: &Cache,
    image: &Image,
    qemu: &Qemu,
    display: &mut dyn Listener,
) -> Result<Exit> {
    let mut elves: Vec<PathBuf> = Vec::new();
    for xen in xens {
        let elf = match hypervisor::would_be(xen, cache)? {
            Some(elf) => elf,
            None => obtain(xen, cache, display)?.elf,
        };
        if !elf.is_file() {
            eprintln!("note: Xen {} is not in the cache; get it with --fetch-only", xen.name);
        }
        elves.push(elf);
    }
    let mut text = String::new();
    for boot in boots {
        let invocation = qemu.invocation(boot, &xens[boot.xen].cmdline);
        text += &invocation.shell_anywhere(&elves[boot.xen], &image.path);
        text.push('\n');
    }
    write_out(&text)?;
    Ok(Exit::Success)
}

/// Writes to standard output; a reader who has seen enough is no error.
pub fn write_out(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { what: "cannot write to standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// Everything that the boots of a run share.
pub struct Session<'a> {
    /// What to run on.
    pub xens: &'a [Hypervisor],
    /// The same, ready.
    pub ready: &'a [Ready],
    /// What to run.
    pub image: &'a Image,
    /// How to boot.
    pub qemu: &'a Qemu,
    /// QEMU's description of itself.
    pub version: &'a str,
    /// Where everything is written down.
    pub logs: RunLogs,
    /// Whether the user wants it to end.
    pub stop: &'a Stop,
    /// Time for each test, instead of its own.
    pub test_timeout: Option<Duration>,
    /// Time from power on to the first test, and between two tests.
    pub boot_timeout: Duration,
}

impl Session<'_> {
    /// Runs the boots, and once more the tests that a boot's early end left out.
    pub fn run(&self, boots: Vec<Boot<'_>>, display: &mut dyn Listener) -> Result<Exit> {
        let start = Instant::now();
        let tests = boots.iter().map(|boot| boot.tests.len()).sum();
        let logs = self.logs.dir();
        display.event(&RunEvent::RunStarted { boots: boots.len(), tests, logs });

        let mut statuses: Vec<Status> = Vec::new();
        let mut tool_failed = false;
        let mut queue = VecDeque::from(boots);
        let mut error = None;
        while let Some(boot) = queue.pop_front() {
            if self.stop.requested().is_some() {
                break;
            }
            match self.boot(&boot, display, &mut statuses) {
                Ok((rerun, failure)) => {
                    if !rerun.is_empty() {
                        queue.push_front(boot.again_for(&rerun));
                    }
                    if let Some(failure) = failure {
                        tool_failed = true;
                        if failure.at_start {
                            error = Some(Error::Tool(failure.what));
                            break;
                        }
                    }
                }
                Err(e) => {
                    error = Some(e);
                    break;
                }
            }
        }
        let stopped = self.stop.requested();
        display.event(&RunEvent::RunEnded { elapsed: start.elapsed(), stopped });
        if let Some(error) = error {
            return Err(error);
        }
        let results = Status::of_parts(statuses).map_or(Exit::Success, Exit::from);
        let tool = tool_failed.then_some(Exit::Tool);
        Ok([Some(results), tool, stopped].into_iter().flatten().max().unwrap_or(results))
    }

    /// One boot; returns the tests to boot again, and whether QEMU failed.
    fn boot(
        &self,
        boot: &Boot<'_>,
        display: &mut dyn Listener,
        statuses: &mut Vec<Status>,
    ) -> Result<(Vec<String>, Option<ToolFailure>)> {
        let Hypervisor { name: xen, cmdline, .. } = &self.xens[boot.xen];
        let Ready { elf, provenance } = &self.ready[boot.xen];
        let environment = boot.environment;
        let names: Vec<&str> = boot.tests.iter().map(|test| test.name.as_str()).collect();
        let title = match names.as_slice() {
            [only] => format!("{xen}-{}-{only}", environment.name()),
            _ => format!("{xen}-{}", environment.name()),
        };
        let mut logs = self.logs.boot(&title, elf, &self.image.path)?;
        logs.decision(&format!("Xen: {provenance}\nQEMU: {}", self.version))?;
        display.event(&RunEvent::BootStarted { xen, environment, tests: &names });

        let time_of = |name: &str| {
            let own = boot.tests.iter().find(|test| test.name == name).map(|test| test.timeout_s);
            self.test_timeout.or(own.map(Duration::from_secs)).unwrap_or(self.boot_timeout)
        };
        let limits = Limits { boot: self.boot_timeout, test: &time_of, until_failure: false };
        let invocation = self.qemu.invocation(boot, cmdline);
        let outcome =
            boot::run(&invocation, boot.judge(), &limits, self.stop, &mut logs, &mut |event| {
                if let Event::Line(line) = event
                    && line.source == Source::Guest
                {
                    display.event(&RunEvent::GuestLine(&line.text));
                }
            })?;
        display.event(&RunEvent::BootEnded);

        let branch = outcome.judgement.branch;
        for mut report in outcome.judgement.settled {
            if let Some(test) = boot.tests.iter().find(|test| test.name == report.name) {
                report.weigh(&test.kills, branch.as_deref());
            }
            statuses.push(report.status);
            let frames = symbols::describe(&self.image.path, &report.backtrace);
            let logs = logs.dir().to_owned();
            let settled = TestOutcome { xen: xen.clone(), environment, report, frames, logs };
            display.event(&RunEvent::TestSettled(&settled));
        }
        Ok((outcome.judgement.rerun, outcome.tool_failure))
    }
}
