//! What a boot's events say about time.

use std::time::{Duration, Instant};

use protocol::console::RESULT;
use protocol::programs::FIGURE;

use crate::results::event::{Listener, RunEvent};

/// Follows one boot.
#[derive(Debug, Default)]
pub struct Stopwatch {
    power_on: Option<Instant>,
    first_line: Option<Instant>,
    last_line: Option<Instant>,
    power_off: Option<Instant>,
    /// What the guest measured.
    pub figures: Vec<(String, Duration)>,
}

impl Stopwatch {
    /// From power on to the guest's first line.
    pub fn to_guest(&self) -> Option<Duration> {
        Some(self.first_line?.duration_since(self.power_on?))
    }

    /// From power on to the guest's last line.
    pub fn to_result(&self) -> Option<Duration> {
        Some(self.last_line?.duration_since(self.power_on?))
    }

    /// From the guest's last line to the end of QEMU.
    pub fn leaving(&self) -> Option<Duration> {
        Some(self.power_off?.duration_since(self.last_line?))
    }

    /// From power on to the end of QEMU.
    pub fn whole(&self) -> Option<Duration> {
        Some(self.power_off?.duration_since(self.power_on?))
    }
}

impl Listener for Stopwatch {
    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::BootStarted { .. } => self.power_on = Some(Instant::now()),
            RunEvent::GuestLine { text, .. } => {
                self.first_line.get_or_insert_with(Instant::now);
                if text.starts_with(RESULT) {
                    self.last_line = Some(Instant::now());
                }
            }
            RunEvent::TestSettled { outcome, .. } => {
                let said = outcome.report.cases.iter().flat_map(|case| &case.diagnostics);
                for figure in said.filter_map(|line| line.strip_prefix(FIGURE)) {
                    if let Some((what, ns)) = figure.split_once(' ')
                        && let Ok(ns) = ns.parse()
                    {
                        self.figures.push((what.to_owned(), Duration::from_nanos(ns)));
                    }
                }
            }
            RunEvent::BootEnded { .. } => self.power_off = Some(Instant::now()),
            _ => {}
        }
    }
}
