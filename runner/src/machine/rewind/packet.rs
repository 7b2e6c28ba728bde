//! Packets of gdb's remote protocol, over a socket: `$BODY#SUM`, each acknowledged by `+`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What stops a machine that runs.
const INTERRUPT: u8 = 3;
/// More than any packet of QEMU's or gdb's has.
const LONGEST: usize = 1 << 20;

/// One end of a connection.
#[derive(Debug)]
pub struct Link {
    socket: UnixStream,
    /// What came, and was not taken yet.
    pending: Vec<u8>,
    /// Whether packets are acknowledged.
    acknowledge: bool,
}

/// What the other end says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A packet's body.
    Packet(Vec<u8>),
    /// The machine is to stop.
    Interrupt,
}

impl Link {
    /// Over `socket`.
    pub fn new(socket: UnixStream) -> Link {
        Link { socket, pending: Vec::new(), acknowledge: true }
    }

    /// From now on nobody acknowledges anything.
    pub fn trust(&mut self) {
        self.acknowledge = false;
    }

    /// Sends a packet.
    pub fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        let packet = [b"$", body, format!("#{sum:02x}").as_bytes()].concat();
        self.socket.write_all(&packet)
    }

    /// Tells a machine to stop.
    pub fn interrupt(&mut self) -> io::Result<()> {
        self.socket.write_all(&[INTERRUPT])
    }

    /// What comes next, within `time`.
    ///
    /// # Errors
    /// The other end is gone, or does not speak the protocol.
    pub fn hear(&mut self, time: Duration) -> io::Result<Option<Said>> {
        loop {
            if let Some(said) = self.take()? {
                return Ok(Some(said));
            }
            let timeout = Timespec::try_from(time).ok();
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.pending.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Something whole of what came, if there is any.
    fn take(&mut self) -> io::Result<Option<Said>> {
        // Acknowledgements, and whatever else is between packets.
        let start = self.pending.iter().position(|byte| [b'$', INTERRUPT].contains(byte));
        self.pending.drain(..start.unwrap_or(self.pending.len()));
        match self.pending.first() {
            None => return Ok(None),
            Some(&INTERRUPT) => {
                self.pending.remove(0);
                return Ok(Some(Said::Interrupt));
            }
            Some(_) => {}
        }
        let end = self.pending.iter().position(|byte| *byte == b'#');
        match end.filter(|end| end + 2 < self.pending.len()) {
            Some(end) => {
                let body = self.pending[1..end].to_vec();
                self.pending.drain(..end + 3);
                if self.acknowledge {
                    self.socket.write_all(b"+")?;
                }
                Ok(Some(Said::Packet(body)))
            }
            None if self.pending.len() > LONGEST => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a packet without an end"))
            }
            None => Ok(None),
        }
    }
}

/// The bytes that `digits` stand for, two for each.
pub fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(byte).collect()
}

/// The digits for `bytes`.
pub fn to_hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn packets_are_taken_out_of_what_comes() {
        let (mut other, socket) = UnixStream::pair().unwrap();
        let mut link = Link::new(socket);
        assert_eq!(link.hear(NOW).unwrap(), None);
        other.write_all(b"++$vCont?#49\x03$g").unwrap();
        assert_eq!(link.hear(NOW).unwrap(), Some(Said::Packet(b"vCont?".to_vec())));
        assert_eq!(link.hear(NOW).unwrap(), Some(Said::Interrupt));
        assert_eq!(link.hear(NOW).unwrap(), None);
        link.trust();
        other.write_all(b"#67").unwrap();
        assert_eq!(link.hear(NOW).unwrap(), Some(Said::Packet(b"g".to_vec())));
        link.send(b"OK").unwrap();
        drop(link);
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "+$OK#9a");
    }

    #[test]
    fn an_end_is_an_error() {
        let (other, socket) = UnixStream::pair().unwrap();
        drop(other);
        assert!(Link::new(socket).hear(NOW).is_err());
    }

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(to_hex(b"a\x0f"), b"610f");
        assert_eq!(from_hex(b"610f").unwrap(), b"a\x0f");
        assert_eq!(from_hex(b"6"), None);
        assert_eq!(from_hex(b"6g"), None);
    }
}
