//! Runs the selected tests and prints the last line.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use protocol::cmdline::CHANGES;
use protocol::console::{DIAGNOSTIC, Status, Totals};
use protocol::metadata::Need;

use crate::cmdline::{self, Options};
use crate::hypercall::physinfo::physinfo;
use crate::hypercall::sched;
use crate::outcome::{Outcome, Stop};
use crate::payloads::{self, Around};
use crate::report::{self, Tally};
use crate::select::{self, Selected};
use crate::smp;
use crate::test::{Context, Test};
use crate::xen::{CommandLine, LivepatchSupport};
use crate::{Answer, Errno, clock, heap, println};

/// Runs the selected tests and ends the domain. `stamp` is the image's own command line.
pub fn run(tests: &[&Test], stamp: &'static str) -> ! {
    cmdline::set_stamp(stamp);
    heap::init();
    arch::mark::boot();
    let mut context = Context::new();
    // Xen keeps its first words only until it has said more.
    let command_line = context.privileged.then(|| CommandLine::read(&context.xen));
    let waits = cmdline::options(|_| {}).wait;
    let received = if waits {
        // Once for all that go on from here.
        context.observe();
        cmdline::receive()
    } else {
        Ok(())
    };
    let mut unknown = Vec::new();
    let options = cmdline::options(|word| unknown.push(word));
    let stated = options.changes.map_or(Ok(()), |words| {
        let complain = |why| format!("command line: {CHANGES}={words}: {why}");
        context.xen.state(words).map_err(complain)
    });
    let selected = received.and(stated).and_then(|()| select(tests, &options, &context));
    if !waits && selected.as_ref().is_ok_and(|selected| selected.iter().any(depends_on_changes)) {
        context.observe();
    }

    let count = selected.as_ref().map_or(0, Vec::len);
    report::header(&context.xen, context.environment, command_line.as_ref(), count);
    let means_something = |word: &cmdline::Unknown<'_>| {
        tests.iter().flat_map(|test| test.parameters).any(|parameter| word.sets(parameter))
    };
    unknown.retain(|word| !means_something(word));
    for word in unknown {
        println!("{DIAGNOSTIC}ignored: {word}");
    }
    linger(&options);
    let status = match selected {
        Ok(selected) => run_all(&selected, &context),
        Err(why) => {
            println!("{DIAGNOSTIC}{why}");
            Status::Error
        }
    };
    report::verdict(status);
    leave(&options)
}

/// Ends the domain once everything written has been read.
pub(crate) fn leave(options: &Options<'_>) -> ! {
    arch::console::drain();
    linger(options);
    sched::shutdown(options.exit)
}

/// Gives a console's reader the time that the command line grants it.
fn linger(options: &Options<'_>) {
    let end = clock::now_ns() + u64::from(options.linger_ms) * 1_000_000;
    // A sleep ends early when an event comes.
    while clock::now_ns() < end && sched::sleep_until(end) == Answer::SUCCESS {}
}

fn select<'t>(
    tests: &[&'t Test],
    options: &Options<'_>,
    context: &Context,
) -> Result<Vec<Selected<'t>>, String> {
    let Some(names) = options.tests else {
        let shared = |test: &&Test| {
            test.default
                && !test.own_boot
                && test.vcpus == 1
                && !(context.privileged && test.needs.contains(&Need::Unprivileged))
                && test.environments.contains(&context.environment)
        };
        let shared = tests.iter().copied().filter(shared);
        return Ok(shared.map(Selected::whole).collect());
    };
    select::select(tests, names)
}

/// Whether a test asks what Xen's livepatch code can do. To find that out takes longer than a small
/// test does.
fn depends_on_changes(selected: &Selected<'_>) -> bool {
    let needs = selected.test.needs;
    needs.contains(&Need::Livepatch) || needs.contains(&Need::Payloads)
}

fn run_all(selected: &[Selected<'_>], context: &Context) -> Status {
    let mut tally = Tally::default();
    for (number, selected) in (1..).zip(selected) {
        tally.add(run_test(number, selected, context));
    }
    tally.status()
}

fn run_test(number: usize, selected: &Selected<'_>, context: &Context) -> Status {
    let Selected { test, cases } = selected;
    if let Some(why) = unmet(test, context) {
        report::skipped(number, test, &why);
        return Status::Skip;
    }
    report::begin(test, cases.len());
    let around = Around::begin(test, context);
    arch::mark::prelude();
    let (mut tally, mut totals) = (Tally::default(), Totals::default());
    for (number, case) in (1..).zip(cases) {
        let outcome = around.check().and_then(|()| (case.run)(context));
        arch::mark::case();
        tally.add(report::status(&outcome));
        report::count(&mut totals, &outcome);
        report::case(number, case.name, &outcome);
    }
    report::totals(&totals);
    let (taken_out, rest) = (around.end(), tidy(context));
    let leftover = taken_out.and(rest);
    arch::mark::test();
    if leftover.is_err() {
        tally.add(Status::Error);
    }
    report::end(number, test, tally.status(), &leftover);
    tally.status()
}

fn unmet(test: &Test, context: &Context) -> Option<Cow<'static, str>> {
    if !test.environments.contains(&context.environment) {
        return Some("not for this environment".into());
    }
    if let Some(why) = missing_cpu(test, context) {
        return Some(why.into());
    }
    unmet_need(test, context).map(Cow::Borrowed)
}

/// What lacks of the CPUs that a test needs: two vCPUs that share one of Xen's CPUs meet nowhere.
fn missing_cpu(test: &Test, context: &Context) -> Option<String> {
    let needed = test.vcpus as usize;
    let lacks = |who, has| {
        (has < needed)
            .then(|| format!("a CPU is missing: the test needs {needed}, {who} has {has}"))
    };
    lacks("this domain", smp::count()).or_else(|| {
        let machine = physinfo(context.try_livepatch()?.version).ok()?;
        lacks("Xen", machine.cpus as usize)
    })
}

fn unmet_need(test: &Test, context: &Context) -> Option<&'static str> {
    let around = payloads::are_around(test);
    if test.needs.contains(&Need::Livepatch) && around {
        return Some(
            "it needs an empty list of payloads, and those that were handed over are in it",
        );
    }
    let of_payloads: &[Need] = if around { &[Need::Privileged, Need::Livepatch] } else { &[] };
    let mut needs = test.needs.iter().chain(of_payloads);
    let missing = needs.find_map(|need| match (need, context.xen.livepatch) {
        (Need::Privileged, _) if !context.privileged => Some("not privileged"),
        (Need::Unprivileged, _) if context.privileged => Some("this is the control domain"),
        (Need::Livepatch, LivepatchSupport::NotBuilt) => {
            Some("livepatch is not built into this Xen")
        }
        (Need::Livepatch, LivepatchSupport::Denied(_, Errno::EPERM)) => {
            Some("Xen denies this domain the livepatch sysctl")
        }
        (Need::Livepatch, LivepatchSupport::Denied(..)) => {
            Some("Xen's security module denies the livepatch sysctl")
        }
        (Need::Livepatch, LivepatchSupport::UnknownVersion) => {
            Some("Xen accepts no sysctl interface version that this image knows")
        }
        (Need::Payloads, _) if !payloads::are_there() => {
            Some("no payloads were handed over; see `xtf-runner payload try`")
        }
        _ => None,
    });
    missing.or_else(|| payloads::are_there().then(|| payloads::hazard(context)).flatten())
}

/// A test leaves no payload behind: the next one starts from an empty list.
fn tidy(context: &Context) -> Outcome {
    let Some(livepatch) = context.try_livepatch() else { return Ok(()) };
    let leftovers = livepatch.remove_all()?;
    if leftovers.is_empty() {
        return Ok(());
    }
    Err(Stop::Error(format!(
        "the test left payloads behind (now removed): {}",
        leftovers.join(", ")
    )))
}
