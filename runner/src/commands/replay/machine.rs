//! Boots a Xen and performs a program on it.

use std::fs;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use livepatch::program::{Program, encode};
use protocol::programs::LIVEPATCH_REPLAY;
use tempfile::TempDir;

use super::verdict::{Observer, Replayed};
use crate::base::environment::Environment;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::cli::ReplayOn;
use crate::image::stamp;
use crate::judge::Event;
use crate::judge::console::Source;
use crate::machine::boot::{self, Limits};
use crate::machine::debug::Debug;
use crate::machine::logs::BootLogs;
use crate::machine::rig::{ChosenXen, Testbed};
use crate::plan::select::Selected;
use crate::xen::hypervisor::XenUnderTest;

/// Xen says what it does as INFO, which costs more than the call; what it dies of as WARNING.
const QUIET: &str = "loglvl=warning guest_loglvl=error";

/// A Xen and all that it takes to boot it.
pub struct Replayer {
    rig: Testbed,
    ready: XenUnderTest,
    /// The image's content.
    image: Vec<u8>,
    test: Selected,
    environment: Environment,
    timeout: Option<Duration>,
    stop: StopSignal,
    /// Where logs go; each boot's in a folder of its own.
    dir: TempDir,
    count: AtomicUsize,
}

impl Replayer {
    pub fn new(on: &ReplayOn) -> Result<Self> {
        let one = ChosenXen::of(on.places.config.as_deref(), on.xen.as_deref(), on.fetch.look())?;
        let ready = one.obtain()?;
        let mut rig = Testbed::of(one, on.places.image.as_deref(), on.qemu.as_deref())?;
        rig.qemu.mode = on.boot;
        rig.qemu.xen_cmdline = QUIET.into();
        let image = &rig.image;
        let bytes = fs::read(&image.path).io("read", &image.path)?;
        let test = image.tests.iter().find(|test| test.name == LIVEPATCH_REPLAY).cloned();
        let test = test.map(Selected::from).ok_or_else(|| {
            let image = image.path.display();
            Error::Data(format!(
                "the image {image} has no test {LIVEPATCH_REPLAY}; rebuild it with `make build`"
            ))
        })?;
        let stop = StopSignal::install()?;
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder for the boots' logs".into(),
            source,
        })?;
        Ok(Self {
            rig,
            ready,
            image: bytes,
            test,
            environment: on.env,
            timeout: on.timeout.map(Duration::from_secs),
            stop,
            dir,
            count: AtomicUsize::new(0),
        })
    }

    /// Boots, and performs a program.
    pub fn replay(&self, program: &Program) -> Result<Replayed> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let image = self.dir.path().join(format!("xtf-{number}"));
        let stamped = stamp::stamp_input(&self.image, &encode(program))?;
        fs::write(&image, stamped).io("write", &image)?;

        let boots = self.rig.boots(slice::from_ref(&self.test), &[self.environment]);
        let Some(boot) = boots.first() else {
            let environment = self.environment.name();
            return Err(Error::EmptySelection(format!(
                "{LIVEPATCH_REPLAY} does not run as {environment}"
            )));
        };
        let folder = self.dir.path().join(number.to_string());
        let mut logs = BootLogs::create(folder.clone(), Some(&self.ready.elf), &image)?;
        let config = &self.rig.on.config;
        let time = self.timeout.unwrap_or_else(|| config.test_time(&self.test));
        let boot_time = Duration::from_secs(config.qemu.boot_timeout_s);
        let limits = Limits {
            boot: boot_time,
            test: &|_| time,
            enough: &boot::never_enough,
            debug: Debug::No,
        };
        let invocation = self.rig.qemu.invocation(boot);
        let judge = boot.judge().demand_options(&invocation.xen_cmdline);
        let mut observer = Observer::default();
        let outcome =
            boot::run(&invocation, judge, &limits, &self.stop, &mut logs, &mut |event| {
                if let Event::Line(line) = event {
                    match line.source {
                        Source::Guest => observer.guest(&line.text),
                        _ => observer.xen(&line.text),
                    }
                }
            })?;
        if self.stop.requested().is_some() {
            return Err(Error::Tool("stopped".into()));
        }
        if let Some(failure) = outcome.tool_failure {
            return Err(Error::Tool(failure.what));
        }
        fs::remove_file(&image).io("remove", &image)?;
        fs::remove_dir_all(&folder).io("remove", &folder)?;
        Ok(observer.finish(&outcome.judgement.settled))
    }
}
