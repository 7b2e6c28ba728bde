//! Xen's own lines: heard from a moment on, and compared.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::hypercall::console_ring::{self, Place};
use kernel::hypercall::debug_keys;
use kernel::hypercall::sched::yield_cpu;
use kernel::hypercall::version::Text;
use kernel::{Answer, Context, Errno, Outcome, Stop};
use livepatch::abi::SysctlVersion;

use crate::support::read_text;

/// What Xen puts in front of each line of its own. A guest's lines lack it.
const PREFIX: &[u8] = b"(XEN) ";
/// Begins each message of an action, and each of a refusal. What a debug build says besides has the
/// place in the source in front of it.
const LIVEPATCH: &str = "livepatch: ";

/// Listens to Xen from the moment on in which it is made.
pub struct Ear {
    version: SysctlVersion,
    from: Place,
}

impl Ear {
    /// Begins to listen.
    ///
    /// # Errors
    /// A [`Stop::Skip`] where Xen keeps its ring to itself, or does not say everything.
    pub fn new(context: &Context) -> Result<Self, Stop> {
        says_everything()?;
        let version = context.livepatch().version;
        let (_, from) = console_ring::read_all(version).map_err(|errno| unreadable(&errno))?;
        Ok(Self { version, from })
    }

    /// The bytes that came since.
    ///
    /// # Errors
    /// A [`Stop::Error`] if Xen has said more than its ring holds.
    fn bytes(&self) -> Result<Vec<u8>, Stop> {
        self.try_bytes()?.ok_or_else(|| Stop::error("Xen has said more than its ring holds"))
    }

    /// The bytes that came since, or `None` if the ring has lost some.
    ///
    /// # Errors
    /// A [`Stop::Skip`] where the ring cannot be read.
    pub fn try_bytes(&self) -> Result<Option<Vec<u8>>, Stop> {
        console_ring::read_since(self.version, self.from).map_err(|errno| unreadable(&errno))
    }

    /// Xen's lines that came since, each as Xen's source has it.
    ///
    /// # Errors
    /// As for [`Ear::new`]; a [`Stop::Error`] if Xen has said more than its ring holds.
    pub fn lines(&self) -> Result<Vec<String>, Stop> {
        Ok(lines_of(&self.bytes()?))
    }

    /// Those of them that are messages about live patches.
    ///
    /// # Errors
    /// As for [`Ear::lines`].
    fn messages(&self) -> Result<Vec<String>, Stop> {
        let is_one = |line: &str| line.strip_prefix(LIVEPATCH).map(String::from);
        Ok(self.lines()?.iter().filter_map(|line| is_one(line)).collect())
    }
}

/// Passes if Xen's messages about live patches during `something` are these, and no others. All
/// that is missing in them is `livepatch: ` at the beginning.
///
/// # Errors
/// What `something` says; a [`Stop::Failure`] that names the first line that differs; what
/// [`Ear::lines`] says.
pub fn says(
    context: &Context,
    something: impl FnOnce() -> Outcome,
    expected: &[String],
) -> Outcome {
    let messages = messages_during(context, something, expected.len())?;
    are_lines("Xen's messages", &messages, expected)
}

/// Xen's messages about live patches during `something`, of which there should be `count`.
///
/// # Errors
/// What `something` says; what [`Ear::lines`] says.
pub fn messages_during(
    context: &Context,
    something: impl FnOnce() -> Outcome,
    count: usize,
) -> Result<Vec<String>, Stop> {
    /// With several CPUs another one may be still at its last line.
    const LOOKS: u32 = 100;
    let ear = Ear::new(context)?;
    something()?;
    let mut messages = ear.messages()?;
    for _ in 0..LOOKS {
        if messages.len() >= count {
            break;
        }
        yield_cpu();
        messages = ear.messages()?;
    }
    Ok(messages)
}

/// Xen's lines when it is asked for its live patches by the debug key.
///
/// # Errors
/// A [`Stop::Skip`] where keys or the ring are denied.
pub fn pressed(context: &Context) -> Result<Vec<String>, Stop> {
    let ear = Ear::new(context)?;
    press(context)?;
    ear.lines()
}

/// Presses the key.
///
/// # Errors
/// A [`Stop::Skip`] where that is denied.
pub fn press(context: &Context) -> Outcome {
    let answer = debug_keys::press(context.livepatch().version, b"x");
    if answer == Answer::from(Errno::EPERM) || answer == Answer::from(Errno::EACCES) {
        return Err(Stop::skip(format_args!("XEN_SYSCTL_debug_keys answers {answer}")));
    }
    answer.must_be(Answer::SUCCESS).map_err(|stop| stop.at("XEN_SYSCTL_debug_keys"))
}

/// Passes if the lines are the same.
///
/// # Errors
/// A [`Stop::Failure`] that names the first one that differs.
pub fn are_lines(what: &str, actual: &[String], expected: &[String]) -> Outcome {
    let longer = actual.len().max(expected.len());
    let Some(at) = (0..longer).find(|&at| actual.get(at) != expected.get(at)) else {
        return Ok(());
    };
    let shown = |line: Option<&String>| line.map_or("no line".into(), |line| format!("{line:?}"));
    let (wanted, got) = (shown(expected.get(at)), shown(actual.get(at)));
    Err(Stop::failure(format_args!("{what}, line {}: expected {wanted}, got {got}", at + 1)))
}

/// The whole lines of Xen's in a part of its ring.
pub fn lines_of(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let of_xen = lines.filter_map(|line| line.strip_suffix(b"\n")?.strip_prefix(PREFIX));
    of_xen.map(|line| String::from_utf8_lossy(without_time(line)).into_owned()).collect()
}

/// `console_timestamps` puts the time in brackets in front of each line; no line of Xen's that is
/// looked at here begins with a bracket.
fn without_time(line: &[u8]) -> &[u8] {
    let end = line.windows(2).position(|two| two == b"] ");
    match end {
        Some(end) if line.starts_with(b"[") => &line[end + 2..],
        _ => line,
    }
}

/// Most messages are of the level INFO, which Xen says only if it was told to.
fn says_everything() -> Outcome {
    let command_line = read_text(Text::CommandLine)?;
    let mut levels =
        command_line.split_whitespace().filter_map(|word| word.strip_prefix("loglvl="));
    // Behind a slash is up to which level lines are dropped if there are too many.
    let level = levels.next_back().and_then(|levels| levels.split('/').next());
    if matches!(level, Some("all" | "debug" | "info")) {
        return Ok(());
    }
    Err(Stop::skip("Xen does not say everything: its command line lacks loglvl=all"))
}

fn unreadable(errno: &Errno) -> Stop {
    Stop::skip(format_args!("XEN_SYSCTL_readconsole answers {errno}"))
}
