//! `debug --trace` and `--why`: what happened on the way to the end, without a debugger.
//!
//! The plugin notes the last hits on the way there. A second machine then stops before each of those
//! that are shown, and tells its registers and its memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names::{Name, Names};
use super::symbols::Symbols;
use crate::base::exit::{Error, Result};
use crate::base::number;
use crate::base::output::write_out;
use crate::base::plural::count;
use crate::cli::DebugArgs;
use crate::machine::rewind::replay::Replay;
use crate::machine::rewind::stub::{Registers, of_machine};
use crate::machine::rewind::timeline::{Hit, Watch};
use crate::machine::rewind::travel::Travel;

/// So many are shown of a trace,
const TRACED: usize = 20;
/// and so many of the writes that explain something.
const EXPLAINED: usize = 3;
/// Bytes of something whose size nobody says, and the most that are shown.
const WORD: u64 = 8;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// Each execution of these instructions.
    Code(Vec<u64>),
    /// Each write to this piece of memory.
    Memory(u64, u64),
}

/// Prints what `args` ask for, on the way to the end.
pub fn show(args: &DebugArgs, travel: &mut Travel<'_>, symbols: &Symbols) -> Result<()> {
    let names = Names::read(symbols)?;
    let last = |default| args.last.map_or(default, usize::from);
    let traced = args.trace.iter().map(|word| (word, target(&names, word), last(TRACED)));
    let explained = args.why.iter().map(|word| (word, memory(&names, word), last(EXPLAINED)));
    // A word that means nothing is said before the first boot.
    let wanted: Vec<_> = traced
        .chain(explained)
        .map(|(word, target, last)| Ok((word, target?, last)))
        .collect::<Result<_>>()?;
    let is_32bit = symbols.landmarks.is_32bit;
    for (word, target, last) in wanted {
        let text = match target {
            Target::Code(addresses) => calls(travel, &names, word, addresses, last, is_32bit)?,
            Target::Memory(address, size) => writes(travel, &names, word, (address, size), last)?,
        };
        write_out(&text)?;
    }
    Ok(())
}

/// What `word` means for a trace.
fn target(names: &Names, word: &str) -> Result<Target> {
    if let Some((address, size)) = piece(word) {
        let is_code = names.around(address).is_some_and(|name| name.is_code);
        return Ok(if is_code {
            Target::Code(vec![address])
        } else {
            Target::Memory(address, size)
        });
    }
    let found = named(names, word)?;
    match found.iter().all(|name| name.is_code) {
        true => Ok(Target::Code(found.iter().map(|name| name.address).collect())),
        false => variable(&found, word),
    }
}

/// What `word` means where writes explain something.
fn memory(names: &Names, word: &str) -> Result<Target> {
    match piece(word) {
        Some((address, size)) => Ok(Target::Memory(address, size)),
        None => variable(&named(names, word)?, word),
    }
}

/// What is called `word`, as memory: a variable, or the code of a function that is patched.
fn variable(found: &[&Name], word: &str) -> Result<Target> {
    match found {
        [Name { address, size, .. }] => {
            Ok(Target::Memory(*address, if *size == 0 { WORD } else { *size }))
        }
        several => Err(Error::Usage(format!(
            "{word} is the name of {} things; name one by its address: {}",
            several.len(),
            several.iter().map(|name| format!("{:#x}", name.address)).collect::<Vec<_>>().join(" ")
        ))),
    }
}

fn named<'n>(names: &'n Names, word: &str) -> Result<Vec<&'n Name>> {
    let found = names.find(word);
    if found.is_empty() {
        return Err(Error::Usage(format!(
            "nothing in Xen or the guest is called {word}; name a function, a variable, or an address, \
             which alone takes +SIZE, of at least a byte"
        )));
    }
    Ok(found)
}

/// `NUMBER` or `NUMBER+SIZE`.
fn piece(word: &str) -> Option<(u64, u64)> {
    let (address, size) = match word.split_once('+') {
        Some((address, size)) => (address, number::parse(size).filter(|size| *size > 0)?),
        None => (word, WORD),
    };
    Some((number::parse(address)?, size))
}

/// The headline above the hits that are shown.
fn headline(what: &str, of: &str, hits: usize, whole: bool, shown: usize) -> String {
    let at_least = if whole { "" } else { "at least " };
    let last = if shown < hits { format!("; the last {shown}") } else { String::new() };
    format!("{at_least}{} {of}{last}\n", count(hits, what))
}

fn calls(
    travel: &mut Travel<'_>,
    names: &Names,
    word: &str,
    addresses: Vec<u64>,
    last: usize,
    is_32bit: bool,
) -> Result<String> {
    let end = travel.end();
    // Xen and the guest may have one each.
    let places = addresses.iter().map(|address| format!("{address:#x}")).collect::<Vec<_>>();
    let of = match places.as_slice() {
        [_] => format!("of {word}"),
        several => format!("of {word}, at {}", several.join(" and ")),
    };
    let (hits, whole) = travel.all_before(end, &Watch::new(addresses, Vec::new()))?;
    let shown = &hits[hits.len().saturating_sub(last)..];
    let places: Vec<u64> = shown.iter().map(|hit| hit.at).collect();
    let lines = travel.visit(&places, end, &mut |replay| {
        let at = replay.now()?.at;
        let registers = replay.stub.registers().map_err(of_machine)?;
        let is_32bit = is_32bit && !replay.is_in_xen().map_err(of_machine)?;
        let size = if is_32bit { WORD / 2 } else { WORD };
        let caller = number_at(replay, registers.rsp(), size)?;
        let caller = caller.map(|address| names.describe(address));
        Ok(format!("{at:>12}  {}\n", called(names, &registers, caller, is_32bit)))
    })?;
    let head = headline("execution", &of, hits.len(), whole, shown.len());
    Ok(head + &lines.concat())
}

/// A function that is entered with these `registers`; or an instruction in the midst of one.
fn called(names: &Names, registers: &Registers, caller: Option<String>, is_32bit: bool) -> String {
    let rip = registers.rip();
    let name = names.describe(rip);
    match names.around(rip) {
        Some(function) if function.address == rip => {
            let from = caller.map(|caller| format!(" from {caller}")).unwrap_or_default();
            let arguments = registers.of_function().map(|argument| format!("{argument:#x}"));
            // A 32-bit function has most of its arguments on the stack.
            let arguments = if is_32bit { "...".into() } else { arguments.join(", ") };
            format!("{name}({arguments}){}{from}", names.line(rip))
        }
        _ => format!("{name}{}", names.line(rip)),
    }
}

fn writes(
    travel: &mut Travel<'_>,
    names: &Names,
    word: &str,
    (address, size): (u64, u64),
    last: usize,
) -> Result<String> {
    let end = travel.end();
    let watch = Watch::new(Vec::new(), vec![(address, size)]);
    let (mut hits, whole) = travel.all_before(end, &watch)?;
    // An instruction may write to it in two pieces.
    hits.dedup_by_key(|hit| hit.at);
    let shown = hits[hits.len().saturating_sub(last)..].to_vec();
    // What is there before each write, and behind it.
    let mut places: Vec<u64> = shown.iter().flat_map(|hit| [hit.at, hit.at + 1]).collect();
    places.dedup();
    let mut values = BTreeMap::new();
    travel.visit(&places, end, &mut |replay| {
        let now = replay.now()?.at;
        for hit in shown.iter().filter(|hit| [hit.at, hit.at + 1].contains(&now)) {
            let (at, size) = part(hit, address, size);
            values.insert((hit.at, now), replay.memory(at, size).map_err(of_machine)?);
        }
        Ok(())
    })?;
    let mut text = headline("write", &format!("to {word}"), hits.len(), whole, shown.len());
    for hit in &shown {
        let value = |now| value(values.get(&(hit.at, now)).and_then(Option::as_ref));
        let Hit { at, rip, .. } = *hit;
        let (function, line) = (names.describe(rip), names.line(rip));
        let (name, old, new) =
            (names.describe(part(hit, address, size).0), value(at), value(at + 1));
        let _ = writeln!(text, "{at:>12}  {function} ({rip:#x}){line}");
        let _ = writeln!(text, "{:>12}  {name}: {old} -> {new}", "");
    }
    Ok(text)
}

/// What is shown of a piece of memory that `hit` wrote to: all, or where it did.
fn part(hit: &Hit, address: u64, size: u64) -> (u64, u64) {
    let to = hit.wrote_to.unwrap_or(address);
    if size <= WORD { (address, size) } else { (to.max(address), WORD) }
}

/// Bytes as a number, the lowest first.
fn value(bytes: Option<&Vec<u8>>) -> String {
    let Some(bytes) = bytes else { return "not mapped".into() };
    let digits: String = bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

/// The number of `size` bytes at `address`.
fn number_at(replay: &mut Replay, address: u64, size: u64) -> Result<Option<u64>> {
    let bytes = replay.memory(address, size).map_err(of_machine)?;
    Ok(bytes.map(|bytes| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_memory() {
        assert_eq!(piece("0x10"), Some((0x10, 8)));
        assert_eq!(piece("16+0x20"), Some((16, 32)));
        for word in ["panic", "0x10+", "0x10+0", "x+1"] {
            assert_eq!(piece(word), None, "{word}");
        }
    }

    #[test]
    fn what_is_above_the_hits() {
        assert_eq!(headline("write", "to x", 2, true, 2), "2 writes to x\n");
        let text = headline("execution", "of f", 4096, false, 20);
        assert_eq!(text, "at least 4096 executions of f; the last 20\n");
    }

    #[test]
    fn values_are_numbers() {
        assert_eq!(value(Some(&vec![1, 2])), "0x0201");
        assert_eq!(value(None), "not mapped");
    }

    #[test]
    fn a_name_of_too_much_is_said() {
        let thing = |size| Name { address: 1, size, is_code: size == 9, name: "x".into() };
        let (code, data) = (thing(9), thing(0));
        assert_eq!(variable(&[&data], "x").unwrap(), Target::Memory(1, 8));
        assert_eq!(variable(&[&code], "x").unwrap(), Target::Memory(1, 9));
        let why = variable(&[&data, &data], "x").unwrap_err().to_string();
        assert!(why.contains("the name of 2 things"), "{why}");
    }
}
