//! The text of a `grub.cfg`, in the language of GRUB's shell.
//!
//! GRUB splits a command into words and puts Xen's command line together from them again. Quotes
//! keep its shell from reading anything into a word. But in front of `\`, `'` and `"` it puts a
//! backslash, which Xen and the guest do not take away: no line with one of these can go by GRUB.

use crate::base::exit::{Error, Result};
use crate::judge::GRUB_GIVES_UP;
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
/// Variable of the script: whether another boot follows.
const GOES_ON: &str = "goes_on";
/// Function of the script.
const NOTE: &str = "note_next";

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// What the command lines say, each time.
    Same,
    /// The next entry, if the medium can be written: GRUB notes there which one it is. What is added
    /// to the command lines depends on it.
    Next {
        /// For a boot that another one follows.
        goes_on: Added,
        /// For one that none can follow.
        alone: Added,
    },
}

/// Words behind command lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Behind Xen's.
    pub xen: String,
    /// Behind the guest's.
    pub guest: String,
}

/// A menu.
#[derive(Clone, Debug)]
pub struct Menu<'a> {
    /// At least one, each with its title.
    pub entries: &'a [(String, Entry)],
    /// The serial line for GRUB, beside the screen.
    pub serial: Option<&'a Serial>,
    /// Seconds in which a key brings up the menu.
    pub wait_s: u32,
    /// What comes after a boot.
    pub after: After,
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
            if let Some(bad) = line.chars().find(char::is_ascii_control) {
                return Err(Error::Usage(format!(
                    "the command line for {whose} holds {bad:?}, and a line of GRUB's configuration \
                     has no such character; leave it out: {line:?}"
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
        let mut lines: Vec<String> = steps.iter().map(|step| format!("if {step}; then")).collect();
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
    lines.extend([format!("echo {}", quote(GRUB_GIVES_UP)), "reboot".into()]);
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
        add(&[&format!("set timeout={}", self.wait_s)]);
        if self.wait_s > 0 {
            // Hidden, not to fill the console with it.
            add(&["set timeout_style=hidden", "echo 'Press ESC for the menu of xtf-rs.'"]);
        }
        if let After::Next { goes_on, alone } = &self.after {
            lines.extend(which_is_next());
            lines.extend(note_next(goes_on, alone));
        }
        for (number, (title, entry)) in (1..).zip(self.entries) {
            entry.check()?;
            lines.push(format!("menuentry {} --id {} {{", quote(title), id(number)));
            match self.after {
                After::Same => lines.extend(entry.commands(false)),
                After::Next { .. } => {
                    let next = match number == self.entries.len() {
                        true => DONE.to_owned(),
                        false => id(number + 1),
                    };
                    lines.push(format!("{NOTE} {next}"));
                    lines.extend(entry.commands(true));
                    // Whoever waits for the next boot does not wait for ever.
                    lines.push(format!("if [ -n \"${GOES_ON}\" ]; then reboot; fi"));
                }
            }
            lines.push("}".into());
        }
        Ok(lines)
    }
}

/// Reads from the medium which entry comes next.
fn which_is_next() -> Vec<String> {
    let lines = [
        &format!("load_env {NEXT}"),
        &format!("if [ \"${NEXT}\" = {DONE} ]; then"),
        "set timeout_style=menu",
        "set timeout=-1",
        "menuentry 'All entries have run. Choose where to begin again.' {",
        "true",
        "}",
        &format!("elif [ -n \"${NEXT}\" ]; then"),
        &format!("set default=\"${NEXT}\""),
        "fi",
    ];
    lines.map(str::to_owned).to_vec()
}

/// A function that notes on the medium which entry comes next: however a boot ends, that follows.
fn note_next(goes_on: &Added, alone: &Added) -> Vec<String> {
    let set = |added: &Added| {
        let Added { xen, guest } = added;
        [(MORE_FOR_XEN, xen), (MORE_FOR_GUEST, guest)]
            .map(|(name, words)| format!("set {name}={}", quote(words)))
    };
    let head = [
        format!("function {NOTE} {{"),
        format!("set {NEXT}=\"$1\""),
        format!("if save_env {NEXT}; then"),
        format!("set {GOES_ON}=1"),
    ];
    let rest = ["echo 'This medium cannot be written: no other entry follows.'", "fi", "}"];
    let mut lines = head.to_vec();
    lines.extend(set(goes_on));
    lines.extend(["else".into(), format!("set {GOES_ON}=")]);
    lines.extend(set(alone));
    lines.extend(rest.map(str::to_owned));
    lines
}

/// A word in which GRUB's shell sees nothing but characters.
fn quote(word: &str) -> String {
    // A quote ends the text, comes by itself, and another one begins the rest.
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What the environment on the medium calls entry `number`. A number alone would be a place in the
/// menu.
fn id(number: usize) -> String {
    format!("entry-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(xen: &str, guest: &str) -> Entry {
        Entry {
            protocol: Protocol::Multiboot2,
            xen: "/boot/xen".into(),
            xen_cmdline: xen.into(),
            guest: "/boot/xtf".into(),
            guest_cmdline: guest.into(),
            modules: Vec::new(),
        }
    }

    /// All that means something to GRUB's shell.
    #[test]
    fn words_are_quoted() {
        let lines = entry("console=com1  x=$y;{}|&<>#*", "tests=a,b/!c/* \ty=`!` ").commands(false);
        assert_eq!(
            lines,
            [
                "if multiboot2 '/boot/xen' 'console=com1' 'x=$y;{}|&<>#*'; then",
                "if module2 '/boot/xtf' 'tests=a,b/!c/*' 'y=`!`'; then",
                "boot",
                "fi",
                "fi",
            ]
        );
        assert_eq!(quote("it's $x"), r"'it'\''s $x'");
    }

    #[test]
    fn what_grub_would_change_is_refused() {
        for bad in ["a\\b", "a'b", "a\"b"] {
            let why = |entry: Entry| at_once(&entry, &Serial::FIRST).unwrap_err().to_string();
            let of_xen = why(entry(bad, ""));
            assert!(of_xen.starts_with("the command line for Xen holds "), "{of_xen}");
            assert!(of_xen.ends_with(&format!("use --loader direct: {bad}")), "{of_xen}");
            let of_guest = why(entry("", bad));
            assert!(of_guest.starts_with("the command line for the guest holds "), "{of_guest}");
            let entries = [("x".to_owned(), entry("", bad))];
            let menu = Menu { entries: &entries, serial: None, wait_s: 0, after: After::Same };
            assert!(menu.lines().is_err());
        }
    }

    #[test]
    fn a_medium_for_one_boot() {
        let modules = vec!["/boot/initrd".into(), "/boot/module-1".into()];
        let entry = Entry { protocol: Protocol::Multiboot, modules, ..entry("a", "b") };
        assert_eq!(
            at_once(&entry, &Serial::FIRST).unwrap(),
            [
                "serial --unit=0",
                "terminal_output serial",
                "if multiboot '/boot/xen' 'a'; then",
                "if module '/boot/xtf' 'b'; then",
                "if module --nounzip '/boot/initrd'; then",
                "if module --nounzip '/boot/module-1'; then",
                "boot",
                "fi",
                "fi",
                "fi",
                "fi",
                "echo 'GRUB cannot boot this Xen.'",
                "reboot",
            ]
        );
    }

    #[test]
    fn a_menu_that_stands_still() {
        let serial = "com2,9600".parse().unwrap();
        let entries = [("it's".to_owned(), entry("a", "b")), ("two".to_owned(), entry("c", "d"))];
        let menu = Menu { entries: &entries, serial: Some(&serial), wait_s: 5, after: After::Same };
        let lines = menu.lines().unwrap();
        assert_eq!(
            lines[..8],
            [
                "if serial --unit=1 --speed=9600; then",
                "terminal_input --append serial",
                "terminal_output --append serial",
                "fi",
                "set timeout=5",
                "set timeout_style=hidden",
                "echo 'Press ESC for the menu of xtf-rs.'",
                r"menuentry 'it'\''s' --id entry-1 {",
            ]
        );
        assert_eq!(lines.iter().filter(|line| line.starts_with("menuentry")).count(), 2);
        assert!(!lines.iter().any(|line| line.contains("save_env")));
    }

    /// Whatever an entry does, the next boot is another one, and the last is followed by none.
    #[test]
    fn a_menu_that_goes_on() {
        let added = |xen: &str, guest: &str| Added { xen: xen.into(), guest: guest.into() };
        let after = After::Next { goes_on: added("", "x"), alone: added("stay", "y") };
        let entries = [("one".to_owned(), entry("a", "b")), ("two".to_owned(), entry("c", "d"))];
        let lines = Menu { entries: &entries, serial: None, wait_s: 0, after }.lines().unwrap();
        let text = lines.join("\n");
        let note = "function note_next {\nset next=\"$1\"\nif save_env next; then\nset goes_on=1\n\
                    set xen=''\nset guest='x'\nelse\nset goes_on=\nset xen='stay'\nset guest='y'\n";
        assert!(text.contains(note), "{text}");
        for (title, number, next) in [("one", 1, "entry-2"), ("two", 2, "done")] {
            let begin =
                format!("menuentry '{title}' --id entry-{number} {{\nnote_next {next}\nif ");
            assert!(text.contains(&begin), "{text}");
        }
        assert!(
            text.contains("'/boot/xen' 'a' $xen; then\nif module2 '/boot/xtf' 'b' $guest; then")
        );
    }
}
