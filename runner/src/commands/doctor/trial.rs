//! A boot that shows what this machine's QEMU can do with a Xen that is at hand: whether a saved
//! machine goes on, and whether a PVH guest reads the right address of a page fault.

use std::path::Path;

use protocol::metadata::Environment;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::cli::DoctorArgs;
use crate::judge::{TestReport, Verdict};
use crate::machine::boot::Limits;
use crate::machine::snapshot::{FromSnapshot, SnapshotUse};
use crate::machine::testbed::{ChosenXen, Testbed};
use crate::machine::trial::Trial;
use crate::plan::config::Config;
use crate::plan::select::{Selected, Wanted};
use crate::plan::{self, Sharing};
use crate::xen::hypervisor::XenUnderTest;

/// The case of the image that looks at CR2.
const PROBE: &str = "selftest/trap/page_fault_has_its_address";

/// What came of it.
pub struct Shown {
    /// Whether a saved machine goes on.
    pub snapshot: Result<String>,
    /// What CR2 reads as: as it should, or the named deviation.
    pub cr2: Result<std::result::Result<String, String>>,
}

/// Boots the first of the default Xens that is at hand.
pub fn boots(args: &DoctorArgs, config: Config) -> Result<Shown> {
    let on = ChosenXen::at_hand(config)?;
    let name = on.xen.name.clone();
    let xen = on.with(on.obtain()?);
    let rig = Testbed::of(on, args.places.image.as_deref(), args.qemu.as_deref())?;
    let words = [PROBE.to_owned()];
    let wanted = Wanted { selectors: &words, ..Wanted::default() };
    let tests = plan::choose(&rig.image, wanted, &[Environment::Pvh64])?;
    let stop = StopSignal::install()?;
    let dir = tempfile::tempdir().io("create a folder in", &std::env::temp_dir())?;
    let boot = |snapshot| boot(&rig, &xen, &tests, snapshot, dir.path(), &stop);
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
            report.told().join("; ")
        ))),
    });
    Ok(Shown { snapshot, cr2 })
}

/// One boot of one test, and what came of it.
fn boot(
    rig: &Testbed,
    xen: &XenUnderTest,
    tests: &[Selected],
    snapshot: SnapshotUse,
    dir: &Path,
    stop: &StopSignal,
) -> Result<TestReport> {
    let boots = rig.boots(xen, tests, &[Environment::Pvh64], Sharing::Allowed);
    let backend = FromSnapshot::new(rig.dom0(), &boots, snapshot)?;
    let (boot_time, test_time) = (rig.boot_time(), rig.test_time(None));
    let time = tests.first().map_or(boot_time, |selected| test_time(&selected.test));
    let of_test = |_: &str| time;
    let limits = Limits::new(boot_time, &of_test);
    let trial = Trial { image: &rig.image.path, limits: &limits, stop };
    let unheard = || Error::Tool(format!("{PROBE} was not reported"));
    let boot = boots.first().ok_or_else(unheard)?;
    let folder = dir.join(format!("{snapshot:?}"));
    let result = trial.boot(folder, &backend, boot, &mut |_| {})?.result;
    if let Some(failure) = result.tool_failure {
        return Err(Error::Tool(failure.what));
    }
    result.judgement.settled.into_iter().next().ok_or_else(unheard)
}
