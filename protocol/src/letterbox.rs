//! How a guest under the plugin gets inputs and hands back answers, without any I/O.
//!
//! The guest owns a buffer, the letterbox, and calls for the host by an instruction that does
//! nothing: a long NOP that carries [`CALL`], followed by another one that carries the distance to
//! the letterbox. The plugin sees the first where it translates code, and so knows where in QEMU's
//! memory the letterbox is. Whenever the NOP is executed, it takes the answer out of the letterbox,
//! waits for the next input, and puts that in. To the guest no time passes.
//!
//! All of it is in the machine's own byte order.

/// The first 4 bytes of both NOPs: `nopl disp32(%rax,%rax,1)`. The 4 that follow are free.
pub const NOP: [u8; 4] = [0x0f, 0x1f, 0x84, 0x00];
/// Bytes of each NOP.
pub const NOP_SIZE: usize = NOP.len() + size_of::<u32>();
/// Bytes of both, which lie at a multiple of that: so both are in one page.
pub const PAIR: usize = 2 * NOP_SIZE;
/// What the first NOP carries. Chosen by chance.
pub const CALL: u32 = 0x6d9f_41c3;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// The letterbox in bytes: whole pages, which begins with words.
pub const LETTERBOX: usize = 16 * 1024;
/// Before the first call the guest writes [`SIGN`] plus the page's number into the first word of
/// each page: so the plugin sees that it has found it, in one piece.
pub const SIGN: u64 = u64::from_le_bytes(*b"xtf-mail");
/// The word that counts inputs; 0 means that there was none yet.
pub const NUMBER_AT: usize = 0;
/// The word that holds the input's size in bytes.
pub const SIZE_AT: usize = 1;
/// The first of the words with the guest's answer.
pub const ANSWER_AT: usize = 2;
/// How many those are.
pub const ANSWER_WORDS: usize = 4;
/// Where the input begins, in bytes.
pub const INPUT_OFFSET: usize = 64;
/// The largest input in bytes.
pub const INPUT_MAX: usize = LETTERBOX - INPUT_OFFSET;
