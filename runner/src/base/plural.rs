//! Numbers of things, as people write them.

use std::fmt::Display;

/// `1 boot`, `2 boots`: a number and a noun whose plural ends in `s`.
pub fn count<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn only_one_is_singular() {
        assert_eq!(count(0usize, "test"), "0 tests");
        assert_eq!(count(1u64, "test"), "1 test");
        assert_eq!(count(2usize, "test"), "2 tests");
    }
}
