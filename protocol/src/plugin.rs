//! The plugin's arguments, and the files that it shares with the runner: what to count, the counts,
//! and in which phase of the guest's run they changed.
//!
//! QEMU passes arguments on as `KEY=VALUE`. The files are arrays of 64-bit words in the machine's
//! own order, mapped by both sides, so that the counts are there to the last instruction however
//! QEMU ends. The map is:
//!
//! | Words | Hold |
//! |---|---|
//! | [`HEADER`] | [`MAGIC`], the [state](STATE_AT), the [count](COUNT_AT) of addresses, 0 |
//! | count | the addresses of instructions, rising |
//! | count | how often each was executed |
//!
//! The file with the phases belongs to a map. It has room for a fixed number of rows, one for each
//! [mark](crate::mark) that the guest executes:
//!
//! | Words | Hold |
//! |---|---|
//! | [`PHASES_HEADER`] | [`PHASES_MAGIC`], the [number](ROWS_AT) of marks so far, the map's count |
//! | [`row_words`] for each row | which mark, then a bit for each address, the lowest first: whether its count changed since the mark before |
//!
//! There may be more marks than rows: the last of them have none.

/// Argument: the file with what to count.
pub const MAP: &str = "map";
/// Argument: the [mailbox](crate::mailbox), where inputs come from.
pub const MAILBOX: &str = "mailbox";
/// Argument with its value: end QEMU once everything was found in order.
pub const LEAVE_NOW: &str = "leave=now";

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

/// Argument: the file with the phases.
pub const PHASES: &str = "phases";
/// The first word of that file; changes with the format.
pub const PHASES_MAGIC: u64 = u64::from_le_bytes(*b"xtf-pha1");
/// Where the number of marks is.
pub const ROWS_AT: usize = 1;
/// Where the number of addresses is.
pub const WIDTH_AT: usize = 2;
/// Words before the first row.
pub const PHASES_HEADER: usize = 3;

/// How many words a row for `count` addresses has.
pub const fn row_words(count: usize) -> usize {
    1 + count.div_ceil(u64::BITS as usize)
}

/// How many words a file with `rows` rows for `count` addresses has.
pub const fn phases_words(rows: usize, count: usize) -> usize {
    PHASES_HEADER + rows * row_words(count)
}
