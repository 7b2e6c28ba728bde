//! The plugin that lets QEMU count what Xen executes, and the files that both sides share.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use protocol::mark::Mark;
use protocol::plugin::{
    self, ATTACHED, COUNT_AT, HEADER, LEAVE_NOW, MAGIC, PHASES_HEADER, PHASES_MAGIC, ROWS_AT,
    STATE_AT, WIDTH_AT, phases_words, row_words, words,
};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::Tool;
use crate::plan::config::Config;

/// Name of the plugin's file.
const LIBRARY: &str = "libxtf_plugin.so";
/// Where the workspace's build leaves it.
const BUILT: &str = "target/release";
/// Name of the link to it in a boot's folder.
const LINK: &str = "plugin.so";
/// Name of the shared file in a boot's folder.
pub const MAP: &str = "coverage.map";
/// Name of the shared file with the phases in a boot's folder.
const PHASES: &str = "phases.map";

/// The plugin, known to work with the QEMU that is to load it.
#[derive(Debug)]
pub struct Plugin {
    library: PathBuf,
}

impl Plugin {
    /// Finds the plugin, and tries whether `qemu` loads it.
    pub fn find(explicit: Option<&Path>, config: &Config, qemu: &Path) -> Result<Plugin> {
        let built = config.workspace.join(BUILT).join(LIBRARY);
        let library = match explicit {
            Some(path) => path.to_owned(),
            None => {
                let exe = env::current_exe().ok();
                let beside = exe.and_then(|exe| Some(exe.parent()?.join(LIBRARY)));
                beside.filter(|path| !built.is_file() && path.is_file()).unwrap_or(built)
            }
        };
        if !library.is_file() {
            return Err(Error::Data(format!(
                "there is no plugin at {}; build it with `make build`, or name one with --plugin \
                 PATH",
                library.display()
            )));
        }
        let library = library.canonicalize().io("resolve", &library)?;
        let plugin = Plugin { library };
        plugin.try_out(qemu)?;
        Ok(plugin)
    }

    /// Lets QEMU load it and leave at once: better now than in the middle of a run.
    fn try_out(&self, qemu: &Path) -> Result<()> {
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder to try the plugin in".into(),
            source,
        })?;
        let mut args = ["-machine", "none", "-nodefaults", "-display", "none", "-no-user-config"]
            .map(String::from)
            .to_vec();
        args.extend(self.prepare(dir.path(), &[])?);
        // A plugin that refuses to go on is the one way to make QEMU leave.
        if let Some(last) = args.last_mut() {
            *last += &format!(",{LEAVE_NOW}");
        }
        let said = Tool::new(qemu).args(&args).cwd(dir.path()).run();
        let attached = Counts::read(dir.path())?.is_some();
        if attached {
            return Ok(());
        }
        Err(Error::Tool(format!(
            "{} does not load the plugin {}: coverage and fuzzing need QEMU 7.2 or later, built \
             with TCG plugins as Debian does; everything else works without it\n{}",
            qemu.display(),
            self.library.display(),
            said.map_or_else(|e| e.to_string(), |_| "it gave no reason".into()),
        )))
    }

    /// Puts what a boot needs into its folder `dir`, to count at `addresses`, which rise; returns
    /// QEMU's further arguments.
    pub fn prepare(&self, dir: &Path, addresses: &[u64]) -> Result<Vec<String>> {
        let link = dir.join(LINK);
        symlink(&self.library, &link).io("create", &link)?;
        let mut map = vec![0; words(addresses.len())];
        map[0] = MAGIC;
        map[COUNT_AT] = addresses.len() as u64;
        map[HEADER..][..addresses.len()].copy_from_slice(addresses);
        let bytes: Vec<u8> = map.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let path = dir.join(MAP);
        fs::write(&path, bytes).io("write", &path)?;
        // A name without a slash would be looked for among the system's libraries.
        Ok(vec!["-plugin".into(), format!("./{LINK},{}={MAP}", plugin::MAP)])
    }

    /// The same with room for `rows` phases.
    pub fn prepare_phases(
        &self,
        dir: &Path,
        addresses: &[u64],
        rows: usize,
    ) -> Result<Vec<String>> {
        let mut args = self.prepare(dir, addresses)?;
        let mut header = [0; PHASES_HEADER];
        header[0] = PHASES_MAGIC;
        header[WIDTH_AT] = addresses.len() as u64;
        let size = phases_words(rows, addresses.len()) * size_of::<u64>();
        let path = dir.join(PHASES);
        let mut file = File::create(&path).io("create", &path)?;
        file.write_all(&header.map(u64::to_ne_bytes).concat()).io("write", &path)?;
        file.set_len(size as u64).io("write", &path)?;
        if let Some(last) = args.last_mut() {
            *last += &format!(",{}={PHASES}", plugin::PHASES);
        }
        Ok(args)
    }
}

/// What [`Plugin::prepare`] puts into a boot's folder.
pub const FILES: [&str; 2] = [LINK, MAP];

/// What was executed up to a mark of the guest's, from the one before on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The mark that ends it.
    pub mark: Mark,
    /// Whether each address was executed, in the order of [`Plugin::prepare`].
    pub executed: Vec<bool>,
}

impl Phase {
    /// The phases of the boot of the folder `dir`.
    pub fn read(dir: &Path) -> Result<Vec<Phase>> {
        let path = dir.join(PHASES);
        let bytes = fs::read(&path).io("read", &path)?;
        Phase::parse(&bytes)
            .map_err(|why| Error::Tool(format!("internal error: {}: {why}", path.display())))
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Vec<Phase>, String> {
        let (words, _) = bytes.as_chunks::<{ size_of::<u64>() }>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let number = |at: usize| words.get(at).and_then(|word| usize::try_from(*word).ok());
        let (Some(rows), Some(width)) = (number(ROWS_AT), number(WIDTH_AT)) else {
            return Err("it has no header".into());
        };
        let all = words[PHASES_HEADER..].chunks_exact(row_words(width));
        if rows > all.len() {
            return Err(format!("{rows} marks were executed, but there is room for {}", all.len()));
        }
        let phase = |row: &[u64]| {
            let mark = u32::try_from(row[0]).ok().and_then(Mark::from_number);
            let mark = mark.ok_or_else(|| format!("there is no mark {}", row[0]))?;
            let executed = (0..width).map(|at| row[1 + at / 64] >> (at % 64) & 1 == 1).collect();
            Ok(Phase { mark, executed })
        };
        all.take(rows).map(phase).collect()
    }
}

/// How often each address was executed, in the order of [`Plugin::prepare`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(pub Vec<u64>);

impl Counts {
    /// What was counted in the boot of the folder `dir`; `None` if no plugin was there.
    pub fn read(dir: &Path) -> Result<Option<Counts>> {
        let path = dir.join(MAP);
        let bytes = fs::read(&path).io("read", &path)?;
        let (map, _) = bytes.as_chunks::<{ size_of::<u64>() }>();
        let map: Vec<u64> = map.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        if map.get(STATE_AT) != Some(&ATTACHED) {
            return Ok(None);
        }
        let counts = map.len().midpoint(HEADER);
        Ok(Some(Counts(map[counts..].to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn rows_become_phases() {
        let (boot, case) = (Mark::Boot as u64, Mark::Case as u64);
        let words = [PHASES_MAGIC, 2, 66, boot, 1, 2, case, 1 << 63, 1, 0, 0, 0];
        let phases = Phase::parse(&bytes(&words)).unwrap();
        let executed = |phase: &Phase| -> Vec<usize> {
            (0..phase.executed.len()).filter(|at| phase.executed[*at]).collect()
        };
        let seen: Vec<_> = phases.iter().map(|phase| (phase.mark, executed(phase))).collect();
        assert_eq!(seen, [(Mark::Boot, vec![0, 65]), (Mark::Case, vec![63, 64])]);
    }

    #[test]
    fn a_lack_of_room_is_an_error() {
        let why = Phase::parse(&bytes(&[PHASES_MAGIC, 2, 1, 0, 1])).unwrap_err();
        assert_eq!(why, "2 marks were executed, but there is room for 1");
        let why = Phase::parse(&bytes(&[PHASES_MAGIC, 1, 1, 9, 1])).unwrap_err();
        assert_eq!(why, "there is no mark 9");
    }
}
