//! The plugin's arguments, and the file that it shares with the runner: what to count, and the
//! counts.
//!
//! QEMU passes arguments on as `KEY=VALUE`. The file is an array of 64-bit words in the machine's
//! own order, mapped by both sides, so that the counts are there to the last instruction however
//! QEMU ends:
//!
//! | Words | Hold |
//! |---|---|
//! | [`HEADER`] | [`MAGIC`], the [state](STATE_AT), the [count](COUNT_AT) of addresses, 0 |
//! | count | the addresses of instructions, rising |
//! | count | how often each was executed |

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
