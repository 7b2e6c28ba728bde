//! Coverage of source lines, as lcov's tools read it.
//!
//! Needs a xen-syms with debug information. Debian's has none; then asking for lines is refused
//! before anything runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use addr2line::Loader;

use super::model::Coverage;
use crate::base::exit::Result;
use crate::xen::symbols::in_file;

/// A line of a source file.
type Place = (String, u32);

/// Where the instructions come from.
#[derive(Debug)]
pub struct Lines(BTreeMap<u64, Place>);

impl Lines {
    /// The lines of the functions of `coverage` in the xen-syms `syms`.
    pub fn of(syms: &Path, coverage: &Coverage<'_>) -> Result<Lines> {
        let loader = Loader::new(syms)
            .map_err(|e| in_file(syms, &format!("has damaged debug information: {e}")))?;
        let mut lines = BTreeMap::new();
        for address in coverage.addresses() {
            let place = loader.find_location(address).ok().flatten();
            if let Some(place) = place.and_then(|at| Some((at.file?.to_owned(), at.line?))) {
                lines.insert(address, place);
            }
        }
        if lines.is_empty() {
            return Err(in_file(
                syms,
                "has no debug information, which --lcov needs; with --symbols, name the xen-syms \
                 of a Xen built with CONFIG_DEBUG_INFO, or use --html, --json or --text",
            ));
        }
        Ok(Lines(lines))
    }
}

/// What is known of a source file.
#[derive(Default)]
struct Source<'a> {
    functions: Vec<(u32, &'a str, u64)>,
    lines: BTreeMap<u32, u64>,
}

/// The tracefile.
///
/// A line was executed as often as the most executed of its instructions: the compiler may have
/// spread it over several places of which each is only a part.
pub fn tracefile(coverage: &Coverage<'_>, lines: &Lines) -> String {
    let mut sources: BTreeMap<&str, Source<'_>> = BTreeMap::new();
    for covered in &coverage.functions {
        if let Some((file, line)) = lines.0.get(&covered.function.address) {
            let function = (*line, covered.function.name.as_str(), covered.entered());
            sources.entry(file).or_default().functions.push(function);
        }
        for (instruction, &count) in covered.instructions.iter().zip(&covered.counts) {
            if let Some((file, line)) = lines.0.get(&instruction.ip()) {
                let lines = &mut sources.entry(file).or_default().lines;
                let known = lines.entry(*line).or_default();
                *known = count.max(*known);
            }
        }
    }
    let mut text = String::from("TN:\n");
    for (file, source) in sources {
        let _ = writeln!(text, "SF:{file}");
        for (line, name, _) in &source.functions {
            let _ = writeln!(text, "FN:{line},{name}");
        }
        for (_, name, count) in &source.functions {
            let _ = writeln!(text, "FNDA:{count},{name}");
        }
        let hit = source.functions.iter().filter(|(.., count)| *count > 0).count();
        let _ = writeln!(text, "FNF:{}\nFNH:{hit}", source.functions.len());
        for (line, count) in &source.lines {
            let _ = writeln!(text, "DA:{line},{count}");
        }
        let hit = source.lines.values().filter(|&&count| count > 0).count();
        let _ = writeln!(text, "LF:{}\nLH:{hit}\nend_of_record", source.lines.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    use object::{Object, ObjectSection, ObjectSymbol};

    use crate::commands::coverage::model::Covered;
    use crate::xen::symbols::code::Targets;
    use crate::xen::symbols::{XenFunction, XenSyms};

    /// The line of the function that follows.
    const START: u32 = line!() + 4;

    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn counted_by_the_lcov_test(x: u64) -> u64 {
        if x > 7 { std::hint::black_box(x + 3) } else { x }
    }

    /// This very program stands for a xen-syms with debug information.
    #[test]
    fn lines_are_those_of_the_instructions() {
        assert_eq!(counted_by_the_lcov_test(8), 11);
        let exe = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&exe).unwrap();
        let elf = object::File::parse(bytes.as_slice()).unwrap();
        let symbol = elf.symbols().find(|s| s.name() == Ok("counted_by_the_lcov_test")).unwrap();
        let (address, size) = (symbol.address(), symbol.size());
        let text = elf.sections().find(|s| s.name() == Ok(".text")).unwrap();
        let function = XenFunction {
            name: "counted_by_the_lcov_test".into(),
            file: None,
            label: "counted_by_the_lcov_test".into(),
            address,
            physical: address,
            code: text.data_range(address, size).unwrap().unwrap().to_vec(),
        };

        let symbols =
            XenSyms { build_id: Vec::new(), functions: vec![function], names: Vec::new() };
        let mut covered = Covered::new(&symbols.functions[0], &Targets::of(&symbols)).unwrap();
        covered.counts[0] = 5;
        let coverage =
            Coverage { xen: "x", provenance: "here", symbols: &symbols, functions: vec![covered] };
        let lines = Lines::of(&exe, &coverage).unwrap();
        let text = tracefile(&coverage, &lines);
        assert!(text.lines().any(|line| line.ends_with("coverage/lcov.rs")), "{text}");
        for line in [
            format!("FN:{START},counted_by_the_lcov_test"),
            "FNDA:5,counted_by_the_lcov_test".into(),
            "FNF:1".into(),
            "FNH:1".into(),
            format!("DA:{START},5"),
            format!("DA:{},0", START + 1),
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }
}
