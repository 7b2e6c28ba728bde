//! `xtf-runner.toml`: which Xens there are, and how QEMU is run.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use livepatch::change::Change;
use protocol::change::Statement;
use protocol::cmdline::CHANGES;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::pattern::Pattern;
use crate::base::position::line_of;
use crate::base::suggest;
use crate::image::{Image, TestMeta};
use crate::plan::loader::Loader;
use crate::plan::spec::{MachineSpec, Settings, TestSettings, join};
use crate::plan::xens;

/// Name of the configuration file.
const FILE: &str = "xtf-runner.toml";
/// Instead of a name: every configured Xen.
pub const EVERY: &str = "all";
/// The project's own file is also the default where there is none.
pub const BUILT_IN: &str = include_str!("../../../xtf-runner.toml");

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// The Xens of a run without `--xen`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    default_xen: Vec<Spanned<String>>,
    /// One table for each Xen; its name is what `--xen` takes.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, HypervisorEntry>")]
    hypervisor: BTreeMap<String, Spanned<HypervisorEntry>>,
    /// A table for the tests whose names a pattern matches (`*` matches any text). Where several
    /// tables match, command lines and QEMU arguments add up, and of the rest the last one counts.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, TestEntry>")]
    test: BTreeMap<String, Spanned<TestEntry>>,
    /// Settings for QEMU.
    #[serde(default)]
    qemu: Qemu,
    /// Known outcomes of tests; relative to this file.
    expectations: Option<PathBuf>,
}

/// A `[hypervisor.NAME]` table. Needs exactly one of `debian` and `path`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HypervisorEntry {
    /// A package of Debian's, fetched with apt and unpacked without being installed.
    debian: Option<DebianPackage>,
    /// A xen, xen.gz, xen.efi or package, or a folder with a Xen (docs/xens.md); relative to this file.
    path: Option<PathBuf>,
    /// What loads it. `efi` takes the xen.efi of a package or folder, the others its xen or xen.gz.
    /// `--loader` overrides it [default: `efi` for the path of a xen.efi, else `direct`].
    loader: Option<Loader>,
    /// Where `coverage`, `fuzz`, `mutate` and `run` find the xen-syms: for a package, the package
    /// with its symbols; for a path,
    /// a path. If that file has line tables, addresses in a panic of this Xen are shown with file
    /// and line.
    symbols: Option<String>,
    /// The package with the xl that goes with this Xen, for `--backend qemu-xl`. Debian's
    /// xen-hypervisor-X-amd64 uses xen-utils-X of its suite by default.
    toolstack: Option<DebianPackage>,
    /// Files that this Xen gets behind the guest as modules, in this order: microcode, a FLASK policy;
    /// relative to this file. Xen tells a policy by its content; for microcode say in `cmdline` which
    /// module it is (`ucode=N`; the guest is module 0) or `ucode=scan`.
    #[serde(default)]
    modules: Vec<PathBuf>,
    /// Added to this Xen's command line. A boot is an error if its Xen does not print this command
    /// line or refuses an option in it.
    #[serde(default)]
    cmdline: String,
    /// Added to the guest's command line.
    #[serde(default)]
    guest_cmdline: String,
    /// CPUs of the machine, for tests that don't ask for more.
    vcpus: Option<NonZeroU32>,
    /// Memory of the machine [default: the least that the environment needs].
    memory_mib: Option<NonZeroU32>,
    /// Further arguments for QEMU.
    #[serde(default)]
    qemu_args: Vec<String>,
    /// Changes that this Xen has though its release has not (`+name`), or lacks though its release
    /// has them (`-name`); docs/changes.md lists the names. What the guest sees must agree.
    #[serde(default)]
    changes: Vec<String>,
}

/// A `[test."GLOB"]` table. Tests whose settings differ in anything but `timeout-s` do not share a
/// boot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TestEntry {
    /// Added to Xen's command line, behind the hypervisor's.
    #[serde(default)]
    xen_cmdline: String,
    /// Added to the guest's command line, behind the hypervisor's.
    #[serde(default)]
    guest_cmdline: String,
    /// CPUs of the machine, instead of what the test asks for.
    vcpus: Option<NonZeroU32>,
    /// Memory of the machine, instead of the hypervisor's.
    memory_mib: Option<NonZeroU32>,
    /// Further arguments for QEMU, behind the hypervisor's.
    #[serde(default)]
    qemu_args: Vec<String>,
    /// Time limit for the test, in place of its own; `--timeout` overrides it.
    timeout_s: Option<NonZeroU64>,
}

/// A package in Debian's archive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DebianPackage {
    /// Code name of the release.
    pub suite: String,
    /// Name of the binary package.
    pub package: String,
}

impl DebianPackage {
    /// The package with the toolstack for this one, if this is a hypervisor of Debian's.
    fn toolstack(&self) -> Option<DebianPackage> {
        let name = self.package.strip_prefix("xen-hypervisor-")?;
        let (release, _) = name.split_once('-')?;
        Some(DebianPackage { suite: self.suite.clone(), package: format!("xen-utils-{release}") })
    }
}

/// The `[qemu]` table.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Qemu {
    /// Program, by path or name.
    pub binary: PathBuf,
    /// Time limit from power on to the first test, and between two tests.
    #[schemars(range(min = 1))]
    pub boot_timeout_s: u64,
    /// UEFI firmware for `loader = "efi"`: an image, or a descriptor of one as QEMU defines it;
    /// relative to this file [default: the first fitting one that the host's descriptors name].
    pub firmware: Option<PathBuf>,
}

impl Default for Qemu {
    fn default() -> Self {
        Qemu { binary: "qemu-system-x86_64".into(), boot_timeout_s: 60, firmware: None }
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
    /// Where the xl for it comes from.
    pub toolstack: Option<DebianPackage>,
    /// What its machines have besides what a test asks for.
    pub machine: Settings,
    /// What is stated about its changes, each as `+NAME` or `-NAME`.
    pub changes: Vec<String>,
    /// Modules for it, behind the guest.
    pub modules: Vec<PathBuf>,
    /// What loads it.
    pub loader: Loader,
    /// Whether nobody has asked for that loader, and its file takes no other.
    pub loader_is_implied: bool,
}

impl Hypervisor {
    /// A Xen that runs already, of which nothing more is known here.
    pub fn elsewhere(name: &str) -> Hypervisor {
        Hypervisor {
            name: name.to_owned(),
            origin: Origin::Path(PathBuf::new()),
            symbols: None,
            toolstack: None,
            machine: Settings::default(),
            changes: Vec::new(),
            modules: Vec::new(),
            loader: Loader::default(),
            loader_is_implied: false,
        }
    }

    /// The one at `path`, which has no name yet, loaded by what is `wanted`.
    fn at(path: &Path, wanted: Option<Loader>) -> Hypervisor {
        let origin = Origin::Path(path.to_owned());
        let xen = Hypervisor { origin, ..Hypervisor::elsewhere("") }.loaded_by(wanted);
        Hypervisor { symbols: xens::symbols_with(path, xen.loader).map(Origin::Path), ..xen }
    }

    /// The same, loaded by what is `wanted`, or else by what its file takes.
    fn loaded_by(self, wanted: Option<Loader>) -> Hypervisor {
        let implied = wanted.is_none()
            && matches!(&self.origin, Origin::Path(path) if xens::takes_efi_only(path));
        let loader = if implied { Loader::Efi } else { wanted.unwrap_or_default() };
        Hypervisor { loader, loader_is_implied: implied, ..self }
    }
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the file; logs, cache and image are below it. Without a file, the working directory.
    pub workspace: PathBuf,
    /// Whether there is no file.
    is_built_in: bool,
    /// What QEMU to run.
    pub qemu: Qemu,
    tests: Vec<TestSettings>,
    /// The file with the known outcomes, if the configuration names one.
    pub expectations: Option<PathBuf>,
    defaults: Vec<String>,
    /// Each with what the file says of its loader.
    hypervisors: BTreeMap<String, (Hypervisor, Option<Loader>)>,
    /// What loads every Xen, whatever the file says.
    loader: Option<Loader>,
}

impl Config {
    /// The same, with this loader for every Xen if one is wanted.
    pub fn loading(self, wanted: Option<Loader>) -> Config {
        Config { loader: wanted, ..self }
    }

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
            None => Config::built_in(here),
        }
    }

    /// What counts where no file is found, in the folder `here`.
    pub fn built_in(here: PathBuf) -> Result<Config> {
        let config = Config::parse(BUILT_IN, "built-in configuration", here)?;
        Ok(Config { is_built_in: true, ..config })
    }

    fn parse(text: &str, origin: &str, workspace: PathBuf) -> Result<Config> {
        let line_of = |offset: usize| line_of(text, offset);
        let complain =
            |offset: usize, why: &str| Error::Usage(format!("{origin}:{}: {why}", line_of(offset)));
        let file: File = toml::from_str(text).map_err(|e| {
            complain(e.span().map_or(0, |span| span.start), &suggest::for_key(e.message()))
        })?;

        let mut hypervisors = BTreeMap::new();
        for (name, entry) in file.hypervisor {
            let offset = entry.span().start;
            let entry = entry.into_inner();
            let loader = entry.loader;
            let hypervisor = hypervisor(name.clone(), entry, &workspace)
                .map_err(|why| complain(offset, &why))?;
            hypervisors.insert(name, (hypervisor, loader));
        }
        let mut entries: Vec<(String, Spanned<TestEntry>)> = file.test.into_iter().collect();
        entries.sort_by_key(|(_, entry)| entry.span().start);
        let mut tests = Vec::new();
        for (pattern, entry) in entries {
            let offset = entry.span().start;
            let pattern = Pattern::new(&pattern).map_err(|why| complain(offset, &why))?;
            let entry = entry.into_inner();
            check_qemu_args(&entry.qemu_args).map_err(|why| complain(offset, &why))?;
            tests.push(TestSettings {
                tests: pattern,
                machine: Settings {
                    xen_cmdline: entry.xen_cmdline,
                    guest_cmdline: entry.guest_cmdline,
                    vcpus: entry.vcpus,
                    memory_mib: entry.memory_mib,
                    qemu_args: entry.qemu_args,
                },
                timeout_s: entry.timeout_s,
                origin: format!("{origin}:{}", line_of(offset)),
            });
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
        qemu.firmware = qemu.firmware.map(|path| workspace.join(path));
        let defaults = file.default_xen.into_iter().map(Spanned::into_inner).collect();
        let expectations = file.expectations.map(|path| workspace.join(path));
        let loader = None;
        let is_built_in = false;
        Ok(Config {
            workspace,
            is_built_in,
            qemu,
            expectations,
            tests,
            defaults,
            hypervisors,
            loader,
        })
    }

    /// Whether no file was found, and what is built in counts.
    pub fn is_built_in(&self) -> bool {
        self.is_built_in
    }

    /// The folder for what was fetched: the workspace's own, or the user's where there is none.
    pub fn cache(&self) -> PathBuf {
        let own = self.workspace.join(".cache");
        if !self.is_built_in {
            return own;
        }
        let absolute =
            |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || Some(absolute("HOME")?.join(".cache"));
        absolute("XDG_CACHE_HOME").or_else(home).map_or(own, |caches| caches.join("xtf-rs"))
    }

    /// The folder for logs: the one that is `wanted`, or the workspace's own.
    pub fn logs(&self, wanted: Option<&Path>) -> PathBuf {
        wanted.map_or_else(|| self.workspace.join("logs"), Path::to_owned)
    }

    /// Whether `xens` are all that the configuration names, and perhaps more.
    pub fn are_all(&self, xens: &[Hypervisor]) -> bool {
        self.hypervisors.keys().all(|name| xens.iter().any(|xen| xen.name == *name))
    }

    /// Refuses settings for tests that `image` does not have: they would be lost in silence.
    pub fn check_tests(&self, image: &Image) -> Result<()> {
        for TestSettings { tests, origin, .. } in &self.tests {
            if !image.tests.iter().any(|test| tests.matches(&test.name)) {
                let why = format!(
                    "{origin}: no test in {} matches `{tests}`; see `xtf-runner list`",
                    image.path.display()
                );
                return Err(Error::Usage(why));
            }
        }
        Ok(())
    }

    /// The machine for `test` on `xen`.
    pub fn machine(&self, xen: &Hypervisor, test: &TestMeta) -> MachineSpec {
        MachineSpec::of(test, &xen.machine, &self.tests)
    }

    /// Time for `test`.
    pub fn test_time(&self, test: &TestMeta) -> Duration {
        let matching = self.tests.iter().rev().filter(|entry| entry.tests.matches(&test.name));
        let set = matching.filter_map(|entry| entry.timeout_s).next();
        Duration::from_secs(set.map_or(test.timeout_s, NonZeroU64::get))
    }

    /// How a user names `xen` alone, of which `wanted` was said: it is called as it was.
    pub fn word_for(&self, xen: &Hypervisor, wanted: &[String]) -> String {
        let own = |word: &&String| named(word).is_some_and(|(name, _)| name == xen.name);
        match &xen.origin {
            _ if self.hypervisors.contains_key(&xen.name) => xen.name.clone(),
            Origin::Path(path) => wanted
                .iter()
                .find(own)
                .cloned()
                .unwrap_or_else(|| self.word_for_path(path, &xen.name)),
            Origin::Debian(_) => xen.name.clone(),
        }
    }

    fn word_for_path(&self, path: &Path, name: &str) -> String {
        let taken = |name: &str| self.hypervisors.contains_key(name);
        let alone = xens::names(&[path.to_owned()], &taken);
        let path = path.to_string_lossy();
        // Among others it may have had a longer name.
        if alone == [name] { path.into_owned() } else { format!("{name}={path}") }
    }

    /// The Xens that the user asked for, or the default ones.
    pub fn select(&self, wanted: &[String]) -> Result<Vec<Hypervisor>> {
        let wanted = if wanted.is_empty() { &self.defaults } else { wanted };
        if wanted.is_empty() {
            return Err(Error::Usage(
                "no Xen is selected; name one with --xen, or set default-xen in xtf-runner.toml"
                    .into(),
            ));
        }
        let every: Vec<String> = self.hypervisors.keys().cloned().collect();
        let names = wanted.iter().flat_map(|name| match name == EVERY && !every.contains(name) {
            true => every.as_slice(),
            false => std::slice::from_ref(name),
        });
        let mut chosen: Vec<Hypervisor> = Vec::new();
        // Where in `chosen` there are Xens that have no name yet, and their paths.
        let mut unnamed: Vec<(usize, PathBuf)> = Vec::new();
        for name in names {
            let path = Path::new(name);
            match self.hypervisors.get(name) {
                Some((hypervisor, loader)) if chosen.iter().all(|other| other.name != *name) => {
                    chosen.push(hypervisor.clone().loaded_by(self.loader.or(*loader)));
                }
                Some(_) => {}
                None if let Some((own, path)) = named(name) => {
                    let found = xens::each_in(path, self.loader);
                    let [path] = found.as_slice() else {
                        return Err(Error::Usage(format!(
                            "--xen {name}: there are {} Xens in {}, and one name for them; name one",
                            found.len(),
                            path.display()
                        )));
                    };
                    // That of a configured one would be a riddle in every report.
                    let mut taken = chosen.iter().map(|other| other.name.as_str());
                    if self.hypervisors.contains_key(own) || taken.any(|other| other == own) {
                        return Err(Error::Usage(format!("--xen: two Xens are called {own}")));
                    }
                    let xen = Hypervisor::at(path, self.loader);
                    chosen.push(Hypervisor { name: own.to_owned(), ..xen });
                }
                None if name.contains('/') || path.exists() => {
                    for path in xens::each_in(path, self.loader) {
                        if unnamed.iter().all(|(_, other)| *other != path) {
                            chosen.push(Hypervisor::at(&path, self.loader));
                            unnamed.push((chosen.len() - 1, path));
                        }
                    }
                }
                None => {
                    return Err(Error::Usage(format!(
                        "unknown Xen `{name}`: there is no such file, and {}",
                        known(&self.hypervisors)
                    )));
                }
            }
        }
        let (places, paths): (Vec<usize>, Vec<PathBuf>) = unnamed.into_iter().unzip();
        let short = xens::names(&paths, &|name| {
            let mut named = chosen.iter().map(|xen| &xen.name);
            self.hypervisors.contains_key(name) || named.any(|other| other == name)
        });
        for (place, name) in places.into_iter().zip(short) {
            chosen[place].name = name;
        }
        Ok(chosen)
    }
}

/// The name and the path in `NAME=PATH`, unless that is itself the path of something.
fn named(word: &str) -> Option<(&str, &Path)> {
    let (name, path) = word.split_once('=').filter(|_| !Path::new(word).exists())?;
    let is_name = !name.is_empty() && !name.starts_with(['/', '.', '~']) && !path.is_empty();
    is_name.then_some((name, Path::new(path)))
}

/// What the file may hold, as a JSON schema.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

fn known<V>(hypervisors: &BTreeMap<String, V>) -> String {
    let names: Vec<&str> = hypervisors.keys().map(String::as_str).collect();
    if names.is_empty() {
        "the configuration defines no hypervisor".into()
    } else {
        format!("the configuration defines {}", names.join(", "))
    }
}

/// The hypervisor that is configured by `entry`, or what is wrong with that.
fn hypervisor(
    name: String,
    entry: HypervisorEntry,
    workspace: &Path,
) -> std::result::Result<Hypervisor, String> {
    let toolstack =
        entry.toolstack.or_else(|| entry.debian.as_ref().and_then(DebianPackage::toolstack));
    let (origin, symbols) = match (entry.debian, entry.path) {
        (Some(debian), None) => {
            let suite = debian.suite.clone();
            let package = |package| Origin::Debian(DebianPackage { suite, package });
            let symbols = entry.symbols.map(package);
            (Origin::Debian(debian), symbols)
        }
        (None, Some(path)) => {
            let symbols = entry.symbols.map(|path| Origin::Path(workspace.join(path)));
            (Origin::Path(workspace.join(path)), symbols)
        }
        _ => {
            return Err(format!(
                "hypervisor `{name}` needs exactly one of `debian = {{ suite, package }}` and `path`"
            ));
        }
    };
    let stated = stated(&name, &entry.changes)?;
    check_qemu_args(&entry.qemu_args)?;
    let modules = entry.modules.iter().map(|module| workspace.join(module)).collect();
    let machine = Settings {
        xen_cmdline: entry.cmdline,
        guest_cmdline: join([&entry.guest_cmdline, &stated]),
        vcpus: entry.vcpus,
        memory_mib: entry.memory_mib,
        qemu_args: entry.qemu_args,
    };
    let changes = entry.changes;
    let own = Hypervisor::elsewhere(&name);
    Ok(Hypervisor { origin, symbols, toolstack, machine, changes, modules, ..own })
}

/// Refuses arguments for QEMU of which the runner gives its own, behind these: QEMU takes the last.
fn check_qemu_args(args: &[String]) -> std::result::Result<(), String> {
    for (option, instead) in [
        ("kernel", "name the Xen with `path` or `debian`"),
        ("append", "use `cmdline`, or `xen-cmdline` of a test"),
        ("initrd", "use `modules`"),
    ] {
        let is_it = |arg: &&String| arg.trim_start_matches('-') == option && arg.starts_with('-');
        if let Some(arg) = args.iter().find(is_it) {
            return Err(format!(
                "`qemu-args` holds {arg}, which the runner sets itself; {instead}"
            ));
        }
    }
    Ok(())
}

/// The guest's word for what is stated about the changes of a hypervisor, or what is wrong with it.
fn stated(hypervisor: &str, changes: &[String]) -> std::result::Result<String, String> {
    let mut names = Vec::new();
    for word in changes {
        let Some(Statement { name, .. }) = Statement::parse(word) else {
            return Err(format!(
                "hypervisor `{hypervisor}`: `{word}` in `changes` is neither `+NAME` nor `-NAME`"
            ));
        };
        if Change::named(name).is_none() {
            let known = Change::TABLE.iter().map(|entry| entry.name);
            let hint = suggest::did_you_mean(name, known, "see docs/changes.md");
            return Err(format!("hypervisor `{hypervisor}`: unknown change `{name}`; {hint}"));
        }
        if names.contains(&name) {
            return Err(format!("hypervisor `{hypervisor}`: `changes` names `{name}` twice"));
        }
        names.push(name);
    }
    if changes.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("{CHANGES}={}", changes.join(",")))
}

#[cfg(test)]
mod tests;
