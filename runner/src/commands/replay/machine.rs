//! Boots a Xen and performs a program on it.

use std::fs;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use livepatch::program::{Program, encode};
use protocol::metadata::Environment;
use protocol::programs::LIVEPATCH_REPLAY;
use tempfile::TempDir;

use super::verdict::{Observer, Replayed};
use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::cli::{ProgramArgs, ReplayArgs};
use crate::image::stamp;
use crate::judge::Event;
use crate::judge::splitter::Speaker;
use crate::machine::boot::Limits;
use crate::machine::qemu::BootMode;
use crate::machine::testbed::{ChosenXen, Testbed};
use crate::machine::trial::Trial;
use crate::plan::Sharing;
use crate::plan::select::Selected;
use crate::xen::hypervisor::XenUnderTest;

/// Xen says what it does as INFO, which costs more than the call; what it dies of as WARNING.
const QUIET: &str = "loglvl=warning guest_loglvl=error";

/// Has boots of `rig` say what matters alone.
fn quieten(rig: &mut Testbed, mode: BootMode) {
    rig.qemu.mode = mode;
    rig.qemu.xen_cmdline = QUIET.into();
}

/// Has boots of `rig` be as those of a replay, the fast ones. Returns an image that performs `program`.
pub fn prepare(rig: &mut Testbed, program: &Program) -> Result<Vec<u8>> {
    quieten(rig, BootMode::Fast);
    stamp::stamp_input(&rig.image.small()?, &encode(program))
}

/// A Xen and all that it takes to boot it.
pub struct Replayer {
    rig: Testbed,
    xen: XenUnderTest,
    /// The image's content, as far as a machine needs it.
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
    /// On the Xen that `args` name, or the default.
    pub fn one(args: &ReplayArgs) -> Result<Self> {
        let (config, wanted) = (args.places.config.as_deref(), args.xen.first());
        let wanted = wanted.map(String::as_str);
        Self::on(args, ChosenXen::of(config, wanted, args.loader.loader, args.fetch.look())?)
    }

    /// On each of the Xens that `args` name, one after the other.
    pub fn each(args: &ReplayArgs) -> Result<impl Iterator<Item = Result<Self>>> {
        let config = args.places.config.as_deref();
        let all = ChosenXen::each(config, &args.xen, args.loader.loader, args.fetch.look())?;
        Ok(all.into_iter().map(move |one| Self::on(args, one)))
    }

    /// What the user calls the Xen.
    pub fn xen(&self) -> &str {
        &self.rig.on.xen.name
    }

    fn on(args: &ReplayArgs, one: ChosenXen) -> Result<Self> {
        let rig = Testbed::of(one, args.places.image.as_deref(), args.qemu.as_deref())?;
        Self::of(&args.program, rig)
    }

    /// On the Xen of `rig`.
    pub fn of(program: &ProgramArgs, mut rig: Testbed) -> Result<Self> {
        let xen = rig.on.with(rig.on.obtain()?);
        quieten(&mut rig, program.boot);
        let image = rig.image.small()?;
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
            environment: program.env,
            timeout: program.timeout,
            stop,
            dir,
            count: AtomicUsize::new(0),
        })
    }

    /// How to end, if the user wants that.
    pub fn stopped(&self) -> Option<Exit> {
        self.stop.requested()
    }

    /// Boots, and performs a program.
    pub fn replay(&self, program: &Program) -> Result<Replayed> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let image = self.dir.path().join(format!("xtf-{number}"));
        let stamped = stamp::stamp_input(&self.image, &encode(program))?;
        fs::write(&image, stamped).io("write", &image)?;

        let tests = slice::from_ref(&self.test);
        let boots = self.rig.boots(&self.xen, tests, &[self.environment], Sharing::Allowed);
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
