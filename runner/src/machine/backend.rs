//! What a way to boot must offer, and what it makes of a boot.
//!
//! There are two: dom0 in QEMU (`as_dom0`, and `snapshot`, which starts it from a saved state), and
//! domains of xl (`xl`). `commands/run/backend.rs` chooses between them.

use crate::base::exit::Result;
use crate::base::output::note;
use crate::base::signals::StopSignal;
use crate::judge::{Judge, PlannedTest};
use crate::machine::Boot;
use crate::machine::boot::{ConsoleProcess, Limits};
use crate::machine::logs::BootLogs;
use crate::plan::loader::Loader;

/// What carries out boots.
pub trait Backend: Sync {
    /// Makes ready what a boot takes.
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>>;

    /// Removes what would outlive the runner; returns the names of domains that it destroyed.
    fn sweep(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Removes what would outlive the runner, and tells of it.
pub fn sweep(backend: &dyn Backend) {
    for name in backend.sweep() {
        note(&format!("destroyed the domain {name}, which had been left behind"));
    }
}

/// A boot that is about to begin.
pub struct Prepared<'s> {
    /// Where its Xen came from.
    pub provenance: String,
    /// The backend's name.
    pub backend: &'static str,
    /// What loads Xen, where it is not loaded already.
    pub loader: Option<Loader>,
    /// How time runs, and on what.
    pub mode: &'static str,
    /// What the user should know of it.
    pub note: Option<String>,
    /// What it is started with and who judges it; or why it cannot be.
    pub start: std::result::Result<(Box<dyn ConsoleProcess + 's>, Judge), String>,
}

impl Prepared<'_> {
    /// `boot`, which QEMU is not asked to carry out, for the reason `why`.
    pub fn not(boot: &Boot<'_>, why: String) -> Result<Self> {
        let provenance = boot.xen.bootable()?.provenance.clone();
        let loader = Some(boot.xen.hypervisor.loader);
        let start = Err(why);
        Ok(Prepared { provenance, backend: "qemu", loader, mode: "", note: None, start })
    }
}

/// Who judges `boot`.
pub fn judge_of(boot: &Boot<'_>) -> Judge {
    let planned = boot.tests.iter().map(|selected| PlannedTest {
        name: selected.test.name.clone(),
        cases: selected.test.cases.clone(),
    });
    Judge::new(boot.environment.banner(), planned.collect())
        .demand_build_id(boot.xen.build_id.as_deref())
}
