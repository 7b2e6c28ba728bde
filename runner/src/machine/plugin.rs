//! The plugin that lets QEMU count what Xen executes, and the file that both sides share.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use protocol::plugin::{self, ATTACHED, COUNT_AT, HEADER, LEAVE_NOW, MAGIC, STATE_AT, words};

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
            "{} does not load the plugin {}: this needs a QEMU from 7.2 on that was built with TCG \
             plugins, such as Debian's; everything else works without\n{}",
            qemu.display(),
            self.library.display(),
            said.map_or_else(|e| e.to_string(), |_| "it did not say why".into()),
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
