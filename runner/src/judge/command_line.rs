//! Checks that Xen received the requested command line and accepts every option in it.
//!
//! Xen shows the line on its console unless its `loglvl` forbids it, and tells the control domain
//! in any case, which prints it. Of options that it does not know, or whose values it refuses, it
//! complains before it has a serial port: those, too, come from the control domain.

use protocol::console::{XEN_COMMAND_LINE, XEN_REFUSES};

use super::reason::Reason;
use super::xen;

/// How Xen's own line begins.
const XEN_SHOWS: &str = "Command line: ";
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

    /// Takes a line of Xen's.
    pub fn xen_line(&mut self, line: &str) {
        if let Some(line) = xen::words(line).strip_prefix(XEN_SHOWS) {
            self.shows(line);
        }
    }

    /// Takes a diagnostic of the guest's, from before its plan.
    pub fn guest_diagnostic(&mut self, text: &str) {
        if let Some(line) = text.strip_prefix(XEN_COMMAND_LINE) {
            self.shows(line);
        } else if let Some(complaint) = text.strip_prefix(XEN_REFUSES)
            && self.demanded.is_some()
        {
            self.complain(format!("Xen refuses an option of its command line: {complaint}"));
        }
    }

    fn shows(&mut self, line: &str) {
        let Some(demanded) = &self.demanded else { return };
        self.shown = true;
        if !line.split_whitespace().eq(demanded.split_whitespace()) {
            let line = line.trim();
            self.complain(format!(
                "Xen's command line is `{line}`, but `{demanded}` was requested"
            ));
        }
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
