//! `xtf-runner judge`: judges a console that something else recorded or streams, and reports as
//! `run` does.

use std::fs::File;
use std::time::Duration;

use super::diff::baseline;
use super::run::{policy, report_files};
use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::note;
use crate::base::signals::StopSignal;
use crate::cli::{FlakyResult, JudgeArgs};
use crate::image::{self, Image};
use crate::judge::{Catalogue, PlannedTest};
use crate::machine::console::Console;
use crate::machine::listening::Listening;
use crate::machine::logs::RunLogs;
use crate::plan::config::Config;
use crate::report::Record;
use crate::results::About;

/// As much time as a test wants.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Runs the command.
pub fn judge(args: &JudgeArgs) -> Result<Exit> {
    if args.reports.retries > 0 || args.reports.flaky_result == FlakyResult::Fail {
        let why = "--retries and --flaky-result do not apply to `judge`: it boots nothing again";
        return Err(Error::Usage(why.into()));
    }
    let files = report_files(&args.reports.files)?;
    // A report may replace it.
    let baseline = baseline(&args.reports.files);
    let mut record = Record::open(files);
    let done = record.compare_with(baseline).and_then(|()| hear_and_report(args, &mut record));
    if let Err(error) = &done {
        record.give_up(error);
    }
    done
}

fn hear_and_report(args: &JudgeArgs, record: &mut Record) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    let (image, is_certain) = image_of(args, &config)?;
    let policy = policy(&args.reports, &config)?;
    if let Some(symbols) = &args.symbols {
        // Better now than after a night.
        File::open(symbols).io("read", symbols)?;
    }
    let mut console = Console::open(&args.console)?;

    let about = About {
        slow: Duration::from_secs(args.reports.slow_timeout),
        expectations: policy.expectations.clone(),
        ..About::image(&image, "")
    };
    let test_time = |name: &str| {
        let test = image.tests.iter().find(|test| test.name == name);
        let own = test.map_or(FOR_EVER, |test| config.test_time(test));
        args.timeout.map_or(own, Duration::from_secs)
    };
    let stop = StopSignal::install()?;
    let listening = Listening {
        image: &image,
        catalogue: Catalogue { tests: planned(&image), is_certain },
        environment: args.env,
        xen: args.xen.as_deref(),
        symbols: args.symbols.as_deref(),
        boots: usize::try_from(args.boots).unwrap_or(usize::MAX),
        logs: RunLogs::create(&config.logs(args.logs.logs.as_deref()), &stop)?,
        stop: &stop,
        policy,
        test_time: &test_time,
        boot_timeout: Duration::from_secs(config.qemu.boot_timeout_s),
    };
    let mut reporter = record.show(about, args.verbose);
    let exit = listening.run(&mut console, &mut reporter);
    let written = reporter.finish();
    // What stopped the judging matters more than what could not be told of it.
    exit.and_then(|exit| written.map(|_| exit))
}

/// The image that ran: the one that the user names, which is certain, or one that is found and may
/// be another, or none.
fn image_of(args: &JudgeArgs, config: &Config) -> Result<(Image, bool)> {
    if args.no_image {
        return Ok((Image::none(), false));
    }
    let named = args.places.image.as_deref();
    match image::find(named, &config.workspace) {
        Ok(image) => Ok((image, named.is_some())),
        Err(error) if named.is_some() => Err(error),
        Err(_) => {
            note("no image is at hand: judged by the protocol alone (--image PATH names one)");
            Ok((Image::none(), false))
        }
    }
}

/// What the image says of its tests.
fn planned(image: &Image) -> Vec<PlannedTest> {
    let tests = image.tests.iter();
    tests.map(|test| PlannedTest { name: test.name.clone(), cases: test.cases.clone() }).collect()
}
