//! Numbers as people write them.

/// A decimal number, or with `0x` a hexadecimal one.
pub fn parse(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bases() {
        assert_eq!(parse("16"), Some(16));
        assert_eq!(parse("0xffff82d040200000"), Some(0xffff_82d0_4020_0000));
        for word in ["", "0x", "ff", "-1"] {
            assert_eq!(parse(word), None, "{word}");
        }
    }
}
