//! Between a debugger and the machine: questions are passed on, and what moves is answered by a machine
//! that goes on, or was made again.
//!
//! QEMU's gdb server shows a machine that stands still. How it moves is decided here: forward and
//! back, by an instruction, or to breakpoints and watchpoints, which are found by the plugin. QEMU never
//! hears of them. Commands for QEMU's monitor that begin with `xtf` are for this, too.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::path::Path;
use std::time::Duration;

use super::landmarks::Landmarks;
use super::packet::{Link, Said, from_hex, to_hex};
use super::stub::of_machine;
use super::timeline::{Hit, Watch};
use super::travel::Travel;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::number;

/// Between two looks at whether the debugger is still there.
const BREATH: Duration = Duration::from_millis(50);
/// What is announced.
const ABILITIES: &[u8] = b";ReverseStep+;ReverseContinue+";
/// What is said when the debugger's own writes are undone.
const FORGOTTEN: &str = "what was written to the machine is gone: stepi alone keeps it\n";
/// Hypercalls that are listed unless a number is named.
const LISTED: usize = 20;

/// What a debugger has told.
#[derive(Debug, Default)]
struct Told {
    /// What it supports.
    abilities: Vec<u8>,
    /// Breakpoints and watchpoints, as in `Z0,1000,1` without the `Z`.
    points: BTreeSet<Vec<u8>>,
}

/// The connection of a debugger.
#[derive(Debug)]
pub struct Proxy<'t, 'a> {
    travel: &'t mut Travel<'a>,
    landmarks: &'t Landmarks,
    link: Link,
    told: Told,
    /// Where the next step back goes to, if not to the instruction before.
    wanted: Option<u64>,
    /// Whether the debugger wrote to the machine that there is.
    is_changed: bool,
}

impl<'t, 'a> Proxy<'t, 'a> {
    /// For the debugger at `link`.
    pub fn new(travel: &'t mut Travel<'a>, landmarks: &'t Landmarks, link: Link) -> Self {
        Proxy { travel, landmarks, link, told: Told::default(), wanted: None, is_changed: false }
    }

    /// Serves it until it leaves, or is `gone`.
    pub fn serve(mut self, gone: &mut dyn FnMut() -> bool) -> Result<()> {
        while !gone() {
            match self.link.hear(BREATH) {
                // A machine that stands still need not be stopped.
                Ok(None | Some(Said::Interrupt)) => {}
                Ok(Some(Said::Packet(packet))) => self.handle(&packet)?,
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(e) => return Err(of_debugger(e)),
            }
        }
        Ok(())
    }

    fn handle(&mut self, packet: &[u8]) -> Result<()> {
        let answer = match packet {
            b"QStartNoAckMode" => {
                self.say(b"OK")?;
                self.link.trust();
                return Ok(());
            }
            b"bs" => {
                let now = self.travel.now()?;
                match (self.wanted.take(), now.checked_sub(1)) {
                    (Some(place), _) | (None, Some(place)) => self.stand_at(place, "")?,
                    (None, None) => self.stop_reply("replaylog:begin;"),
                }
            }
            b"bc" => self.back()?,
            // It leaves by itself, then. The machine stays for the next one.
            [b'k', ..] => return Ok(()),
            [b'D', ..] => b"OK".to_vec(),
            _ if packet.starts_with(b"vKill") => b"OK".to_vec(),
            [b'c' | b'C', ..] => self.run()?,
            [b's' | b'S', ..] => self.step()?,
            [b'v', b'C', b'o', b'n', b't', b';', action, ..] => match action {
                b'c' | b'C' => self.run()?,
                _ => self.step()?,
            },
            _ if packet.starts_with(b"qSupported") => {
                self.told.abilities = packet.to_vec();
                [self.ask(packet)?.as_slice(), ABILITIES].concat()
            }
            [b'q', b'R', b'c', b'm', b'd', b',', digits @ ..] => self.monitor(packet, digits)?,
            [b'Z', point @ ..] => {
                self.told.points.insert(point.to_vec());
                b"OK".to_vec()
            }
            [b'z', point @ ..] => {
                self.told.points.remove(point);
                b"OK".to_vec()
            }
            // Memory, registers.
            [b'M' | b'X' | b'G' | b'P', ..] => {
                self.is_changed = true;
                self.ask(packet)?
            }
            _ => self.ask(packet)?,
        };
        self.say(&answer)
    }

    /// Says that another machine comes, which nobody wrote to.
    fn forget_changes(&mut self) -> Result<()> {
        if mem::take(&mut self.is_changed) {
            let text = to_hex(FORGOTTEN.as_bytes());
            self.say(&[b"O", text.as_slice()].concat())?;
        }
        Ok(())
    }

    /// Forward, to the next breakpoint or behind the next write to a watchpoint; or to the end.
    fn run(&mut self) -> Result<Vec<u8>> {
        let (now, end) = (self.travel.now()?, self.travel.end());
        let watch = self.told.watch();
        // Whoever stands at a breakpoint has seen it.
        let hit = match watch.is_empty() || now >= end {
            true => None,
            false => self.travel.first_from(now + 1, &watch)?,
        };
        let (place, why) = match hit {
            None => (end, "replaylog:end;".to_owned()),
            Some(Hit { at, wrote_to: None, .. }) => (at, String::new()),
            Some(Hit { at, wrote_to: Some(to), .. }) => (at + 1, format!("watch:{to:x};")),
        };
        match self.is_changed {
            true => self.travel.to(place)?,
            false => self.travel.on_to(place)?,
        }
        self.forget_changes()?;
        self.arrive()?;
        Ok(self.stop_reply(&why))
    }

    fn step(&mut self) -> Result<Vec<u8>> {
        let (now, end) = (self.travel.now()?, self.travel.end());
        if now >= end {
            return Ok(self.stop_reply("replaylog:end;"));
        }
        self.travel.on_to(now + 1)?;
        self.arrive()?;
        Ok(self.stop_reply(""))
    }

    /// Back to the last breakpoint, or the last write to a watchpoint.
    fn back(&mut self) -> Result<Vec<u8>> {
        self.wanted = None;
        let now = self.travel.now()?;
        let watch = self.told.watch();
        let hit = match watch.is_empty() {
            true => None,
            false => self.travel.last_before(now, &watch)?,
        };
        match hit {
            Some(hit) => {
                let why = hit.wrote_to.map(|to| format!("watch:{to:x};")).unwrap_or_default();
                self.stand_at(hit.at, &why)
            }
            None => self.stand_at(0, "replaylog:begin;"),
        }
    }

    /// A machine at `place`, and what is said of that: `why` it stands there.
    fn stand_at(&mut self, place: u64, why: &str) -> Result<Vec<u8>> {
        self.forget_changes()?;
        self.travel.to(place)?;
        self.arrive()?;
        Ok(self.stop_reply(why))
    }

    /// Tells a new machine what the debugger told the one before.
    fn arrive(&mut self) -> Result<()> {
        if !self.told.abilities.is_empty() {
            let abilities = self.told.abilities.clone();
            self.ask(&abilities)?;
            // From then on it answers as to one who knows all registers.
            self.ask(b"qXfer:features:read:target.xml:0,ffb")?;
        }
        Ok(())
    }

    /// That the machine stands, and `why`.
    fn stop_reply(&self, why: &str) -> Vec<u8> {
        // Which thread that is depends on what the debugger supports.
        let thread = if self.told.is_multiprocess() { "thread:p01.01;" } else { "thread:01;" };
        format!("T05{why}{thread}").into_bytes()
    }

    /// A command for QEMU's monitor, or for us.
    fn monitor(&mut self, packet: &[u8], digits: &[u8]) -> Result<Vec<u8>> {
        let command = from_hex(digits).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        let mut words = command.split_whitespace();
        if words.next() == Some("xtf") {
            let words: Vec<&str> = words.collect();
            let text = self.command(&words)?;
            self.say(&[b"O", to_hex(text.as_bytes()).as_slice()].concat())?;
            return Ok(b"OK".to_vec());
        }
        let mut answer = self.ask(packet)?;
        while answer.first() == Some(&b'O') && answer != b"OK" {
            self.say(&answer)?;
            answer = self.travel.replay()?.stub.answer().map_err(of_machine)?;
        }
        Ok(answer)
    }

    /// A command for us. Where it wants to go to, the next step back goes.
    fn command(&mut self, words: &[&str]) -> Result<String> {
        let now = self.travel.now()?;
        // A step back that follows on what failed stays.
        self.wanted = Some(now);
        match words {
            ["where"] => {
                self.wanted = None;
                Ok(format!("instruction {now} of {}\n", self.travel.end()))
            }
            ["to", place] => match number::parse(place) {
                Some(place) => Ok(self.will_go(Some(place), "")),
                None => Ok(format!("`{place}` is no number\n")),
            },
            ["case"] => self.go_to_last(&self.landmarks.cases(), "no case began before"),
            ["hypercall"] => self.go_to_last(&self.landmarks.hypercalls(), "no hypercall before"),
            ["write", address, size] => match number::parse(address).zip(number::parse(size)) {
                Some(piece) => {
                    let watch = Watch::new(Vec::new(), vec![piece]);
                    self.go_to_last(&watch, "nothing wrote there before")
                }
                None => Ok(format!("`{address} {size}` is no piece of memory\n")),
            },
            ["hypercalls", rest @ ..] => {
                self.wanted = None;
                let wanted = rest.first().and_then(|word| word.parse().ok()).unwrap_or(LISTED);
                let lines = self.landmarks.calls_of_case(self.travel, now, wanted)?;
                self.arrive()?;
                Ok(lines)
            }
            _ => Ok("xtf where | to N | case | hypercall | hypercalls [N] | write ADDRESS SIZE\n"
                .into()),
        }
    }

    fn go_to_last(&mut self, watch: &Watch, none: &str) -> Result<String> {
        let now = self.travel.now()?;
        let hit = match watch.is_empty() {
            true => None,
            false => self.travel.last_before(now, watch)?,
        };
        Ok(self.will_go(hit.map(|hit| hit.at), none))
    }

    fn will_go(&mut self, place: Option<u64>, none: &str) -> String {
        match place {
            Some(place) => {
                self.wanted = Some(place);
                format!("to instruction {}\n", place.min(self.travel.end()))
            }
            None => format!("{none}\n"),
        }
    }

    fn ask(&mut self, packet: &[u8]) -> Result<Vec<u8>> {
        self.travel.replay()?.stub.ask(packet).map_err(of_machine)
    }

    fn say(&mut self, packet: &[u8]) -> Result<()> {
        self.link.send(packet).map_err(of_debugger)
    }
}

impl Told {
    /// Breakpoints, and what to look at for writes.
    fn watch(&self) -> Watch {
        let code = self.pieces(b"01").map(|(address, _)| address).collect();
        Watch::new(code, self.pieces(b"24").collect())
    }

    /// Addresses and sizes of the points of those types.
    fn pieces<'s>(&'s self, types: &'s [u8]) -> impl Iterator<Item = (u64, u64)> + 's {
        self.points.iter().filter(|point| types.contains(&point[0])).filter_map(|point| {
            let mut fields = str::from_utf8(point).ok()?.split([',', ';']).skip(1);
            let mut number = || u64::from_str_radix(fields.next()?, 16).ok();
            number().zip(number())
        })
    }

    fn is_multiprocess(&self) -> bool {
        let wanted = b"multiprocess+";
        self.abilities.windows(wanted.len()).any(|part| part == wanted)
    }
}

fn of_debugger(e: io::Error) -> Error {
    Err::<(), _>(e).io("talk to", Path::new("the debugger")).unwrap_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_all_types() {
        let mut told = Told::default();
        for point in ["0,100,1", "1,ffff82d040200000,1", "2,20,8", "3,30,8", "4,40,4"] {
            told.points.insert(point.into());
        }
        let memory = vec![(0x20, 8), (0x40, 4)];
        assert_eq!(told.watch(), Watch::new(vec![0x100, 0xffff_82d0_4020_0000], memory));
        assert!(!told.is_multiprocess());
        told.abilities = b"qSupported:multiprocess+;swbreak+".into();
        assert!(told.is_multiprocess());
    }
}
