//! The status line of a fuzzing run.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use libafl::Error;
use libafl::monitors::Monitor;
use libafl::monitors::stats::{ClientStatsManager, UserStatsValue};
use libafl_bolts::ClientId;

/// Names of what each fuzzer tells besides.
pub const BLOCKS: &str = "blocks";
/// Findings.
pub const FINDINGS: &str = "findings";

/// On a terminal the line changes this often,
const LIVE: Duration = Duration::from_millis(500);
/// elsewhere a new one comes this often.
const LOG: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone, Debug)]
pub struct StatusLine {
    start: Instant,
    last: Option<Instant>,
    live: bool,
}

impl StatusLine {
    /// It begins now.
    pub fn new() -> StatusLine {
        StatusLine { start: Instant::now(), last: None, live: io::stderr().is_terminal() }
    }
}

impl Monitor for StatusLine {
    fn display(
        &mut self,
        stats: &mut ClientStatsManager,
        _event: &str,
        _sender: ClientId,
    ) -> Result<(), Error> {
        let pause = if self.live { LIVE } else { LOG };
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let mut blocks = (0, 0);
        let mut findings = 0;
        for client in stats.client_stats().values() {
            if let Some(UserStatsValue::Ratio(some, all)) =
                client.get_user_stats(BLOCKS).map(|stats| stats.value().clone())
            {
                blocks = blocks.max((some, all));
            }
            if let Some(UserStatsValue::Number(number)) =
                client.get_user_stats(FINDINGS).map(|stats| stats.value().clone())
            {
                findings += number;
            }
        }
        let global = stats.global_stats();
        let line = format!(
            "{:>5} s  {:>7.0} exec/s  {:>9} execs  corpus {:>5}  blocks {} of {}  findings {findings}",
            self.start.elapsed().as_secs(),
            global.execs_per_sec,
            global.total_execs,
            global.corpus_size,
            blocks.0,
            blocks.1,
        );
        let (before, after) = if self.live { ("\r\x1b[K", "") } else { ("", "\n") };
        // A reader who went away must not stop the fuzzing.
        let mut out = io::stderr();
        let _ = write!(out, "{before}{line}{after}").and_then(|()| out.flush());
        Ok(())
    }
}
