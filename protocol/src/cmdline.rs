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
/// [pattern](crate::wildcard) fits, `NAME/!PATTERN` takes cases out again, `NAME/>CASE` leaves
/// those behind a case ([`BEHIND`]), and `NAME/=DIGITS` those with certain numbers ([`AMONG`]).
pub const TESTS: &str = "tests";
/// In front of a case's name: of what else is selected of the test only that which comes behind the
/// case. A boot that goes on with a test after a case ended the one before says it.
pub const BEHIND: char = '>';
/// In front of hexadecimal digits: of what else is selected of the test only certain cases.
///
/// The lowest bit of the first digit is the test's first case, that of the second digit its fifth. A
/// list of hundreds of names would be too long.
pub const AMONG: char = '=';
/// Key: changes that this Xen has though its release has not, or the other way round, separated by
/// commas: [statements](crate::change::Statement).
pub const CHANGES: &str = "changes";
/// Key: which environment a 32-bit image shall make itself, by
/// [name](crate::metadata::Environment::name). Without it a PVH or HVM guest stays without paging. A
/// PV guest has no choice.
pub const ENV: &str = "env";
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

/// QEMU's name for the file with the last parameters: [`CMDLINE_MAX`] bytes, padded with NULs. Its
/// first byte is NUL as long as there are none.
pub const PARAMETERS_FILE: &str = "opt/xtf/parameters";

/// The digits for the cases that are `wanted` of `count`, as [`AMONG`] takes them.
pub fn among(count: usize, wanted: impl Fn(usize) -> bool) -> impl Iterator<Item = char> {
    (0..count.div_ceil(4)).map(move |digit| {
        let bits = (0..4).filter(|bit| digit * 4 + bit < count && wanted(digit * 4 + bit));
        char::from_digit(bits.map(|bit| 1 << bit).sum(), 16).unwrap_or_default()
    })
}

/// Whether `digits` have the case with that number; `None` if they are none.
pub fn is_among(digits: &str, case: usize) -> Option<bool> {
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digit = digits.chars().nth(case / 4).and_then(|digit| digit.to_digit(16));
    Some(digit.is_some_and(|digit| digit >> (case % 4) & 1 == 1))
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    #[test]
    fn cases_by_numbers() {
        for wanted in [&[0][..], &[3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8], &[8], &[]] {
            let digits: String = among(9, |case| wanted.contains(&case)).collect();
            assert_eq!(digits.len(), 3);
            for case in 0..20 {
                assert_eq!(is_among(&digits, case), Some(wanted.contains(&case)), "{digits}");
            }
        }
        assert_eq!(among(9, |case| [1, 3, 4].contains(&case)).collect::<String>(), "a10");
        assert_eq!(is_among("1x", 0), None);
    }
}
