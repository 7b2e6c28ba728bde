//! What the guest found out about the Xen underneath, and tells before its plan.

use livepatch::change::Change;
use protocol::change::{CHANGES, NOTE, Sight};
use serde::{Deserialize, Serialize};

/// Notes, and changes, kept of a boot.
const MAX: usize = 100;

/// A change to Xen that the guest looked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct SeenChange {
    /// Its name, as in docs/changes.md.
    pub name: String,
    /// Its commit on Xen's master; absent if the runner does not know the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether this Xen has it.
    pub present: bool,
    /// Whether its release, or what `xtf-runner.toml` states, would have said otherwise.
    pub surprising: bool,
}

/// All that the guest found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sights {
    /// Changes that it looked for.
    pub changes: Vec<SeenChange>,
    /// Sentences that belong into every report.
    pub notes: Vec<String>,
}

impl Sights {
    /// Takes a diagnostic from before the plan.
    pub fn guest_diagnostic(&mut self, text: &str) {
        if let Some(note) = text.strip_prefix(NOTE) {
            self.note(note.to_owned());
        } else if let Some(words) = text.strip_prefix(CHANGES) {
            let seen = |word| {
                let Sight { name, present, surprising } = Sight::parse(word)?;
                let commit = Change::named(name).map(|change| change.commit().to_owned());
                Some(SeenChange { name: name.to_owned(), commit, present, surprising })
            };
            let room = MAX.saturating_sub(self.changes.len());
            self.changes.extend(words.split_whitespace().filter_map(seen).take(room));
        }
    }

    /// Takes a sentence that belongs into every report.
    pub fn note(&mut self, note: String) {
        if self.notes.len() < MAX {
            self.notes.push(note);
        }
    }

    /// Whether there is nothing to tell.
    pub fn are_none(&self) -> bool {
        self.changes.is_empty() && self.notes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_notes_are_taken_in() {
        let mut sights = Sights::default();
        assert!(sights.are_none());
        sights.guest_diagnostic("changes: +op-flags! -bounded-list odd +from-the-future");
        sights.guest_diagnostic("note: 4.17.6 behaves as since x");
        sights.guest_diagnostic("xen: 4.17.6 (x)");
        let seen = |name: &str, commit: Option<&str>, present, surprising| SeenChange {
            name: name.into(),
            commit: commit.map(str::to_owned),
            present,
            surprising,
        };
        assert_eq!(
            sights.changes,
            [
                seen("op-flags", Some("62a72092a5"), true, true),
                seen("bounded-list", Some("4c3ce492ed"), false, false),
                seen("from-the-future", None, true, false),
            ]
        );
        assert_eq!(sights.notes, ["4.17.6 behaves as since x"]);
    }

    #[test]
    fn a_runaway_guest_does_not_fill_the_memory() {
        let mut sights = Sights::default();
        for _ in 0..1000 {
            sights.guest_diagnostic("note: again");
            sights.guest_diagnostic("changes: +a +b -c");
        }
        assert_eq!((sights.notes.len(), sights.changes.len()), (MAX, MAX));
    }
}
