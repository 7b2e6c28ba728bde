//! QEMU's machine protocol (QMP), over a socket in a boot's folder.
//!
//! QMP is meant for programs, and QEMU keeps it stable. The words of QEMU's monitor are for people
//! and change: QEMU 11 says that a save is `completed` in other words than QEMU 10. This is a
//! client of our own because typed ones carry the schema of one release of QEMU, and the runner
//! works with all of them.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::machine::socket;

/// The socket's name in the boot's folder. It is relative, hence short enough for a socket's
/// address wherever the folder is.
pub(super) const SOCKET: &str = "qmp.sock";
/// A QEMU that says nothing for so long, on a machine as busy as may be, never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// QEMU's arguments for a machine that [`Qmp::connect`] reaches.
pub fn args() -> [String; 2] {
    ["-qmp".into(), format!("unix:{SOCKET},server=on,wait=off")]
}

/// A connection to a QEMU, ready for commands.
#[derive(Debug)]
pub struct Qmp {
    socket: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the QEMU of the boot in `dir`.
    ///
    /// # Errors
    /// QEMU does not listen, or does not answer as QMP demands.
    pub fn connect(dir: &Path) -> io::Result<Qmp> {
        let socket = socket::connect(dir, SOCKET)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Qmp { socket: BufReader::new(socket) };
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Executes `command`; returns what it returns.
    ///
    /// # Errors
    /// QEMU's own words where it refuses, or what is wrong with the connection.
    pub fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.socket.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut line = String::new();
            if self.socket.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut message: Value = serde_json::from_str(&line)?;
            if let Some(error) = message.get("error") {
                let why = error["desc"].as_str().unwrap_or("an error without a description");
                return Err(io::Error::other(format!("QEMU refuses {command}: {why}")));
            }
            // Its greeting and events come between the answers.
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Whether the CPUs have nothing to do.
    ///
    /// # Errors
    /// As for [`Qmp::execute`].
    pub fn is_halted(&mut self) -> io::Result<bool> {
        // Only the monitor tells, in words that have not changed since QEMU 0.9.
        let registers = json!({ "command-line": "info registers" });
        let text = self.execute("human-monitor-command", registers)?;
        Ok(text.as_str().is_some_and(|text| text.contains("HLT=1")))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// What comes of `command` when QEMU says `answer`.
    fn ask(answer: &'static str) -> io::Result<Value> {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let qemu = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
            socket.write_all(b"{\"QMP\": {\"version\": {}}}\n").unwrap();
            assert!(lines.next().unwrap().unwrap().contains("qmp_capabilities"));
            socket.write_all(b"{\"return\": {}}\n").unwrap();
            assert!(lines.next().unwrap().unwrap().contains("\"execute\":\"stop\""));
            socket.write_all(answer.as_bytes()).unwrap();
        });
        let said = Qmp::connect(dir.path()).and_then(|mut qmp| qmp.execute("stop", json!({})));
        qemu.join().unwrap();
        said
    }

    #[test]
    fn answers_come_between_events() {
        let said = ask("{\"event\": \"STOP\"}\n{\"return\": {\"status\": \"paused\"}}\n").unwrap();
        assert_eq!(said["status"], "paused");
    }

    #[test]
    fn a_refusal_is_an_error_in_qemus_words() {
        let error = ask("{\"error\": {\"class\": \"X\", \"desc\": \"no such disk\"}}\n");
        assert_eq!(error.unwrap_err().to_string(), "QEMU refuses stop: no such disk");
    }

    #[test]
    fn an_end_without_an_answer_is_an_error() {
        assert_eq!(ask("").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
