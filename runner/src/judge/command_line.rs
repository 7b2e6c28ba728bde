//! Checks that Xen received the requested command line and accepts every option in it.
//!
//! Xen shows the line on its console unless its `loglvl` forbids it, and tells the control domain
//! in any case, which prints it. Of options that it does not know, or whose values it refuses, it
//! complains before it has a serial port: those, too, come from the control domain.

use protocol::console::{XEN_COMMAND_LINE, XEN_REFUSES};

use super::reason::Reason;
use super::xen;

/// How Xen's own line begins.
const XEN_SHOWS: &str = "Command line:";
/// Where Xen has its consoles: of several such options, the last one says. And ours.
const CONSOLE: &str = "console=";
const SERIAL: &str = "com1";
/// Complaints kept.
const MAX_REASONS: usize = 8;

/// What was demanded, and what is wrong with what was seen.
#[derive(Debug, Default)]
pub struct CommandLineCheck {
    demanded: Option<String>,
    shown: bool,
    reasons: Vec<Reason>,
}

impl CommandLineCheck {
    /// Demands `cmdline`; without this, nothing is ever wrong.
    pub fn demanded(cmdline: &str) -> CommandLineCheck {
        let words: Vec<&str> = cmdline.split_whitespace().collect();
        CommandLineCheck { demanded: Some(words.join(" ")), ..CommandLineCheck::default() }
    }

    /// Whether the boot is one of ours, and so nobody looks at what firmware offers.
    pub fn is_demanded(&self) -> bool {
        self.demanded.is_some()
    }

    /// Takes a line of Xen's.
    pub fn xen_line(&mut self, line: &str) {
        if let Some(line) = xen::words(line).strip_prefix(XEN_SHOWS) {
            self.shows(line);
        }
    }

    /// Takes a diagnostic of the guest's, from before its plan; returns what is to be known about
    /// this Xen, though it is nobody's fault here.
    pub fn guest_diagnostic(&mut self, text: &str) -> Option<String> {
        if let Some(line) = text.strip_prefix(XEN_COMMAND_LINE.trim_end()) {
            self.shows(line);
        }
        let complaint = text.strip_prefix(XEN_REFUSES)?;
        if !is_about(complaint, self.demanded.as_deref()?) {
            return Some(format!(
                "Xen refuses an option that it was built with (CONFIG_CMDLINE): {complaint}"
            ));
        }
        self.complain(format!("Xen refuses an option of its command line: {complaint}"));
        None
    }

    /// What it means that nothing at all came from a Xen that was told where its console is.
    pub fn silence(&self) -> Option<String> {
        let mut words = self.demanded.as_deref()?.split_whitespace();
        let console = words.rfind(|word| word.starts_with(CONSOLE));
        Some(match console {
            Some(console) if !console.contains(SERIAL) => format!(
                "not a word came from Xen: `{console}` in its command line takes its console away \
                 from the serial port"
            ),
            _ => "not a word came from Xen: it has no console on the serial port, because it was \
                  built with CONFIG_CMDLINE_OVERRIDE=y and so ignores `console=com1`, or for want of \
                  a driver; or it died before it had one"
                .into(),
        })
    }

    fn shows(&mut self, line: &str) {
        let Some(demanded) = &self.demanded else { return };
        self.shown = true;
        if line.split_whitespace().eq(demanded.split_whitespace()) {
            return;
        }
        let line = line.trim();
        let why = match line {
            "" => " (a Xen with CONFIG_CMDLINE_OVERRIDE=y ignores what is requested)",
            _ => "",
        };
        self.complain(format!(
            "Xen's command line is `{line}`, but `{demanded}` was requested{why}"
        ));
    }

    /// The boot came to its regular end.
    pub fn end(&mut self) {
        if let Some(demanded) = self.demanded.as_ref().filter(|_| !self.shown) {
            self.complain(format!(
                "Xen did not print its command line; `{demanded}` was requested"
            ));
        }
    }

    /// What is wrong.
    pub fn take_reasons(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.reasons)
    }

    fn complain(&mut self, why: String) {
        let reason = Reason::CommandLine(why);
        if self.reasons.len() < MAX_REASONS && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}

/// Whether a `complaint` of Xen's is about an option in `line`: `parameter "NAME" unknown!`, or
/// `parameter "NAME" has invalid value "VALUE", rc=-22!`. What was built in has the same
/// complaints.
fn is_about(complaint: &str, line: &str) -> bool {
    let mut quoted = complaint.split('"').skip(1).step_by(2);
    let Some(name) = quoted.next() else { return true };
    let value = quoted.next();
    line.split_whitespace().any(|word| {
        let (own_name, own_value) = word.split_once('=').unwrap_or((word, ""));
        // Xen may call the value of `no-NAME` "no".
        let same = |value| own_value == value || own_name.starts_with("no-");
        own_name == name && value.is_none_or(same)
    })
}
