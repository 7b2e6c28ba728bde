//! What a Xen can run, from `xl info`.

use protocol::metadata::Environment;

/// The lines of `xl info` that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Release, such as 4.17.7.
    pub version: String,
    /// Kinds of guest that Xen was built for and found hardware for.
    pub xen_caps: Vec<String>,
    /// What the hardware offers, as xl sees it.
    pub virt_caps: Vec<String>,
}

impl Capabilities {
    /// Reads the text of `xl info`; `None` if that is something else.
    pub fn parse(info: &str) -> Option<Capabilities> {
        let value = |key: &str| {
            info.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name.trim_end() == key).then(|| value.trim())
            })
        };
        let words =
            |key| value(key).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        Some(Capabilities {
            version: value("xen_version")?.to_owned(),
            xen_caps: words("xen_caps"),
            virt_caps: words("virt_caps"),
        })
    }

    /// Why a domain of this kind cannot be, if it can't.
    pub fn lacks(&self, environment: Environment) -> Option<String> {
        let (wanted, what) = match environment {
            Environment::Pv64 => ("xen-3.0-x86_64", "PV guests"),
            Environment::Pvh64 | Environment::Hvm64 => ("hvm-3.0-x86_64", "HVM and PVH guests"),
            Environment::Pv32pae => ("xen-3.0-x86_32p", "32-bit PV guests"),
            Environment::Hvm32 | Environment::Hvm32pse | Environment::Hvm32pae => {
                ("hvm-3.0-x86_32", "32-bit HVM guests")
            }
        };
        if self.xen_caps.iter().any(|word| word == wanted) {
            return None;
        }
        let words = |words: &[String]| match words {
            [] => "none".to_owned(),
            words => words.join(" "),
        };
        Some(format!(
            "this Xen host cannot run {what} (xen_caps: {}; virt_caps: {})",
            words(&self.xen_caps),
            words(&self.virt_caps)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "\
host                   : box
virt_caps              : pv hvm hap gnttab-v1 gnttab-v2
xen_version            : 4.17.7
xen_caps               : xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 
xen_commandline        : console=com1 x: y
";

    #[test]
    fn a_xen_that_can_everything() {
        let found = Capabilities::parse(INFO).unwrap();
        assert_eq!(found.version, "4.17.7");
        for environment in [Environment::Pv64, Environment::Pvh64, Environment::Hvm64] {
            assert_eq!(found.lacks(environment), None);
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let no_hvm = INFO.replace("hvm-3.0-x86_64 ", "").replace("pv hvm hap", "pv");
        let found = Capabilities::parse(&no_hvm).unwrap();
        assert_eq!(found.lacks(Environment::Pv64), None);
        let why = found.lacks(Environment::Hvm64).unwrap();
        assert!(why.contains("HVM") && why.contains("virt_caps: pv gnttab-v1"), "{why}");
        let no_pv = INFO.replace("xen-3.0-x86_64", "");
        let why = Capabilities::parse(&no_pv).unwrap().lacks(Environment::Pv64).unwrap();
        assert!(why.contains("PV guests (xen_caps: hvm-3.0-x86_32 "), "{why}");
    }

    #[test]
    fn what_is_no_xl_info() {
        assert_eq!(Capabilities::parse("xl: command not found\n"), None);
    }
}
