//! A domain, and its configuration for xl.

use crate::base::environment::Environment;

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
    /// The text of its configuration file.
    pub fn configuration(&self) -> String {
        let Domain { name, image, vcpus, memory_mib, .. } = self;
        let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let kind = match self.environment {
            Environment::Pv64 => "pv",
            Environment::Pvh64 => "pvh",
            Environment::Hvm64 => "hvm",
        };
        let image = text(image);
        let mut lines = vec![format!("name={}", text(name)), format!("type=\"{kind}\"")];
        lines.extend([format!("memory={memory_mib}"), format!("vcpus={vcpus}")]);
        if self.environment == Environment::Hvm64 {
            lines.extend([format!("firmware_override={image}"), "vga=\"none\"".into()]);
        } else {
            lines.extend([format!("kernel={image}"), format!("cmdline={}", text(&self.cmdline))]);
        }
        // Nothing is to come back to life; the agent destroys what has ended.
        for event in ["on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"] {
            lines.push(format!("{event}=\"destroy\""));
        }
        lines.join("\n") + "\n"
    }
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
        assert!(pv.starts_with("name=\"xtf-1\"\ntype=\"pv\"\nmemory=128\nvcpus=2\n"), "{pv}");
        assert!(pv.contains("\nkernel=\"/tmp/x\"\ncmdline=\"tests=a \\\"b\\\\\"\n"), "{pv}");
        assert!(domain(Environment::Pvh64).configuration().contains("type=\"pvh\""));
        let hvm = domain(Environment::Hvm64).configuration();
        assert!(hvm.contains("type=\"hvm\"") && hvm.contains("firmware_override=\"/tmp/x\""));
        assert!(!hvm.contains("cmdline") && !hvm.contains("kernel="), "{hvm}");
    }
}
