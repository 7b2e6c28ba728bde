//! Coverage of source lines, as lcov's tools read it.
//!
//! Needs a xen-syms with debug information, which Debian's is not; without any, asking for lines is
//! refused before anything runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use addr2line::Loader;

use super::model::Coverage;
use crate::exit::Result;
use crate::hypervisor::Ready;
use crate::xen_symbols::code::body;
use crate::xen_symbols::{Function, in_file};

/// A line of a source file.
type Place = (String, u32);

/// Where the instructions come from.
#[derive(Debug)]
pub struct Lines(BTreeMap<u64, Place>);

impl Lines {
    /// The lines of `functions` in the xen-syms `syms`.
    pub fn of(syms: &Ready, functions: &[&Function]) -> Result<Lines> {
        let loader = Loader::new(&syms.elf)
            .map_err(|e| in_file(&syms.elf, &format!("has damaged debug information: {e}")))?;
        let mut lines = BTreeMap::new();
        for instruction in functions.iter().flat_map(|function| body(function)) {
            let place = loader.find_location(instruction.ip()).ok().flatten();
            if let Some(place) = place.and_then(|at| Some((at.file?.to_owned(), at.line?))) {
                lines.insert(instruction.ip(), place);
            }
        }
        if lines.is_empty() {
            return Err(in_file(
                &syms.elf,
                "has no debug information, so there are no lines for --lcov; name the xen-syms of \
                 a Xen that was built with it with --symbols, or use --html, --json or --text",
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
