//! `payload try`: payloads on a real Xen, which the guest's test `payload-try` takes through their
//! life.
//!
//! [`parcel`] is what the guest gets: the payloads, and what `payload show` foretells of them
//! ([`foretold`]), which the guest compares with what Xen does. [`with`] are further tests. The boots,
//! their verdicts and their reports are those of `run`. [`outside`] compares Xen's code with what it
//! was, from outside of the machine. [`told`] is what Xen said.

mod foretold;
mod outside;
mod parcel;
mod told;
mod with;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::metadata::Environment;
use protocol::programs::{CYCLES, FORETOLD, REPLACES};

use self::foretold::{Foretold, Together};
use self::outside::{Looks, OfXen};
use self::told::Witness;
use super::files::read;
use super::show::file::Contents;
use super::show::verdict::Subject;
use super::write::check_text;
use crate::base::exit::{Error, Exit, Result};
use crate::base::output::write_to;
use crate::base::signals::StopSignal;
use crate::cli::TryArgs;
use crate::commands::diff::baseline;
use crate::commands::run;
use crate::image::{self, TestMeta};
use crate::machine::Boot;
use crate::machine::boots_on;
use crate::machine::logs::RunLogs;
use crate::machine::lookout::{Onlooker, WithLookout};
use crate::machine::qemu::Qemu;
use crate::machine::session::{Session, cpus};
use crate::machine::testbed::ChosenXen;
use crate::plan::config::{Config, Hypervisor};
use crate::plan::{self, How, spec};
use crate::report::{Files, Record};
use crate::results::About;

/// Time for the steps of one file's life, in addition to the test's own: far more than a slow host
/// takes.
const TIME_OF_A_LIFE: Duration = Duration::from_secs(2);

/// The Xens by the names that users give them, in their order; or what is not known of one.
type Subjects = Vec<(String, std::result::Result<Arc<Subject>, String>)>;

/// What is tried.
struct Payloads {
    /// The files, and what is in them.
    files: Vec<(Vec<u8>, Contents)>,
    /// What they are called in Xen.
    names: Vec<String>,
}

/// Runs the command.
pub fn try_it(args: &TryArgs) -> Result<Exit> {
    let reports = run::report_files(&args.reports.files)?;
    check(args)?;
    let payloads = Payloads { files: read(&args.files)?, names: parcel::names(&args.files)? };
    parcel::check(&payloads)?;
    // As the results.
    let mut out = stdout_or_stderr(&reports);
    // A report may replace it.
    let baseline = baseline(&args.reports.files);
    let mut record = Record::open(reports);
    let done = record.compare_with(baseline).and_then(|()| boot(args, &payloads, &mut record));
    match &done {
        Ok((_, told)) => write_to(&mut *out, told)?,
        Err(error) => record.give_up(error),
    }
    done.map(|(exit, _)| exit)
}

fn check(args: &TryArgs) -> Result<()> {
    if args.environments().contains(&Environment::Hvm64) {
        return Err(Error::Usage(
            "hvm64 is a domain, but `payload try` runs the image as dom0; choose --env pv64 or pvh64"
                .into(),
        ));
    }
    args.expect_extra_version
        .as_ref()
        .map_or(Ok(()), |text| check_text("--expect-extra-version", text))
}

fn stdout_or_stderr(reports: &Files) -> Box<dyn std::io::Write> {
    if reports.take_stdout() { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) }
}

/// Tries them; returns what is to be told of each boot.
fn boot(args: &TryArgs, payloads: &Payloads, record: &mut Record) -> Result<(Exit, String)> {
    let config = Config::load(args.places.config.as_deref())?;
    let image = image::find(args.places.image.as_deref(), &config.workspace)?;
    config.check_tests(&image)?;
    let policy = run::policy(&args.reports, &config)?;
    let tests = with::tests(args, &image)?;
    let chosen = ChosenXen::each(
        args.places.config.as_deref(),
        &args.xen,
        args.loader.loader,
        args.fetch.look(),
    )?;
    let hypervisors: Vec<Hypervisor> = chosen.iter().map(|one| one.xen.clone()).collect();

    let mut qemu = Qemu {
        guest_cmdline: format!("{CYCLES}={} {REPLACES}={}", args.cycles, u8::from(args.replace)),
        ..Qemu::of(args.qemu.as_deref(), &config)
    };
    let version = qemu.probe()?;
    let found = chosen.iter().map(ChosenXen::obtain).collect::<Result<Vec<_>>>()?;
    let how = Together { alone: args.upload_only, replaces: args.replace };
    let subjects = chosen.iter().zip(&found).map(|(one, file)| {
        let subject = Subject::read(one, file).map(Arc::new);
        (one.xen.name.clone(), subject.map_err(|why| why.to_string()))
    });
    let subjects: Subjects = subjects.collect();
    let xens: Vec<_> = chosen.iter().zip(found).map(|(one, file)| one.with(file)).collect();
    let foretold = Foretold::of(&subjects, payloads, &how);
    let machine = |xen: &Hypervisor, test: &TestMeta| {
        let mut machine = config.machine(xen, test);
        machine.vcpus = machine.vcpus.max(with::least_cpus(args));
        if let Some(number) = foretold.number(&xen.name) {
            let parameter = format!("{FORETOLD}={number}");
            machine.guest_cmdline = spec::join([&machine.guest_cmdline, &parameter]);
        }
        machine
    };
    let planned = plan::boots(&tests, &hypervisors, args.environments(), &How::plain(&machine));

    let outside = subjects.iter().map(|(xen, subject)| {
        let of = |subject| OfXen::of(subject, payloads, args.replace).map(Arc::new);
        (xen.as_str(), subject.as_ref().map_err(Clone::clone).and_then(of))
    });
    let outside: BTreeMap<&str, _> = outside.collect();
    let onlooker = |boot: &Boot<'_>| -> Option<Box<dyn Onlooker>> {
        Some(Box::new(Looks::at(outside.get(boot.xen.name())?.clone())))
    };

    let stop = StopSignal::install()?;
    let logs = RunLogs::create(&config.logs(args.logs.logs.as_deref()), &stop)?;
    let parcel = parcel::parcel(payloads, &foretold, args.expect_extra_version.as_deref());
    qemu.initrd = Some(parcel::write(&parcel, logs.dir())?);

    let about = About {
        slow: Duration::from_secs(args.reports.slow_timeout),
        expectations: policy.expectations.clone(),
        ..About::image(&image, &version)
    };
    let lives = u32::try_from(payloads.files.len()).unwrap_or(u32::MAX).saturating_mul(args.cycles);
    let test_time = |test: &TestMeta| {
        let own = || config.test_time(test) + TIME_OF_A_LIFE.saturating_mul(lives);
        args.timeout.map_or_else(own, Duration::from_secs)
    };
    let session = Session {
        backend: &WithLookout { qemu: &qemu, version: &version, onlooker: &onlooker },
        image: &image,
        debug: qemu.debug,
        logs,
        stop: &stop,
        jobs: cpus(),
        policy,
        test_time: &test_time,
        boot_timeout: Duration::from_secs(config.qemu.boot_timeout_s),
    };
    let mut witness = Witness::new(record.show(about, args.verbose), &foretold);
    let exit = session.run(boots_on(&planned, &xens), &mut witness);
    let (reporter, told) = witness.finish(&payloads.names);
    let written = reporter.finish();
    // What stopped the run matters more than what could not be told of it.
    exit.and_then(|exit| written.and(told).map(|told| (exit, told)))
}
