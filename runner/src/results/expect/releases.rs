//! Which releases of Xen an expectation is about.

use serde::Deserialize;

/// Releases, as the file has them.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a range of releases such as 4.14..4.20.4, or a list such as \
                               [\"4.14\", \"4.17\"]"
)]
pub enum ReleasesText {
    /// All in one.
    One(String),
    /// Several, each a range or a single one.
    Several(Vec<String>),
}

/// Ranges of releases; without any, every Xen.
#[derive(Clone, Debug, Default)]
pub struct Releases(Vec<Range>);

/// From one release to another, with both of them. A bound without numbers is none.
#[derive(Clone, Debug, Default)]
struct Range {
    first: Vec<u32>,
    last: Vec<u32>,
}

impl Releases {
    /// Those in `text`, or what is wrong with it.
    pub fn parse(text: &ReleasesText) -> Result<Releases, String> {
        let texts = match text {
            ReleasesText::One(text) => std::slice::from_ref(text),
            ReleasesText::Several(texts) if texts.is_empty() => {
                return Err(
                    "`releases` must not be empty; without it, every release is meant".into()
                );
            }
            ReleasesText::Several(texts) => texts,
        };
        texts.iter().map(|text| Range::parse(text)).collect::<Result<_, _>>().map(Releases)
    }

    /// Whether a Xen that calls itself `version` is one of them.
    pub fn hold(&self, version: Option<&str>) -> bool {
        let Some((release, _)) = version.and_then(numbers) else { return self.0.is_empty() };
        self.0.is_empty() || self.0.iter().any(|range| range.holds(&release))
    }
}

impl Range {
    /// `4.14..4.20.4`, of which either may be left out; or `4.14`, the branch or release alone.
    fn parse(text: &str) -> Result<Range, String> {
        let wrong = || {
            format!(
                "`{text}` is neither a branch or release, such as 4.17, nor a range of them, such \
                     as 4.14..4.20.4"
            )
        };
        let release = |text: &str| match numbers(text) {
            Some((numbers, "")) if numbers.len() > 1 => Ok(numbers),
            _ => Err(wrong()),
        };
        let bound = |text: &str| if text.is_empty() { Ok(Vec::new()) } else { release(text) };
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (bound(first)?, bound(last)?),
            None => (release(text)?, release(text)?),
        };
        // 4.20.3..4.20 is what is left of 4.20.
        let ends = &first[..first.len().min(last.len())];
        if !last.is_empty() && ends > last.as_slice() {
            return Err(format!("`{text}` has no release in it: its end is before its beginning"));
        }
        Ok(Range { first, last })
    }

    /// 4.20 as a bound is all of 4.20.
    fn holds(&self, release: &[u32]) -> bool {
        let up_to = &release[..release.len().min(self.last.len())];
        release >= self.first.as_slice() && (self.last.is_empty() || up_to <= self.last.as_slice())
    }
}

/// The numbers that `text` begins with, and what follows them.
fn numbers(text: &str) -> Option<(Vec<u32>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let numbers = digits.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    Some((numbers, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Releases, String> {
        Releases::parse(&ReleasesText::One(text.into()))
    }

    #[test]
    fn a_range_has_both_its_ends() {
        for (range, version, expected) in [
            ("4.14..4.20", "4.17.7", true),
            ("4.14..4.20", "4.14.0", true),
            ("4.14..4.20", "4.20.4-pre", true),
            ("4.14..4.20.3", "4.20.4", false),
            ("4.14..4.20", "4.13.5", false),
            ("4.9..4.20", "4.8.5", false),
            ("..4.9", "4.10.0", false),
            ("4.9..", "4.10-unstable", true),
            ("4.17", "4.17.7-pre", true),
            ("4.17", "4.17-rc", true),
            ("4.17", "4.1.7", false),
            ("4.1", "4.17.7", false),
            ("4.17.6", "4.17.7", false),
            ("4.17.7", "4.17.7-pre", true),
        ] {
            assert_eq!(one(range).unwrap().hold(Some(version)), expected, "{range} {version}");
        }
    }

    #[test]
    fn a_list_is_each_of_its_elements() {
        let list = ["4.14", "4.17.7", "4.19..4.20"].map(String::from).to_vec();
        let list = Releases::parse(&ReleasesText::Several(list)).unwrap();
        let held = ["4.14.6", "4.15.5", "4.17.6", "4.17.7", "4.18.0", "4.19.1", "4.20.4"];
        let held = held.map(|version| list.hold(Some(version)));
        assert_eq!(held, [true, false, false, true, false, true, true]);
        assert!(Releases::parse(&ReleasesText::Several(Vec::new())).is_err());
    }

    #[test]
    fn a_xen_without_a_version_is_in_no_range_with_an_end() {
        assert!(Releases::default().hold(None));
        assert!(!one("4.14..").unwrap().hold(None) && !one("4.14").unwrap().hold(None));
    }

    #[test]
    fn what_is_no_release() {
        for wrong in ["", "4.x", "4.14..x", "4..14..", "4.1a..4.2", "4.14, 4.17", "17"] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
        for empty in ["4.20..4.14", "4.17.7..4.17.6", "4.18..4.17.9"] {
            assert!(one(empty).unwrap_err().contains("no release in it"), "{empty}");
        }
        for few in ["4.17..4.17", "4.17.7..4.17", "4.17..4.17.7"] {
            assert!(one(few).unwrap().hold(Some("4.17.7")), "{few}");
        }
    }
}
