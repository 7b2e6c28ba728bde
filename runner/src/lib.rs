//! `xtf-runner` boots the test image on Xen, judges what it prints, and reports.
//!
//! Each folder is a room: a part of the runner with one purpose. A run visits them in this order:
//!
//! 1. [`cli`]: what the user says.
//! 2. [`commands`]: a file or folder for each subcommand: what it does, in order.
//! 3. `image` reads which tests there are; `plan` makes a list of boots from them, the
//!    configuration and the selection.
//! 4. [`xen`]: gets each Xen, and knows its symbols and its code.
//! 5. `machine`: boots, watches, and keeps logs.
//! 6. [`judge`]: the console's bytes become verdicts.
//! 7. `results`: what came out, as data.
//! 8. `report`: the results for a terminal, JUnit, JSON, KTAP and HTML.
//!
//! All but `cli` use [`base`], which also turns the worst of the results into the exit code.
//! Imports between rooms form no circle; docs/architecture.md has the arrows.
//!
//! This is a library because `xtf-fuzz` uses it. That is an executable of its own, so that
//! building the runner does not build the many crates of a fuzzer. What is public here is what it
//! needs.

pub mod base;
pub mod cli;
pub mod commands;
#[cfg(test)]
mod fuzzing;
mod image;
pub mod judge;
mod machine;
mod plan;
mod report;
mod results;
pub mod xen;

use std::process::ExitCode;

use crate::base::exit::{Bisected, Exit, Result};
use crate::cli::{Cli, Command};

/// The whole program, to its exit code.
pub fn main() -> ExitCode {
    let (code, bisects) = match Cli::read() {
        Ok(cli) => {
            let bisects = matches!(&cli.command, Command::Run(args) if args.bisect);
            let code = perform(&cli.command).unwrap_or_else(|e| {
                eprintln!("error: {e}");
                e.exit() as u8
            });
            (code, bisects)
        }
        Err(e) => {
            // Where even the message can't be printed, the code still tells.
            let _ = e.print();
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Success };
            (exit as u8, std::env::args_os().any(|word| word == "--bisect"))
        }
    };
    ExitCode::from(if bisects { Bisected::from(Exit::of_code(Some(code))) as u8 } else { code })
}

fn perform(command: &Command) -> Result<u8> {
    let exit = match command {
        // It ends as the user's own command does.
        Command::Dom0(args) => return commands::dom0::shell(args),
        Command::Run(args) => commands::run::run(args),
        Command::Judge(args) => commands::judge::judge(args),
        Command::List(args) => commands::list::list(args),
        Command::Export(args) => commands::export::export(args),
        Command::Iso(args) => commands::iso::iso(args),
        Command::Diff(args) => commands::diff::diff(args),
        Command::Merge(args) => commands::merge::merge(args),
        Command::Payload(args) => commands::payload::payload(args),
        Command::Mutate(args) => commands::mutate::mutate(args),
        Command::Replay(args) => commands::replay::replay(args),
        Command::Minimize(args) => commands::replay::minimize(args),
        Command::Coverage(args) => commands::coverage::coverage(args),
        Command::Fuzz(args) => commands::fuzz::fuzz(args),
        Command::Debug(args) => commands::debug::debug(args),
        Command::Bench(args) => commands::bench::bench(args),
        Command::New(args) => commands::new::new(args),
        Command::Doctor(args) => commands::doctor::doctor(args),
        Command::Generate(args) => commands::generate::generate(args),
    };
    exit.map(|exit| exit as u8)
}
