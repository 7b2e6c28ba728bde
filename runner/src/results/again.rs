//! How what failed is run once more: a command that can be pasted into a shell.

use std::collections::BTreeMap;

use protocol::metadata::Environment;

use crate::base::shell::quote;

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
        Some(words.into_iter().map(quote).collect::<Vec<_>>().join(" "))
    }
}
