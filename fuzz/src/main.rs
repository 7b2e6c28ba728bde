//! `xtf-fuzz` looks for livepatch calls that crash a stock Xen or that it answers wrongly, guided
//! by coverage.
//!
//! [`engine`] has LibAFL pick programs, [`vary`] changes them in a [`stage`] of LibAFL's, and
//! [`executor`] hands them out to a [`crew`] of machines. The plugin of each [`instance`] tells what
//! a program executed, and its guest undoes everything in the end. [`findings`] judges what goes
//! wrong, [`second`] tries it again in the meantime, and [`learn`] learns from the [`features`] of
//! programs which of them to leave out. `xtf-runner fuzz` starts this program, and its library does
//! all that is not fuzzing.

mod crew;
mod engine;
mod executor;
mod features;
mod findings;
mod instance;
mod learn;
mod second;
mod shared;
mod stage;
mod status;
mod vary;

use clap::Parser;
use xtf_runner::base::exit::Exit;
use xtf_runner::cli::Guided;

/// Looks for livepatch calls that crash Xen or that it answers wrongly, guided by coverage.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    target: Guided,
}

fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Where even the message can't be printed, the code still tells.
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage } else { Exit::Success };
        }
    };
    engine::fuzz(&cli.target).unwrap_or_else(|e| {
        eprintln!("error: {e}");
        e.exit()
    })
}
