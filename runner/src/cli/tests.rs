//! Tests that every command in the documentation is accepted by the command line.

use clap::{CommandFactory, Parser};

use super::{Cli, Command};

const MAKEFILE: &str = include_str!("../../../Makefile");
const PAGES: [(&str, &str); 10] = [
    ("README.md", include_str!("../../../README.md")),
    ("CONTRIBUTING.md", include_str!("../../../CONTRIBUTING.md")),
    ("docs/config.md", include_str!("../../../docs/config.md")),
    ("docs/coverage.md", include_str!("../../../docs/coverage.md")),
    ("docs/export.md", include_str!("../../../docs/export.md")),
    ("docs/hardware.md", include_str!("../../../docs/hardware.md")),
    ("docs/judge.md", include_str!("../../../docs/judge.md")),
    ("docs/payloads.md", include_str!("../../../docs/payloads.md")),
    ("docs/results.md", include_str!("../../../docs/results.md")),
    ("docs/mutation.md", include_str!("../../../docs/mutation.md")),
];

/// The commands of a line that are ours, each checked; returns how many.
fn check(line: &str) -> Result<usize, String> {
    let mut ours = 0;
    for command in line.split("&&") {
        let words = shlex::split(command).ok_or("quotes don't match")?;
        let Some(first) = words.first() else { continue };
        if first.ends_with("xtf-runner") {
            ours += 1;
            if let Err(e) = Cli::try_parse_from(&words)
                && e.use_stderr()
            {
                return Err(e.to_string());
            }
        } else if first == "make" {
            ours += 1;
            for target in words[1..].iter().filter(|word| !word.contains('=')) {
                if !MAKEFILE.lines().any(|line| line.starts_with(&format!("{target}:"))) {
                    return Err(format!("the Makefile has no target {target}"));
                }
            }
        }
    }
    Ok(ours)
}

#[test]
fn the_pages_show_commands_that_there_are() {
    for (file, text) in PAGES {
        // Commands are what is indented by four, or a table's cell that is all code.
        let blocks = text.lines().filter_map(|line| line.strip_prefix("    "));
        let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        for line in blocks.chain(cells) {
            let line = line.split("  #").next().unwrap_or(line).replace("HOW:M/N", "hash:1/2");
            let ours = ["make ", "xtf-runner ", "target/release/xtf-runner "];
            if ours.iter().any(|start| line.starts_with(start)) {
                check(&line).unwrap_or_else(|e| panic!("{file}: {line}: {e}"));
            }
        }
    }
}

/// What the command that runs a failed test again takes from this one.
fn lasting(line: &str) -> Vec<String> {
    let words = shlex::split(line).unwrap();
    let cli = Cli::of(&Cli::command().try_get_matches_from(words).unwrap()).unwrap();
    let Command::Run(args) = cli.command else { panic!("{line}") };
    args.lasting
}

#[test]
fn a_run_of_a_part_is_told_what_matters() {
    let line = "xtf-runner run a 'b/*' --all --exclude c --xen x --xen y=z --env pv64 --json j \
                --html h --baseline b -j 2 --partition hash:1/2 -v --retries 3 --slow-timeout 2";
    assert_eq!(lasting(line), [""; 0]);
    let kept = "--config c --loader grub --offline --backend qemu --timeout 7 --accel tcg \
                --boot plain --cmdline 'a b' --xen-cmdline=-x --strict-news";
    let line = format!("xtf-runner run --image i -j 3 {kept} --logs l");
    let mut said = lasting(&line);
    let mut words = shlex::split(&format!("--image i {kept}")).unwrap();
    said.sort();
    words.sort();
    assert_eq!(said, words);
}

/// A name that no option has would keep nothing out.
#[test]
fn what_does_not_matter_is_an_option() {
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    for name in super::run::PASSING {
        assert!(run.get_arguments().any(|arg| arg.get_id() == name), "{name}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    for (line, why) in [
        ("xtf-runner run --frob", "unexpected argument '--frob'"),
        ("cd x && target/release/xtf-runner run --partition 1", "expected hash:M/N or"),
        ("make frobnicate", "no target frobnicate"),
        ("xtf-runner list 'x", "quotes"),
    ] {
        assert!(check(line).unwrap_err().contains(why), "{line}");
    }
    assert_eq!(check("apt-get update && make build && xtf-runner --help"), Ok(2));
}
