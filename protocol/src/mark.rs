//! How a guest under the plugin says where it is in its run, without any I/O.
//!
//! A mark is an instruction that does nothing: a long NOP, as in [`crate::letterbox`], that carries
//! [`MARK`] and which mark it is. The plugin sees it where it translates code, and learns of each
//! execution. Without the plugin it costs one NOP.

use crate::letterbox::NOP_SIZE;

/// What the NOP of a mark carries, plus the mark. Chosen by chance.
pub const MARK: u32 = 0x52c7_1e00;
/// A mark lies at a multiple of this: so it is in one page.
pub const ALIGNMENT: usize = NOP_SIZE;

/// What has come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Mark {
    /// Xen's boot: the guest has made no hypercall yet.
    Boot = 0,
    /// What comes before a test's first case: from [`Mark::Boot`], or from the end of the test
    /// before, on.
    Prelude = 1,
    /// A case.
    Case = 2,
    /// A test, with what the framework did after its last case.
    Test = 3,
}

impl Mark {
    /// What the NOP carries.
    pub const fn carried(self) -> u32 {
        MARK + self as u32
    }

    /// The mark whose NOP carries that.
    pub fn from_carried(carried: u32) -> Option<Mark> {
        Mark::from_number(carried.checked_sub(MARK)?)
    }

    /// The mark with that number.
    pub fn from_number(number: u32) -> Option<Mark> {
        let all = [Mark::Boot, Mark::Prelude, Mark::Case, Mark::Test];
        all.into_iter().find(|mark| *mark as u32 == number)
    }
}
