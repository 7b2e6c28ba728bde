//! Code addresses of the image to functions and lines.

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
