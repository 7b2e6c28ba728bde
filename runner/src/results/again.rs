//! How what failed is run once more, and how one goes back in time from where a boot ended: commands
//! that can be pasted into a shell.

use std::collections::BTreeMap;

use protocol::metadata::Environment;

use super::{Document, Test};
use crate::base::shell::{self, quote, quote_path};
use crate::base::status::Status;
use crate::judge::Cause;

/// What the commands of a run are made of.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// The program, as it was called.
    pub program: String,
    /// The words that select a test in an environment.
    pub tests: BTreeMap<(String, Environment), Vec<String>>,
    /// The words of the option that names a Xen; none where it is there already.
    pub xens: BTreeMap<String, Vec<String>>,
    /// The options of the run that matter to the result.
    pub options: Vec<String>,
}

impl Again {
    /// The command for these of its tests.
    pub fn command(&self, xen: &str, environment: Environment, tests: &[&str]) -> Option<String> {
        let mut words = vec![self.program.as_str(), "run"];
        for test in tests {
            let selectors = self.tests.get(&((*test).to_owned(), environment))?;
            words.extend(selectors.iter().map(String::as_str));
        }
        words.extend(self.xens.get(xen)?.iter().map(String::as_str));
        words.extend(["--env", environment.name()]);
        words.extend(self.options.iter().map(String::as_str));
        Some(shell::line(words))
    }
}

/// How modes begin in which a boot can be recorded, and the loader with which it can.
const RECORDABLE: (&str, &str) = ("fast, tcg", "direct");

/// Whether a boot that ended by this cause is worth a debugger.
pub fn is_early(cause: Cause) -> bool {
    matches!(cause, Cause::Xen | Cause::Guest | Cause::Reset | Cause::Time)
}

/// The command that opens a debugger where the boot of that number ended, if it ended early and QEMU
/// can record it.
pub fn debug(document: &Document, boot: usize) -> Option<String> {
    let found = document.boot(boot)?;
    let (mode, loader) = RECORDABLE;
    let recordable = found.mode.starts_with(mode) && found.loader.as_deref() == Some(loader);
    let died = is_early(found.ended_by?);
    let logs = document.logs_of(boot).filter(|_| recordable && died)?;
    let program = document.run.command.first().map_or("xtf-runner", String::as_str);
    Some(format!("{} debug {}", quote(program), quote_path(&logs)))
}

/// The same for the last boot of `test` that ended early, if that is what became of the test.
pub fn debug_test(document: &Document, test: &Test) -> Option<String> {
    let commands = test.last.boots().filter_map(|boot| debug(document, boot));
    let ended = matches!(test.last.status, Status::Error | Status::Crash | Status::Timeout);
    commands.filter(|_| ended).last()
}

/// What `run --record-failures` has to say of the boot of that number, if it was made again.
pub fn recording(document: &Document, boot: usize) -> Option<&str> {
    document.boot(boot)?.recording.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_recorded_has_a_debugger() {
        let mut document = crate::results::sample::whole();
        let early = document.boots.iter().position(|boot| boot.ended_by == Some(Cause::Xen));
        let early = early.unwrap();
        let number = document.boots[early].number;
        (document.boots[early].mode, document.boots[early].loader) =
            ("fast, tcg, snapshot".into(), Some("direct".into()));
        document.boots[early].logs = "00 1".into();
        let command = debug(&document, number).unwrap();
        let logs = quote_path(&document.logs_of(number).unwrap());
        assert_eq!(command, format!("{} debug {logs}", document.run.command[0]));
        for (mode, loader, ended_by) in [
            ("plain, tcg", "direct", Some(Cause::Xen)),
            ("fast, tcg", "efi", Some(Cause::Xen)),
            ("fast, tcg", "direct", Some(Cause::Qemu)),
            ("fast, tcg", "direct", None),
        ] {
            let boot = &mut document.boots[early];
            (boot.mode, boot.loader) = (mode.into(), Some(loader.into()));
            boot.ended_by = ended_by;
            assert_eq!(debug(&document, number), None, "{mode} {loader}");
        }
    }
}
