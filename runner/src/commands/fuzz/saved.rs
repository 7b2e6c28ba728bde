//! A machine that was saved where its guest waits for its first program: a boot that goes on from
//! there takes a fraction of the time.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use protocol::console::CALLING;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::ChildGuard;
use crate::machine::qemu::Invocation;
use crate::machine::snapshot;

/// From power on to where the guest waits, and from there into the file.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct Saved {
    /// Their names are gone, so that nothing is left of them in the end.
    state: File,
    ram: File,
    /// What the console said until then.
    pub console: Vec<u8>,
}

impl Saved {
    /// Boots `patient` in `dir`, which holds what it refers to and is not needed any more
    /// afterwards.
    ///
    /// # Errors
    /// QEMU does not start, or cannot save its machine.
    pub(super) fn make(mut patient: Invocation, dir: &Path) -> Result<Saved> {
        patient.args.extend(snapshot::saving(&patient.args));
        let mut command = Command::new(&patient.program);
        command.args(&patient.args).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let failed = |e: io::Error| Error::Tool(format!("cannot save a machine: {e}"));
        let mut qemu = ChildGuard::spawn(&mut command).map_err(failed)?;
        let mut console = Vec::new();
        let mut buffer = [0; 4096];
        let out = qemu.child().stdout.as_mut();
        let out = out.ok_or_else(|| failed(io::Error::other("QEMU has no console")))?;
        while !String::from_utf8_lossy(&console).contains(CALLING) {
            match out.read(&mut buffer).map_err(failed)? {
                0 => {
                    return Err(failed(io::Error::other("the guest does not wait for a program")));
                }
                count => console.extend(&buffer[..count]),
            }
        }
        snapshot::save(dir, PATIENCE).map_err(failed)?;
        out.read_to_end(&mut console).map_err(failed)?;
        let open = |name| {
            let path = dir.join(name);
            File::options().read(true).write(true).open(&path).io("open", &path)
        };
        Ok(Saved { state: open(snapshot::STATE)?, ram: open(snapshot::RAM)?, console })
    }

    /// `patient`, going on from here.
    pub(super) fn go_on(&self, patient: Invocation) -> Invocation {
        let path = |file: &File| format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
        let (state, ram) = (path(&self.state), path(&self.ram));
        snapshot::from(patient, Path::new(&state), Path::new(&ram))
    }
}
