//! Patterns for names: `*` stands for any text, `?` for one character, `[abc]` and `[a-c]` for one
//! of those, `[!abc]` for one of all others. `[]]` is a closing bracket.
//!
//! Guest and runner use the same, so that the runner can tell what a pattern on the guest's command
//! line selects. Names are ASCII; of any other text `?` and `[..]` mean one byte.

/// The characters that make a text a pattern.
pub const SPECIAL: [char; 3] = ['*', '?', '['];

/// Whether `text` is a pattern: each `[` is closed.
pub fn is_pattern(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        rest = match (first, Class::parse(rest)) {
            (b'[', None) => return false,
            (_, Some((_, behind))) => behind,
            (_, None) => others,
        };
    }
    true
}

/// Whether `pattern` fits all of `text`. A `[` that is never closed stands for itself.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // What to try when the rest does not fit: the pattern behind the last star, one byte later.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            pattern = behind;
            retry = Some((pattern, text));
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else if let Some(rest) = text.split_first().and_then(|(&got, _)| one(pattern, got)) {
            pattern = rest;
            text = &text[1..];
        } else {
            let Some((behind, [_, later @ ..])) = retry else { return false };
            retry = Some((behind, later));
            (pattern, text) = (behind, later);
        }
    }
}

/// The pattern's rest if its beginning, which is no star, fits the byte.
fn one(pattern: &[u8], got: u8) -> Option<&[u8]> {
    if let Some((class, behind)) = Class::parse(pattern) {
        return class.has(got).then_some(behind);
    }
    let (&wanted, behind) = pattern.split_first()?;
    (wanted == b'?' || wanted == got).then_some(behind)
}

/// What stands between brackets.
struct Class<'p> {
    negated: bool,
    members: &'p [u8],
}

impl<'p> Class<'p> {
    /// The class that `pattern` begins with, and what is behind it.
    fn parse(pattern: &'p [u8]) -> Option<(Self, &'p [u8])> {
        let inside = pattern.strip_prefix(b"[")?;
        let (negated, inside) = match inside {
            [b'!', rest @ ..] => (true, rest),
            _ => (false, inside),
        };
        // A bracket that comes first is a member.
        let end = 1 + inside.get(1..)?.iter().position(|&byte| byte == b']')?;
        Some((Self { negated, members: &inside[..end] }, &inside[end + 1..]))
    }

    fn has(&self, got: u8) -> bool {
        let mut rest = self.members;
        let mut found = false;
        while let [first, others @ ..] = rest {
            rest = match others {
                [b'-', last, behind @ ..] => {
                    found |= (*first..=*last).contains(&got);
                    behind
                }
                _ => {
                    found |= *first == got;
                    others
                }
            };
        }
        found != self.negated
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use super::{fits, is_pattern};

    #[test]
    fn patterns_and_texts() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("**", "ab"),
            ("ab", "ab"),
            ("a?c", "abc"),
            ("a*", "a"),
            ("*b", "abb"),
            ("*ab*", "aab"),
            ("list/*_is_*", "list/nr_1025_is_e2big"),
            ("*/nr_*", "list/nr_1025_is_e2big"),
            ("a*b*c", "abbcbc"),
            ("4.1[47]*", "4.17.7"),
            ("[a-c][!a-c]", "bx"),
            ("x[]-]y", "x]y"),
            ("x[]-]y", "x-y"),
            ("[!]]", "a"),
            ("*[0-9]", "a1b2"),
            ("a[b", "a[b"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("?", ""),
            ("ab", "a"),
            ("a", "ab"),
            ("a*b", "abc"),
            ("*a", "ab"),
            ("a*b*c", "abb"),
            ("[ab]", "c"),
            ("[ab]", "ab"),
            ("[ab]", ""),
            ("[!ab]", "b"),
            ("[!ab]", ""),
            ("[a-c]", "-"),
            ("[!]]", "]"),
            ("[", ""),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn brackets_are_closed() {
        for good in ["", "a*?", "[a]", "[]]", "[!]]x[a-z]", "]"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["[", "a[b", "[]", "[!]", "[a]["] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }

    /// All patterns and texts of three letters, against the definition by recursion.
    #[test]
    fn agrees_with_the_definition() {
        fn defined(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], _) => text.is_empty(),
                ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| defined(rest, &text[n..])),
                ([b'?', rest @ ..], [_, text @ ..]) => defined(rest, text),
                ([one, rest @ ..], [other, text @ ..]) => one == other && defined(rest, text),
                (_, []) => false,
            }
        }
        fn words(letters: &str, longest: usize) -> Vec<String> {
            let mut all = vec![String::new()];
            let mut last = all.clone();
            for _ in 0..longest {
                let longer = |word: &String| {
                    letters.chars().map(|c| format!("{word}{c}")).collect::<Vec<_>>()
                };
                last = last.iter().flat_map(longer).collect();
                all.extend(last.iter().cloned());
            }
            all
        }
        for pattern in words("ab*?", 4) {
            for text in words("ab", 5) {
                let want = defined(pattern.as_bytes(), text.as_bytes());
                assert_eq!(fits(&pattern, &text), want, "{pattern} {text}");
            }
        }
    }
}
