//! Where a Xen died, from its own last words: what tells one death from another.

use std::fmt;

/// What stands in front of a finding's place in its file.
const PLACE: &str = "# place: ";
/// The longest text that stands for a place.
const TEXT_MAX: usize = 80;

/// Where a Xen died.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a function of Xen's, so many bytes behind its beginning.
    In(String, u64),
    /// In code that is not Xen's, which was called there.
    Behind(String, u64),
    /// It did not say; this is what it said.
    Said(String),
}

impl Place {
    /// The place in Xen's `words`. Where the words tell no place, it is the `headline`.
    pub fn of(words: &[String], headline: &str) -> Place {
        let of_rip = words.iter().enumerate().find_map(|(at, line)| {
            let (_, rest) = line.split_once("RIP:")?;
            Some((at, rest.split_whitespace().find_map(symbol)))
        });
        match of_rip {
            Some((_, Some((function, offset)))) => Place::In(function, offset),
            Some((at, None)) => {
                let trace = words[at + 1..].iter().filter(|line| line.contains("[<"));
                let caller =
                    trace.filter_map(|line| line.split_whitespace().find_map(symbol)).next();
                match caller {
                    Some((function, offset)) => Place::Behind(function, offset),
                    None => Place::Said(without_numbers(headline)),
                }
            }
            None => Place::Said(without_numbers(headline)),
        }
    }

    /// The place of a hang.
    pub fn hang() -> Place {
        Place::Said("hang".into())
    }

    /// The line that tells it in a finding's file.
    pub fn line(&self) -> String {
        format!("{PLACE}{}\n", self.function())
    }

    /// What a finding's file says of it.
    pub(super) fn told_in(text: &str) -> Option<&str> {
        text.lines().find_map(|line| line.strip_prefix(PLACE))
    }

    /// The function, which is the same in another build; else what was said.
    pub fn function(&self) -> &str {
        match self {
            Place::In(function, _) | Place::Behind(function, _) => function,
            Place::Said(text) => text,
        }
    }

    /// As a name for files and expectations.
    pub fn name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-._+".contains(c) { c } else { '-' };
        match self {
            Place::In(function, offset) => format!("{function}+{offset:#x}"),
            Place::Behind(function, offset) => format!("{function}+{offset:#x}.call"),
            Place::Said(text) => text.chars().map(plain).collect(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::In(function, offset) => write!(f, "in {function}+{offset:#x}"),
            Place::Behind(function, offset) => {
                write!(f, "in code that is not Xen's, called by {function}+{offset:#x}")
            }
            Place::Said(text) => write!(f, "where it says «{text}»"),
        }
    }
}

/// A symbol and an offset: `common/livepatch.c#prepare_payload+0x5ad/0x8f0`.
fn symbol(word: &str) -> Option<(String, u64)> {
    let (name, rest) = word.split_once('+')?;
    let name = name.rsplit_once('#').map_or(name, |(_, name)| name);
    let number = rest.split('/').next().unwrap_or(rest);
    let digits = number.strip_prefix("0x").unwrap_or(number);
    let offset = u64::from_str_radix(digits, 16).ok()?;
    (!name.is_empty()).then(|| (name.to_owned(), offset))
}

/// What a text says whatever the addresses and the payloads are: its words without digits.
fn without_numbers(text: &str) -> String {
    let words = text.trim_start_matches("Xen panicked: ").trim_start_matches("Xen: ");
    let words = words.split(|c: char| !c.is_ascii_alphanumeric() && !"-_'".contains(c));
    let words =
        words.filter(|word| !word.is_empty() && !word.contains(|c: char| c.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ").chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Place {
        let words: Vec<String> = text.lines().map(str::to_owned).collect();
        Place::of(&words, "Xen panicked: FATAL TRAP: vector = 6 (invalid opcode)")
    }

    #[test]
    fn a_place_is_a_function_of_xen_s() {
        let place = of("----[ Xen-4.17.7  x86_64  debug=n ]----\n\
                        RIP:    e008:[<ffff82d04021cd7d>] common/livepatch.c#prepare_payload+0x5ad/0x8f0\n\
                        RFLAGS: 0000000000010246   CONTEXT: hypervisor\n");
        assert_eq!(place, Place::In("prepare_payload".into(), 0x5ad));
        assert_eq!(place.name(), "prepare_payload+0x5ad");
        assert_eq!(place.function(), "prepare_payload");
    }

    #[test]
    fn a_finding_s_file_tells_the_place() {
        let text = format!("# how\n{}look\n", Place::In("f".into(), 0x17).line());
        assert_eq!(Place::told_in(&text), Some("f"));
        assert_eq!(Place::told_in("# how\nlook\n"), None);
    }

    #[test]
    fn outside_of_xen_the_caller_is_the_place() {
        let place = of("RIP:    e008:[<ffff82d040e01000>] ffff82d040e01000\n\
                        Xen call trace:\n   [<ffff82d040e01000>] R ffff82d040e01000\n\
                        \u{20}  [<ffff82d04021c1ba>] S common/livepatch.c#apply_payload+0x12a/0x200\n");
        assert_eq!(place.name(), "apply_payload+0x12a.call");
    }

    #[test]
    fn else_it_is_what_xen_said() {
        let place = of("Panic on CPU 0:\nFATAL TRAP: vector = 6 (invalid opcode)\n");
        assert_eq!(place.name(), "FATAL-TRAP-vector-invalid-opcode");
        let place = of("RIP:    e008:[<ffff82d040e01000>] ffff82d040e01000\nno trace\n");
        assert_eq!(place.function(), "FATAL TRAP vector invalid opcode");
    }
}
