//! `xtf-runner` boots the test image on Xen, judges what it prints, and reports.
//!
//! A run goes one way through these modules: `cli` and `config` say what is wanted; `image`
//! reads the tests' metadata; `select` picks from them; `plan` makes boots of those; `hypervisor` gets each Xen; `qemu`
//! makes a boot's exact command; `boot` runs it and feeds the `console`'s bytes to the
//! `judge`, which alone decides what they mean; `event`s of all that reach the `report` and
//! `logs`; `exit` turns the worst of it into the exit code.
//!
//! This is a library for the sake of `xtf-fuzz`, a program of its own so that nobody builds a
//! fuzzer's many crates who does not fuzz: what is public here is what it needs.

mod accel;
mod backend;
mod bench;
mod boot;
pub mod cli;
mod config;
pub mod console;
mod coverage;
mod debug;
mod diff;
mod doctor;
mod event;
pub mod exit;
mod expect;
mod export;
pub mod fuzz;
mod generate;
mod hypervisor;
mod image;
mod judge;
mod list;
mod logs;
mod machine;
mod mutate;
mod new;
mod partition;
mod pattern;
mod payload;
mod plan;
mod plugin;
pub mod process;
mod qemu;
mod qmp;
mod queue;
mod replay;
mod report;
mod results;
mod rig;
mod run;
mod select;
mod session;
mod signals;
mod stamp;
mod status;
mod suggest;
mod symbols;
pub mod xen_symbols;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::Exit;

/// The whole program.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Where even the message can't be printed, the code still tells.
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage } else { Exit::Success };
        }
    };
    let done = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::List(args) => list::list(args),
        Command::Export(args) => export::export(args),
        Command::Diff(args) => diff::diff(args),
        Command::Payload(args) => payload::payload(args),
        Command::Dom0(args) => backend::dom0::shell(args),
        Command::Mutate(args) => mutate::mutate(args),
        Command::Replay(args) => replay::replay(args),
        Command::Minimize(args) => replay::minimize(args),
        Command::Coverage(args) => coverage::coverage(args),
        Command::Fuzz(args) => fuzz::fuzz(args),
        Command::Bench(args) => bench::bench(args),
        Command::New(args) => new::new(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Generate(args) => generate::generate(args),
    };
    done.unwrap_or_else(|e| {
        eprintln!("error: {e}");
        e.exit()
    })
}
