//! How the plugin numbers the instructions of a boot, and holds the machine before one of them.
//!
//! Argument of the plugin: a file of 64-bit words in the machine's own order, mapped by both sides.
//! In a boot whose time advances with instructions, the same numbers mean the same instructions each
//! time, which [`HASH_AT`] proves: it depends on the address of each instruction so far.
//!
//! | Words | Hold |
//! |---|---|
//! | [`HEADER`] | [`MAGIC`], and what the constants below name |
//! | [`CODE_AT`] | addresses of instructions, rising: to execute one is a hit |
//! | 2 × [`MEMORY_AT`] | addresses and sizes of memory: to write to it is a hit |
//! | [`HIT`] for each | the last hits, as a ring: how many instructions had begun before the one that hit, its address, and the address that it wrote to, or 0 |

/// Argument: the file.
pub const TIMELINE: &str = "timeline";

/// The first word; changes with the format.
pub const MAGIC: u64 = u64::from_le_bytes(*b"xtf-tim1");
/// Where the number of instructions that have begun is,
pub const BEGUN_AT: usize = 1;
/// and the hash of their addresses.
pub const HASH_AT: usize = 2;
/// Where the number of the instruction is that is not executed, nor one after it, until the number is
/// another one: time to tell QEMU to stop, which it does between two blocks of code.
pub const HOLD_AT: usize = 3;
/// Where the number of the last instruction is that wrote a byte to a port,
pub const OUTPUT_AT: usize = 4;
/// and the hash of then.
pub const OUTPUT_HASH_AT: usize = 5;
/// Where the number of hits is.
pub const HITS_AT: usize = 6;
/// Where the count of addresses of instructions is,
pub const CODE_AT: usize = 7;
/// and of pieces of memory.
pub const MEMORY_AT: usize = 8;
/// Words before the first address.
pub const HEADER: usize = 9;

/// Words of a hit.
pub const HIT: usize = 3;

/// Words before the first hit.
pub const fn ring_at(code: usize, memory: usize) -> usize {
    HEADER + code + 2 * memory
}

/// The hash after an instruction at `address`, which was `hash` before.
pub const fn next_hash(hash: u64, address: u64) -> u64 {
    // An odd factor loses nothing, and makes the order count.
    (hash ^ address).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
