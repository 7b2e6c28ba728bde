//! A test as a domain of xl's: its name and its configuration.
//!
//! Upstream's `xtf-runner` finds a domain by its name alone: `test-ENV-NAME` is both the domain and
//! the stem of its files in `tests/NAME/`. It knows no `pvh64` and does not even see a test that
//! names it. So a PVH domain is there twice: as what it is, for people, and once more as the
//! `hvm64` domain of a test `NAME-pvh`; that it takes hardware virtualisation, which is what
//! upstream's runner concludes from `hvm64`, is true of it.

use std::path::Path;

use protocol::metadata::Environment;

use crate::image::TestMeta;
use crate::machine::xl::Domain;

/// How a test is called for upstream's runner when it runs as PVH.
const PVH_SUFFIX: &str = "-pvh";

/// The folder that xl was started in, for whoever opens a file on its behalf. xl looks for relative
/// firmware beside its own.
const WORKING_FOLDER: &str = "/proc/self/cwd";

/// A domain's memory.
const MEMORY_MIB: u32 = 128;

/// A domain in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedDomain {
    /// The folder under `tests/`.
    pub test: String,
    /// The environment in its name.
    environment: &'static str,
    kind: Environment,
    vcpus: u32,
}

impl ExportedDomain {
    /// What it is.
    pub fn kind(&self) -> Environment {
        self.kind
    }

    /// The domain's name, and that of its image.
    pub fn name(&self) -> String {
        format!("test-{}-{}", self.environment, self.test)
    }

    /// Its image, seen from the top of the tree.
    pub fn image(&self) -> String {
        format!("tests/{}/{}", self.test, self.name())
    }

    /// What `xl create` is given; `prefix` is where the tree is going to be.
    pub fn config(&self, prefix: Option<&Path>) -> String {
        let top = prefix.unwrap_or(Path::new(WORKING_FOLDER)).display();
        let domain = Domain {
            name: self.name(),
            environment: self.kind,
            image: format!("{top}/{}", self.image()),
            vcpus: self.vcpus,
            memory_mib: MEMORY_MIB,
            // It is in the image, whatever the kind.
            cmdline: String::new(),
        };
        domain.configuration()
    }
}

/// What one folder under `tests/` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its name, which upstream's runner takes for the test's.
    pub name: String,
    /// What it holds.
    pub domains: Vec<ExportedDomain>,
}

impl Folder {
    /// What upstream's runner reads, if there is anything for it in here.
    pub fn info(&self, test: &TestMeta) -> Option<serde_json::Value> {
        let environments: Vec<&str> = self
            .domains
            .iter()
            .map(|domain| domain.environment)
            .filter(|name| *name != "pvh64")
            .collect();
        (!environments.is_empty()).then(|| {
            serde_json::json!({
                "name": self.name,
                "category": test.category,
                "environments": environments,
                "variations": [],
            })
        })
    }
}

/// The folders of a test that is to run in these environments, as far as it supports them.
pub fn folders(test: &TestMeta, kinds: &[Environment]) -> Vec<Folder> {
    let wanted = |kind| kinds.contains(&kind) && test.environments.contains(&kind);
    let folder = |name: String, domains: Vec<(&'static str, Environment)>| {
        let domains = domains
            .into_iter()
            .filter(|(_, kind)| wanted(*kind))
            .map(|(environment, kind)| ExportedDomain {
                test: name.clone(),
                environment,
                kind,
                vcpus: test.vcpus,
            })
            .collect();
        Folder { name, domains }
    };
    let own = [
        Environment::Pv64,
        Environment::Hvm64,
        Environment::Pvh64,
        Environment::Pv32pae,
        Environment::Hvm32,
        Environment::Hvm32pse,
        Environment::Hvm32pae,
    ];
    let own = own.map(|kind| (kind.name(), kind)).to_vec();
    let as_pvh = vec![(Environment::Hvm64.name(), Environment::Pvh64)];
    let mut folders =
        vec![folder(test.name.clone(), own), folder(test.name.clone() + PVH_SUFFIX, as_pvh)];
    folders.retain(|folder| !folder.domains.is_empty());
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::metadata::Category;

    const ALL: [Environment; 3] = [Environment::Pv64, Environment::Pvh64, Environment::Hvm64];

    fn test(environments: &[&str]) -> TestMeta {
        TestMeta {
            name: "a-test".into(),
            title: String::new(),
            category: Category::InDevelopment,
            environments: ALL
                .into_iter()
                .filter(|kind| environments.contains(&kind.name()))
                .collect(),
            needs: Vec::new(),
            own_boot: false,
            vcpus: 2,
            timeout_s: 1,
            default: true,
            cases: Vec::new(),
        }
    }

    fn images(folders: &[Folder]) -> Vec<String> {
        folders.iter().flat_map(|folder| &folder.domains).map(ExportedDomain::image).collect()
    }

    #[test]
    fn every_kind_has_its_own_configuration() {
        let folders = folders(&test(&["pv64", "pvh64", "hvm64"]), &ALL);
        let configs: Vec<String> =
            folders.iter().flat_map(|folder| &folder.domains).map(|d| d.config(None)).collect();
        assert_eq!(
            configs,
            [
                PV,
                HVM,
                PVH,
                // Upstream's runner is told of it in its own words.
                &PVH.replace("a-test", "a-test-pvh").replace("pvh64", "hvm64"),
            ]
        );
    }

    const PV: &str = r#"name="test-pv64-a-test"
type="pv"
vcpus=2
memory=128
kernel="/proc/self/cwd/tests/a-test/test-pv64-a-test"

# The image powers off. Only a triple fault reboots, and a restart would repeat it.
on_poweroff="destroy"
on_reboot="destroy"
on_watchdog="destroy"
on_crash="destroy"
on_soft_reset="destroy"
"#;

    const PVH: &str = r#"name="test-pvh64-a-test"
type="pvh"
vcpus=2
memory=128
kernel="/proc/self/cwd/tests/a-test/test-pvh64-a-test"

# The image powers off. Only a triple fault reboots, and a restart would repeat it.
on_poweroff="destroy"
on_reboot="destroy"
on_watchdog="destroy"
on_crash="destroy"
on_soft_reset="destroy"
"#;

    const HVM: &str = r#"name="test-hvm64-a-test"
type="hvm"
vcpus=2
memory=128
firmware_override="/proc/self/cwd/tests/a-test/test-hvm64-a-test"

# The image needs no display.
vga="none"
vnc=0

# The image powers off. Only a triple fault reboots, and a restart would repeat it.
on_poweroff="destroy"
on_reboot="destroy"
on_watchdog="destroy"
on_crash="destroy"
on_soft_reset="destroy"
"#;

    #[test]
    fn a_prefix_is_where_xl_finds_the_image() {
        let folders = folders(&test(&["pv64", "hvm64"]), &ALL);
        let lines: Vec<String> = folders[0]
            .domains
            .iter()
            .map(|domain| domain.config(Some(Path::new("/opt/xtf"))))
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.contains('/'))
            .collect();
        assert_eq!(
            lines,
            [
                r#"kernel="/opt/xtf/tests/a-test/test-pv64-a-test""#,
                r#"firmware_override="/opt/xtf/tests/a-test/test-hvm64-a-test""#,
            ]
        );
    }

    #[test]
    fn upstreams_runner_is_told_of_what_it_knows() {
        let infos = |environments: &[&str]| -> Vec<Option<String>> {
            let test = test(environments);
            let folders = folders(&test, &ALL);
            folders.iter().map(|f| f.info(&test).map(|info| info.to_string())).collect()
        };
        let own = |environments: &str| {
            Some(format!(
                r#"{{"category":"in-development","environments":[{environments}],"name":"a-test","variations":[]}}"#
            ))
        };
        let as_pvh = own(r#""hvm64""#).map(|text| text.replace("a-test", "a-test-pvh"));
        assert_eq!(infos(&["pv64", "pvh64", "hvm64"]), [own(r#""pv64","hvm64""#), as_pvh.clone()]);
        assert_eq!(infos(&["pv64"]), [own(r#""pv64""#)]);
        // An index without a known environment would hide the test, and nothing says why.
        assert_eq!(infos(&["pvh64"]), [None, as_pvh]);
    }

    #[test]
    fn what_is_not_asked_for_or_not_supported_is_not_there() {
        let some = folders(&test(&["pv64", "pvh64"]), &[Environment::Pvh64, Environment::Hvm64]);
        assert_eq!(
            images(&some),
            ["tests/a-test/test-pvh64-a-test", "tests/a-test-pvh/test-hvm64-a-test-pvh"]
        );
        assert_eq!(folders(&test(&["pv64"]), &[Environment::Hvm64]), []);
    }
}
