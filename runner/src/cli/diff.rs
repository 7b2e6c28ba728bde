//! Options of `xtf-runner diff`.

use std::path::PathBuf;

use clap::Args;

/// Exit codes of `diff`.
const DIFF_EXIT_CODES: &str = "\
Exit codes: 0 nothing regressed, 5 something did; 64 usage, 65 a file is no document of results or \
a partial one, 74 input/output.

A regression is: a status or verdict that got worse and is bad now, a success that is skipped now, \
a test or case that is gone; with --slower also what got slower. What is tolerated (a deviation, a \
known outcome, a flaky test) is shown, but is none.";

/// Options of `diff`.
#[derive(Debug, Args)]
#[command(after_help = DIFF_EXIT_CODES)]
pub struct DiffArgs {
    /// Results of `run --json`, before
    #[arg(value_name = "OLD.json")]
    pub old: PathBuf,

    /// Results of `run --json`, after
    #[arg(value_name = "NEW.json")]
    pub new: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Count as a regression what takes more than FACTOR times as long [default: twice as long is
    /// shown, and is none]
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub slower: Option<f64>,

    /// Times that differ by less are the same
    #[arg(long, value_name = "SECS", default_value_t = 1.0, value_parser = floor)]
    pub slower_floor: f64,

    /// Compare what there is of a run that was stopped; what has no result there is not missed
    #[arg(long)]
    pub allow_partial: bool,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if factor > 1.0 && factor.is_finite() { Ok(factor) } else { Err("must be above 1".into()) }
}

fn floor(text: &str) -> Result<f64, String> {
    let floor: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if floor >= 0.0 && floor.is_finite() { Ok(floor) } else { Err("must not be negative".into()) }
}
