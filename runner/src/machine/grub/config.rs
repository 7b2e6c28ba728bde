//! The text of a `grub.cfg`, in the language of GRUB's shell.
//!
//! GRUB splits a command into words and puts Xen's command line together from them again. Quotes
//! keep its shell from reading anything into a word. But in front of `\`, `'` and `"` it puts a
//! backslash, which Xen and the guest do not take away: no line with one of these can go by GRUB.

use crate::base::exit::{Error, Result};
use crate::machine::serial::Serial;
use crate::xen::abilities::Abilities;

/// What GRUB does not pass on as it is.
const ESCAPED: [char; 3] = ['\\', '\'', '"'];
/// The variable, of the script and of the environment on the medium, with the entry that comes next.
const NEXT: &str = "next";
/// Its value when there is none.
const DONE: &str = "done";
/// Variables of the script: more for Xen's command line and for the guest's.
const MORE_FOR_XEN: &str = "xen";
const MORE_FOR_GUEST: &str = "guest";

/// How Xen is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The older one, for a Xen before 4.9: from a BIOS only.
    Multiboot,
    /// The newer one.
    Multiboot2,
}

impl Protocol {
    /// What a Xen with these abilities takes.
    pub fn of(abilities: &Abilities) -> Protocol {
        if abilities.no_multiboot2 { Protocol::Multiboot } else { Protocol::Multiboot2 }
    }

    /// GRUB's commands for Xen and for a module.
    fn commands(self) -> (&'static str, &'static str) {
        match self {
            Protocol::Multiboot => ("multiboot", "module"),
            Protocol::Multiboot2 => ("multiboot2", "module2"),
        }
    }
}

/// A Xen and all that it gets. Files are paths on the medium.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How Xen is loaded.
    pub protocol: Protocol,
    /// Xen.
    pub xen: String,
    /// Its command line.
    pub xen_cmdline: String,
    /// The guest.
    pub guest: String,
    /// Its command line.
    pub guest_cmdline: String,
    /// Modules behind the guest, which Xen gets as they are: also those that are packed.
    pub modules: Vec<String>,
}

/// What comes after a boot of a menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After<'a> {
    /// The same each time.
    Same,
    /// The next entry, if the medium can be written: GRUB notes there which one it is. Else the
    /// machine is to stand still, with what is added for that to Xen's command line and the guest's.
    Next {
        /// Of the guest, where an entry follows.
        guest: &'a str,
        /// Of Xen, where none can follow.
        xen_alone: &'a str,
        /// Of the guest, where none can follow.
        guest_alone: &'a str,
    },
}

/// A menu.
#[derive(Clone, Copy, Debug)]
pub struct Menu<'a> {
    /// At least one, each with its title.
    pub entries: &'a [(String, Entry)],
    /// The serial line for GRUB, beside the screen.
    pub serial: Option<&'a Serial>,
    /// Seconds in which a key brings up the menu.
    pub wait_s: u32,
    /// What comes after a boot.
    pub after: After<'a>,
}

impl Entry {
    /// Refuses command lines that GRUB does not pass on as they are.
    pub fn check(&self) -> Result<()> {
        for (whose, line) in [("Xen", &self.xen_cmdline), ("the guest", &self.guest_cmdline)] {
            if let Some(bad) = line.chars().find(|c| ESCAPED.contains(c)) {
                return Err(Error::Usage(format!(
                    "the command line for {whose} holds {bad}, in front of which GRUB puts a \
                     backslash that {whose} does not take away; leave it out, or use --loader \
                     direct: {line}"
                )));
            }
        }
        Ok(())
    }

    /// Boots it; what comes behind is for a boot that cannot be. `variables` are for what the
    /// script adds to both lines.
    fn commands(&self, variables: bool) -> Vec<String> {
        let (load, add) = self.protocol.commands();
        let more = |name: &str| if variables { format!(" ${name}") } else { String::new() };
        let line = |command: &str, file: &str, line: &str| {
            let words = [file].into_iter().chain(line.split_whitespace());
            words.fold(command.to_owned(), |text, word| text + " " + &quote(word))
        };
        let mut steps = vec![
            line(load, &self.xen, &self.xen_cmdline) + &more(MORE_FOR_XEN),
            line(add, &self.guest, &self.guest_cmdline) + &more(MORE_FOR_GUEST),
        ];
        // GRUB unpacks what is packed, unless told not to.
        steps.extend(self.modules.iter().map(|file| format!("{add} --nounzip {}", quote(file))));
        let mut lines: Vec<String> =
            steps.iter().map(|step| format!("if {step}; then")).collect();
        lines.push("boot".into());
        lines.extend(steps.iter().map(|_| "fi".to_owned()));
        lines
    }
}

/// The lines for a medium that boots `entry` at once, on a machine with `serial` and no screen.
/// GRUB says nothing but why it can't, and then ends the machine by a reset.
pub fn at_once(entry: &Entry, serial: &Serial) -> Result<Vec<String>> {
    entry.check()?;
    let mut lines: Vec<String> = serial.for_grub().into_iter().collect();
    lines.push("terminal_output serial".into());
    lines.extend(entry.commands(false));
    lines.extend(["echo 'GRUB cannot boot this Xen.'", "reboot"].map(String::from));
    Ok(lines)
}

impl Menu<'_> {
    /// The lines for a medium with this menu.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut add = |more: &[&str]| lines.extend(more.iter().map(|line| (*line).to_owned()));
        if let Some(command) = self.serial.and_then(Serial::for_grub) {
            // A machine without that line boots as well.
            add(&[
                &format!("if {command}; then"),
                "terminal_input --append serial",
                "terminal_output --append serial",
                "fi",
            ]);
        }
        // Hidden, not to fill the console with it.
        add(&["set timeout_style=hidden", &format!("set timeout={}", self.wait_s)]);
        if let After::Next { .. } = self.after {
            add(&[
                &format!("load_env {NEXT}"),
                &format!("if [ \"${NEXT}\" = {DONE} ]; then"),
                "set timeout_style=menu",
                "set timeout=-1",
                &format!("menuentry {} {{", quote("All entries have run; choose where to begin again")),
                "true",
                "}",
                &format!("elif [ -n \"${NEXT}\" ]; then"),
                &format!("set default=\"${NEXT}\""),
                "fi",
            ]);
        }
        if self.wait_s > 0 {
            add(&[&format!("echo {}", quote("Press ESC for the menu of xtf-rs."))]);
        }
        for (number, (title, entry)) in (1..).zip(self.entries) {
            entry.check()?;
            lines.push(format!("menuentry {} --id {number} {{", quote(title)));
            let goes_on = matches!(self.after, After::Next { .. });
            lines.extend(self.note_next(number));
            lines.extend(entry.commands(goes_on));
            lines.push("}".into());
        }
        Ok(lines)
    }

    /// What entry `number` does first: however its boot ends, the next one is another.
    fn note_next(&self, number: usize) -> Vec<String> {
        let After::Next { guest, xen_alone, guest_alone } = self.after else { return Vec::new() };
        let next = match number == self.entries.len() {
            true => DONE.to_owned(),
            false => (number + 1).to_string(),
        };
        vec![
            format!("set {NEXT}={next}"),
            format!("if save_env {NEXT}; then"),
            format!("set {MORE_FOR_XEN}="),
            format!("set {MORE_FOR_GUEST}={}", quote(guest)),
            "else".into(),
            format!("set {MORE_FOR_XEN}={}", quote(xen_alone)),
            format!("set {MORE_FOR_GUEST}={}", quote(guest_alone)),
            format!("echo {}", quote("This medium cannot be written: no other entry follows.")),
            "fi".into(),
        ]
    }
}

/// A word in which GRUB's shell sees nothing but characters.
fn quote(word: &str) -> String {
    // A quote ends the text, comes by itself, and another one begins the rest.
    format!("'{}'", word.replace('\'', "'\\''"))
}
