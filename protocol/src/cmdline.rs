//! The guest's command line: parameters `KEY=VALUE`, separated by blanks.
//!
//! It comes from up to three places, of which the later ones win: stamped into the image
//! ([`crate::image::CMDLINE`]), passed by the loader, and, for a guest that was told to wait, in a
//! file of QEMU's firmware configuration device.

/// The longest command line that any of Xen's loaders passes on, in bytes, and the size of a stamp
/// and of QEMU's file (`MAX_GUEST_CMDLINE`, xen/include/public/xen.h).
pub const CMDLINE_MAX: usize = 1024;

/// Key: what to run, separated by commas.
///
/// `NAME` is a test with all its cases, `NAME/PATTERN` the cases of it that the
/// [pattern](crate::wildcard) fits, `NAME/!PATTERN` takes cases out again, and `NAME/>CASE` leaves
/// those behind a case ([`BEHIND`]).
pub const TESTS: &str = "tests";
/// In front of a case's name: of what else is selected of the test only that which comes behind the
/// case. A boot that goes on with a test after a case ended the one before says it.
pub const BEHIND: char = '>';
/// Key: changes that this Xen has though its release has not, or the other way round, separated by
/// commas: [statements](crate::change::Statement).
pub const CHANGES: &str = "changes";
/// Key: how to end, [`POWEROFF`] or [`REBOOT`].
pub const EXIT: &str = "exit";
/// Value of [`EXIT`]: switch the domain off.
pub const POWEROFF: &str = "poweroff";
/// Value of [`EXIT`]: reset the machine.
pub const REBOOT: &str = "reboot";
/// Key: how long to stay before the first test and after the last line, in ms.
pub const LINGER: &str = "linger";
/// Key: what to wait for, [`FW_CFG`].
pub const WAIT: &str = "wait";
/// Value of [`WAIT`]: further parameters from QEMU, in [`PARAMETERS_FILE`].
pub const FW_CFG: &str = "fw_cfg";

/// QEMU's name for the file with the last parameters: [`CMDLINE_MAX`] bytes, padded with NULs. Its first
/// byte is NUL as long as there are none.
pub const PARAMETERS_FILE: &str = "opt/xtf/parameters";
