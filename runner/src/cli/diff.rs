//! Options of `xtf-runner diff`.

use std::path::PathBuf;

use clap::Args;

/// Exit codes of `diff`.
const DIFF_EXIT_CODES: &str = "\
Exit codes: 0 nothing regressed, 5 something did; 64 usage, 65 a file does not hold results or \
is partial, 74 input/output.

A regression is a status or verdict that is worse than before and bad, a success that is now \
skipped, or a test or case that is gone; with --slower also a time that grew. Tolerated results (a \
deviation, a KNOWN result, a flaky test) are shown and are no regression.";

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

    /// Further results of the run before: other shares of --partition, or other Xens; repeatable
    #[arg(long, value_name = "FILE")]
    pub with_old: Vec<PathBuf>,

    /// Further results of the run after
    #[arg(long, value_name = "FILE")]
    pub with_new: Vec<PathBuf>,

    /// Compare the Xen OLD of the run before with NEW of the run after; repeatable [default: those of
    /// the same name, of the same build-id, or the only ones]
    #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
    pub map: Vec<(String, String)>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Count a time that grew by more than FACTOR as a regression [default: twice as long is shown
    /// and is no regression]
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub slower: Option<f64>,

    /// Ignore differences of time below this
    #[arg(long, value_name = "SECS", default_value_t = 1.0, value_parser = floor)]
    pub slower_floor: f64,

    /// Compare partial results as well; a test without a result is not reported as vanished
    #[arg(long)]
    pub allow_partial: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let both = text.split_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty());
    let (old, new) = both.ok_or("expected OLD=NEW, two names of Xens")?;
    Ok((old.to_owned(), new.to_owned()))
}

fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if factor > 1.0 && factor.is_finite() { Ok(factor) } else { Err("must be above 1".into()) }
}

fn floor(text: &str) -> Result<f64, String> {
    let floor: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if floor >= 0.0 && floor.is_finite() { Ok(floor) } else { Err("must not be negative".into()) }
}
