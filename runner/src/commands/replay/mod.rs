//! `xtf-runner replay` and `xtf-runner minimize`: programs of livepatch calls, run again.
//!
//! A program is a text ([`livepatch::program`]). It is written into a copy of the image, whose test
//! `livepatch-replay` performs it under the model's eyes. [`verdict`] says what came of it;
//! [`mod@minimize`] looks for the smallest program of which the same comes; [`case`] writes it as Rust.

mod case;
mod machine;
mod minimize;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};

use livepatch::program::{Program, parse};
use protocol::programs::{PERFORMED, REPRODUCER};

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::write_out;
use crate::cli::{MinimizeArgs, ReplayArgs};
use machine::Replayer;
use verdict::{Replayed, Verdict};

/// The program in a guest's log: the reproducer, or what was performed; another text is itself one.
fn extract(text: &str) -> String {
    let marked = |mark| text.lines().filter_map(move |line| line.trim_start().strip_prefix(mark));
    let lines: Vec<&str> = match marked(REPRODUCER).next() {
        Some(_) => marked(REPRODUCER).collect(),
        None => marked(PERFORMED).collect(),
    };
    if lines.is_empty() { text.to_owned() } else { lines.join("\n") }
}

/// Reads a program.
fn read(path: &Path) -> Result<Program> {
    let text = extract(&fs::read_to_string(path).io("read", path)?);
    let program = parse(&text).map_err(|e| Error::Usage(format!("{}: {e}", path.display())))?;
    if program.steps.is_empty() {
        return Err(Error::EmptySelection(format!("{}: no step in it", path.display())));
    }
    Ok(program)
}

/// Runs `replay`.
pub fn replay(args: &ReplayArgs) -> Result<Exit> {
    let program = read(&args.on.file)?;
    let machine = Replayer::new(&args.on)?;
    let first = machine.replay(&program)?;
    write_out(&format!("{}\n", first.describe(&program)))?;
    for round in 2..=args.times {
        let again = machine.replay(&program)?;
        if again.verdict.kind() != first.verdict.kind() {
            write_out(&format!("but the {round}. time: {}\n", again.describe(&program)))?;
            return Ok(Exit::Error);
        }
    }
    if args.times > 1 {
        write_out(&format!("the same {} times of {}\n", args.times, args.times))?;
    }
    Ok(first.verdict.exit())
}

/// Runs `minimize`.
pub fn minimize(args: &MinimizeArgs) -> Result<Exit> {
    let program = read(&args.on.file)?;
    let machine = Replayer::new(&args.on)?;
    let first = machine.replay(&program)?;
    write_out(&format!("{}\n", first.describe(&program)))?;
    if let Verdict::Agreement | Verdict::Error(_) = first.verdict {
        eprintln!("nothing to keep: only divergences, crashes and hangs are minimised");
        return Ok(first.verdict.exit());
    }
    let kind = first.verdict.kind();
    let mut boots = 1;
    let mut last: Replayed = first;
    let smallest = minimize::minimize(program.clone(), &mut |candidate| {
        boots += 1;
        let replayed = machine.replay(candidate)?;
        let same = replayed.verdict.kind() == kind;
        if same {
            eprintln!("{} steps", candidate.steps.len());
            last = replayed;
        }
        Ok(same)
    })?;
    let path = args.output.clone().unwrap_or_else(|| with_min(&args.on.file));
    let text = format!("# {}\n{smallest}", last.verdict.summary());
    fs::write(&path, text).io("write", &path)?;
    write_out(&format!(
        "{}: {} steps of {}, after {boots} boots\n",
        path.display(),
        smallest.steps.len(),
        program.steps.len()
    ))?;
    if args.as_case {
        write_out(&case::rust(&smallest, &last))?;
    }
    Ok(last.verdict.exit())
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
