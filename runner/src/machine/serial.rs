//! The serial line of a machine that is not QEMU's: the same one for Xen and for GRUB.

use std::fmt;
use std::str::FromStr;

/// A PC's serial port, as Xen's option `com1=` or `com2=` describes it
/// (docs/misc/xen-command-line.pandoc in Xen's sources).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    port: Port,
    /// What is known of it: `BAUD[/CLOCK][,FRAME[,BASE[,IRQ]]]`.
    settings: Option<String>,
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Com1,
    Com2,
}

impl Serial {
    /// The first one, as whoever used it before has left it.
    pub const FIRST: Serial = Serial { port: Port::Com1, settings: None };

    /// Its name, as Xen and people call it.
    pub fn name(&self) -> &'static str {
        match self.port {
            Port::Com1 => "com1",
            Port::Com2 => "com2",
        }
    }

    /// What Xen is to be told of it, beside that it is a console.
    pub fn for_xen(&self) -> String {
        let settings = self.settings.iter();
        settings.map(|settings| format!("{}={settings}", self.name())).collect()
    }

    /// Bits per second, where it is known.
    pub fn baud(&self) -> Option<u32> {
        self.part(0)?.split('/').next()?.parse().ok()
    }

    /// GRUB's command for it; none for a line that only Xen finds.
    pub fn for_grub(&self) -> Option<String> {
        let place = match self.part(2) {
            // A port's number, or that of a place that only Xen looks at: `pci`, `amt`.
            Some(base) if base.starts_with("0x") => format!("--port={base}"),
            Some(_) => return None,
            None => match self.port {
                Port::Com1 => "--unit=0".into(),
                Port::Com2 => "--unit=1".into(),
            },
        };
        let speed = self.baud().map_or(String::new(), |baud| format!(" --speed={baud}"));
        Some(format!("serial {place}{speed}"))
    }

    fn part(&self, number: usize) -> Option<&str> {
        self.settings.as_ref()?.split(',').nth(number)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings.iter().map(|settings| format!(",{settings}"));
        write!(f, "{}{}", self.name(), settings.collect::<String>())
    }
}

impl FromStr for Serial {
    type Err = String;

    fn from_str(text: &str) -> Result<Serial, String> {
        let (name, settings) = match text.split_once(',') {
            Some((name, settings)) => (name, Some(settings.to_owned())),
            None => (text, None),
        };
        let port = match name {
            "com1" => Port::Com1,
            "com2" => Port::Com2,
            other => return Err(format!("`{other}` is neither com1 nor com2")),
        };
        let serial = Serial { port, settings };
        let Some(settings) = &serial.settings else { return Ok(serial) };
        let plain = |c: char| c.is_ascii_alphanumeric() || ",/:.".contains(c);
        if let Some(bad) = settings.chars().find(|&c| !plain(c)) {
            return Err(format!("{bad:?} is in no setting of a serial line"));
        }
        match serial.part(0) {
            Some("auto") => Ok(serial),
            Some(first) if serial.baud().is_some_and(|baud| baud > 0) && !first.is_empty() => {
                Ok(serial)
            }
            other => {
                let what = other.unwrap_or_default();
                Err(format!("`{what}` is no number of bits per second, such as 115200"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_for_xen_and_for_grub() {
        for (text, xen, grub) in [
            ("com1", "", Some("serial --unit=0")),
            ("com1,115200", "com1=115200", Some("serial --unit=0 --speed=115200")),
            ("com2,9600,8n1", "com2=9600,8n1", Some("serial --unit=1 --speed=9600")),
            ("com1,auto", "com1=auto", Some("serial --unit=0")),
            (
                "com1,115200/24000000,8n1,0x5040,17",
                "com1=115200/24000000,8n1,0x5040,17",
                Some("serial --port=0x5040 --speed=115200"),
            ),
            ("com1,115200,8n1,pci", "com1=115200,8n1,pci", None),
        ] {
            let serial: Serial = text.parse().unwrap();
            assert_eq!(serial.for_xen(), xen);
            assert_eq!(serial.for_grub().as_deref(), grub);
            assert_eq!(serial.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_serial_line() {
        for (text, why) in [
            ("", "neither com1 nor com2"),
            ("ttyS0,115200", "`ttyS0` is neither"),
            ("com1,", "no number of bits"),
            ("com1,fast", "`fast` is no number"),
            ("com1,0", "`0` is no number"),
            ("com1,115200 vga", "' ' is in no setting"),
            ("com1,115200;x", "';' is in no setting"),
        ] {
            let error = text.parse::<Serial>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
