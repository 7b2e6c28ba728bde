//! Xen from Debian's archive, with Debian's own tools and without installing anything.
//!
//! The mirrors are those that this machine's apt is configured for; the suite need not be this
//! machine's. apt runs on a private root, so that neither its state nor root is touched, and
//! signatures are checked against Debian's keyring.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::Tool;
use crate::plan::config::DebianPackage;

/// Debian's keys, under the name of older and newer releases of the keyring package.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// Options with which apt gives up soon.
const BRIEF: [&str; 6] = [
    "-o",
    "Acquire::Retries=0",
    "-o",
    "Acquire::http::Timeout=10",
    "-o",
    "Acquire::https::Timeout=10",
];

/// Under what name the cache knows this package.
pub fn cache_key(package: &DebianPackage) -> Result<String> {
    for (what, word) in [("suite", &package.suite), ("package", &package.package)] {
        if !is_name(word) {
            return Err(Error::Usage(format!("`{word}` is not a valid name of a Debian {what}")));
        }
    }
    Ok(format!("debian-{}-{}", package.suite, package.package))
}

/// Whether `word` can be the name of a package or of a suite.
pub fn is_name(word: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(good)
}

/// Whether there is all that fetching needs, without using the network; from where it would be.
pub fn can_fetch() -> Result<String> {
    let dir = tempfile::tempdir().io("create", Path::new("a temporary folder"))?;
    Tool::new("dpkg-deb").arg("--version").run()?;
    keyring()?;
    Ok(Apt::new(dir.path())?.mirrors()?.main)
}

fn keyring() -> Result<&'static str> {
    KEYRINGS.into_iter().find(|path| Path::new(path).is_file()).ok_or_else(|| {
        Error::Tool("Debian's archive keys are missing; install debian-archive-keyring".into())
    })
}

/// Unpacks the files of the package `deb` below `root`.
pub fn unpack_files(deb: &Path, root: &Path) -> Result<()> {
    Tool::new("dpkg-deb").arg("-x").arg(deb).arg(root).run().map(|_| ())
}

/// A package in one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Whether Debian has security updates of `suite`.
pub fn has_security(suite: &str) -> bool {
    !["sid", "unstable", "experimental"].contains(&suite)
}

/// A release of Debian's, as this machine's mirrors have it.
pub struct Archive {
    apt: Apt,
    suite: String,
}

impl Archive {
    /// The release `suite`, whose lists are kept in `dir`.
    pub fn at(dir: &Path, suite: &str) -> Result<Archive> {
        Ok(Archive { apt: Apt::new(dir)?, suite: suite.to_owned() })
    }

    /// The release's code name.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Fetches the lists of packages, as far as they have changed; returns whether security updates
    /// are among them. A `brief` attempt gives up soon.
    pub fn update(&self, brief: bool) -> Result<bool> {
        let mirrors = self.apt.mirrors()?;
        let (keyring, suite) = (keyring()?, &self.suite);
        let mut sources = format!("deb [signed-by={keyring}] {} {suite} main\n", mirrors.main);
        let security = mirrors.security.filter(|_| has_security(suite));
        if let Some(security) = &security {
            sources += &format!("deb [signed-by={keyring}] {security} {suite}-security main\n");
        }
        let list = self.apt.sources();
        fs::write(&list, sources).io("write", &list)?;
        let patience: &[&str] = if brief { &BRIEF } else { &[] };
        self.apt.own("apt-get").args(["update", "--error-on=any"]).args(patience).run()?;
        Ok(security.is_some())
    }

    /// The packages `names` in their current versions.
    pub fn current(&self, names: &[&str]) -> Result<Vec<Package>> {
        let show = self.apt.own("apt-cache").args(["show", "--no-all-versions"]).args(names);
        let found = packages_of(&show.run()?);
        let version = |name: &&str| {
            let package = found.iter().find(|package| package.name == **name);
            package.cloned().ok_or_else(|| {
                Error::Tool(format!("Debian's {} has no package {name}", self.suite))
            })
        };
        names.iter().map(version).collect()
    }

    /// Downloads one package into `dir`.
    pub fn download(&self, package: &Package, dir: &Path) -> Result<PathBuf> {
        let Package { name, version } = package;
        let wanted = format!("{name}={version}");
        self.apt.own("apt-get").args(["download", &wanted]).cwd(dir).run()?;
        let start = format!("{name}_");
        packages_in(dir)?
            .into_iter()
            .find(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start))
            })
            .ok_or_else(|| Error::Tool(format!("apt downloaded no {package}")))
    }

    /// Downloads packages and all that they depend on into `dir`.
    pub fn download_closure(&self, packages: &[Package], dir: &Path) -> Result<Vec<PathBuf>> {
        let partial = dir.join("partial");
        fs::create_dir_all(&partial).io("create", &partial)?;
        let wanted = packages.iter().map(|Package { name, version }| format!("{name}={version}"));
        self.apt
            .own("apt-get")
            .args(["install", "-y", "--no-install-recommends", "--download-only"])
            .args(["-o", &format!("Dir::Cache::archives={}", dir.display())])
            .args(wanted)
            .run()?;
        packages_in(dir)
    }

    /// Whether there is such a package.
    pub fn has(&self, package: &str) -> bool {
        let shown = self.apt.own("apt-cache").args(["show", package]).run();
        shown.is_ok_and(|text| !text.is_empty())
    }

    /// The names of packages that begin with `start`.
    pub fn names(&self, start: &str) -> Result<Vec<String>> {
        let text = self.apt.own("apt-cache").args(["pkgnames", start]).run()?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The packages that `package` depends on.
    pub fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let text = self.apt.own("apt-cache").args(["depends", package]).run()?;
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.map(str::to_owned).collect())
    }
}

/// Reads the paragraphs that `apt-cache show` prints.
fn packages_of(text: &str) -> Vec<Package> {
    let field = |paragraph: &str, name: &str| {
        let mut lines = paragraph.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    };
    let packages = text.split("\n\n").filter_map(|paragraph| {
        Some(Package { name: field(paragraph, "Package")?, version: field(paragraph, "Version")? })
    });
    packages.collect()
}

/// The packages in a folder, in the order of their names.
fn packages_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut debs: Vec<PathBuf> = fs::read_dir(dir)
        .io("read", dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .collect();
    debs.sort();
    Ok(debs)
}

/// Where Debian's archives are.
#[derive(Debug, PartialEq, Eq)]
struct Mirrors {
    main: String,
    security: Option<String>,
}

/// apt on a private root.
struct Apt {
    root: PathBuf,
}

impl Apt {
    fn new(dir: &Path) -> Result<Apt> {
        let root = dir.to_owned();
        for part in ["state/lists/partial", "cache", "etc/sources.list.d"] {
            let path = root.join(part);
            fs::create_dir_all(&path).io("create", &path)?;
        }
        Ok(Apt { root })
    }

    fn sources(&self) -> PathBuf {
        self.root.join("etc/sources.list")
    }

    /// apt with private state and cache, but this machine's sources.
    fn plain(&self, program: &str) -> Tool {
        let option = |name: &str, path: &str| format!("{name}={}", self.root.join(path).display());
        Tool::new(program)
            .arg("-q")
            .args(["-o", &option("Dir::State", "state")])
            .args(["-o", &option("Dir::State::lists", "state/lists")])
            .args(["-o", &option("Dir::Cache", "cache")])
            // Compressed lists are a tenth in size; what is made of them is rarely needed again.
            .args(["-o", "Acquire::GzipIndexes=true"])
            .args(["-o", "Dir::Cache::pkgcache="])
            .args(["-o", "Dir::Cache::srcpkgcache="])
            .args(["-o", "Dir::State::status=/dev/null"])
            .args(["-o", "APT::Architecture=amd64"])
            .args(["-o", "APT::Architectures=amd64"])
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", "Acquire::Languages=none"])
            .args(["-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"])
            .args(["-o", "Acquire::Retries=3"])
    }

    /// apt with private sources too.
    fn own(&self, program: &str) -> Tool {
        let option = |name: &str, path: &str| format!("{name}={}", self.root.join(path).display());
        self.plain(program)
            .args(["-o", &option("Dir::Etc::sourcelist", "etc/sources.list")])
            .args(["-o", &option("Dir::Etc::sourceparts", "etc/sources.list.d")])
            .args(["-o", "Dir::Etc::preferences=/dev/null"])
            .args(["-o", "Dir::Etc::preferencesparts=/dev/null"])
    }

    /// Debian's archives in this machine's configuration.
    ///
    /// `indextargets` knows who runs an archive, but only once `apt-get update` was run here; the
    /// addresses that an update would fetch are known from the configuration alone.
    fn mirrors(&self) -> Result<Mirrors> {
        let targets = Tool::new("apt-get")
            .args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"])
            .args(["Created-By: Packages"])
            .run()?;
        let from_lists = mirrors_of_targets(&targets);
        if let Some(mirrors) = from_lists {
            return Ok(mirrors);
        }
        let addresses = self.plain("apt-get").args(["update", "--print-uris"]).run()?;
        mirrors_of_addresses(&addresses).ok_or_else(|| {
            Error::Tool(
                "apt on this machine is not configured for Debian's archive; add it to \
                 /etc/apt/sources.list, or give Xen as a file with --xen PATH"
                    .into(),
            )
        })
    }
}

/// Reads lines of ORIGIN|LABEL|REPO_URI.
fn mirrors_of_targets(text: &str) -> Option<Mirrors> {
    let of = |label: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, '|');
            let debian = fields.next()? == "Debian" && fields.next()? == label;
            fields.next().filter(|_| debian).map(str::to_owned)
        })
    };
    Some(Mirrors { main: of("Debian")?, security: of("Debian-Security") })
}

/// Reads lines of 'ADDRESS' FILE ..., as `--print-uris` prints them.
///
/// Other archives also have suites named after Debian's releases, hence the preference for one
/// that ends as Debian's mirrors do; the keyring has the last word.
fn mirrors_of_addresses(text: &str) -> Option<Mirrors> {
    let archives: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix('\'')?.split_once('\''))
        .filter_map(|(address, _)| address.split_once("/dists/"))
        .filter(|(_, path)| path.contains("/main/binary-amd64/"))
        .filter_map(|(archive, path)| Some((archive, path.split_once("/main/")?.0)))
        .collect();
    let is_security = |suite: &str| suite.ends_with("-security") || suite.ends_with("/updates");
    let main = |debian: bool| {
        archives.iter().find(|(archive, suite)| {
            !suite.contains(['-', '/'])
                && archive.trim_end_matches('/').ends_with("/debian") == debian
        })
    };
    let security = archives
        .iter()
        .find(|(archive, suite)| is_security(suite) && archive.contains("security"))
        .or_else(|| archives.iter().find(|(_, suite)| is_security(suite)));
    Some(Mirrors {
        main: main(true).or_else(|| main(false))?.0.to_owned(),
        security: security.map(|(archive, _)| (*archive).to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_with_lists() {
        let text = "Vendor|Vendor|http://v.example/apt/\n\
                    Debian|Debian|http://m.example/debian/\n\
                    Debian|Debian-Security|http://s.example/debian-security/\n";
        assert_eq!(
            mirrors_of_targets(text).unwrap(),
            Mirrors {
                main: "http://m.example/debian/".into(),
                security: Some("http://s.example/debian-security/".into()),
            }
        );
        assert_eq!(mirrors_of_targets("\n"), None);
        assert_eq!(mirrors_of_targets("Ubuntu|Ubuntu|http://u.example/ubuntu/\n"), None);
    }

    #[test]
    fn mirrors_without_lists() {
        let text = "'https://d.example/linux/debian/docker/dists/bookworm/stable/binary-amd64/Packages.xz' x 0 \n\
            'https://p.example/apt/dists/bookworm/main/binary-amd64/Packages.xz' x 0 \n\
            'http://m.example/debian/dists/bookworm/InRelease' x 0 \n\
            'http://m.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0 \n\
            'http://m.example/debian/dists/bookworm-updates/main/binary-amd64/Packages.xz' x 0 \n\
            'http://s.example/debian-security/dists/bookworm-security/main/binary-amd64/Packages.xz' x 0 \n";
        assert_eq!(
            mirrors_of_addresses(text).unwrap(),
            Mirrors {
                main: "http://m.example/debian".into(),
                security: Some("http://s.example/debian-security".into()),
            }
        );
        assert_eq!(mirrors_of_addresses("Reading package lists...\n"), None);
    }

    #[test]
    fn versions_of_packages() {
        let text =
            "Package: a\nVersion: 1:2-3\nDescription: x\n Version: 9\n\nPackage: b\nVersion: 4\n";
        let shown: Vec<String> = packages_of(text).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a 1:2-3", "b 4"]);
        assert_eq!(packages_of("N: nothing\n"), []);
    }

    #[test]
    fn only_words_reach_apt() {
        let package = |suite: &str, package: &str| DebianPackage {
            suite: suite.into(),
            package: package.into(),
        };
        assert!(cache_key(&package("bookworm", "xen-hypervisor-4.17-amd64")).is_ok());
        for (suite, name) in [("../x", "a"), ("a b", "a"), ("a", "-o"), ("", "a"), ("a", "a/b")] {
            assert!(cache_key(&package(suite, name)).is_err(), "{suite} {name}");
        }
    }
}
