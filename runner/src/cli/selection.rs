//! Arguments that select tests, shared by all subcommands that take tests.

use clap::Args;

use crate::plan::select::Wanted;

/// The selectors of a selection.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// Test, TEST/CASE, environment, category, or XTF's test-ENV-NAME; `*` matches any text, `?`
    /// one character, `[..]` one of those in it; `!` in front excludes [default: the suite]
    ///
    /// Names add up; categories and environments restrict what is named:
    /// `'livepatch-*' selftest pv64` are the livepatch tests and selftest, as PV.
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,

    /// Include the tests that run only when named
    #[arg(long)]
    pub all: bool,

    /// Exclude what a selector matches, as `!SELECTOR` does; repeatable
    #[arg(long, value_name = "SELECTOR")]
    pub exclude: Vec<String>,
}

impl Selection {
    /// The same, for who plans.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted { selectors: &self.selectors, exclude: &self.exclude, all: self.all }
    }
}
