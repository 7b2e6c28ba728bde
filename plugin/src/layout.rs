//! The file that a runner and the plugin share: what to count, and the counts.
//!
//! It is an array of 64-bit words in the machine's own order, mapped by both sides, so that the
//! counts are there to the last instruction however QEMU ends:
//!
//! | Words | Hold |
//! |---|---|
//! | [`HEADER`] | [`MAGIC`], the [state](STATE_AT), the [count](COUNT_AT) of addresses, 0 |
//! | count | the addresses of instructions, rising |
//! | count | how often each was executed |
//!
//! The runner's crate includes this file too: it is the one description of the format.

/// The first word; changes with the format.
pub const MAGIC: u64 = u64::from_le_bytes(*b"xtf-cov1");
/// Where the plugin says that it is there.
pub const STATE_AT: usize = 1;
/// Where the number of addresses is.
pub const COUNT_AT: usize = 2;
/// Words before the first address.
pub const HEADER: usize = 4;

/// The state once a plugin has mapped the file and found it good; before, it is 0.
pub const ATTACHED: u64 = 1;

/// How many words a file for `count` addresses has.
pub const fn words(count: usize) -> usize {
    HEADER + 2 * count
}
