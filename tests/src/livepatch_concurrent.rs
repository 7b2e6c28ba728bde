//! # livepatch-concurrent
//!
//! Two CPUs at once: what an operation that is under way looks like from the other one, timeouts
//! that are too short, and races for the list.
//!
//! Where it is: `schedule_work`, `check_for_livepatch_work` and `livepatch_action`
//! (xen/common/livepatch.c). All of the sysctl runs under one lock, so two calls never overlap;
//! what overlaps is the patching itself, which begins only after ACTION has let go of the lock
//! and needs every CPU to stop for it. An ACTION that follows too closely finds a CPU still
//! waiting for the previous one to end and times out, with rc EBUSY and nothing changed: hence
//! the pauses, and the retries, which are what Xen's own tool does.
#![forbid(unsafe_code)]

use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use kernel::hypercall::cpu_hotplug;
use kernel::hypercall::sched::{Pinned, sleep_until, yield_cpu};
use kernel::livepatch::{Livepatch, Loaded};
use kernel::smp::{self, Job};
use kernel::xen::Change;
use kernel::{
    Answer, Case, Context, Deviation, Errno, Need, Outcome, Stop, Test, clock, expect, expect_that,
};
use livepatch::abi::{
    ACTION_FLAG_NODEPS, Action, ActionCmd, Call, LivepatchStatus, Name, STATE_APPLIED, State,
};
use livepatch::payload::{Hook, code};

use crate::support;

const NAME: &[u8] = b"concurrent\0";
const OTHER: &[u8] = b"other\0";
const CHURN: &[u8] = b"churn\0";
/// Apart from each other by this, two actions do not disturb one another.
const PAUSE_NS: u64 = 50_000_000;
/// Time for an action that is to succeed, in ns: the longest. Xen's default of 30 ms is too short
/// for a CPU to come that the machine below keeps waiting.
const LONG_NS: u32 = u32::MAX;
/// How often something that depends on timing is tried before it counts as impossible.
const ATTEMPTS: usize = 100;
/// How many uploads of both CPUs at once a race lasts.
const ROUNDS: u32 = 30;
/// How often the other CPU rests with its payload loaded, and as often without.
const RESTS: u32 = 4;
/// Looks at the other CPU's work between two rests.
const LOOKS: usize = 2;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-concurrent",
    title: "Two CPUs: pending actions, timeouts, races for the list",
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    vcpus: 2,
    timeout_s: 600,
    cases: &[
        Case::new("cpu/the_second_one_works", the_second_cpu_works),
        Case::new("cpu/both_find_the_same_list", both_find_the_same_list),
        Case::new("action/applies_and_reverts_with_two_cpus", applies_and_reverts),
        Case::new("action/works_from_each_cpu", works_from_each),
        Case::new("action/is_seen_by_the_other_cpu", seen_by_the_other),
        Case::new("timeout/1_ns_is_too_short_for_two_cpus", too_short),
        Case::new("timeout/a_retry_works", a_retry_works),
        Case::new("pending/get_shows_eagain", |c| pending(c, Errno::EAGAIN)),
        Case::new("pending/action_on_it_is_ebusy", |c| pending(c, Errno::EBUSY)),
        Case::new("pending/action_on_another_is_ebusy", pending_on_another),
        Case::new("pending/the_other_cpu_waits_for_all_hooks", waits_for_hooks),
        Case::new("race/one_of_two_uploads_of_a_name_wins", one_upload_wins),
        Case::new("race/list_is_whole_while_the_other_uploads", list_is_whole),
        Case::new("race/a_walk_notices_the_other_cpu", a_walk_notices),
    ],
    ..Test::DEFAULT
};

/// The rc of an action that is under way.
const EAGAIN: i32 = -(Errno::EAGAIN.0 as i32);

fn pause() -> Outcome {
    sleep_until(clock::now_ns() + PAUSE_NS).must_be(Answer::SUCCESS)
}

fn load<'c>(context: &'c Context, name: &[u8], marker: &str) -> Result<Loaded<'c>, Stop> {
    context.livepatch().load(name, &support::marker(context, marker)?.to_bytes())
}

/// An action that may still be under way afterwards.
fn action(livepatch: &Livepatch, name: &[u8], cmd: ActionCmd, timeout: u32) -> Answer {
    begin(livepatch, Action { timeout, ..Action::new(Name::new(name), cmd) })
}

fn begin(livepatch: &Livepatch, action: Action<'_>) -> Answer {
    livepatch.perform_without_waiting(&Call::action(livepatch.version, action)).answer
}

/// GET until the action is over.
fn settled(livepatch: &Livepatch, name: &[u8]) -> Result<LivepatchStatus, Stop> {
    loop {
        let status = livepatch.get(name).map_err(Stop::error)?;
        if status.rc != EAGAIN {
            return Ok(status);
        }
        pause()?;
    }
}

/// Waits until the last action on a payload is over, if it has a short timeout. Where rc stays
/// EAGAIN, it was never begun.
fn over(livepatch: &Livepatch, name: &[u8]) {
    const LOOKS: u32 = 100;
    let pending = || livepatch.get(name).is_ok_and(|status| status.rc == EAGAIN);
    if (0..LOOKS).all(|_| pending()) {
        // Longer than the timeout.
        let _ = pause();
    }
}

/// Performs an action as a careful client does: with a pause before it, and again on EBUSY.
fn carried_out(livepatch: &Livepatch, name: &[u8], cmd: ActionCmd, state: State) -> Outcome {
    for _ in 0..ATTEMPTS {
        pause()?;
        action(livepatch, name, cmd, LONG_NS).must_be(Answer::SUCCESS)?;
        let status = settled(livepatch, name)?;
        match Answer(status.rc.into()) {
            Answer::SUCCESS => return expect("state", State::from(status.state), state),
            rc => rc.must_be(Errno::EBUSY)?,
        }
    }
    Err(Stop::failure(format_args!("{cmd:?} timed out {ATTEMPTS} times")))
}

fn the_second_cpu_works(_: &Context) -> Outcome {
    let seen = Arc::new(AtomicU32::new(0));
    let cpu = seen.clone();
    smp::spawn(1, move || cpu.store(smp::current() as u32, Ordering::SeqCst))?.join();
    expect("number of the CPU that worked", seen.load(Ordering::SeqCst), 1)
}

fn both_find_the_same_list(context: &Context) -> Outcome {
    let livepatch = *context.livepatch();
    let _loaded = load(context, NAME, "-concurrent")?;
    let there = Arc::new(spin::Mutex::new(None));
    let place = there.clone();
    smp::spawn(1, move || *place.lock() = Some(livepatch.payload_list()))?.join();
    let there = there.lock().take();
    let there = there.ok_or_else(|| Stop::error("the other CPU did nothing"))??;
    expect("payloads", there, livepatch.payload_list()?)
}

fn applies_and_reverts(context: &Context) -> Outcome {
    let original = support::extra_version()?;
    let _loaded = load(context, NAME, "-concurrent")?;
    for _ in 0..3 {
        carried_out(context.livepatch(), NAME, ActionCmd::Apply, State::Applied)?;
        expect("extra version", support::extra_version()?.as_str(), "-concurrent")?;
        carried_out(context.livepatch(), NAME, ActionCmd::Revert, State::Checked)?;
        expect("extra version", &support::extra_version()?, &original)?;
    }
    Ok(())
}

/// Whichever of the machine's CPUs the guest acts from, Xen fetches the other one.
fn works_from_each(context: &Context) -> Outcome {
    let _loaded = load(context, NAME, "-concurrent")?;
    for cpu in 0..2 {
        let at = |stop: Stop| stop.at(format_args!("from CPU {cpu}"));
        let _pinned = Pinned::to(cpu)
            .map_err(|errno| Stop::skip(format_args!("SCHEDOP_pin_override answers {errno}")))?;
        carried_out(context.livepatch(), NAME, ActionCmd::Apply, State::Applied).map_err(at)?;
        carried_out(context.livepatch(), NAME, ActionCmd::Revert, State::Checked).map_err(at)?;
    }
    Ok(())
}

fn seen_by_the_other(context: &Context) -> Outcome {
    let _loaded = load(context, NAME, "-concurrent")?;
    carried_out(context.livepatch(), NAME, ActionCmd::Apply, State::Applied)?;
    let there = Arc::new(spin::Mutex::new(None));
    let place = there.clone();
    smp::spawn(1, move || *place.lock() = Some(support::extra_version()))?.join();
    let text = there.lock().take().ok_or_else(|| Stop::error("the other CPU did nothing"))??;
    carried_out(context.livepatch(), NAME, ActionCmd::Revert, State::Checked)?;
    expect("extra version on the other CPU", text.as_str(), "-concurrent")
}

/// A nanosecond is too short for a CPU to stop another one: rc EBUSY, and the state stays `before`.
///
/// The clock of it begins when the other CPU has been told, and where the machine below takes its
/// time just then, as under load, the other one has come when this CPU looks first. That attempt
/// shows nothing; it is undone, and made again.
fn times_out(livepatch: &Livepatch, cmd: ActionCmd, before: State) -> Outcome {
    let (after, back) = match before {
        State::Checked => (State::Applied, ActionCmd::Revert),
        _ => (State::Checked, ActionCmd::Apply),
    };
    for _ in 0..ATTEMPTS {
        pause()?;
        action(livepatch, NAME, cmd, 1).must_be(Answer::SUCCESS)?;
        let status = settled(livepatch, NAME)?;
        match Answer(status.rc.into()) {
            Answer::SUCCESS => expect("state", State::from(status.state), after)?,
            rc => {
                rc.must_be(Errno::EBUSY)?;
                return expect("state", State::from(status.state), before);
            }
        }
        carried_out(livepatch, NAME, back, before)?;
    }
    Err(Stop::failure(format_args!(
        "expected: {cmd:?} answered with EBUSY, once in {ATTEMPTS} attempts"
    )))
}

fn too_short(context: &Context) -> Outcome {
    let original = support::extra_version()?;
    let _loaded = load(context, NAME, "-concurrent")?;
    times_out(context.livepatch(), ActionCmd::Apply, State::Checked)?;
    // Nothing is held on to: Xen looks whether there is a CPU of that number.
    cpu_hotplug::online(context.livepatch().version, u32::MAX).must_be(Errno::EINVAL)?;
    expect("extra version", support::extra_version()?, original)
}

fn a_retry_works(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let _loaded = load(context, NAME, "-concurrent")?;
    times_out(livepatch, ActionCmd::Apply, State::Checked)?;
    carried_out(livepatch, NAME, ActionCmd::Apply, State::Applied)?;
    // The same for the way back, where an applied payload stays applied.
    times_out(livepatch, ActionCmd::Revert, State::Applied)?;
    carried_out(livepatch, NAME, ActionCmd::Revert, State::Checked)
}

/// What the other CPU saw while this one acted.
#[derive(Default)]
struct Watch {
    stop: AtomicBool,
    /// GET showed rc EAGAIN.
    eagain: AtomicBool,
    /// ACTION answered EBUSY.
    ebusy: AtomicBool,
    /// An answer that no moment of an action explains: its negative errno.
    odd: AtomicU32,
}

impl Watch {
    /// On the other CPU: asks about `name` for as long as this CPU acts on it.
    fn begin(self: &Arc<Self>, livepatch: Livepatch, name: &'static [u8]) -> Result<Job, Stop> {
        let watch = self.clone();
        smp::spawn(1, move || {
            while !watch.stop.load(Ordering::Relaxed) {
                let eagain = livepatch.get(name).is_ok_and(|status| status.rc == EAGAIN);
                watch.eagain.fetch_or(eagain, Ordering::Relaxed);
                // Of an unknown command only a pending action hides that it is unknown.
                match livepatch.action(name, ActionCmd::Other(99)).result() {
                    Err(Errno::EBUSY) => watch.ebusy.store(true, Ordering::Relaxed),
                    Err(Errno::EOPNOTSUPP) => {}
                    other => {
                        let errno = other.err().map_or(u32::MAX, |errno| errno.0.into());
                        watch.odd.store(errno, Ordering::Relaxed);
                    }
                }
            }
        })
    }

    fn saw(&self, errno: Errno) -> bool {
        let flag = if errno == Errno::EAGAIN { &self.eagain } else { &self.ebusy };
        flag.load(Ordering::Relaxed)
    }
}

/// While this CPU applies and reverts, the other one sees it under way sooner or later.
fn pending(context: &Context, errno: Errno) -> Outcome {
    let livepatch = *context.livepatch();
    let _loaded = load(context, NAME, "-concurrent")?;
    let watch = Arc::new(Watch::default());
    let job = watch.begin(livepatch, NAME)?;
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        outcome = carried_out(&livepatch, NAME, ActionCmd::Apply, State::Applied)
            .and_then(|()| carried_out(&livepatch, NAME, ActionCmd::Revert, State::Checked));
        if watch.saw(errno) || outcome.is_err() {
            break;
        }
    }
    watch.stop.store(true, Ordering::Relaxed);
    job.join();
    outcome?;
    expect("odd answers to an unknown command", watch.odd.load(Ordering::Relaxed), 0)?;
    if !watch.saw(errno) {
        return Err(no_race(format_args!("{ATTEMPTS} times the other CPU never saw {errno}")));
    }
    Ok(())
}

/// The case can say nothing about Xen: what it is about did not happen. Whether two CPUs meet is up
/// to the machine below.
fn no_race(why: impl core::fmt::Display) -> Stop {
    Stop::skip(format_args!("the race did not come about: {why}"))
}

/// An action is refused while one on another payload is pending, and its rc stays EAGAIN until the
/// next action on it. Xen's documentation does not mention it.
const STUCK: Deviation = Deviation { id: "doc-6", on: |_| true };

fn pending_on_another(context: &Context) -> Outcome {
    context.needs(Change::ActionAtOnce)?;
    let livepatch = *context.livepatch();
    let first = load(context, NAME, "-concurrent")?;
    let second = load(context, OTHER, "-other")?;
    let refused = Arc::new(Refused::default());
    let there = refused.clone();
    let job = smp::spawn(1, move || there.provoke(&livepatch, OTHER, 2))?;
    refused.provoke(&livepatch, NAME, 1);
    job.join();
    let stuck = match refused.whom.load(Ordering::Relaxed) {
        1 => &first,
        2 => &second,
        _ => return Err(no_race("no action met another one")),
    };
    pause()?;
    let status = stuck.status()?;
    expect("state", State::from(status.state), State::Checked)?;
    let rc = Answer(status.rc.into());
    let outcome = STUCK.judge(context, rc, Answer::SUCCESS, Errno::EAGAIN.into());
    // A further attempt is taken as if nothing had happened.
    carried_out(&livepatch, stuck.name(), ActionCmd::Apply, State::Applied)?;
    carried_out(&livepatch, stuck.name(), ActionCmd::Revert, State::Checked)?;
    outcome
}

/// Two CPUs that get into each other's way until one of them is refused.
#[derive(Default)]
struct Refused {
    /// Whose APPLY was answered with EBUSY; 0 while nobody's was.
    whom: AtomicU32,
}

impl Refused {
    /// Applies and reverts `name` without pausing, until either CPU is refused. What comes of
    /// the actions does not matter. Their timeout is so short that a CPU spends little of its time
    /// waiting in Xen, where the other one can't get into its way.
    fn provoke(&self, livepatch: &Livepatch, name: &[u8], me: u32) {
        const TIMEOUT_NS: u32 = 100_000;
        let act = |cmd, timeout| {
            let action = Action {
                timeout,
                // Whichever payload comes second does not depend on the first.
                flags: ACTION_FLAG_NODEPS,
                ..Action::new(Name::new(name), cmd)
            };
            begin(livepatch, action).result()
        };
        for _ in 0..20 * ATTEMPTS {
            over(livepatch, name);
            // Of a payload that is not applied, and on which nothing is pending, only an action on
            // another one refuses APPLY like this.
            if act(ActionCmd::Apply, TIMEOUT_NS) == Err(Errno::EBUSY) {
                let _ = self.whom.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed);
            }
            if self.whom.load(Ordering::Relaxed) != 0 {
                break;
            }
            let _ = act(ActionCmd::Revert, TIMEOUT_NS);
        }
        // Not to leave it applied; the one that was applied later goes first. An APPLY that is
        // still under way ends within its timeout, which is much less than the pause.
        while {
            let _ = pause();
            livepatch.get(name).is_ok_and(|status| status.state == STATE_APPLIED)
        } {
            let _ = act(ActionCmd::Revert, LONG_NS);
        }
    }
}

/// While code is patched, no other CPU may execute any: each waits until all is done, hooks included.
/// So the other CPU sees its time stamp counter jump by more than a hook takes.
fn waits_for_hooks(context: &Context) -> Outcome {
    // Long, as a machine below that is busy may keep a CPU waiting, too.
    const TICKS: u32 = 1_000_000_000;
    let gaps = Arc::new(Gaps::default());
    let there = gaps.clone();
    let watch = smp::repeat(1, move || there.look())?;
    let hook = code::endbr64().then(code::wait(TICKS)).then(code::ret());
    let patch = support::marker(context, "-slow")?.hook(Hook::Load, hook);
    let _loaded = context.livepatch().load(NAME, &patch.to_bytes())?;
    carried_out(context.livepatch(), NAME, ActionCmd::Apply, State::Applied)?;
    gaps.wait_for_a_whole_one();
    drop(watch);
    carried_out(context.livepatch(), NAME, ActionCmd::Revert, State::Checked)?;
    let longest = gaps.longest.load(Ordering::Relaxed);
    expect_that(
        longest >= TICKS.into(),
        format_args!("{TICKS} ticks of a hook missing on the other CPU, and not at most {longest}"),
    )
}

/// Between two looks of a CPU at its time stamp counter.
#[derive(Default)]
struct Gaps {
    last: AtomicU64,
    longest: AtomicU64,
    looks: AtomicU64,
}

impl Gaps {
    fn look(&self) {
        let now = clock::timestamp();
        let last = self.last.swap(now, Ordering::Relaxed);
        if self.looks.fetch_add(1, Ordering::Relaxed) > 0 {
            self.longest.fetch_max(now - last, Ordering::Relaxed);
        }
    }

    /// On another CPU: waits for a look that began after this, and for the one before it.
    fn wait_for_a_whole_one(&self) {
        let looks = self.looks.load(Ordering::Relaxed);
        while self.looks.load(Ordering::Relaxed) < looks + 2 {
            yield_cpu();
        }
    }
}

fn one_upload_wins(context: &Context) -> Outcome {
    let livepatch = *context.livepatch();
    let payload: Arc<[u8]> = support::marker(context, "-concurrent")?.to_bytes().into();
    for _ in 0..ROUNDS {
        let there = Arc::new(spin::Mutex::new(None));
        let (place, same) = (there.clone(), payload.clone());
        let job = smp::spawn(1, move || *place.lock() = Some(livepatch.upload(NAME, &same)))?;
        let here = livepatch.upload(NAME, &payload);
        job.join();
        let there = there.lock().take().ok_or_else(|| Stop::error("no upload by the other"))?;
        livepatch.remove_all()?;
        let one_each = [
            (Answer::SUCCESS, Answer::from(Errno::EEXIST)),
            (Answer::from(Errno::EEXIST), Answer::SUCCESS),
        ];
        expect_that(
            one_each.contains(&(here, there)),
            format_args!("one success and one EEXIST, not {here} and {there}"),
        )?;
    }
    Ok(())
}

/// What the other CPU does while this one looks at the list.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Meanwhile {
    /// It uploads and unloads.
    Works,
    /// It rests, with its payload loaded.
    RestsLoaded,
    /// It rests, without a payload.
    RestsUnloaded,
}

/// The other CPU uploads and unloads, again and again. This CPU may have it rest, and may wait for
/// its calls, so that each case sees what it is about, whatever the machine below does with the
/// two.
#[derive(Default)]
struct Churn {
    stop: AtomicBool,
    /// The other CPU has returned: it was told to, or there is trouble.
    over: AtomicBool,
    /// Its calls that worked.
    calls: AtomicU32,
    /// What this CPU wants of it: a [`Meanwhile`].
    wanted: AtomicU32,
    /// It rests, as wanted.
    rests: AtomicBool,
    /// What ended it before it was told to stop.
    trouble: spin::Mutex<Option<Stop>>,
}

impl Churn {
    fn begin(context: &Context) -> Result<(Arc<Self>, Job), Stop> {
        let livepatch = *context.livepatch();
        let payload = support::marker(context, "-churn")?.to_bytes();
        let churn = Arc::new(Self::default());
        let there = churn.clone();
        let job = smp::spawn(1, move || {
            if let Err(stop) = there.work(&livepatch, &payload) {
                *there.trouble.lock() = Some(stop.at("on the other CPU"));
            }
            there.over.store(true, Ordering::SeqCst);
        })?;
        Ok((churn, job))
    }

    /// The work of the other CPU. It ends with the payload unloaded.
    fn work(&self, livepatch: &Livepatch, payload: &[u8]) -> Outcome {
        while !self.stop.load(Ordering::SeqCst) {
            livepatch.upload(CHURN, payload).must_be(Answer::SUCCESS)?;
            self.called(Meanwhile::RestsLoaded);
            livepatch.action(CHURN, ActionCmd::Unload).must_be(Answer::SUCCESS)?;
            self.called(Meanwhile::RestsUnloaded);
        }
        Ok(())
    }

    /// On the other CPU: a call has worked, and a rest would be `rest`.
    fn called(&self, rest: Meanwhile) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        while self.wanted.load(Ordering::SeqCst) == rest as u32 {
            self.rests.store(true, Ordering::SeqCst);
            yield_cpu();
        }
        self.rests.store(false, Ordering::SeqCst);
    }

    /// Waits until the other CPU does as this one wants. A CPU that has returned never will, and
    /// its trouble is told at the end.
    fn wait_until(&self, done: impl Fn() -> bool) {
        while !done() && !self.over.load(Ordering::SeqCst) {
            yield_cpu();
        }
    }

    /// Waits for two more calls of the other CPU that works, the second of which began after this.
    fn wait_for_two_calls(&self) {
        let calls = self.calls.load(Ordering::SeqCst);
        self.wait_until(|| self.calls.load(Ordering::SeqCst) >= calls + 2);
    }

    fn want(&self, meanwhile: Meanwhile) {
        self.wanted.store(meanwhile as u32, Ordering::SeqCst);
        let rests = meanwhile != Meanwhile::Works;
        self.wait_until(|| self.rests.load(Ordering::SeqCst) == rests);
    }

    /// Has `look` look while the other CPU works, and while it rests.
    fn watch(context: &Context, look: impl Fn(&Self, Meanwhile) -> Outcome) -> Outcome {
        let (churn, job) = Self::begin(context)?;
        let looks = || {
            for _ in 0..RESTS {
                for rest in [Meanwhile::RestsLoaded, Meanwhile::RestsUnloaded] {
                    for (meanwhile, looks) in [(Meanwhile::Works, LOOKS), (rest, 1)] {
                        churn.want(meanwhile);
                        for _ in 0..looks {
                            if churn.over.load(Ordering::SeqCst) {
                                return Ok(());
                            }
                            look(&churn, meanwhile)?;
                        }
                    }
                }
            }
            Ok(())
        };
        let outcome = looks();
        churn.stop.store(true, Ordering::SeqCst);
        churn.wanted.store(Meanwhile::Works as u32, Ordering::SeqCst);
        job.join();
        churn.trouble.lock().take().map_or(outcome, Err)
    }
}

/// Whatever LIST says while the other CPU changes the list was true at one moment.
fn list_is_whole(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let _kept = load(context, NAME, "-concurrent")?;
    let (one, two) = (NAME.len() as u32, (NAME.len() + CHURN.len()) as u32);
    let stamp = Cell::new(0);
    Churn::watch(context, |_, meanwhile| {
        let totals = livepatch.totals()?;
        expect_that(totals.version >= stamp.get(), "a stamp that never goes back")?;
        stamp.set(totals.version);
        // Older interfaces count, and know no sizes.
        let sized = livepatch.revision.has_metadata_and_flags();
        let fits = |bytes| !sized || totals.name_total_size == bytes;
        let known = match totals.nr {
            1 => meanwhile != Meanwhile::RestsLoaded && fits(one),
            2 => meanwhile != Meanwhile::RestsUnloaded && fits(two),
            _ => false,
        };
        expect_that(known, format_args!("a count that fits list and sizes, not {totals:?}"))
    })
}

/// Two looks at the list with a walk between them: equal stamps mean equal lists, and what the
/// other CPU does between the two shows in the stamp.
fn a_walk_notices(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let _kept = load(context, NAME, "-concurrent")?;
    let walk = |meantime: &dyn Fn()| {
        let first = livepatch.totals()?;
        meantime();
        let listed = livepatch.list();
        let moved = livepatch.totals()?.version != first.version;
        if !moved {
            expect("entries under one stamp", listed?.len() as u32, first.nr)?;
        }
        // The list may have become shorter than the place where the walk wanted to go on.
        Ok(moved)
    };
    Churn::watch(context, |churn, meanwhile| {
        if meanwhile != Meanwhile::Works {
            return expect("stamp moved while the list stood still", walk(&|| ())?, false);
        }
        walk(&|| ())?;
        let moved = walk(&|| churn.wait_for_two_calls())?;
        expect_that(
            moved || churn.over.load(Ordering::SeqCst),
            "a stamp that moves with the other CPU's calls",
        )
    })
}
