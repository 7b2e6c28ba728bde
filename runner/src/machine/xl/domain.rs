//! A domain, and its configuration for xl.

use protocol::metadata::Environment;

/// A domain that is to be.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Unlike every other on its Xen.
    pub name: String,
    /// Its kind.
    pub environment: Environment,
    /// Where the image is for xl.
    pub image: String,
    /// CPUs.
    pub vcpus: u32,
    /// Memory.
    pub memory_mib: u32,
    /// The image's command line; for hvm, where xl has no way to pass one, it is in the image.
    pub cmdline: String,
}

impl Domain {
    /// Whether xl has no way to pass the command line, so that the image must have it.
    pub fn bears_its_line(&self) -> bool {
        self.environment.is_hvm() && self.environment != Environment::Pvh64
    }

    /// The text of its configuration file, xl.cfg(5).
    pub fn configuration(&self) -> String {
        let Domain { name, environment, image, vcpus, memory_mib, cmdline } = self;
        let (kind, loaded_by) = match environment {
            Environment::Pv64 | Environment::Pv32pae => ("pv", "kernel"),
            Environment::Pvh64 => ("pvh", "kernel"),
            Environment::Hvm64
            | Environment::Hvm32
            | Environment::Hvm32pse
            | Environment::Hvm32pae => ("hvm", "firmware_override"),
        };
        let mut text = format!(
            "name={}\ntype=\"{kind}\"\nvcpus={vcpus}\nmemory={memory_mib}\n{loaded_by}={}\n",
            quoted(name),
            quoted(image),
        );
        if self.bears_its_line() {
            text += "\n# The image needs no display.\nvga=\"none\"\nvnc=0\n";
        } else if !cmdline.is_empty() {
            text += &format!("cmdline={}\n", quoted(cmdline));
        }
        text += "\n# The image powers off. Only a triple fault reboots, and a restart would repeat it.\n";
        for event in ["on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"] {
            text += &format!("{event}=\"destroy\"\n");
        }
        text
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(environment: Environment) -> Domain {
        Domain {
            name: "xtf-1".into(),
            environment,
            image: "/tmp/x".into(),
            vcpus: 2,
            memory_mib: 128,
            cmdline: "tests=a \"b\\".into(),
        }
    }

    #[test]
    fn configurations() {
        let pv = domain(Environment::Pv64).configuration();
        assert!(pv.starts_with("name=\"xtf-1\"\ntype=\"pv\"\nvcpus=2\nmemory=128\n"), "{pv}");
        assert!(pv.contains("\nkernel=\"/tmp/x\"\ncmdline=\"tests=a \\\"b\\\\\"\n"), "{pv}");
        assert!(domain(Environment::Pvh64).configuration().contains("type=\"pvh\""));
        let hvm = domain(Environment::Hvm64).configuration();
        assert!(hvm.contains("type=\"hvm\"") && hvm.contains("firmware_override=\"/tmp/x\""));
        assert!(!hvm.contains("cmdline") && !hvm.contains("kernel="), "{hvm}");
        let without = Domain { cmdline: String::new(), ..domain(Environment::Pv64) };
        assert!(!without.configuration().contains("cmdline"));
    }
}
