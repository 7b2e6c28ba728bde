//! Which boot is meant: that of a folder of logs, or the one that a selection takes.

use std::fs;
use std::path::{Path, PathBuf};

use protocol::programs::LIVEPATCH_REPLAY;

use super::refuse;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::output::note;
use crate::base::signals::StopSignal;
use crate::cli::DebugArgs;
use crate::commands::replay;
use crate::image::Role;
use crate::machine::backend::Backend;
use crate::machine::boot::Limits;
use crate::machine::logs::{BootLogs, CONSOLE, IMAGE_LINK, RunLogs, link_again, linked};
use crate::machine::qemu::Qemu;
use crate::machine::recipe::{self, Recipe};
use crate::machine::rewind::Recording;
use crate::machine::testbed::{ChosenXen, Testbed};
use crate::plan;
use crate::plan::Sharing;
use crate::plan::config::Config;
use crate::plan::select::{Selected, Wanted};

/// The folder in that of a boot in which `run --record-failures` has recorded it.
pub const RECORDED: &str = "recording";
/// Bytes of a megabyte.
pub const MB: u64 = 1 << 20;

/// A boot to look at.
#[derive(Debug)]
pub struct Subject {
    /// How it is made.
    pub recipe: Recipe,
    /// The folder for the recording, or with it.
    pub dir: PathBuf,
    /// What QEMU says of itself today.
    version: String,
}

/// What there is of it.
#[derive(Debug)]
pub enum Found {
    /// A recording.
    Recording(Recording),
    /// A boot that is not recorded yet.
    Unrecorded(Box<Unrecorded>),
}

/// What it takes to record a boot.
#[derive(Debug)]
pub struct Unrecorded {
    /// What its console said when it was made before, if it was.
    pub before: Option<Vec<u8>>,
    /// The logs of the recording.
    pub logs: BootLogs,
}

impl Subject {
    /// What `args` mean.
    pub fn of(args: &DebugArgs, config: &Config, stop: &StopSignal) -> Result<(Subject, Found)> {
        match args.what.as_slice() {
            [only] if Path::new(only).is_file() => {
                Self::of_program(args, config, Path::new(only), stop)
            }
            [only] if Path::new(only).is_dir() || only.contains('/') && !is_selector(only) => {
                Self::of_logs(args, config, &the_boot(Path::new(only))?, stop)
            }
            _ => Self::of_selection(args, config, stop),
        }
    }

    /// The boot whose logs are in the folder `from`.
    fn of_logs(
        args: &DebugArgs,
        config: &Config,
        from: &Path,
        stop: &StopSignal,
    ) -> Result<(Subject, Found)> {
        // `run --record-failures` has recorded it there.
        let beside = from.join(RECORDED);
        let (from, recording) = match Recording::read(&beside)? {
            Some(recording) => (beside.as_path(), Some(recording)),
            None => (from, Recording::read(from)?),
        };
        let mut recipe = Recipe::read(from)?;
        refuse(&recipe, &from.display().to_string())?;
        if let Some(path) = &args.qemu {
            recipe.program.clone_from(path);
        }
        let version = Qemu::of(Some(&recipe.program), config).probe()?;
        if let Some(recording) = recording {
            let dir = from.to_owned();
            return Ok((Subject { recipe, dir, version }, Found::Recording(recording)));
        }
        if version != recipe.qemu {
            note(&format!(
                "that boot was made by {}, and this is {version}: it may end in another way",
                recipe.qemu
            ));
            recipe.qemu.clone_from(&version);
        }
        let console = from.join(CONSOLE);
        let before = fs::read(&console).io("read", &console)?;
        let dir = new_folder(args, config, stop, &title_of(from))?;
        let logs = BootLogs::create(dir.clone(), None, None)?;
        link_again(from, &dir)?;
        let found = Found::Unrecorded(Box::new(Unrecorded { before: Some(before), logs }));
        Ok((Subject { recipe, dir, version }, found))
    }

    /// The boot whose logs are in the folder `from`, to be recorded in a folder beside them that can be
    /// taken elsewhere: with the files themselves, which have at most `limit` bytes.
    ///
    /// # Errors
    /// It can't be recorded, or not within the limit.
    pub fn beside(from: &Path, limit: u64) -> Result<(Subject, Unrecorded)> {
        let recipe = Recipe::read(from)?;
        refuse(&recipe, &from.display().to_string())?;
        let console = from.join(CONSOLE);
        let before = fs::read(&console).io("read", &console)?;
        let files = linked(from)?;
        let size: u64 =
            files.iter().filter_map(|(_, target)| Some(target.metadata().ok()?.len())).sum();
        if size > limit {
            return Err(Error::Usage(format!(
                "its files have {} MB, and {} MB are left of --record-limit",
                size.div_ceil(MB),
                limit / MB
            )));
        }
        let dir = from.join(RECORDED);
        let logs = BootLogs::create(dir.clone(), None, None)?;
        for (name, target) in &files {
            fs::copy(target, dir.join(name)).io("copy", target)?;
        }
        let version = recipe.qemu.clone();
        Ok((Subject { recipe, dir, version }, Unrecorded { before: Some(before), logs }))
    }

    /// The one boot that a selection takes.
    fn of_selection(
        args: &DebugArgs,
        config: &Config,
        stop: &StopSignal,
    ) -> Result<(Subject, Found)> {
        let rig = testbed(args)?;
        let wanted = Wanted { selectors: &args.what, exclude: &[], all: false };
        let tests = plan::choose_for(&rig.image, wanted, Role::ControlDomain, &[args.env])?;
        let run = RunLogs::create(&config.logs(args.logs.logs.as_deref()), stop)?;
        rig.image.must_have(&[args.env])?;
        let image = run.small(rig.image.of(args.env)).to_owned();
        let what = args.what.join(" ");
        Self::of_tests(args, &rig, &tests, &what, &run, &image, stop)
    }

    /// A boot that performs the program in the file at `path`.
    fn of_program(
        args: &DebugArgs,
        config: &Config,
        path: &Path,
        stop: &StopSignal,
    ) -> Result<(Subject, Found)> {
        let program = replay::program_in(path)?;
        let mut rig = testbed(args)?;
        let bytes = replay::prepare(&mut rig, &program)?;
        let tests = [Selected::whole(&rig.image, LIVEPATCH_REPLAY)?];
        let run = RunLogs::create(&config.logs(args.logs.logs.as_deref()), stop)?;
        let image = run.dir().join(IMAGE_LINK);
        fs::write(&image, bytes).io("write", &image)?;
        let what = path.display().to_string();
        Self::of_tests(args, &rig, &tests, &what, &run, &image, stop)
    }

    /// The one boot that `tests` of the file `image` take, which the user calls `what`.
    fn of_tests(
        args: &DebugArgs,
        rig: &Testbed,
        tests: &[Selected],
        what: &str,
        run: &RunLogs,
        image: &Path,
        stop: &StopSignal,
    ) -> Result<(Subject, Found)> {
        let xen = rig.on.with(rig.on.obtain()?);
        let boots = rig.boots(&xen, tests, &[args.env], Sharing::Allowed);
        let environment = args.env.name();
        let [boot] = boots.as_slice() else {
            return Err(Error::Usage(match boots.len() {
                0 => format!("{what} does not run as {environment}; name another --env"),
                several => format!(
                    "debug needs a single boot, and {what} takes {several}; name one test, or the \
                     folder with the logs of a boot"
                ),
            }));
        };
        let names: Vec<&str> = boot.tests.iter().map(|test| test.name()).collect();
        let name = names.first().filter(|_| names.len() == 1).unwrap_or(&"debug");
        let title = format!("{}-{environment}-{name}", xen.name());
        let mut logs = BootLogs::create(run.boot(1, &title), Some(&xen), Some(image))?;
        let time = rig.test_time(None);
        let of_test = |name: &str| {
            let test = rig.image.tests.iter().find(|test| test.name == name);
            test.map_or_else(|| rig.boot_time(), &time)
        };
        let limits = Limits::new(rig.boot_time(), &of_test);
        let dom0 = rig.dom0();
        let prepared = dom0.prepare(boot, &limits, stop, &mut logs)?;
        if let Err(why) = prepared.start {
            return Err(Error::Usage(format!("{why}; name another --env or --xen")));
        }
        let dir = logs.dir().to_owned();
        let recipe = Recipe::read(&dir)?;
        refuse(&recipe, what)?;
        let version = rig.version.clone();
        let found = Found::Unrecorded(Box::new(Unrecorded { before: None, logs }));
        Ok((Subject { recipe, dir, version }, found))
    }

    /// Checks that today's QEMU understands a recording of then.
    pub fn check_qemu(&self) -> Result<()> {
        if self.version == self.recipe.qemu {
            return Ok(());
        }
        Err(Error::Tool(format!(
            "the recording in {} was made by {}, and only the same version can replay it; this is {}. \
             Name that one with --qemu PATH, or record again from the logs of the boot",
            self.dir.display(),
            self.recipe.qemu,
            self.version
        )))
    }
}

/// The Xen, the image and the QEMU that `args` name.
fn testbed(args: &DebugArgs) -> Result<Testbed> {
    let config = args.places.config.as_deref();
    let on = ChosenXen::of(config, args.xen.as_deref(), None, args.fetch.look())?;
    Testbed::of(on, args.places.image.as_deref(), args.qemu.as_deref())
}

/// Whether a word with a slash selects a case, and is no path.
fn is_selector(word: &str) -> bool {
    !(word.starts_with(['/', '.']) || Path::new(word).exists() || word.contains("logs/"))
}

/// The folder of the boot that `path` means: its own, a part of its name, or that of a run with one
/// boot.
fn the_boot(path: &Path) -> Result<PathBuf> {
    let (folder, start) = match path.is_dir() {
        true if is_boot(path) => {
            return path.canonicalize().io("resolve", path);
        }
        true => (path, String::new()),
        // Boots are called by their numbers.
        false => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (path.parent().unwrap_or(path), name)
        }
    };
    let entries = fs::read_dir(folder).io("look for a boot in", folder)?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut boots: Vec<PathBuf> =
        names.filter(|path| title_of(path).starts_with(&start) && is_boot(path)).collect();
    boots.sort();
    match boots.as_slice() {
        [one] => one.canonicalize().io("resolve", one),
        [] => Err(Error::Data(format!(
            "there is no folder of a boot in {} that begins with `{start}`",
            folder.display()
        ))),
        several => Err(Error::Data(format!(
            "{} holds {} boots; name one of them: {}",
            folder.display(),
            several.len(),
            several.iter().map(|path| title_of(path)).collect::<Vec<_>>().join(" ")
        ))),
    }
}

/// Whether a boot had its logs in `folder`.
fn is_boot(folder: &Path) -> bool {
    [recipe::FILE, CONSOLE].iter().any(|file| folder.join(file).exists())
}

fn title_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A folder in a new run's for what is recorded of the boot in the folder called `title`.
fn new_folder(
    args: &DebugArgs,
    config: &Config,
    stop: &StopSignal,
    title: &str,
) -> Result<PathBuf> {
    let run = RunLogs::create(&config.logs(args.logs.logs.as_deref()), stop)?;
    let title = title.split_once('-').map_or(title, |(_, title)| title);
    Ok(run.boot(1, title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_meant_by_its_number_or_as_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["001-a", "002-b"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join(recipe::FILE), "").unwrap();
        }
        fs::write(root.join("xtf"), "").unwrap();
        assert_eq!(the_boot(&root.join("002-b")).unwrap(), root.join("002-b"));
        assert_eq!(the_boot(&root.join("002")).unwrap(), root.join("002-b"));
        let why = the_boot(&root).unwrap_err().to_string();
        assert!(why.ends_with("2 boots; name one of them: 001-a 002-b"), "{why}");
        let why = the_boot(&root.join("3")).unwrap_err().to_string();
        assert!(why.contains("no folder of a boot in"), "{why}");
        fs::remove_dir_all(root.join("001-a")).unwrap();
        assert_eq!(the_boot(&root).unwrap(), root.join("002-b"));
    }

    #[test]
    fn a_case_is_no_path() {
        for (word, selects) in
            [("livepatch-list/nr", true), ("./x", false), ("/tmp/x", false), ("logs/1/003", false)]
        {
            assert_eq!(is_selector(word), selects, "{word}");
        }
    }
}
