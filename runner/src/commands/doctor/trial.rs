//! A boot that shows what this machine's QEMU can do with a Xen that is at hand: whether a saved
//! machine goes on, and whether a PVH guest reads the right address of a page fault.

use std::num::NonZeroUsize;
use std::path::Path;

use crate::base::environment::Environment;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::cli::DoctorArgs;
use crate::judge::{TestReport, Verdict};
use crate::machine::logs::RunLogs;
use crate::machine::rig::{ChosenXen, Testbed};
use crate::machine::snapshot::{FromSnapshot, SnapshotUse};
use crate::plan;
use crate::plan::config::Hypervisor;
use crate::plan::select::{Selected, Wanted};
use crate::results::event::{Listener, RunEvent};
use crate::xen::hypervisor::{self, Cache, XenUnderTest};

/// The case of the image that looks at CR2.
const PROBE: &str = "selftest/trap/page_fault_has_its_address";

/// What came of it.
pub struct Trial {
    /// Whether a saved machine goes on.
    pub snapshot: Result<String>,
    /// What CR2 reads as: as it should, or the named deviation.
    pub cr2: Result<std::result::Result<String, String>>,
}

/// Boots the first of the default Xens that is at hand.
pub fn trial(args: &DoctorArgs) -> Result<Trial> {
    let on = ChosenXen::first(args.places.config.as_deref(), is_at_hand)?;
    let name = on.xen.name.clone();
    let ready = on.obtain()?;
    let rig = Testbed::of(on, args.places.image.as_deref(), args.qemu.as_deref())?;
    let words = [PROBE.to_owned()];
    let wanted = Wanted { words: &words, ..Wanted::default() };
    let tests = plan::choose(&rig.image, wanted, &[Environment::Pvh64])?;
    let stop = StopSignal::install()?;
    let dir = tempfile::tempdir().io("create a folder in", &std::env::temp_dir())?;
    let boot = |snapshot| boot(&rig, &ready, &tests, snapshot, dir.path(), &stop);
    let (snapshot, report) = match boot(SnapshotUse::Always) {
        Ok(report) => (Ok("a saved machine goes on".to_owned()), Ok(report)),
        Err(why) => (Err(why), boot(SnapshotUse::Never)),
    };
    let cr2 = report.and_then(|report| match report.cases.first().map(|case| &case.verdict) {
        Some(Verdict::Success) => {
            Ok(Ok(format!("right in a PVH guest of Xen {name}, as the address of a page fault")))
        }
        Some(Verdict::Deviation(how)) => Ok(Err(format!(
            "wrong in a PVH guest of Xen {name} under this QEMU ({how}): addresses of page faults \
             are unknown there, which every report tolerates and shows"
        ))),
        _ => Err(Error::Tool(format!(
            "Xen {name} does not run {PROBE} as pvh64: {} {}",
            report.status,
            report.reasons.join("; ")
        ))),
    });
    Ok(Trial { snapshot, cr2 })
}

/// Whether `xen` can be booted without being fetched.
fn is_at_hand(xen: &Hypervisor, cache: &Cache) -> bool {
    match hypervisor::would_be(xen, cache) {
        Ok(Some(file)) => file.is_file(),
        Ok(None) => hypervisor::obtain(xen, cache, &mut |_| ()).is_ok(),
        Err(_) => false,
    }
}

/// One boot of one test, and what came of it.
fn boot(
    rig: &Testbed,
    ready: &XenUnderTest,
    tests: &[Selected],
    snapshot: SnapshotUse,
    dir: &Path,
    stop: &StopSignal,
) -> Result<TestReport> {
    /// Hears of the test.
    struct Ear(Option<TestReport>);
    impl Listener for Ear {
        fn event(&mut self, event: &RunEvent<'_>) {
            if let RunEvent::TestSettled { outcome, .. } = event {
                self.0 = Some(outcome.report.clone());
            }
        }
    }
    let boots = rig.boots(tests, &[Environment::Pvh64]);
    let backend = FromSnapshot::new(rig.dom0(ready), &boots, snapshot);
    let logs = RunLogs::create(dir, stop)?;
    let test_time = rig.test_time(None);
    let mut ear = Ear(None);
    rig.session(&backend, logs, stop, NonZeroUsize::MIN, &test_time).run(boots, &mut ear)?;
    ear.0.ok_or_else(|| Error::Tool(format!("{PROBE} was not reported")))
}
