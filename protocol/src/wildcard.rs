//! Patterns: `*` and `?`, and nothing else.
//!
//! Guest and runner use the same, so that the runner can tell what a pattern on the guest's command
//! line selects.

/// The characters that make a text a pattern.
pub const SPECIAL: [char; 2] = ['*', '?'];

/// Whether `pattern` fits all of `text`: `*` stands for any text, `?` for one character.
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what is behind the last star does not fit: there, one byte later.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                p += 1;
                retry = Some((p, t));
            }
            (None, None) => return true,
            (Some(wanted), Some(got)) if *wanted == b'?' || wanted == got => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((behind, from)) = retry.filter(|&(_, from)| from < text.len()) else {
                    return false;
                };
                retry = Some((behind, from + 1));
                (p, t) = (behind, from + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    use super::fits;

    #[test]
    fn stars_and_question_marks() {
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
            ("[ab]", "a"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
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
