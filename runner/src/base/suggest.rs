//! "Did you mean": the nearest of the words that would have been right.

use std::collections::BTreeSet;

/// How alike a word must be to be offered.
const ALIKE: f64 = 0.7;
/// How many are offered.
const OFFERED: usize = 3;

/// The words of `known` that are most like `word`, best first.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Vec<&'k str> {
    let word = word.to_lowercase();
    let known: BTreeSet<&str> = known.into_iter().collect();
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .map(|other| (strsim::jaro_winkler(&word, &other.to_lowercase()), other))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(OFFERED).map(|(_, other)| other).collect()
}

/// The words of `known` that are most like `word`, as a question; or `otherwise`.
pub fn did_you_mean<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
    otherwise: &str,
) -> String {
    let near = nearest(word, known);
    if near.is_empty() {
        otherwise.to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    }
}

/// serde's complaint about an unknown key, with the nearest of the keys that it lists instead of
/// all of them.
pub fn for_key(message: &str) -> String {
    let near = || {
        let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
        let unknown = quoted.next()?;
        let near = nearest(unknown, quoted);
        (!near.is_empty())
            .then(|| format!("unknown field `{unknown}`; did you mean {}?", near.join(", ")))
    };
    near().unwrap_or_else(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first() {
        let known = ["livepatch-list", "livepatch-life", "example"];
        assert_eq!(
            did_you_mean("livepatch-lisst", known, "no"),
            "did you mean livepatch-list, livepatch-life?"
        );
        assert_eq!(did_you_mean("CRSAH", ["CRASH"], "no"), "did you mean CRASH?");
        assert_eq!(did_you_mean("zzz", known, "no"), "no");
    }

    #[test]
    fn keys_are_read_from_the_complaint() {
        let said = for_key("unknown field `resaon`, expected one of `xen`, `reason`");
        assert_eq!(said, "unknown field `resaon`; did you mean reason?");
        assert_eq!(for_key("missing field `test`"), "missing field `test`");
    }
}
