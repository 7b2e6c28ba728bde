//! The command line: which tests to run and how to end.
//!
//! The parameters and where they come from are those of [`protocol::cmdline`]. The last ones may
//! come from QEMU, so that a machine can be saved before it knows what to run, and go on from there
//! many times.

use alloc::format;
use alloc::string::String;
use core::fmt;

use arch::fw_cfg;
use arch::shutdown::Reason;
use protocol::cmdline::{
    CHANGES, CMDLINE_MAX, ENV, EXIT, FW_CFG, LINGER, PARAMETERS_FILE, POWEROFF, REBOOT, TESTS, WAIT,
};
use protocol::console::WAITING;
use protocol::metadata::Environment;
use spin::Once;

use crate::hypercall::sched;
use crate::{clock, println};

/// Between two looks at whether the parameters are there, in ns.
const PAUSE_NS: u64 = 1_000_000;

/// A stamp that is written into the image after it was linked.
#[repr(transparent)]
pub struct Stamp([u8; CMDLINE_MAX]);

impl Stamp {
    /// What an image that nobody stamped has.
    pub const EMPTY: Self = Self([0; CMDLINE_MAX]);

    /// The text, up to the first NUL. The bytes are read as they are in the
    /// file, which was changed after linking.
    pub fn text(&'static self) -> &'static str {
        let bytes: &'static [u8; CMDLINE_MAX] = core::hint::black_box(&self.0);
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        core::str::from_utf8(&bytes[..end]).unwrap_or("")
    }
}

/// The stamp's text, once the image has handed it over.
static STAMPED: Once<&'static str> = Once::new();

/// Says what is stamped into the image.
pub(crate) fn set_stamp(text: &'static str) {
    STAMPED.call_once(|| text);
}

/// What came while the guest waited.
static RECEIVED: Once<String> = Once::new();

/// Waits for the parameters that QEMU has for this guest.
pub(crate) fn receive() -> Result<(), String> {
    let qemu = fw_cfg::Device::open().ok_or_else(|| format!("{WAIT}={FW_CFG} needs QEMU"))?;
    let file = qemu
        .find(PARAMETERS_FILE)
        .ok_or_else(|| format!("{WAIT}={FW_CFG}, but QEMU has no file {PARAMETERS_FILE}"))?;
    // Whoever saves this machine does it from this line on, at best while the CPU has nothing to
    // do.
    println!("{WAITING}");
    let mut bytes = [0; CMDLINE_MAX];
    // The machine may be saved between any two bytes: only the first one, which is read from the
    // beginning each time, tells whether the others are there.
    while matches!(qemu.read(file, &mut bytes[..1]), [0]) {
        // Whether or not it slept, it looks again.
        let _ = sched::sleep_until(clock::now_ns() + PAUSE_NS);
    }
    let bytes = qemu.read(file, &mut bytes).split(|&byte| byte == 0).next().unwrap_or_default();
    let text = core::str::from_utf8(bytes)
        .map_err(|_| format!("{WAIT}={FW_CFG}: {PARAMETERS_FILE} is not UTF-8 text"))?;
    RECEIVED.call_once(|| text.into());
    Ok(())
}

/// All lines, the last one last.
fn lines() -> [&'static str; 3] {
    [
        STAMPED.get().copied().unwrap_or(""),
        arch::try_boot().map_or("", arch::Boot::cmdline),
        RECEIVED.get().map_or("", String::as_str),
    ]
}

/// What all lines together ask for; `unknown` is told of parameters that mean nothing.
pub(crate) fn options(mut unknown: impl FnMut(Unknown<'static>)) -> Options<'static> {
    lines().into_iter().fold(Options::DEFAULT, |options, line| options.parse(line, &mut unknown))
}

/// What the last word `name=VALUE` says, for a parameter that a test declares.
pub(crate) fn parameter(name: &str) -> Option<&'static str> {
    let parameters = lines().into_iter().flat_map(str::split_ascii_whitespace);
    parameters
        .filter_map(|word| word.split_once('='))
        .rfind(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// What the command line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options<'a> {
    /// Comma-separated names, as [`crate::select`] reads them; `None` runs every default test that
    /// may share a boot.
    pub tests: Option<&'a str>,
    /// How to leave: power off, or reset the machine.
    pub exit: Reason,
    /// How long to stay after the last line was read, in ms, and before the first test begins:
    /// `xl console` finds no domain that is gone before it comes, and may end with the domain
    /// before it has passed on what it read.
    pub linger_ms: u32,
    /// Whether further parameters come from QEMU.
    pub wait: bool,
    /// What is stated about the Xen underneath, as [`crate::xen::Xen`] reads it.
    pub changes: Option<&'a str>,
}

/// A word that means nothing here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unknown<'a>(pub &'a str);

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "command line: unknown parameter '{}' (known: {TESTS}=A,B/CASE,... \
             {EXIT}={POWEROFF}|{REBOOT} {LINGER}=MS {WAIT}={FW_CFG} {CHANGES}=+A,-B {ENV}=NAME)",
            self.0
        )
    }
}

/// Whether there is an environment of that name.
fn is_environment(name: &str) -> bool {
    Environment::ALL.iter().any(|environment| environment.name() == name)
}

impl Unknown<'_> {
    /// Whether it sets a parameter of that name.
    pub(crate) fn sets(self, parameter: &str) -> bool {
        self.0.split_once('=').is_some_and(|(key, _)| key == parameter)
    }
}

impl<'a> Options<'a> {
    /// What an empty command line asks for.
    pub const DEFAULT: Self =
        Self { tests: None, exit: Reason::Poweroff, linger_ms: 0, wait: false, changes: None };

    /// Reads the parameters of a line; `unknown` is told of those that mean nothing.
    ///
    /// They are no error: Xen itself appends some to a dom0's command line.
    pub fn parse(mut self, line: &'a str, mut unknown: impl FnMut(Unknown<'a>)) -> Self {
        for word in line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some((TESTS, list)) => self.tests = Some(list),
                Some((EXIT, POWEROFF)) => self.exit = Reason::Poweroff,
                Some((EXIT, REBOOT)) => self.exit = Reason::Reboot,
                Some((WAIT, FW_CFG)) => self.wait = true,
                Some((CHANGES, words)) => self.changes = Some(words),
                // Read by the entry code, which knows no other word.
                Some((ENV, name)) if is_environment(name) => {}
                Some((LINGER, ms)) => match ms.parse() {
                    Ok(ms) => self.linger_ms = ms,
                    Err(_) => unknown(Unknown(word)),
                },
                _ => unknown(Unknown(word)),
            }
        }
        self
    }
}
