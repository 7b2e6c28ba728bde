//! Code addresses of the image and of Xen to functions and lines.

use std::path::Path;

use addr2line::Loader;

/// One line of text for each frame of `backtrace`, innermost first.
///
/// An image without line tables still gives bare addresses: this never fails.
pub fn describe(image: &Path, backtrace: &[u64]) -> Vec<String> {
    if backtrace.is_empty() {
        return Vec::new();
    }
    let loader = Loader::new(image).ok();
    backtrace.iter().flat_map(|&address| frames(loader.as_ref(), address)).collect()
}

fn frames(loader: Option<&Loader>, address: u64) -> Vec<String> {
    // A return address is behind its call, which may be the last instruction of a function.
    let probe = address.saturating_sub(1);
    let mut texts = Vec::new();
    if let Some(mut frames) = loader.and_then(|loader| loader.find_frames(probe).ok()) {
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|name| name.demangle().ok());
            let function = function.map_or_else(|| "?".to_owned(), |name| name.into_owned());
            let place = frame
                .location
                .map(|at| format!(" at {}:{}", at.file.unwrap_or("?"), at.line.unwrap_or(0)));
            texts.push(format!("{address:#x} {function}{}", place.unwrap_or_default()));
        }
    }
    if texts.is_empty() {
        let symbol = loader.and_then(|loader| loader.find_symbol(probe)).unwrap_or("?");
        let symbol = addr2line::demangle_auto(symbol.into(), None);
        texts.push(format!("{address:#x} {symbol}"));
    }
    texts
}

/// Xen's last words, where `xen_syms` has line tables with the places in its source behind its
/// addresses. Xen itself says which function they are in.
pub fn of_xen(words: &[String], xen_syms: &Path) -> Vec<String> {
    let loader = Loader::new(xen_syms).ok();
    words.iter().map(|line| with_places(line, loader.as_ref())).collect()
}

/// The lines of Xen's source.
pub struct SourceLines(Option<Loader>);

impl SourceLines {
    /// Those of a xen-syms, if it has line tables.
    pub fn read(xen_syms: &Path) -> SourceLines {
        SourceLines(Loader::new(xen_syms).ok())
    }

    /// Where the instruction at `address` comes from, if that is known.
    pub fn of(&self, address: u64) -> Option<String> {
        Some(places(self.0.as_ref()?, address)).filter(|places| !places.is_empty())
    }
}

/// `line`, with the places behind what it has in `[<` and `>]`.
fn with_places(line: &str, loader: Option<&Loader>) -> String {
    let mut text = line.to_owned();
    let Some(loader) = loader else { return text };
    let addresses = line.split("[<").skip(1).filter_map(|rest| rest.split_once(">]"));
    for (address, _) in addresses {
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        // `R` is where the CPU was; all else in a call trace is a return address.
        let is_return = line.contains("] S ") || line.contains("] F ");
        let probe = if is_return { address.saturating_sub(1) } else { address };
        let places = places(loader, probe);
        if !places.is_empty() {
            text += &format!("  at {places}");
        }
    }
    text
}

/// Where the code at `address` comes from, innermost first; empty if that is not known.
fn places(loader: &Loader, address: u64) -> String {
    let Ok(mut frames) = loader.find_frames(address) else { return String::new() };
    let mut places = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        let at = frame.location;
        places.extend(at.and_then(|at| Some(format!("{}:{}", at.file?, at.line?))));
    }
    places.join(", inlined at ")
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSymbol};

    use super::*;

    /// This very program stands in for a xen-syms with line tables.
    #[test]
    fn addresses_of_xen_get_their_places() {
        let here = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&here).unwrap();
        let elf = object::File::parse(bytes.as_slice()).unwrap();
        let mut functions = elf.symbols().filter(|symbol| {
            symbol
                .name()
                .is_ok_and(|name| name.contains("source_lines") && name.contains("with_places"))
        });
        let function = functions.next().unwrap().address();
        let quote = [
            "(XEN) ----[ Xen-4.17.7  x86_64  debug=n  Not tainted ]----".to_owned(),
            format!("(XEN) RIP:    e008:[<{function:016x}>] with_places"),
            format!("(XEN)    [<{:016x}>] S with_places+0x8/0x80", function + 8),
            "(XEN)    [<zz>] S nothing".to_owned(),
        ];
        let told = of_xen(&quote, &here);
        assert_eq!((&told[0], &told[3]), (&quote[0], &quote[3]));
        for line in [1, 2] {
            let (before, place) = told[line].split_once("  at ").unwrap();
            assert_eq!(before, quote[line]);
            assert!(place.contains("src/base/source_lines.rs:"), "{place}");
        }
        assert_eq!(of_xen(&quote, Path::new("/nowhere")), quote);
        let line = SourceLines::read(&here).of(function).unwrap();
        assert!(line.contains("src/base/source_lines.rs:"), "{line}");
        assert_eq!(SourceLines::read(Path::new("/nowhere")).of(function), None);
    }
}
