//! `xtf-runner.toml`: which Xens there are, and how QEMU is run.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::exit::{Error, IoContext, Result};

/// Name of the configuration file.
const FILE: &str = "xtf-runner.toml";
/// Instead of a name: every configured Xen.
const EVERY: &str = "all";
/// The project's own file is also the default where there is none.
const BUILT_IN: &str = include_str!("../../xtf-runner.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    default_xen: Vec<Spanned<String>>,
    #[serde(default)]
    hypervisor: BTreeMap<String, Spanned<HypervisorEntry>>,
    #[serde(default)]
    qemu: Qemu,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HypervisorEntry {
    debian: Option<DebianPackage>,
    path: Option<PathBuf>,
    symbols: Option<String>,
    #[serde(default)]
    cmdline: String,
}

/// A package in Debian's archive.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DebianPackage {
    /// Code name of the release.
    pub suite: String,
    /// Name of the binary package.
    pub package: String,
}

/// The `[qemu]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Qemu {
    /// Program, by path or name.
    pub binary: PathBuf,
    /// Time from power on to the first test, and between two tests.
    pub boot_timeout_s: u64,
}

impl Default for Qemu {
    fn default() -> Self {
        Qemu { binary: "qemu-system-x86_64".into(), boot_timeout_s: 60 }
    }
}

/// Where a Xen comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Debian's archive.
    Debian(DebianPackage),
    /// A file or folder.
    Path(PathBuf),
}

/// A Xen to run on.
#[derive(Clone, Debug)]
pub struct Hypervisor {
    /// As the user calls it.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Where its xen-syms comes from.
    pub symbols: Option<Origin>,
    /// Arguments that it always gets.
    pub cmdline: String,
}

/// The configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// Folder of the file; logs, cache and image are below it.
    pub workspace: PathBuf,
    /// What QEMU to run.
    pub qemu: Qemu,
    defaults: Vec<String>,
    hypervisors: BTreeMap<String, Hypervisor>,
}

impl Config {
    /// Reads `explicit`, or the nearest file above the working directory or the runner, or the
    /// built-in one.
    pub fn load(explicit: Option<&Path>) -> Result<Config> {
        let here = env::current_dir().io("find", Path::new("the working directory"))?;
        let found = match explicit {
            Some(path) => Some(here.join(path)),
            None => {
                let exe = env::current_exe().ok();
                let above = |start: &Path| {
                    start.ancestors().map(|dir| dir.join(FILE)).find(|file| file.is_file())
                };
                above(&here).or_else(|| above(exe.as_deref()?))
            }
        };
        match found {
            Some(path) => {
                let text = fs::read_to_string(&path).map_err(|e| {
                    Error::Usage(format!("cannot read configuration {}: {e}", path.display()))
                })?;
                let workspace = path.parent().unwrap_or(&here).to_owned();
                Config::parse(&text, &path.display().to_string(), workspace)
            }
            None => Config::parse(BUILT_IN, "built-in configuration", here),
        }
    }

    fn parse(text: &str, origin: &str, workspace: PathBuf) -> Result<Config> {
        let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let complain =
            |offset: usize, why: &str| Error::Usage(format!("{origin}:{}: {why}", line_of(offset)));
        let file: File = toml::from_str(text)
            .map_err(|e| complain(e.span().map_or(0, |span| span.start), e.message()))?;

        let mut hypervisors = BTreeMap::new();
        for (name, entry) in file.hypervisor {
            let offset = entry.span().start;
            let HypervisorEntry { debian, path, symbols, cmdline } = entry.into_inner();
            let (origin, symbols) = match (debian, path) {
                (Some(debian), None) => {
                    let suite = debian.suite.clone();
                    let package = |package| Origin::Debian(DebianPackage { suite, package });
                    let symbols = symbols.map(package);
                    (Origin::Debian(debian), symbols)
                }
                (None, Some(path)) => {
                    let symbols = symbols.map(|path| Origin::Path(workspace.join(path)));
                    (Origin::Path(workspace.join(path)), symbols)
                }
                _ => {
                    let why = format!(
                        "hypervisor `{name}` needs exactly one of `debian = {{ suite, package }}` \
                         and `path`"
                    );
                    return Err(complain(offset, &why));
                }
            };
            hypervisors.insert(name.clone(), Hypervisor { name, origin, symbols, cmdline });
        }
        for default in &file.default_xen {
            if !hypervisors.contains_key(default.get_ref()) {
                let why =
                    format!("default-xen names `{}`, {}", default.get_ref(), known(&hypervisors));
                return Err(complain(default.span().start, &why));
            }
        }
        if file.qemu.boot_timeout_s == 0 {
            return Err(Error::Usage(format!("{origin}: qemu.boot-timeout-s must not be 0")));
        }
        let mut qemu = file.qemu;
        if qemu.binary.components().count() > 1 {
            qemu.binary = workspace.join(&qemu.binary);
        }
        let defaults = file.default_xen.into_iter().map(Spanned::into_inner).collect();
        Ok(Config { workspace, qemu, defaults, hypervisors })
    }

    /// The Xens that the user asked for, or the default ones.
    pub fn select(&self, wanted: &[String]) -> Result<Vec<Hypervisor>> {
        let wanted = if wanted.is_empty() { &self.defaults } else { wanted };
        if wanted.is_empty() {
            return Err(Error::Usage(
                "no Xen: name one with --xen, or set default-xen in xtf-runner.toml".into(),
            ));
        }
        let every: Vec<String> = self.hypervisors.keys().cloned().collect();
        let names = wanted.iter().flat_map(|name| match name == EVERY && !every.contains(name) {
            true => every.as_slice(),
            false => std::slice::from_ref(name),
        });
        let mut chosen: Vec<Hypervisor> = Vec::new();
        for name in names {
            if chosen.iter().any(|other| other.name == *name) {
                continue;
            }
            let path = Path::new(name);
            chosen.push(match self.hypervisors.get(name) {
                Some(hypervisor) => hypervisor.clone(),
                None if name.contains('/') || path.exists() => Hypervisor {
                    name: name.clone(),
                    origin: Origin::Path(path.to_owned()),
                    symbols: None,
                    cmdline: String::new(),
                },
                None => {
                    return Err(Error::Usage(format!(
                        "no Xen `{name}`: it is no file, and {}",
                        known(&self.hypervisors)
                    )));
                }
            });
        }
        Ok(chosen)
    }
}

fn known(hypervisors: &BTreeMap<String, Hypervisor>) -> String {
    let names: Vec<&str> = hypervisors.keys().map(String::as_str).collect();
    if names.is_empty() {
        "the configuration names no hypervisor".into()
    } else {
        format!("the configuration knows {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, "x.toml", "/ws".into())
    }

    #[test]
    fn the_built_in_configuration_is_good() {
        let config = parse(BUILT_IN).unwrap();
        assert!(!config.select(&[]).unwrap().is_empty());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse("[hypervisor.x]\npath = 'a/xen'\n[qemu]\nbinary = './q'").unwrap();
        let xen = &config.select(&["x".into()]).unwrap()[0];
        assert!(matches!(&xen.origin, Origin::Path(path) if path == Path::new("/ws/a/xen")));
        assert_eq!(config.qemu.binary, Path::new("/ws/./q"));
    }

    #[test]
    fn all_means_every_configured_one() {
        let config = parse(BUILT_IN).unwrap();
        let names: Vec<String> =
            config.select(&["all".into()]).unwrap().into_iter().map(|xen| xen.name).collect();
        assert_eq!(names, ["4.14", "4.17", "4.20"]);
        let more = config.select(&["4.17".into(), "all".into(), "/some/xen".into()]).unwrap();
        let names: Vec<String> = more.into_iter().map(|xen| xen.name).collect();
        assert_eq!(names, ["4.17", "4.14", "4.20", "/some/xen"]);
    }

    #[test]
    fn symbols_come_from_where_their_xen_does() {
        let config = parse(
            "[hypervisor.x]\npath = 'a/xen'\nsymbols = 'a/xen-syms'\n[hypervisor.y]\n\
             debian = { suite = 's', package = 'p' }\nsymbols = 'p-dbg'",
        );
        let xens = config.unwrap().select(&["x".into(), "y".into()]).unwrap();
        let Some(Origin::Path(path)) = &xens[0].symbols else { panic!("{:?}", xens[0]) };
        assert_eq!(path, Path::new("/ws/a/xen-syms"));
        let Some(Origin::Debian(package)) = &xens[1].symbols else { panic!("{:?}", xens[1]) };
        assert_eq!((package.suite.as_str(), package.package.as_str()), ("s", "p-dbg"));
    }

    #[test]
    fn mistakes_are_placed_and_explained() {
        for (text, why) in [
            (
                "default-xen = []\nfoo = 1",
                "x.toml:2: unknown field `foo`, expected one of `default-xen`",
            ),
            ("[hypervisor.x]\npath = '/x'\nsuite = 'y'", "x.toml:3: unknown field `suite`"),
            ("[hypervisor.x]\ncmdline = ''", "x.toml:1: hypervisor `x` needs exactly one of"),
            ("\ndefault-xen = ['y']", "x.toml:2: default-xen names `y`"),
            ("[qemu]\nboot-timeout-s = 'x'", "x.toml:2: invalid type"),
            ("[qemu", "x.toml:1: "),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().starts_with(why), "{error}");
            assert_eq!(error.exit(), crate::exit::Exit::Usage);
        }
    }
}
