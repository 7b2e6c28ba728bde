//! A shell on the Xen host, local or through ssh, with a folder of its own.
//!
//! One process holds the folder and removes it when its standard input is closed, so it goes
//! whenever the runner ends. Through ssh that process is the only connection; everything else is
//! multiplexed over it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::ChildGuard;
use crate::base::shell::quote;

/// Time for the folder to be removed, on a busy machine too: one that is gone keeps us waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the folder, names it, and keeps it until nobody listens any more.
const KEEPER: &str = "trap '' HUP INT PIPE; dir=$(mktemp -d /tmp/xtf-runner.XXXXXX) || exit; \
                      echo \"$dir\"; cat >/dev/null; rm -rf \"$dir\"";

/// How to reach another machine.
#[derive(Clone, Debug)]
pub struct Remote {
    /// USER@BOX, as ssh takes it.
    pub destination: String,
    /// Options for ssh before it.
    pub options: Vec<String>,
}

impl Remote {
    /// A machine that a configuration of ssh knows how to reach: this one, or the user's own.
    pub fn of(destination: &str, config: Option<&Path>) -> Remote {
        let options = config.map(|path| ["-F".to_owned(), path.display().to_string()]);
        let options = options.into_iter().flatten().collect();
        Remote { destination: destination.to_owned(), options }
    }
}

/// A place with a folder of its own.
pub struct HostShell {
    /// Program and arguments before a line for the shell there.
    prefix: Vec<String>,
    folder: String,
    destination: Option<String>,
    _keeper: ChildGuard,
    _local: Option<Box<HostShell>>,
}

impl HostShell {
    /// This machine.
    pub fn here() -> Result<HostShell> {
        let prefix = ["sh", "-c"].map(String::from).to_vec();
        HostShell::open(&prefix, prefix.clone(), None, None)
    }

    /// The machine that ssh reaches.
    pub fn beyond(remote: &Remote) -> Result<HostShell> {
        // For the socket, which wants a short path.
        let local = HostShell::here()?;
        // Only what asks no questions; a connection that died is noticed within a minute.
        let mut common = vec!["ssh".to_owned(), "-T".into()];
        for option in ["BatchMode=yes", "ServerAliveInterval=15", "ServerAliveCountMax=4"] {
            common.extend(["-o".into(), option.into()]);
        }
        let socket = format!("{}/socket", local.folder());
        common.extend(["-S".into(), socket]);
        let with = |more: &[&str]| {
            let more = more.iter().map(|&word| word.to_owned());
            let mut words: Vec<String> = common.iter().cloned().chain(more).collect();
            words.extend(remote.options.iter().cloned());
            words.extend(["--".into(), remote.destination.clone()]);
            words
        };
        let master = with(&["-M", "-o", "ControlPersist=no", "-o", "ConnectTimeout=15"]);
        // Without its master it does not try a connection of its own.
        let session = with(&["-o", "ControlMaster=no", "-o", "ProxyCommand=false"]);
        HostShell::open(&master, session, Some(remote.destination.clone()), Some(local))
    }

    fn open(
        keeper_prefix: &[String],
        prefix: Vec<String>,
        destination: Option<String>,
        local: Option<HostShell>,
    ) -> Result<HostShell> {
        let mut stderr = tempfile::tempfile().io("create a file in", &std::env::temp_dir())?;
        let mut command = Command::new(&keeper_prefix[0]);
        command.args(&keeper_prefix[1..]).arg(shell_words(KEEPER, destination.is_some()));
        let complaint = stderr.try_clone().io("copy", Path::new("a file handle"))?;
        command.stdout(Stdio::piped()).stderr(complaint);
        let mut keeper = ChildGuard::spawn_tidy(&mut command, PATIENCE).map_err(|e| {
            let hint = if destination.is_some() { "; install openssh-client" } else { "" };
            Error::Tool(format!("cannot run {}: {e}{hint}", keeper_prefix[0]))
        })?;
        let mut folder = String::new();
        if let Some(stdout) = keeper.child().stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut folder);
        }
        let folder = folder.trim_end().to_owned();
        if !folder.starts_with('/') {
            keeper.stop();
            let said = read_back(&mut stderr);
            let place = destination.as_deref().unwrap_or("this machine");
            return Err(Error::Tool(format!("cannot start a shell on {place}: {said}")));
        }
        Ok(HostShell { prefix, folder, destination, _keeper: keeper, _local: local.map(Box::new) })
    }

    /// The folder there, which vanishes with this value.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// USER@BOX, or nothing for this machine.
    pub fn destination(&self) -> Option<&str> {
        self.destination.as_deref()
    }

    /// Program and arguments that run a line for the shell there.
    pub fn words(&self, line: &str) -> Vec<String> {
        let mut words = self.prefix.clone();
        words.push(shell_words(line, self.destination.is_some()));
        words
    }

    /// The same as a command.
    pub fn command(&self, line: &str) -> Command {
        let words = self.words(line);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The same with a terminal of its own.
    pub fn terminal(&self, line: &str) -> Command {
        let words = self.words(line);
        let mut command = Command::new(&words[0]);
        // The last of ssh's options on this counts.
        let at = words.iter().position(|word| word == "--").unwrap_or(words.len() - 1);
        command.args(&words[1..at]).arg("-tt").args(&words[at..]);
        command
    }

    /// Runs a line there to its end.
    pub fn run(&self, line: &str) -> Result<Output> {
        let mut command = self.command(line);
        command.stdin(Stdio::null());
        command.output().map_err(|e| Error::Tool(format!("cannot run {}: {e}", self.prefix[0])))
    }

    /// Copies `bytes` into the folder; returns the file's path there.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = format!("{}/{name}", self.folder);
        let mut command = self.command(&format!("cat >{}", quote(&path)));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let fault = |what: String| Error::Tool(format!("cannot write {path}: {what}"));
        let mut child =
            ChildGuard::spawn_tidy(&mut command, PATIENCE).map_err(|e| fault(e.to_string()))?;
        let sent = child.child().stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(bytes));
        let stderr = child.child().stderr.take();
        let said = stderr.map(std::io::read_to_string).and_then(std::result::Result::ok);
        let status = child.child().wait().map_err(|e| fault(e.to_string()))?;
        match sent {
            Ok(()) if status.success() => Ok(path),
            Ok(()) => Err(fault(said.unwrap_or_default().trim().to_owned())),
            Err(e) => Err(fault(format!("{e}: {}", said.unwrap_or_default().trim()))),
        }
    }
}

/// What runs `line` in a POSIX shell; ssh hands it to the user's shell, whatever that is.
fn shell_words(line: &str, remote: bool) -> String {
    if remote { format!("exec sh -c {}", quote(line)) } else { line.to_owned() }
}

fn read_back(file: &mut std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut text = Vec::new();
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut text));
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_and_goes_with_its_folder() {
        let place = HostShell::here().unwrap();
        let path = place.put("it's a file", b"two\nlines").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two\nlines");
        let output = place.run(&format!("cat {}", quote(&path))).unwrap();
        assert_eq!(output.stdout, b"two\nlines");
        let folder = place.folder().to_owned();
        drop(place);
        assert!(!Path::new(&folder).exists());
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let place = HostShell::here().unwrap();
        let error = place.put("no/such/folder", b"").unwrap_err().to_string();
        assert!(error.contains("no/such/folder") && error.contains("cannot"), "{error}");
    }

    #[test]
    fn a_machine_that_does_not_exist_is_named() {
        let remote = Remote { destination: "nobody@host.invalid".into(), options: Vec::new() };
        let error = HostShell::beyond(&remote).err().unwrap().to_string();
        assert!(error.starts_with("cannot start a shell on nobody@host.invalid: "), "{error}");
        assert!(error.contains("host.invalid"), "{error}");
    }
}
