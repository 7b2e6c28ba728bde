//! SHA-256, and bytes as hexadecimal digits.

use sha2::{Digest, Sha256};

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    sha256_of(&[bytes])
}

/// SHA-256 of several files, one after the other.
pub fn sha256_of(files: &[impl AsRef<[u8]>]) -> String {
    let mut hash = Sha256::new();
    for bytes in files {
        hash.update(bytes);
    }
    hex(&hash.finalize())
}

/// Two hexadecimal digits for each of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hash() {
        assert!(sha256(b"").starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
    }
}
