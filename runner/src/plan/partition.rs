//! `--partition`: divides a run between several hosts. Each host computes its share itself.
//!
//! The units are tests on a Xen in an environment; each belongs to exactly one share, the same on
//! every host.

use std::fmt;
use std::str::FromStr;

use crate::base::hash::sha256;

/// A share, as cargo-nextest writes it: `hash:1/4` or `count:1/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    how: How,
    /// From 1.
    share: u64,
    of: u64,
}

/// No run is divided into more shares: a results document that says so is damaged, and `merge` would
/// name all that are missing.
const MAX_SHARES: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// By names alone: a unit stays in its share when others come and go.
    Hash,
    /// In turn: shares of equal size.
    Count,
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a share; expected hash:M/N or count:M/N");
        let (how, numbers) = text.split_once(':').ok_or_else(wrong)?;
        let how = match how {
            "hash" => How::Hash,
            "count" => How::Count,
            _ => return Err(wrong()),
        };
        let (share, of) = numbers.split_once('/').ok_or_else(wrong)?;
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
        let (share, of) = (number(share)?, number(of)?);
        if share == 0 || share > of {
            return Err(format!(
                "share {share} of {of} does not exist; shares are numbered from 1"
            ));
        }
        if of > MAX_SHARES {
            return Err(format!(
                "{of} shares are too many; a run can be divided into {MAX_SHARES}"
            ));
        }
        Ok(Partition { how, share, of })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Hash => "hash",
            How::Count => "count",
        };
        write!(f, "{how}:{}/{}", self.share, self.of)
    }
}

impl Partition {
    /// All shares of the same division.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (1..=self.of).map(move |share| Partition { share, ..self })
    }

    /// Whether the share holds a unit: the one at `index` in the run's order, or with these names.
    pub fn holds(self, index: usize, xen: &str, environment: &str, test: &str) -> bool {
        // No name holds a line feed.
        self.holds_one(index, || format!("{xen}\n{environment}\n{test}"))
    }

    /// The same for something that has one `name`.
    pub fn holds_one(self, index: usize, name: impl FnOnce() -> String) -> bool {
        let number = match self.how {
            How::Count => index as u64,
            How::Hash => {
                let digest = sha256(name().as_bytes());
                u64::from_str_radix(&digest[..16], 16).unwrap_or_default()
            }
        };
        number % self.of == self.share - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(text: &str) -> Partition {
        text.parse().unwrap()
    }

    /// Every unit of many made-up runs is in exactly one share.
    #[test]
    fn every_unit_is_in_exactly_one_share() {
        for units in [0, 1, 2, 7, 100] {
            for of in 1..=12 {
                for how in ["hash", "count"] {
                    let shares: Vec<Partition> =
                        (1..=of).map(|m| partition(&format!("{how}:{m}/{of}"))).collect();
                    for unit in 0..units {
                        let test = format!("test-{unit}");
                        let holding = shares
                            .iter()
                            .filter(|share| share.holds(unit, "4.17", "pv64", &test))
                            .count();
                        assert_eq!(holding, 1, "{how} {of} {test}");
                    }
                }
            }
        }
    }

    /// Literal, so that it holds on other machines, and with other units beside them.
    #[test]
    fn a_hash_is_for_ever() {
        let share = |xen, environment, test| {
            (1..=4).find(|m| partition(&format!("hash:{m}/4")).holds(9, xen, environment, test))
        };
        assert_eq!(share("4.17", "pv64", "livepatch-list"), Some(2));
        assert_eq!(share("4.17", "pvh64", "livepatch-list"), Some(2));
        assert_eq!(share("4.20", "pv64", "livepatch-list"), Some(2));
        assert_eq!(share("4.17", "pv64", "livepatch-get"), Some(4));
    }

    #[test]
    fn counting_takes_turns() {
        let second = partition("count:2/3");
        assert_eq!(second.to_string(), "count:2/3");
        let held: Vec<usize> = (0..9).filter(|&i| second.holds(i, "x", "e", "t")).collect();
        assert_eq!(held, [1, 4, 7]);
    }

    #[test]
    fn what_is_no_partition() {
        for (text, why) in [
            ("1/4", "not a share"),
            ("hash:1", "not a share"),
            ("hash:a/4", "not a share"),
            ("slice:1/4", "not a share"),
            ("hash:-1/4", "not a share"),
            ("hash:0/4", "share 0 of 4 does not exist"),
            ("count:5/4", "share 5 of 4 does not exist"),
            ("count:0/0", "share 0 of 0 does not exist"),
            ("count:1/18446744073709551615", "too many"),
        ] {
            assert!(text.parse::<Partition>().unwrap_err().contains(why), "{text}");
        }
    }
}
