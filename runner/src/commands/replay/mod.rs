//! `xtf-runner replay` and `xtf-runner minimize`: perform a program of livepatch calls again.
//!
//! A program is a text ([`livepatch::program`]). It is written into a copy of the image, whose test
//! `livepatch-replay` performs it and compares each step with the model. [`verdict`] holds the
//! outcome, and [`place`] where a Xen died; [`table`] does so for many programs and Xens;
//! [`livepatch::program::minimize()`] shrinks a program that still fails in the same way; [`case`]
//! writes it as Rust.

mod case;
mod machine;
mod place;
mod table;
mod verdict;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use livepatch::program::{self, Program, parse};
use protocol::programs::{PERFORMED, REPRODUCER};

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::write_out;
use crate::base::plural::count;
use crate::base::shell;
use crate::cli::{MinimizeArgs, ReplayArgs};
use crate::commands::{chosen, testbed};
use crate::machine::qemu::BootMode;
use crate::plan::config::EVERY;
use crate::plan::loader::Loader;
use machine::Replayer;
use verdict::{Replayed, Verdict};

pub use machine::prepare;
pub use place::Place;
pub use verdict::kind_of_divergence;

/// How a finding of `fuzz hypercall` begins.
const SCRIPT: &str = "#!";

/// The program in a guest's log: the reproducer, or what was performed; another text is itself one.
fn extract(text: &str) -> String {
    let marked = |mark| text.lines().filter_map(move |line| line.trim_start().strip_prefix(mark));
    let lines: Vec<&str> = match marked(REPRODUCER).next() {
        Some(_) => marked(REPRODUCER).collect(),
        None => marked(PERFORMED).collect(),
    };
    if lines.is_empty() { text.to_owned() } else { lines.join("\n") }
}

/// A program in a file, and what the file says of it.
struct Finding {
    program: Program,
    /// The function in which Xen once died of it.
    place: Option<String>,
}

/// Reads a program.
fn read(path: &Path) -> Result<Finding> {
    let text = fs::read_to_string(path).io("read", path)?;
    if text.starts_with(SCRIPT) {
        return Err(Error::Usage(format!(
            "{} is a script that makes its calls again, and no program of livepatch calls: run it; \
             where Xen dies of it, it names what to debug",
            path.display()
        )));
    }
    let program =
        parse(&extract(&text)).map_err(|e| Error::Usage(format!("{}: {e}", path.display())))?;
    if program.steps.is_empty() {
        return Err(Error::EmptySelection(format!("{}: the program is empty", path.display())));
    }
    Ok(Finding { program, place: Place::told_in(&text).map(str::to_owned) })
}

/// The program in the file at `path`.
pub fn program_in(path: &Path) -> Result<Program> {
    read(path).map(|finding| finding.program)
}

/// Runs `replay`.
pub fn replay(args: &ReplayArgs) -> Result<Exit> {
    if args.json || args.xen.len() > 1 || args.program.file.is_dir() {
        return table::replay(args);
    }
    let Finding { program, .. } = read(&args.program.file)?;
    let machine = match args.xen.as_slice() {
        [xen] if xen == EVERY => return table::replay(args),
        _ => Replayer::one(args)?,
    };
    let first = machine.replay(&program)?;
    write_out(&format!("{}\n", first.describe(&program)))?;
    for round in 2..=args.times {
        let again = machine.replay(&program)?;
        if again.verdict.kind() != first.verdict.kind() {
            write_out(&format!(
                "replay {round} ended differently: {}\n",
                again.describe(&program)
            ))?;
            return Ok(Exit::Error);
        }
    }
    if args.times > 1 {
        write_out(&format!("the same result in {} of {} replays\n", args.times, args.times))?;
    }
    if let Verdict::Crash { .. } | Verdict::Hang = first.verdict
        && let Some(command) = debug_command(args)
    {
        write_out(&format!("  debug: {command}\n"))?;
    }
    Ok(first.verdict.exit())
}

/// The command that opens a debugger where the program of `args` ends, if that boot can be recorded.
fn debug_command(args: &ReplayArgs) -> Option<String> {
    let ReplayArgs { program, xen, loader, fetch, places, qemu, .. } = args;
    if program.boot != BootMode::Fast || loader.loader.is_some_and(|is| is != Loader::Direct) {
        return None;
    }
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let options = [
        ("--xen", xen.first().cloned()),
        ("--env", Some(program.env.name().to_owned())),
        ("--image", places.image.as_ref().map(path)),
        ("--config", places.config.as_ref().map(path)),
        ("--qemu", qemu.as_ref().map(path)),
    ];
    let this = env::args().next().unwrap_or_default();
    let mut words = vec![this, "debug".into(), path(&program.file)];
    for (option, value) in options {
        words.extend(value.into_iter().flat_map(|value| [option.to_owned(), value]));
    }
    words.extend(fetch.offline.then(|| "--offline".to_owned()));
    Some(shell::line(words))
}

/// Whether a file can be written there, before hours are spent on what is to be in it.
fn can_write(path: &Path) -> Result<()> {
    if path.exists() {
        return File::options().append(true).open(path).map(drop).io("write", path);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).map(drop).io("write", path)
}

/// Runs `minimize`.
pub fn minimize(args: &MinimizeArgs) -> Result<Exit> {
    let Finding { program, .. } = read(&args.program.file)?;
    let path = args.output.clone().unwrap_or_else(|| with_min(&args.program.file));
    can_write(&path)?;
    let machine = Replayer::of(&args.program, testbed(chosen(&args.bed.on)?, &args.bed)?)?;
    let first = machine.replay(&program)?;
    write_out(&format!("{}\n", first.describe(&program)))?;
    if let Verdict::Agreement | Verdict::Error(_) = first.verdict {
        eprintln!("nothing to shrink: the program ended in agreement or with an error");
        return Ok(first.verdict.exit());
    }
    let kind = first.verdict.kind();
    let mut boots = 1;
    let mut last: Replayed = first;
    let mut smallest = program.clone();
    let done = program::minimize(program.clone(), &mut |candidate| {
        boots += 1;
        let replayed = machine.replay(candidate)?;
        let same = replayed.verdict.kind() == kind;
        if same {
            eprintln!("{}", count(candidate.steps.len(), "step"));
            (smallest, last) = (candidate.clone(), replayed);
        }
        Ok(same)
    });
    // What was found until the user had enough is kept.
    let stopped = machine.stopped();
    if stopped.is_none() {
        done?;
    }
    let mut text = format!("# {}\n", last.verdict.summary());
    if let Verdict::Crash { at, .. } = &last.verdict {
        text += &at.line();
    }
    text += &smallest.to_string();
    fs::write(&path, text).io("write", &path)?;
    write_out(&format!(
        "{}: {} of {}, after {}\n",
        path.display(),
        count(smallest.steps.len(), "step"),
        program.steps.len(),
        count(boots, "boot")
    ))?;
    if args.as_case {
        write_out(&case::rust(&smallest, &last))?;
    }
    Ok(stopped.unwrap_or_else(|| last.verdict.exit()))
}

fn with_min(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".min");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_s_log_holds_a_program() {
        let log = "  # round: seed=1\n  #> get \"a\"\n  #> look\n";
        assert_eq!(extract(log), "get \"a\"\nlook");
        let found = format!("{log}  # reproducer:\n  #| look\n  # step 1: look\n");
        assert_eq!(extract(&found), "look");
        let plain = "# mine\nlook\n";
        assert_eq!(extract(plain), plain);
    }
}
