//! QEMU's gdb server, as the runner uses it.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::packet::{Link, Said, from_hex, to_hex};
use crate::base::exit::Error;
use crate::machine::socket;

/// The socket's name in the boot's folder.
pub const SOCKET: &str = "machine.sock";
/// A QEMU that says nothing for so long, on a machine as busy as may be, never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// The numbers of general registers in a packet of all: RSP and RIP.
const RSP: usize = 7;
const RIP: usize = 16;
/// Those of a hypercall's arguments: RDI, RSI, RDX, R10, R8; and by a 32-bit guest: EBX, ECX, EDX, ESI,
/// EDI. Those of a function's arguments: RDI, RSI, RDX, RCX.
const HYPERCALL: [usize; 5] = [5, 4, 3, 10, 8];
const HYPERCALL_32: [usize; 5] = [1, 2, 3, 4, 5];
const FUNCTION: [usize; 4] = [5, 4, 3, 2];

/// A connection to a machine that stands still, or runs.
#[derive(Debug)]
pub struct Stub {
    link: Link,
}

/// The general registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers(Vec<u64>);

impl Registers {
    /// The address of the next instruction.
    pub fn rip(&self) -> u64 {
        self.get(RIP)
    }

    /// The stack's top.
    pub fn rsp(&self) -> u64 {
        self.get(RSP)
    }

    /// The arguments of a hypercall by a guest of that width.
    pub fn of_hypercall(&self, is_32bit: bool) -> [u64; 5] {
        let numbers = if is_32bit { HYPERCALL_32 } else { HYPERCALL };
        numbers.map(|number| self.get(number))
    }

    /// The arguments of a function in 64-bit code, up to the fourth.
    pub fn of_function(&self) -> [u64; 4] {
        FUNCTION.map(|number| self.get(number))
    }

    fn get(&self, number: usize) -> u64 {
        self.0.get(number).copied().unwrap_or_default()
    }
}

impl Stub {
    /// Connects to the QEMU whose socket is in the folder `dir`.
    pub fn connect(dir: &Path) -> io::Result<Stub> {
        let mut stub = Stub { link: Link::new(socket::connect(dir, SOCKET)?) };
        stub.ask(b"?")?;
        Ok(stub)
    }

    /// Sends a packet to a machine that stands still; returns the answer.
    pub fn ask(&mut self, packet: &[u8]) -> io::Result<Vec<u8>> {
        self.link.send(packet)?;
        self.answer()
    }

    /// The next packet.
    pub fn answer(&mut self) -> io::Result<Vec<u8>> {
        match self.link.hear(PATIENCE)? {
            Some(Said::Packet(body)) => Ok(body),
            _ => Err(io::Error::new(io::ErrorKind::TimedOut, "QEMU's gdb server says nothing")),
        }
    }

    /// Lets the machine run: an answer follows when it stops.
    pub fn run(&mut self) -> io::Result<()> {
        self.link.send(b"c")
    }

    /// Tells the machine to stop.
    pub fn interrupt(&mut self) -> io::Result<()> {
        self.link.interrupt()
    }

    /// Why the machine has stopped, if it has within `time`.
    pub fn stopped(&mut self, time: Duration) -> io::Result<Option<Vec<u8>>> {
        Ok(self.link.hear(time)?.and_then(|said| match said {
            Said::Packet(body) => Some(body),
            Said::Interrupt => None,
        }))
    }

    /// The registers of a machine that stands still.
    pub fn registers(&mut self) -> io::Result<Registers> {
        let answer = self.ask(b"g")?;
        let bytes = from_hex(&answer).filter(|bytes| bytes.len() >= (RIP + 1) * size_of::<u64>());
        let bytes = bytes.ok_or_else(|| refused(b"g", &answer))?;
        let words = bytes.as_chunks().0[..=RIP].iter().map(|word| u64::from_le_bytes(*word));
        Ok(Registers(words.collect()))
    }

    /// `size` bytes at the virtual address; `None` where there is no memory.
    pub fn memory(&mut self, address: u64, size: u64) -> io::Result<Option<Vec<u8>>> {
        let answer = self.ask(format!("m{address:x},{size:x}").as_bytes())?;
        Ok(from_hex(&answer).filter(|bytes| bytes.len() as u64 == size))
    }

    /// Executes a command of QEMU's monitor; returns what it prints.
    pub fn monitor(&mut self, command: &str) -> io::Result<String> {
        self.link.send(&[b"qRcmd,", to_hex(command.as_bytes()).as_slice()].concat())?;
        let mut printed = Vec::new();
        loop {
            match self.answer()?.as_slice() {
                b"OK" => return Ok(String::from_utf8_lossy(&printed).into_owned()),
                [b'O', digits @ ..] => printed.extend(from_hex(digits).unwrap_or_default()),
                other => return Err(refused(command.as_bytes(), other)),
            }
        }
    }
}

/// What is said to the user when the machine behind the connection fails.
pub fn of_machine(why: io::Error) -> Error {
    Error::Tool(format!("the replayed machine: {why}"))
}

fn refused(packet: &[u8], answer: &[u8]) -> io::Error {
    let [packet, answer] = [packet, answer].map(String::from_utf8_lossy);
    io::Error::other(format!("QEMU's gdb server answers {packet} by `{answer}`"))
}
