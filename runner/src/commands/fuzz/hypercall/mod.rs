//! `fuzz hypercall`: one domain after the other makes random hypercalls, each from a seed of its
//! own.
//!
//! The guest's half is the test `hypercall-fuzz`. A domain that dies is only counted. A Xen that
//! dies or no longer answers, a privileged call that succeeds, or memory that changed is a finding,
//! once it occurred again from its seed on a fresh boot. The target lives in the runner because
//! nothing guides it: the plugin counts what a dom0 under QEMU executes, and a domain's calls are
//! few beside what it takes to make the domain.

mod campaign;
mod flaw;
mod round;
mod script;
mod selection;
mod tally;

use std::cell::Cell;

use protocol::programs::HYPERCALL_FUZZ;

use self::campaign::Campaign;
use self::round::Rounds;
use self::selection::Selection;
use self::tally::Tally;
use crate::base::exit::{Exit, Result};
use crate::base::output::note;
use crate::base::signals::StopSignal;
use crate::cli::{DomainBackend, HypercallArgs};
use crate::commands::run::check_host;
use crate::image;
use crate::machine::backend::sweep;
use crate::machine::logs::RunLogs;
use crate::machine::qemu::{BootMode, Qemu};
use crate::machine::testbed::the_xen;
use crate::machine::xl::{Domains, Hosts};
use crate::plan::config::Config;
use crate::plan::select::Selected;
use crate::results::expect::Expectations;
use crate::xen::hypervisor::Cache;

/// Runs the command.
pub fn fuzz(args: &HypercallArgs) -> Result<Exit> {
    let on_host = args.backend == DomainBackend::Xl;
    let selection = Selection::of(&args.only, &args.except)?;
    if let Some(never) = &selection.never {
        note(&format!("--only: never made is {never}"));
    }
    check_host(on_host, args.bed.on.xen.is_some(), args.host.is_some())?;
    let config = Config::load(args.bed.on.config.as_deref())?.loading(args.bed.on.loader.loader);
    let image = image::find(args.bed.image.as_deref(), &config.workspace)?;
    let test = Selected::whole(&image, HYPERCALL_FUZZ)?;
    let (xens, hosts) = if on_host {
        Hosts::given(args.host.as_deref(), args.ssh_config.as_deref())
    } else {
        let qemu = Qemu { mode: BootMode::Plain, ..Qemu::of(args.bed.qemu.as_deref(), &config) };
        let xen = the_xen(&config, args.bed.on.xen.as_deref())?;
        qemu.probe()?;
        let cache = Cache::at(&config.cache())?.looking(args.bed.on.fetch.look());
        Hosts::booted(qemu, &[xen], &cache)?
    };
    let stop = StopSignal::install()?;
    let logs = RunLogs::create(&config.logs(args.logs.logs.as_deref()), &stop)?;
    let backend = Domains::new(hosts, &xens, &image, String::new(), logs.dir())?;
    let rounds = Rounds {
        xen: &xens[0],
        backend: &backend,
        config: &config,
        test: &test,
        selection: selection.words,
        image: &image.path,
        logs,
        stop: &stop,
        count: Cell::new(0),
    };
    let expectations = Expectations::load(args.expect.as_deref(), &config)?;
    let mut campaign = Campaign { args, rounds, expectations, tally: Tally::new() };
    let done = campaign.run();
    campaign.tally.summary(&campaign.list_of_deaths());
    sweep(&backend);
    done?;
    Ok(stop.requested().unwrap_or(campaign.tally.verdict()))
}
