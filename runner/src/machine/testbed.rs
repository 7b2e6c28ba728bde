//! One Xen, with an image and a QEMU: the start of every command that works on a single Xen.

use std::num::NonZeroUsize;
use std::path::Path;
use std::slice;
use std::time::Duration;

use protocol::metadata::Environment;

use crate::base::exit::{Error, Result};
use crate::base::signals::StopSignal;
use crate::image;
use crate::image::{Image, TestMeta};
use crate::machine::as_dom0::{AsDom0, as_it_is};
use crate::machine::backend::Backend;
use crate::machine::debug::Debug;
use crate::machine::logs::RunLogs;
use crate::machine::qemu::Qemu;
use crate::machine::session::Session;
use crate::machine::{Boot, boots_on};
use crate::plan::config::{Config, Hypervisor};
use crate::plan::loader::Loader;
use crate::plan::select::Selected;
use crate::plan::{self, How, Sharing};
use crate::results::About;
use crate::results::policy::Policy;
use crate::xen::hypervisor::{self, Cache, Look, XenFile, XenUnderTest};
use crate::xen::symbols::Build;

/// The Xen that the user means.
#[derive(Debug)]
pub struct ChosenXen {
    /// Who knows of it.
    pub config: Config,
    /// The Xen.
    pub xen: Hypervisor,
    /// Where Xens are kept.
    pub cache: Cache,
}

impl ChosenXen {
    /// The Xen that is `wanted`, or the one default, of the configuration at `path`, with `loader`
    /// if one is wanted.
    pub fn of(
        path: Option<&Path>,
        wanted: Option<&str>,
        loader: Option<Loader>,
        look: Look,
    ) -> Result<ChosenXen> {
        let config = Config::load(path)?.loading(loader);
        let xen = the_xen(&config, wanted)?;
        let cache = Cache::at(&config.cache())?.looking(look);
        Ok(ChosenXen { config, xen, cache })
    }

    /// Each of the Xens that are `wanted`, or the defaults.
    pub fn each(
        path: Option<&Path>,
        wanted: &[String],
        loader: Option<Loader>,
        look: Look,
    ) -> Result<Vec<ChosenXen>> {
        let config = Config::load(path)?.loading(loader);
        let chosen = |xen: Hypervisor| {
            let config = config.clone();
            let cache = Cache::at(&config.cache())?.looking(look);
            Ok(ChosenXen { config, xen, cache })
        };
        config.select(wanted)?.into_iter().map(chosen).collect()
    }

    /// The first of the default Xens that can be booted without the network.
    pub fn at_hand(config: Config) -> Result<ChosenXen> {
        let cache = Cache::at(&config.cache())?;
        let at_hand = |xen: &Hypervisor| hypervisor::is_at_hand(xen, &cache).unwrap_or(false);
        let xen = config.select(&[])?.into_iter().find(at_hand);
        let xen = xen.ok_or_else(|| Error::Tool("no default Xen is at hand".into()))?;
        Ok(ChosenXen { config, xen, cache })
    }

    /// Gets it. Notes go where they don't end up in anybody's output.
    pub fn obtain(&self) -> Result<XenFile> {
        hypervisor::obtain(&self.xen, &self.cache, &mut |text| eprintln!("note: {text}"))
    }

    /// The Xen with `file`: its own, or what was made of it.
    pub fn with(&self, file: XenFile) -> XenUnderTest {
        XenUnderTest::new(&self.xen, Some(file))
    }

    /// Gets it with its symbols: those at `symbols`, or those that the configuration names.
    pub fn build(&self, symbols: Option<&Path>) -> Result<Build> {
        Build::obtain(&self.xen, symbols, &self.cache)
    }
}

/// The one Xen that is `wanted`, or the one default.
pub fn the_xen(config: &Config, wanted: Option<&str>) -> Result<Hypervisor> {
    let wanted: Vec<String> = wanted.map(str::to_owned).into_iter().collect();
    let mut xens = config.select(&wanted)?;
    match (xens.pop(), xens.is_empty()) {
        (Some(xen), true) => Ok(xen),
        _ => Err(Error::Usage("default-xen names several Xens; choose one with --xen".into())),
    }
}

/// A Xen with an image and a QEMU.
#[derive(Debug)]
pub struct Testbed {
    /// The Xen.
    pub on: ChosenXen,
    /// The image.
    pub image: Image,
    /// How it is booted.
    pub qemu: Qemu,
    /// QEMU's description of itself.
    pub version: String,
}

impl Testbed {
    /// The image at the path, or the one that is found, on the Xen `on`, with the QEMU at `qemu` or
    /// the configured one.
    pub fn of(on: ChosenXen, image: Option<&Path>, qemu: Option<&Path>) -> Result<Testbed> {
        let image = image::find(image, &on.config.workspace)?;
        on.config.check_tests(&image)?;
        let qemu = Qemu::of(qemu, &on.config);
        let version = qemu.probe()?;
        Ok(Testbed { on, image, qemu, version })
    }

    /// The boots for `tests` on `xen`.
    pub fn boots<'t>(
        &self,
        xen: &'t XenUnderTest,
        tests: &'t [Selected],
        environments: &[Environment],
        sharing: Sharing,
    ) -> Vec<Boot<'t>> {
        let machine = |xen: &Hypervisor, test: &TestMeta| self.on.config.machine(xen, test);
        let how = How { sharing, ..How::plain(&machine) };
        let planned = plan::boots(tests, slice::from_ref(&xen.hypervisor), environments, &how);
        boots_on(&planned, slice::from_ref(xen))
    }

    /// Time for a test: `limit`, or its own.
    pub fn test_time(&self, limit: Option<u64>) -> impl Fn(&TestMeta) -> Duration + Sync {
        move |test| limit.map_or_else(|| self.on.config.test_time(test), Duration::from_secs)
    }

    /// The image as dom0.
    pub fn dom0(&self) -> AsDom0<'_> {
        AsDom0 { qemu: &self.qemu, version: &self.version, prepare: &as_it_is }
    }

    /// What there is to know about a run in it.
    pub fn about(&self) -> About<'_> {
        About::image(&self.image, &self.version)
    }

    /// Time from power on to the first test, and between two tests.
    pub fn boot_time(&self) -> Duration {
        Duration::from_secs(self.on.config.qemu.boot_timeout_s)
    }

    /// A session in which only that counts which the tests declare themselves.
    pub fn session<'s>(
        &'s self,
        backend: &'s dyn Backend,
        logs: RunLogs,
        stop: &'s StopSignal,
        jobs: NonZeroUsize,
        test_time: &'s (dyn Fn(&TestMeta) -> Duration + Sync),
    ) -> Session<'s> {
        Session {
            backend,
            image: &self.image,
            debug: Debug::No,
            logs,
            stop,
            jobs,
            policy: Policy::default(),
            test_time,
            boot_timeout: self.boot_time(),
        }
    }
}
