//! `xtf-runner run`: plans, obtains, boots, judges and reports.
//!
//! [`options`] refuses what makes no sense together. A [`Plan`] is all that is known before a Xen
//! is obtained. What the backends do differently is in [`backend`].

mod backend;
mod options;
mod plan;

pub use options::{check_host, report_files};
pub use plan::policy;

use self::backend::ChosenBackend;
use self::plan::Plan;
use crate::base::exit::{Exit, Result};
use crate::base::output::write_out;
use crate::base::signals::StopSignal;
use crate::cli::RunArgs;
use crate::commands::debug::{Early, MB};
use crate::commands::diff::baseline;
use crate::machine::backend::sweep;
use crate::machine::boots_on;
use crate::machine::logs::RunLogs;
use crate::machine::session::Session;
use crate::report::Record;

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<Exit> {
    let files = options::read(args)?;
    if args.fetch_only {
        return backend::fetch(args);
    }
    if args.dry_run {
        return dry_run(args);
    }
    // A report may replace it.
    let baseline = baseline(&args.reports.files);
    let mut record = Record::open(files);
    let done = record.compare_with(baseline).and_then(|()| plan_to_report(args, &mut record));
    if let Err(error) = &done {
        record.give_up(error);
    }
    done
}

/// The run, in order. An error before the first boot is in no report yet.
fn plan_to_report(args: &RunArgs, record: &mut Record) -> Result<Exit> {
    let plan = Plan::of(args)?;
    let planned = plan.boots()?;
    let policy = plan.policy()?;

    let mut backend = ChosenBackend::of(args, &plan.config)?;
    let jobs = backend.jobs();
    let (xens, hosts) = backend.obtain(&plan.xens)?;
    let boots = boots_on(&planned, &xens);
    let qemu = backend.version().to_owned();
    let about = plan.about(&policy, &qemu);

    // Better known to be missing now than after the run.
    let plugin = args.record_failures.then(|| backend.plugin(&plan.config)).transpose()?;

    let stop = StopSignal::install()?;
    let logs = RunLogs::create(&plan.logs(), &stop)?;
    let carrier = backend.start(hosts, &xens, &boots, &plan.image, logs.dir(), &stop)?;
    let session = Session {
        backend: carrier.as_ref(),
        image: &plan.image,
        debug: args.debug(),
        logs,
        stop: &stop,
        jobs,
        policy,
        test_time: &|test| plan.test_time(test),
        boot_timeout: plan.boot_timeout(),
    };
    let mut reporter = record.show(about, args.verbose);
    let exit = match plugin {
        None => session.run(boots, &mut reporter),
        Some(plugin) => {
            let mut early = Early::new(&mut reporter);
            let exit = session.run(boots, &mut early);
            let limit = args.record_limit.saturating_mul(MB);
            exit.and_then(|exit| early.record(&plugin, limit, &stop).map(|()| exit))
        }
    };
    let written = reporter.finish();
    sweep(carrier.as_ref());
    // What stopped the run matters more than what could not be told of it.
    exit.and_then(|exit| written.map(|_| exit))
}

/// Prints what the run would do.
fn dry_run(args: &RunArgs) -> Result<Exit> {
    let plan = Plan::of(args)?;
    let planned = plan.boots()?;
    let backend = ChosenBackend::of(args, &plan.config)?;
    write_out(&backend.dry_run(&planned, &plan.xens, &plan.image)?)?;
    Ok(Exit::Success)
}
