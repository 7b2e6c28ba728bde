//! `xtf-runner coverage`: what a run executes of chosen functions of Xen.
//!
//! Neither Xen nor QEMU is built for it: the [`plugin`](crate::machine::plugin) lets a stock QEMU
//! count, and the xen-syms of a stock Xen says where. What the counts mean is in [`model`];
//! [`text`], [`json`], [`html`] and [`lcov`] show it.

mod html;
mod json;
mod lcov;
mod model;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lcov::Lines;
use model::Coverage;

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::write_out;
use crate::base::signals::StopSignal;
use crate::cli::CoverageArgs;
use crate::commands::{chosen, testbed};
use crate::machine::as_dom0::AsDom0;
use crate::machine::logs::RunLogs;
use crate::machine::plugin::{Counts, Plugin};
use crate::machine::session::cpus;
use crate::plan::{self, Sharing};
use crate::report::Record;

/// Runs the command.
pub fn coverage(args: &CoverageArgs) -> Result<Exit> {
    let on = chosen(&args.bed.on)?;
    let build = on.build(args.functions.symbols.as_deref())?;
    let functions = build.functions(&args.functions.functions, args.functions.preset)?;
    let name = on.xen.name.clone();
    let mut coverage = Coverage::new(&name, &build, functions)?;
    // What can't be written in the end is better refused in the beginning.
    let lines = args.lcov.as_ref().map(|_| Lines::of(&build.syms.path, &coverage)).transpose()?;

    let rig = testbed(on, &args.bed)?;
    let tests = plan::choose(&rig.image, args.selection.wanted(), &args.env)?;
    let plugin = Plugin::find(args.plugin.as_deref(), &rig.on.config, &rig.qemu.binary)?;

    let xen = rig.on.with(build.ready.clone());
    let addresses = coverage.addresses();
    let folders: Mutex<Vec<PathBuf>> = Mutex::default();
    let prepare = |dir: &Path| {
        folders.lock().unwrap_or_else(PoisonError::into_inner).push(dir.to_owned());
        plugin.prepare(dir, &addresses)
    };
    let backend = AsDom0 { prepare: &prepare, ..rig.dom0() };
    let (stop, jobs) = (StopSignal::install()?, args.jobs.unwrap_or_else(cpus));
    let logs = RunLogs::create(&rig.on.config.logs(args.logs.logs.as_deref()), &stop)?;
    let test_time = rig.test_time(args.timeout);
    let session = rig.session(&backend, logs, &stop, jobs, &test_time);
    let mut record = Record::without_files();
    let mut display = record.show(rig.about(), false);
    let boots = rig.boots(&xen, &tests, &args.env, Sharing::Allowed);
    let exit = session.run(boots, &mut display)?;
    drop(session);

    for folder in folders.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let counts = Counts::read(&folder)?.ok_or_else(|| {
            let folder = folder.display();
            Error::Tool(format!(
                "QEMU did not load the plugin; its messages are in {folder}/qemu.log"
            ))
        })?;
        coverage.add(&counts);
    }
    write_out(&text::table(&coverage))?;
    let write = |path: &Option<PathBuf>, content: &dyn Fn() -> String| match path {
        Some(path) => fs::write(path, content()).io("write", path),
        None => Ok(()),
    };
    write(&args.text, &|| text::listing(&coverage))?;
    write(&args.json, &|| json::document(&coverage))?;
    write(&args.html, &|| html::page(&coverage))?;
    if let Some(lines) = &lines {
        write(&args.lcov, &|| lcov::tracefile(&coverage, lines))?;
    }
    Ok(exit)
}
