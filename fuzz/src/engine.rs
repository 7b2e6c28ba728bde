//! The fuzzing loop, for one fuzzer or for several that exchange programs.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use libafl::corpus::{Corpus, InMemoryCorpus};
use libafl::events::{
    ClientDescription, Event, EventConfig, EventFirer, EventReceiver, EventWithStats, Launcher,
    LlmpRestartingEventManager, ManagerKind, ProgressReporter, SendExiting, ShouldSaveState,
    SimpleEventManager, StdLlmpEventHook, setup_restarting_mgr_llmp,
};
use libafl::feedbacks::{CrashFeedback, MaxMapFeedback, TimeoutFeedback};
use libafl::fuzzer::{Fuzzer, StdFuzzer};
use libafl::inputs::{BytesInput, HasMutatorBytes};
use libafl::monitors::stats::{AggregatorOps, UserStats, UserStatsValue};
use libafl::observers::CanTrack;
use libafl::schedulers::{IndexesLenTimeMinimizerScheduler, QueueScheduler};
use libafl::state::{HasCorpus, HasExecutions, HasImported, StdState};
use libafl::{feedback_or, feedback_or_fast};
use libafl_bolts::core_affinity::Cores;
use libafl_bolts::llmp::{Broker as _, LlmpBroker};
use libafl_bolts::rands::StdRand;
use libafl_bolts::shmem::{ShMemProvider, StdShMemProvider};
use libafl_bolts::tuples::tuple_list;
use livepatch::program::{decode, encode, parse};
use protocol::programs::STEPS_MAX;
use xtf_runner::base::exit::{Error, Exit, IoContext, Result};
use xtf_runner::base::plural::count;
use xtf_runner::cli::{Guided, GuidedArgs};
use xtf_runner::commands::fuzz::{Known, StopSignal, Target, cpus};

use crate::executor::{self, Replaced, TimeTaken, Xen};
use crate::findings::build_id;
use crate::learn::LessonFile;
use crate::stage::{SideBySide, judge};
use crate::status::{BLOCKS, FINDINGS, StatusLine};
use crate::vary::{self, Programs, Variation};

/// How often the others, and the status line, are told.
const REPORT: Duration = Duration::from_millis(500);
/// Where several fuzzers meet unless told otherwise.
const PORT: u16 = 1337;
/// How often the broker looks for messages,
const BREATH: Duration = Duration::from_millis(5);
/// and how long it stays for the last ones.
const LINGER: Duration = Duration::from_secs(1);
/// After its end, a run looks into what failed and makes it small for so long at most.
const AFTERWARDS: Duration = Duration::from_secs(120);
/// As many machines as one fuzzer can give programs to.
const MACHINES_MAX: usize = 4;
/// Programs that are made up to begin with.
const INITIAL_PROGRAMS: u64 = 64;

type State = StdState<InMemoryCorpus<BytesInput>, BytesInput, StdRand, InMemoryCorpus<BytesInput>>;

/// What is to be done.
struct Task<'a> {
    args: &'a GuidedArgs,
    programs: Programs,
    target: Arc<Target>,
}

/// Fuzzes `what`, as its options say.
pub fn fuzz(what: &Guided) -> Result<Exit> {
    let (programs, args) = match what {
        Guided::Livepatch(args) => (Programs::Calls, args),
        Guided::Payload(args) => (Programs::Payloads, args),
    };
    let task = Task { args, programs, target: Arc::new(Target::of(args)?) };
    if args.forget
        && let Some(file) = lessons(&task)?
    {
        file.forget()?;
    }
    if args.cores.get() == 1 && args.join.is_none() && args.port.is_none() {
        let mut manager = SimpleEventManager::new(StatusLine::new());
        return client(&task, args.seed, &mut manager);
    }
    together(&task)
}

/// Several fuzzers, each a process, which tell each other what they find through a broker.
fn together(task: &Task<'_>) -> Result<Exit> {
    let args = task.args;
    let available = cpus();
    if args.cores > available {
        return Err(Error::Usage(format!(
            "--cores {}: this host has {available} CPUs, and each fuzzer needs one",
            args.cores
        )));
    }
    let numbers: Vec<String> = (0..args.cores.get()).map(|number| number.to_string()).collect();
    let cores = Cores::from_cmdline(&numbers.join(",")).map_err(engine)?;
    let here = std::process::id();
    let verdicts = tempfile::tempdir().map_err(|source| Error::Io {
        what: "cannot create a folder for the fuzzers' verdicts".into(),
        source,
    })?;
    let run = |_: Option<State>, mut manager: Manager, client_of: ClientDescription| {
        let number = client_of.id();
        let exit = client(task, args.seed.wrapping_add(number as u64), &mut manager);
        let exit = exit.unwrap_or_else(|e| {
            eprintln!("error: {e}");
            e.exit()
        });
        // The broker is another process: a file is how it learns.
        let path = verdicts.path().join(number.to_string());
        fs::write(path, [exit as u8]).map_err(|e| libafl::Error::unknown(e.to_string()))?;
        manager.send_exiting()
    };
    let memory = StdShMemProvider::new().map_err(engine)?;
    let configuration = EventConfig::from_name("xtf-fuzz");
    let port = args.port.unwrap_or(PORT);
    // What the launcher would do by itself, but for --join, which version 0.16 of it forgets.
    let fault = Cell::new(None);
    let manager = |_: &_, fuzzer: Option<ClientDescription>, monitor: Option<StatusLine>| {
        let kind = match fuzzer {
            Some(client_description) => ManagerKind::Client { client_description },
            None => {
                let monitor = monitor.unwrap_or_else(StatusLine::new);
                // Nobody looks at what comes of the broker.
                fault.set(broker(&memory, port, monitor, args, verdicts.path()).err());
                return Err(libafl::Error::shutting_down());
            }
        };
        let (memory, save) = (memory.clone(), ShouldSaveState::OnRestart);
        setup_restarting_mgr_llmp(
            memory,
            configuration,
            None::<StatusLine>,
            port,
            kind,
            None,
            save,
            (),
        )
    };
    let launched = Launcher::builder()
        .shmem_provider(memory.clone())
        .configuration(configuration)
        .monitor(StatusLine::new())
        .cores(&cores)
        .broker_port(port)
        .run_client(run)
        .build()
        .launch_with_manager(manager);
    match launched {
        Ok(()) | Err(libafl::Error::ShuttingDown) => {}
        Err(e) => return Err(engine(e)),
    }
    if std::process::id() != here {
        // The engine forks each fuzzer, and someone who looks after it: the end, and the folder,
        // are this process's.
        std::process::exit(Exit::Success as i32);
    }
    if let Some(fault) = fault.take() {
        return Err(fault);
    }
    worst(verdicts.path(), args.cores.get())
}

/// The worst of the verdicts that so many fuzzers have left in a folder, each in a file with its number.
fn worst(verdicts: &Path, fuzzers: usize) -> Result<Exit> {
    let verdict = |number: usize| {
        let path = verdicts.join(number.to_string());
        let code = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            code => code.io("read", &path)?,
        };
        let known = if let [code] = code[..] { Exit::from_code(code) } else { None };
        known.ok_or_else(|| {
            Error::Tool(format!(
                "fuzzer {number} of {fuzzers} ended without a verdict (it was killed?): what the others \
                 found is kept, and nothing is known of its own"
            ))
        })
    };
    (0..fuzzers).map(verdict).try_fold(Exit::Success, |worst, one| Ok(worst.max(one?)))
}

/// Passes on what the fuzzers tell each other, until the last of them has left.
fn broker(
    memory: &StdShMemProvider,
    port: u16,
    monitor: StatusLine,
    args: &GuidedArgs,
    verdicts: &Path,
) -> Result<()> {
    let hook = StdLlmpEventHook::<BytesInput, StatusLine>::new(monitor).map_err(engine)?;
    let mut broker = LlmpBroker::create_attach_to_tcp(memory.clone(), tuple_list!(hook), port)
        .map_err(|e| {
            Error::Tool(format!("cannot listen on port {port}: {e}; choose another with --port"))
        })?;
    let mut join = args.join;
    let mut rest = LINGER;
    while !broker.is_shutting_down() && !rest.is_zero() {
        let busy = broker.broker_once().map_err(engine)?;
        // Brokers that are joined count as fuzzers, so that these say themselves when they end.
        let ended = fs::read_dir(verdicts).map_or(0, Iterator::count);
        if ended >= args.cores.get() {
            rest = rest.saturating_sub(BREATH);
        }
        // Only then is the number free by which the other one is to be known here: whoever gets the
        // same hears nothing of it.
        let seen = broker.num_clients_seen() - broker.nb_listeners();
        if seen >= args.cores.get()
            && let Some(other) = join.take()
        {
            broker.inner_mut().connect_b2b(other).map_err(|e| {
                Error::Tool(format!(
                    "cannot join {other}: {e}; is a fuzzer with --port {} or --cores above 1 \
                     running there?",
                    other.port()
                ))
            })?;
        }
        if !busy {
            thread::sleep(BREATH);
        }
    }
    Ok(())
}

type Manager = LlmpRestartingEventManager<
    (),
    BytesInput,
    State,
    <StdShMemProvider as ShMemProvider>::ShMem,
    StdShMemProvider,
>;

/// One fuzzer, to its end.
fn client<EM>(task: &Task<'_>, seed: u64, manager: &mut EM) -> Result<Exit>
where
    EM: EventFirer<BytesInput, State>
        + EventReceiver<BytesInput, State>
        + ProgressReporter<State>
        + SendExiting,
{
    let Task { args, programs, target } = task;
    // From here on a signal ends the loop, not the process: what was found is kept.
    let stop = StopSignal::install()?;
    let blocks = executor::blocks(target.blocks.len()).track_indices();
    let time = TimeTaken::default();
    let mut feedback = feedback_or!(MaxMapFeedback::new(&blocks), time.clone());
    let mut objective = feedback_or_fast!(CrashFeedback::new(), TimeoutFeedback::new());
    let mut state: State = StdState::new(
        StdRand::with_seed(seed),
        InMemoryCorpus::new(),
        InMemoryCorpus::new(),
        &mut feedback,
        &mut objective,
    )
    .map_err(engine)?;
    // Of the programs that reach a block, the fast and short one is bred from.
    let scheduler = IndexesLenTimeMinimizerScheduler::new(&blocks, QueueScheduler::new());
    let mut fuzzer = StdFuzzer::new(scheduler, feedback, objective);
    let mut stages = tuple_list!(SideBySide::new(Variation::new(*programs, args.steps.into())));
    let report = |text: &str| eprintln!("\nnew finding:\n{text}");
    let mut xen =
        Xen::new(target, machines(args), (blocks, time), Box::new(report), lessons(task)?, seed)?;

    let start = Instant::now();
    let mut told = start;
    let over = || {
        args.seconds.is_some_and(|seconds| start.elapsed().as_secs() >= seconds)
            || stop.requested().is_some()
    };
    for (name, input) in begin(task, seed)? {
        if over() {
            break;
        }
        xen.hand_out(input, name);
        judge(&mut fuzzer, &mut xen, &mut state, manager, false).map_err(engine)?;
        tell(&xen, &mut state, manager, &mut told).map_err(engine)?;
    }
    // What is bred from is chosen among them.
    judge(&mut fuzzer, &mut xen, &mut state, manager, true).map_err(engine)?;
    let mut written = 0;
    while !over() {
        fuzzer.fuzz_one(&mut stages, &mut xen, &mut state, manager).map_err(engine)?;
        tell(&xen, &mut state, manager, &mut told).map_err(engine)?;
        if let Some(dir) = &args.corpus {
            written = write_corpus(&state, written, dir)?;
        }
    }
    judge(&mut fuzzer, &mut xen, &mut state, manager, true).map_err(engine)?;
    let elapsed = start.elapsed();
    if let Some(dir) = &args.corpus {
        write_corpus(&state, written, dir)?;
        write_blocks(&xen, target, dir)?;
    }
    let end = Instant::now();
    xen.finish(&args.findings, &|| end.elapsed() > AFTERWARDS)?;
    summary(&xen, &state, elapsed);
    Ok(stop.requested().unwrap_or(verdict(&xen)))
}

/// How many machines a fuzzer has: one for each CPU that is its own.
fn machines(args: &GuidedArgs) -> usize {
    (cpus().get() / args.cores.get()).clamp(1, MACHINES_MAX)
}

fn engine(error: libafl::Error) -> Error {
    Error::Tool(format!("LibAFL: {error}"))
}

/// Where what is learned is kept, if it is.
fn lessons(task: &Task<'_>) -> Result<Option<LessonFile>> {
    let Some(dir) = &task.args.corpus else { return Ok(None) };
    fs::create_dir_all(dir).io("create", dir)?;
    Ok(Some(LessonFile::of(dir, &build_id(&task.target))))
}

/// The programs in --corpus, by name, and those that are made up.
fn begin(task: &Task<'_>, seed: u64) -> Result<Vec<(Option<String>, BytesInput)>> {
    let mut programs = Vec::new();
    if let Some(dir) = &task.args.corpus {
        for entry in fs::read_dir(dir).io("read", dir)? {
            let path = entry.io("read", dir)?.path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                let text = fs::read_to_string(&path).io("read", &path)?;
                let program = parse(&text)
                    .map_err(|why| Error::Data(format!("{}: {why}", path.display())))?;
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                programs.push((name, program));
            }
        }
    }
    programs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let steps = task.args.steps.into();
    programs.extend(
        (0..INITIAL_PROGRAMS)
            .map(|n| (None, vary::initial_program(task.programs, seed.wrapping_add(n), steps))),
    );
    let inputs = programs.into_iter();
    Ok(inputs.map(|(name, program)| (name, BytesInput::new(encode(&program)))).collect())
}

/// Tells the others, and whoever looks on.
fn tell<EM>(
    xen: &Xen<'_>,
    state: &mut State,
    manager: &mut EM,
    told: &mut Instant,
) -> std::result::Result<(), libafl::Error>
where
    EM: EventFirer<BytesInput, State> + ProgressReporter<State>,
{
    if told.elapsed() < REPORT {
        return Ok(());
    }
    *told = Instant::now();
    let covered = xen.covered.iter().filter(|covered| **covered).count() as u64;
    let blocks = UserStatsValue::Ratio(covered, xen.covered.len() as u64);
    let findings = UserStatsValue::Number(xen.findings.all().count() as u64);
    for (name, value) in [(BLOCKS, blocks), (FINDINGS, findings)] {
        let value = UserStats::new(value, AggregatorOps::Max);
        let event =
            Event::UpdateUserStats { name: name.into(), value, phantom: std::marker::PhantomData };
        let event = EventWithStats::with_current_time(event, *state.executions());
        manager.fire(state, event)?;
    }
    manager.maybe_report_progress(state, REPORT)
}

/// Writes what is new in the corpus since there were `written` into `dir`; returns how many there
/// are now.
fn write_corpus(state: &State, written: usize, dir: &Path) -> Result<usize> {
    let count = state.corpus().count();
    for nth in written..count {
        let id = state.corpus().nth(nth);
        let testcase = state.corpus().get(id).map_err(engine)?.borrow();
        if let Some(input) = testcase.input() {
            let text = decode(input.mutator_bytes(), STEPS_MAX).to_string();
            // Others write there, too, and a later run: the same program has the same name.
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            let path = dir.join(format!("{:016x}.txt", hasher.finish()));
            fs::write(&path, text).io("write", &path)?;
        }
    }
    Ok(count)
}

/// Adds the blocks that were reached to those in `dir`.
fn write_blocks(xen: &Xen<'_>, target: &Target, dir: &Path) -> Result<()> {
    let reached = target.blocks.iter().zip(&xen.covered).filter(|(_, covered)| **covered);
    let lines = reached.map(|(&address, _)| {
        let name = target.build.symbols.describe(address).unwrap_or_default();
        format!("{address:#x} {name}\n")
    });
    let path = dir.join("blocks.lst");
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    let mut file = options.open(&path).io("open", &path)?;
    // Fuzzers that work together end together.
    file.lock().io("lock", &path)?;
    let before = io::read_to_string(&file).io("read", &path)?;
    let all: BTreeSet<String> =
        before.lines().map(|line| format!("{line}\n")).chain(lines).collect();
    file.rewind().io("write", &path)?;
    file.write_all(all.into_iter().collect::<String>().as_bytes()).io("write", &path)
}

fn summary(xen: &Xen<'_>, state: &State, elapsed: Duration) {
    let covered = xen.covered.iter().filter(|covered| **covered).count();
    let programs = *state.executions();
    let (seconds, waited) = (elapsed.as_secs_f64(), xen.waited().as_secs_f64());
    let busy = seconds - waited;
    println!(
        "\n{} with {} in {seconds:.0} s, {waited:.0} s of it waiting for machines; {:.0} programs/s \
         and {:.0} calls/s otherwise; {} skipped; corpus {}, {} from others; {covered} of {} blocks; \
         {} unconfirmed, {} not looked into",
        count(programs, "program"),
        count(xen.calls, "call"),
        programs as f64 / busy,
        xen.calls as f64 / busy,
        xen.left_out,
        state.corpus().count(),
        state.imported(),
        xen.covered.len(),
        xen.findings.unconfirmed,
        xen.findings.unexamined,
    );
    let Replaced { ended, dirty, diverged } = xen.replaced;
    println!(
        "{} replaced: {ended} ended, {dirty} where something could not be undone, {diverged} that \
         diverged; {} more to look into failures",
        count(ended + dirty + diverged, "machine"),
        xen.findings.machines(),
    );
    let learned = &xen.findings.learned;
    if learned.count() > 0 {
        let odds = match learned.tried {
            0 => "none".to_owned(),
            tried => format!("1 in {}", learned.met / tried),
        };
        println!(
            "learned: {} to end this Xen, tried {odds} of {} like them",
            count(learned.count(), "way"),
            count(learned.met, "program")
        );
    }
    for finding in xen.findings.all() {
        let (name, times) = (finding.name.as_str(), count(finding.times, "time"));
        match &finding.expected {
            Some(Known { reason, link, .. }) => {
                let link = link.as_ref().map(|link| format!(" ({link})")).unwrap_or_default();
                println!(" KNOWN {name} ({times}): {reason}{link}");
            }
            None => {
                let (status, path) = (finding.status(), finding.path.display());
                println!("{status:>6} {name} ({times}): {}\n       {path}", finding.how);
            }
        }
    }
}

/// The exit code: what is expected is no news.
fn verdict(xen: &Xen<'_>) -> Exit {
    let news = xen.findings.all().filter(|finding| finding.expected.is_none());
    news.map(|finding| finding.status().into()).fold(Exit::Success, Ord::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fuzzer_leaves_a_verdict_and_the_worst_counts() {
        let dir = tempfile::tempdir().unwrap();
        let leave = |number: usize, code: &[u8]| {
            fs::write(dir.path().join(number.to_string()), code).unwrap();
        };
        leave(0, &[Exit::Success as u8]);
        leave(1, &[Exit::Crash as u8]);
        assert_eq!(worst(dir.path(), 2).unwrap(), Exit::Crash);
        let error = worst(dir.path(), 3).unwrap_err();
        assert!(error.to_string().starts_with("fuzzer 2 of 3 ended without a verdict"), "{error}");
        for odd in [&[][..], &[255], &[0, 0]] {
            leave(2, odd);
            assert_eq!(worst(dir.path(), 3).unwrap_err().exit(), Exit::Tool, "{odd:?}");
        }
    }
}
