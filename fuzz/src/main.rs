//! `xtf-fuzz` looks for livepatch calls that kill a stock Xen, guided by what they execute.
//!
//! [`engine`] has LibAFL pick programs, [`mutate`] changes them, [`executor`] performs them on a
//! [`machine`], whose plugin tells what they executed and whose guest undoes everything in the end;
//! [`findings`] judges what goes wrong, and [`lethal`] knows what is no news. `xtf-runner fuzz`
//! starts this program, and its library does all that is not fuzzing.

mod engine;
mod executor;
mod findings;
mod lethal;
mod machine;
mod mutate;
mod shared;
mod status;

use clap::Parser;
use xtf_runner::base::exit::Exit;
use xtf_runner::cli::Guided;

/// Looks for livepatch calls that Xen dies of or answers wrongly, guided by what they execute.
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
