//! What the options say by themselves: which of them refuse each other, and the reports.

use protocol::metadata::Environment;

use crate::base::exit::{Error, Result};
use crate::cli::{BackendKind, ReportFiles, RunArgs};
use crate::machine::debug::Debug;
use crate::machine::qemu::BootMode;
use crate::machine::snapshot::SnapshotUse;
use crate::plan::loader::Loader;
use crate::report::{Files, Form};

/// Checks the options; returns the reports that are to be written.
pub fn read(args: &RunArgs) -> Result<Files> {
    check(args)?;
    report_files(&args.reports.files)
}

/// Refuses options that the backend has no use for: they would be lost in silence.
fn check(args: &RunArgs) -> Result<()> {
    check_host(args.backend == BackendKind::Xl, !args.xen.is_empty(), args.host.is_some())?;
    let wrong = match args.backend {
        BackendKind::Qemu if args.environments().contains(&Environment::Hvm64) => {
            "hvm64 is a domain, but --backend qemu runs the image as dom0; use --backend qemu-xl"
        }
        BackendKind::Xl if args.fetch_only => "--fetch-only does not apply to --backend xl",
        BackendKind::Xl if args.xen_cmdline.is_some() => {
            "--xen-cmdline does not apply to --backend xl: its Xen is already running"
        }
        BackendKind::Xl if args.loader.loader.is_some() => {
            "--loader does not apply to --backend xl: its Xen is already running"
        }
        BackendKind::QemuXl
            if args.loader.loader.is_some_and(|loader| loader != Loader::Direct) =>
        {
            "--backend qemu-xl loads its Xen with --loader direct only; the other loaders need \
             --backend qemu"
        }
        BackendKind::Xl | BackendKind::QemuXl if args.snapshot == SnapshotUse::Always => {
            "--snapshot always needs --backend qemu"
        }
        BackendKind::Xl | BackendKind::QemuXl if args.debug() != Debug::No => {
            "--gdb and --keep need --backend qemu"
        }
        BackendKind::Xl | BackendKind::QemuXl if args.record_failures => {
            "--record-failures needs --backend qemu: QEMU makes no domain of xl's the same twice"
        }
        BackendKind::Qemu
            if args.snapshot == SnapshotUse::Always && args.boot == BootMode::Plain =>
        {
            "--snapshot always is for fast boots, and --boot plain makes none"
        }
        BackendKind::Qemu if args.snapshot == SnapshotUse::Always && args.debug() != Debug::No => {
            "--snapshot always does not go with --gdb and --keep, which look at a boot from power on"
        }
        _ => return Ok(()),
    };
    Err(Error::Usage(wrong.into()))
}

/// Refuses --xen where the Xen host has its own (`on_host`), and --host elsewhere.
pub fn check_host(on_host: bool, xen: bool, host: bool) -> Result<()> {
    let wrong = match (on_host, xen, host) {
        (true, true, _) => {
            "--xen chooses what QEMU boots, but --backend xl runs on the Xen of the Xen host; omit \
             --xen, or use --backend qemu-xl"
        }
        (false, _, true) => "--host needs --backend xl",
        _ => return Ok(()),
    };
    Err(Error::Usage(wrong.into()))
}

/// The reports that are to be written.
pub fn report_files(args: &ReportFiles) -> Result<Files> {
    let path = |form| match form {
        Form::Json => &args.json,
        Form::Junit => &args.junit,
        Form::Ktap => &args.ktap,
        Form::Html => &args.html,
    };
    let wanted = Form::ALL.into_iter().filter_map(|form| Some((form, path(form).clone()?)));
    Files::new(wanted.collect())
}
