//! Xen from Debian's archive, with Debian's own tools and without installing anything.
//!
//! The mirrors are those that this machine's apt is configured for; the suite need not be this
//! machine's. apt runs on a private root, so that neither its state nor root is touched, and
//! signatures are checked against Debian's keyring.

use std::fs;
use std::path::{Path, PathBuf};

use super::plain_elf;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::Tool;
use crate::plan::config::DebianPackage;

/// Debian's keys, under the name of older and newer releases of the keyring package.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];

/// Name of this package's cache entry.
pub fn cache_key(package: &DebianPackage) -> Result<String> {
    for (what, word) in [("suite", &package.suite), ("package", &package.package)] {
        let good = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !word.starts_with(|c: char| c.is_ascii_alphanumeric()) || !word.chars().all(good) {
            return Err(Error::Usage(format!("`{word}` is no Debian {what}")));
        }
    }
    Ok(format!("debian-{}-{}", package.suite, package.package))
}

/// Whether there is all that [`download`] needs, without using the network; from where it would be.
pub fn can_fetch() -> Result<String> {
    let dir = tempfile::tempdir().io("create", Path::new("a temporary folder"))?;
    Tool::new("dpkg-deb").arg("--version").run()?;
    keyring()?;
    Ok(Apt::new(dir.path())?.mirrors()?.main)
}

fn keyring() -> Result<&'static str> {
    KEYRINGS.into_iter().find(|path| Path::new(path).is_file()).ok_or_else(|| {
        Error::Tool("Debian's keys are missing; install the package debian-archive-keyring".into())
    })
}

/// Downloads the package into `dir`; returns the file and the package's version.
pub fn download(package: &DebianPackage, dir: &Path) -> Result<(PathBuf, String)> {
    let archive = Archive::open(&package.suite, dir)?;
    let deb = archive.download(&package.package)?;
    let version = version(&deb)?;
    Ok((deb, version))
}

/// The version of the package `deb`.
pub fn version(deb: &Path) -> Result<String> {
    let version = Tool::new("dpkg-deb").arg("-f").arg(deb).arg("Version").run()?;
    Ok(version.trim().to_owned())
}

/// Unpacks the files of the package `deb` below `root`.
pub fn unpack_files(deb: &Path, root: &Path) -> Result<()> {
    Tool::new("dpkg-deb").arg("-x").arg(deb).arg(root).run().map(|_| ())
}

/// A release of Debian's, as this machine's mirrors have it.
pub struct Archive {
    apt: Apt,
    dir: PathBuf,
}

impl Archive {
    /// The release `suite`; what is downloaded lands in `dir`.
    pub fn open(suite: &str, dir: &Path) -> Result<Archive> {
        let apt = Apt::new(dir)?;
        let mirrors = apt.mirrors()?;
        let keyring = keyring()?;
        let mut sources = format!("deb [signed-by={keyring}] {} {suite} main\n", mirrors.main);
        if let Some(security) = &mirrors.security {
            sources += &format!("deb [signed-by={keyring}] {security} {suite}-security main\n");
        }
        let list = apt.sources();
        fs::write(&list, sources).io("write", &list)?;
        apt.own("apt-get").args(["update", "--error-on=any"]).run()?;
        Ok(Archive { apt, dir: dir.to_owned() })
    }

    /// Downloads one package.
    pub fn download(&self, package: &str) -> Result<PathBuf> {
        self.apt.own("apt-get").args(["download", package]).cwd(&self.dir).run()?;
        let start = format!("{package}_");
        packages_in(&self.dir)?
            .into_iter()
            .find(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start))
            })
            .ok_or_else(|| Error::Tool(format!("apt downloaded no {package}")))
    }

    /// Downloads packages and all that they depend on.
    pub fn download_closure(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        self.apt
            .own("apt-get")
            .args(["install", "-y", "--no-install-recommends", "--download-only"])
            .args(packages)
            .run()?;
        packages_in(&self.apt.root.join("cache/archives"))
    }

    /// Whether there is such a package.
    pub fn has(&self, package: &str) -> bool {
        let shown = self.apt.own("apt-cache").args(["show", package]).run();
        shown.is_ok_and(|text| !text.is_empty())
    }

    /// The packages that `package` depends on.
    pub fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let text = self.apt.own("apt-cache").args(["depends", package]).run()?;
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.map(str::to_owned).collect())
    }
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

/// The plain ELF inside the package `deb`, unpacked below `dir`.
pub fn unpack(deb: &Path, dir: &Path) -> Result<Vec<u8>> {
    let xen = the_only(deb, dir, "boot", "xen", ".gz")?;
    let bytes = fs::read(&xen).io("read", &xen)?;
    plain_elf(&bytes)
        .map_err(|why| Error::Data(format!("{} in {} {why}", xen.display(), deb.display())))
}

/// The xen-syms inside the package `deb`, unpacked below `dir`.
pub fn unpack_symbols(deb: &Path, dir: &Path) -> Result<Vec<u8>> {
    let syms = the_only(deb, dir, "usr/lib/debug/boot", "xen-syms", "")?;
    fs::read(&syms).io("read", &syms)
}

/// The one file of the package `deb` that is in `folder` and is called like `start`*`end`.
fn the_only(deb: &Path, dir: &Path, folder: &str, start: &str, end: &str) -> Result<PathBuf> {
    let root = dir.join("root");
    unpack_files(deb, &root)?;
    let what =
        |many: &str| Error::Data(format!("{} holds {many} /{folder}/{start}*{end}", deb.display()));
    let mut found: Vec<PathBuf> = fs::read_dir(root.join(folder))
        .map_err(|_| what("no"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(start) && name.ends_with(end) && !name.ends_with(".map")
        })
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(file), true) => Ok(file),
        (Some(_), false) => Err(what("several")),
        (None, _) => Err(what("no")),
    }
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
        let root = dir.join("apt");
        for part in ["state/lists/partial", "cache/archives/partial", "etc/sources.list.d"] {
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
            .args(["-o", &option("Dir::Cache::archives", "cache/archives")])
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
