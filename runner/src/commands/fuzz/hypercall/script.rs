//! A finding as a script that makes its calls again.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use protocol::metadata::Environment;
use protocol::programs::HYPERCALL_FUZZ;

use super::flaw::Flaw;
use super::round::{Calls, Round, Rounds};
use crate::base::exit::{IoContext, Result};
use crate::base::shell;
use crate::cli::{DomainBackend, HypercallArgs};
use crate::xen::hypervisor::XenUnderTest;

/// Writes `flaw` down, which `calls` showed in `round`; returns the script's path.
pub fn write(
    args: &HypercallArgs,
    rounds: &Rounds<'_>,
    (calls, round): (Calls, &Round),
    flaw: &Flaw,
) -> Result<PathBuf> {
    let xen = rounds.xen;
    let id = xen.build_id.as_deref().unwrap_or(xen.name());
    let dir = args.findings.join(id);
    fs::create_dir_all(&dir).io("create", &dir)?;
    let path = dir.join(format!("{}.sh", flaw.name));
    let mut text = format!("#!/bin/sh\n# {}\n# Xen: {}, {id}\n", flaw.how, round.provenance);
    if let Some((_, call)) = &round.last {
        let _ = writeln!(text, "# the last call: {call}");
    }
    text += &command(args, xen, calls.environment, rounds.words(calls));
    text.push('\n');
    for line in &flaw.words {
        let _ = writeln!(text, "# | {line}");
    }
    fs::write(&path, text).io("write", &path)?;
    Ok(path)
}

/// The command that makes these calls again.
fn command(
    args: &HypercallArgs,
    xen: &XenUnderTest,
    environment: Environment,
    told: String,
) -> String {
    let mut words = vec!["run".into(), HYPERCALL_FUZZ.into(), "--env".into()];
    words.push(environment.name().to_owned());
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), value]);
        }
    };
    // Who replays it may stand elsewhere.
    let text = |path: &PathBuf| {
        std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
    };
    match args.backend {
        DomainBackend::Xl => option("--backend", Some("xl".into())),
        DomainBackend::QemuXl => {
            option("--backend", Some("qemu-xl".into()));
            option("--xen", Some(xen.name().to_owned()));
        }
    }
    option("--host", args.host.clone());
    option("--ssh-config", args.ssh_config.as_ref().map(text));
    option("--config", args.bed.on.config.as_ref().map(text));
    option("--image", args.bed.image.as_ref().map(text));
    option("--cmdline", Some(told));
    format!("exec xtf-runner {}", shell::line(words))
}
