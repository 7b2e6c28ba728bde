//! Boots a Xen and performs a program on it.

use std::fs;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use livepatch::program::{Program, encode};
use protocol::metadata::Environment;
use protocol::programs::LIVEPATCH_REPLAY;
use tempfile::TempDir;

use super::verdict::{Observer, Replayed};
use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::cli::ReplayOn;
use crate::image::stamp;
use crate::judge::Event;
use crate::judge::splitter::Speaker;
use crate::machine::boot::Limits;
use crate::machine::testbed::{ChosenXen, Testbed};
use crate::machine::trial::Trial;
use crate::plan::select::Selected;
use crate::xen::hypervisor::XenUnderTest;

/// Xen says what it does as INFO, which costs more than the call; what it dies of as WARNING.
const QUIET: &str = "loglvl=warning guest_loglvl=error";

/// A Xen and all that it takes to boot it.
pub struct Replayer {
    rig: Testbed,
    xen: XenUnderTest,
    /// The image's content.
    image: Vec<u8>,
    test: Selected,
    environment: Environment,
    timeout: Option<u64>,
    stop: StopSignal,
    /// Where logs go; each boot's in a folder of its own.
    dir: TempDir,
    count: AtomicUsize,
}

impl Replayer {
    /// On the Xen that is `wanted`, or the default.
    pub fn new(on: &ReplayOn, wanted: Option<&str>) -> Result<Self> {
        Self::on(on, ChosenXen::of(on.places.config.as_deref(), wanted, on.fetch.look())?)
    }

    /// On each of the Xens that are `wanted`, one after the other.
    pub fn each(on: &ReplayOn, wanted: &[String]) -> Result<impl Iterator<Item = Result<Self>>> {
        let all = ChosenXen::each(on.places.config.as_deref(), wanted, on.fetch.look())?;
        Ok(all.into_iter().map(move |one| Self::on(on, one)))
    }

    /// What the user calls the Xen.
    pub fn xen(&self) -> &str {
        &self.rig.on.xen.name
    }

    fn on(on: &ReplayOn, one: ChosenXen) -> Result<Self> {
        let xen = one.with(one.obtain()?);
        let mut rig = Testbed::of(one, on.places.image.as_deref(), on.qemu.as_deref())?;
        rig.qemu.mode = on.boot;
        rig.qemu.xen_cmdline = QUIET.into();
        let path = &rig.image.path;
        let image = fs::read(path).io("read", path)?;
        let test = Selected::whole(&rig.image, LIVEPATCH_REPLAY)?;
        let stop = StopSignal::install()?;
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder for the boots' logs".into(),
            source,
        })?;
        Ok(Self {
            rig,
            xen,
            image,
            test,
            environment: on.env,
            timeout: on.timeout,
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

        let tests = slice::from_ref(&self.test);
        let boots = self.rig.boots(&self.xen, tests, &[self.environment]);
        let Some(boot) = boots.first() else {
            let environment = self.environment.name();
            return Err(Error::EmptySelection(format!(
                "{LIVEPATCH_REPLAY} does not run as {environment}"
            )));
        };
        let folder = self.dir.path().join(number.to_string());
        let time = (self.rig.test_time(self.timeout))(&self.test.test);
        let of_test = |_: &str| time;
        let limits = Limits::new(self.rig.boot_time(), &of_test);
        let trial = Trial { image: &image, limits: &limits, stop: &self.stop };
        let mut observer = Observer::default();
        let tried = trial.boot(folder.clone(), &self.rig.dom0(), boot, &mut |event| {
            if let Event::Line(line) = event {
                match line.speaker {
                    Speaker::Guest => observer.guest(&line.text),
                    _ => observer.xen(&line.text),
                }
            }
        })?;
        if self.stop.requested().is_some() {
            return Err(Error::Tool("stopped".into()));
        }
        if let Some(failure) = tried.result.tool_failure {
            return Err(Error::Tool(failure.what));
        }
        fs::remove_file(&image).io("remove", &image)?;
        fs::remove_dir_all(&folder).io("remove", &folder)?;
        Ok(observer.finish(&tried.result.judgement.settled))
    }
}
