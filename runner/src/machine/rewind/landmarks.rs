//! What can be recognised in a boot by the guest's symbols: cases, and hypercalls.

use std::fmt::Write as _;

use object::{Object, ObjectSymbol};
use protocol::hypercalls::{CALLS, Kind, Selector};

use super::stub::of_machine;
use super::timeline::{Hit, Watch};
use super::travel::Travel;
use crate::base::exit::{Error, Result};
use crate::base::plural::count;

/// How names of functions begin in the image: a build adds a hash. A case ends in the first, and a
/// test begins in the second.
const CASES: [&[u8]; 2] = [b"_ZN10xtf_kernel6report4case17h", b"_ZN10xtf_kernel6report5begin17h"];
/// The page with the entries of all hypercalls,
const PAGE: &[u8] = b"hypercall_page";
/// so many bytes each.
const ENTRY: u64 = 32;

/// Addresses of a guest's code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landmarks {
    /// Where a case has ended, or a test begins.
    cases: Vec<u64>,
    /// The hypercall page.
    page: Option<u64>,
    /// Whether it is 32-bit code.
    pub is_32bit: bool,
}

impl Landmarks {
    /// Those of the ELF file `image`.
    pub fn of(image: &[u8]) -> Landmarks {
        let Ok(elf) = object::File::parse(image) else { return Landmarks::default() };
        let mut landmarks = Landmarks { is_32bit: !elf.is_64(), ..Landmarks::default() };
        for symbol in elf.symbols() {
            let Ok(name) = symbol.name_bytes() else { continue };
            if CASES.iter().any(|start| name.starts_with(start)) {
                landmarks.cases.push(symbol.address());
            } else if name == PAGE {
                landmarks.page = Some(symbol.address());
            }
        }
        landmarks
    }

    /// To wait for the beginning of cases: each begins where the one before it ended, or its test
    /// began.
    pub fn cases(&self) -> Watch {
        Watch::new(self.cases.clone(), Vec::new())
    }

    /// To wait for hypercalls.
    pub fn hypercalls(&self) -> Watch {
        Watch::new(self.entries().collect(), Vec::new())
    }

    fn entries(&self) -> impl Iterator<Item = u64> {
        self.page
            .into_iter()
            .flat_map(|page| (0..CALLS.len() as u64).map(move |n| page + n * ENTRY))
    }

    /// A line for each of the last `wanted` hypercalls of the case that is under way at `now`.
    pub fn calls_of_case(
        &self,
        travel: &mut Travel<'_>,
        now: u64,
        wanted: usize,
    ) -> Result<String> {
        let Some(page) = self.page else {
            return Err(Error::Data("the guest's image does not name its hypercall page".into()));
        };
        let watch =
            Watch::new(self.entries().chain(self.cases.iter().copied()).collect(), Vec::new());
        let begins = |hit: &Hit| self.cases.contains(&hit.rip);
        let (hits, whole) = travel.back_from(now, &watch, &|hits| hits.iter().any(begins))?;
        let begin = hits.iter().rposition(begins);
        let calls: Vec<Hit> = hits[begin.map_or(0, |at| at + 1)..].to_vec();
        let mut text = match begin.is_none() && !whole {
            true => format!("more than {} in this case", count(calls.len(), "hypercall")),
            false => format!("{} in this case", count(calls.len(), "hypercall")),
        };
        let shown = &calls[calls.len().saturating_sub(wanted)..];
        if shown.len() < calls.len() {
            let _ = write!(text, "; the last {}", shown.len());
        }
        text += "\n";
        let places: Vec<u64> = shown.iter().map(|hit| hit.at).collect();
        let lines = travel.visit(&places, now, &mut |replay| {
            let registers = replay.stub.registers().map_err(of_machine)?;
            let at = replay.now()?.at;
            let number = (registers.rip() - page) / ENTRY;
            Ok(format!("{at:>12}  {}\n", call(number, registers.of_hypercall(self.is_32bit))))
        })?;
        Ok(text + &lines.concat())
    }
}

/// A hypercall as people write it.
fn call(number: u64, arguments: [u64; 5]) -> String {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let (name, kinds) = match CALLS.get(number as usize) {
        Some((_, kinds @ [Kind::Op(..) | Kind::Sub(_), ..])) => {
            (Selector::of(number, arguments[0]).to_string(), kinds.len())
        }
        Some((name, kinds)) => ((*name).to_owned(), kinds.len()),
        None => (number.to_string(), arguments.len()),
    };
    let arguments = arguments.iter().take(kinds).map(|argument| format!("{argument:#x}"));
    format!("{name}({})", arguments.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_whatever_its_hash() {
        use object::write::{Object, Symbol, SymbolSection};
        use object::{
            Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope,
        };

        let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        for (name, value) in
            [([CASES[0], b"0123456789abcdefE"].concat(), 0x1234), (PAGE.to_vec(), 0x1000)]
        {
            elf.add_symbol(Symbol {
                name,
                value,
                size: 1,
                kind: SymbolKind::Text,
                scope: SymbolScope::Compilation,
                weak: false,
                section: SymbolSection::Absolute,
                flags: SymbolFlags::None,
            });
        }
        let landmarks = Landmarks::of(&elf.write().unwrap());
        assert_eq!(landmarks.cases(), Watch::new(vec![0x1234], vec![]));
        let entries = (0..64).map(|number| 0x1000 + number * 32).collect();
        assert_eq!(landmarks.hypercalls(), Watch::new(entries, vec![]));
        assert_eq!(Landmarks::of(b"text"), Landmarks::default());
    }

    #[test]
    fn calls_as_people_write_them() {
        let arguments = [2, 0x1000, 3, 4, 5];
        assert_eq!(call(29, arguments), "sched_op.shutdown(0x2, 0x1000)");
        assert_eq!(call(35, arguments), "sysctl(0x2)");
        assert!(call(200, arguments).ends_with("(0x2, 0x1000, 0x3, 0x4, 0x5)"));
    }
}
