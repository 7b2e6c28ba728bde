//! Machines that are saved on the way through a boot, so that going back need not begin at power on.
//!
//! QEMU writes a machine that stands still into a file, with its RAM, as if to move it to another host.
//! The file loses its name as soon as it is written: nothing is left of it, however the runner ends.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process;
use std::time::{Duration, Instant};

use serde_json::json;

use super::timeline::Moment;
use crate::machine::qmp::Qmp;
use crate::machine::snapshot::{STATE, write_state};

/// It takes some tenths of a second, on a machine as busy as may be not more than this.
const PATIENCE: Duration = Duration::from_secs(60);
/// What QEMU says of a machine that has not arrived yet.
const ARRIVING: &str = "inmigrate";

/// A saved machine.
#[derive(Debug)]
pub struct Saved {
    /// Where it stands.
    pub moment: Moment,
    /// What its console has said by then.
    pub console: Vec<u8>,
    state: File,
}

impl Saved {
    /// Saves the machine whose QMP socket is in the folder `dir`. It stands still at `moment`, and can
    /// go on afterwards.
    pub fn save(dir: &Path, moment: Moment, console: Vec<u8>) -> io::Result<Saved> {
        write_state(&mut Qmp::connect(dir)?, dir, Instant::now() + PATIENCE)?;
        let path = dir.join(STATE);
        let state = File::open(&path)?;
        fs::remove_file(&path)?;
        Ok(Saved { moment, console, state })
    }

    /// QEMU's arguments for a machine that is this one.
    pub fn args(&self) -> [String; 2] {
        let path = format!("/proc/{}/fd/{}", process::id(), self.state.as_raw_fd());
        ["-incoming".into(), format!("exec:cat {path}")]
    }
}

/// Whether the machine whose QMP socket is in the folder `dir` is there yet.
///
/// # Errors
/// It is not, or QEMU does not say.
pub fn has_arrived(dir: &Path) -> io::Result<()> {
    let status = Qmp::connect(dir)?.execute("query-status", json!({}))?;
    match status["status"].as_str() {
        Some(ARRIVING) => Err(io::Error::other("the saved machine does not arrive")),
        _ => Ok(()),
    }
}
