//! `xtf-runner coverage`: what a run executes of chosen functions of Xen.
//!
//! Neither Xen nor QEMU is built for it: the [`plugin`](crate::plugin) lets a stock QEMU count, and
//! the xen-syms of a stock Xen says where. What the counts mean is in [`model`]; [`text`], [`json`],
//! [`html`] and [`lcov`] show it.

mod html;
mod json;
mod lcov;
mod model;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lcov::Lines;
use model::Coverage;

use crate::accel::Kvm;
use crate::backend::AsDom0;
use crate::cli::{BootMode, CoverageArgs};
use crate::config::{Config, Hypervisor};
use crate::debug::Debug;
use crate::exit::{Error, Exit, IoContext, Result};
use crate::hypervisor::Cache;
use crate::image::TestMeta;
use crate::logs::RunLogs;
use crate::plan::{self, How};
use crate::plugin::{Counts, Plugin};
use crate::qemu::Qemu;
use crate::report::without_files;
use crate::run::{cpus, find_image, write_out};
use crate::session::{Policy, Session};
use crate::signals::Stop;
use crate::xen_symbols::{self, Build};

/// Runs the command.
pub fn coverage(args: &CoverageArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    let xen = xen_symbols::the_xen(args.xen.as_deref(), &config)?;
    let cache = Cache::of_workspace(&config.workspace)?;
    let build = Build::obtain(&xen, args.symbols.as_deref(), &cache)?;
    let functions = build.functions(&args.functions)?;
    // What can't be written in the end is better refused in the beginning.
    let lines = args.lcov.as_ref().map(|_| Lines::of(&build.syms.elf, &functions)).transpose()?;
    let mut coverage = Coverage::new(&xen.name, &build, functions)?;

    let image = find_image(&args.places, &config)?;
    config.check_tests(&image)?;
    let tests = plan::choose(&image, &args.selection, &args.env)?;
    let machine = |xen: &Hypervisor, test: &TestMeta| config.machine(xen, test);
    let boots = plan::boots(&tests, slice::from_ref(&xen), &args.env, &How::plain(&machine));
    let qemu = Qemu {
        binary: args.qemu.clone().unwrap_or_else(|| config.qemu.binary.clone()),
        kvm: Kvm::Never,
        mode: BootMode::Fast,
        debug: Debug::No,
        guest_cmdline: String::new(),
        xen_cmdline: String::new(),
    };
    let version = qemu.probe()?;
    let plugin = Plugin::find(args.plugin.as_deref(), &config, &qemu.binary)?;

    let addresses = coverage.addresses();
    let folders: Mutex<Vec<PathBuf>> = Mutex::default();
    let prepare = |dir: &Path| {
        folders.lock().unwrap_or_else(PoisonError::into_inner).push(dir.to_owned());
        plugin.prepare(dir, &addresses)
    };
    let backend = AsDom0 {
        xens: slice::from_ref(&xen),
        ready: slice::from_ref(&build.ready),
        qemu: &qemu,
        version: &version,
        prepare: &prepare,
    };
    let session = Session {
        backend: &backend,
        debug: Debug::No,
        image: &image,
        xen_syms: &[],
        logs: RunLogs::create(&config.workspace.join("logs"))?,
        stop: &Stop::install()?,
        jobs: args.jobs.unwrap_or_else(cpus),
        policy: Policy::declared(&image),
        test_time: &|test| args.timeout.map_or_else(|| config.test_time(test), Duration::from_secs),
        boot_timeout: Duration::from_secs(config.qemu.boot_timeout_s),
    };
    let mut display = without_files(&image, &version)?;
    let exit = session.run(boots, &mut display)?;
    drop(session);

    for folder in folders.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let counts = Counts::read(&folder)?.ok_or_else(|| {
            let folder = folder.display();
            Error::Tool(format!(
                "QEMU ran without its plugin; what it said is in {folder}/qemu.log"
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
