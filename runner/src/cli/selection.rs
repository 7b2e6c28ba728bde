//! What to run, said in the same way to every subcommand that takes tests.

use clap::Args;

use crate::plan::select::Wanted;

/// The words of a selection.
#[derive(Debug, Default, Args)]
pub struct Selection {
    /// Test, TEST/CASE, environment, category, or XTF's test-ENV-NAME; `*` matches any text, `?`
    /// one character, and `!` before a word takes out what it means [default: all tests that need
    /// not be named]
    ///
    /// Names add up; categories and environments narrow down what is named:
    /// `'livepatch-*' selftest pv64` are the livepatch tests and selftest, as PV.
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,

    /// Also the tests that otherwise run only when named
    #[arg(long)]
    pub all: bool,

    /// Take out what a word means, as `!WORD` does; repeatable
    #[arg(long, value_name = "WORD")]
    pub exclude: Vec<String>,
}

impl Selection {
    /// The same, for who plans.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted { words: &self.words, exclude: &self.exclude, all: self.all }
    }
}
