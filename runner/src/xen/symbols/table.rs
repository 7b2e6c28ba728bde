//! The symbol table that is in Xen itself, in which it looks up the names that a payload asks for.
//!
//! xen/tools/symbols.c writes it, and xen/common/symbols.c reads it; its form has hardly changed
//! since 4.8. Nothing says where it is, but one part cannot be mistaken: 256 numbers of 16 bits that
//! say where each token begins, each a little larger than the one before it. The tokens are in front
//! of them, and the other parts in front of the tokens.

use crate::base::plain::plain;

/// A symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Where it is, counted from where Xen's address space begins (`XEN_VIRT_START`).
    pub offset: u32,
    /// Its name: `FILE#NAME` for a static one. Empty where what is before it ends (since 4.21).
    pub name: String,
}

/// Names are written with so many tokens.
const TOKENS: usize = 256;
/// Bytes of an index of all tokens.
const INDEX_SIZE: usize = 2 * TOKENS;
/// No token has more bytes, its NUL included (`KSYM_NAME_LEN`).
const TOKEN_MAX: u16 = 129;
/// There is a mark for so many names.
const MARK_EVERY: usize = 256;
/// Parts begin at multiples of it.
const ALIGNED: usize = 4;

/// The symbols in the file of a Xen, by their place; `None` if it has no table of the known form.
pub fn read(file: &[u8]) -> Option<Vec<Symbol>> {
    let windows = file.windows(INDEX_SIZE).enumerate().step_by(2);
    windows.filter_map(|(at, bytes)| Some((at, starts_of_tokens(bytes)?))).find_map(
        |(at, starts)| {
            let tokens = Tokens::before(file, at, &starts)?;
            let marks = Marks::before(file, tokens.at)?;
            marks.symbols(file, &tokens)
        },
    )
}

/// The numbers at the beginning of `bytes`, if they are what a table of tokens has.
fn starts_of_tokens(bytes: &[u8]) -> Option<Vec<u16>> {
    let number = |nth: usize| u16::from_le_bytes([bytes[2 * nth], bytes[2 * nth + 1]]);
    if number(0) != 0 {
        return None;
    }
    let plausible = |nth: usize| {
        let size = number(nth).checked_sub(number(nth - 1));
        size.is_some_and(|size| (2..=TOKEN_MAX).contains(&size))
    };
    (1..TOKENS).all(plausible).then(|| (0..TOKENS).map(number).collect())
}

/// The parts of names.
struct Tokens<'f> {
    /// Where they begin in the file.
    at: usize,
    texts: Vec<&'f [u8]>,
}

impl<'f> Tokens<'f> {
    /// Those that end before `index`, which says where each begins.
    fn before(file: &'f [u8], index: usize, starts: &[u16]) -> Option<Self> {
        let last = usize::from(*starts.last()?);
        (0..ALIGNED).find_map(|padding| {
            let end = index.checked_sub(padding)?;
            let text = file[..end].strip_suffix(&[0])?;
            let last_token = text.iter().rposition(|&byte| byte == 0)? + 1;
            let at = last_token.checked_sub(last)?;
            let ends = starts[1..].iter().map(|&start| usize::from(start)).chain([end - at]);
            let texts = starts.iter().zip(ends).map(|(&start, end)| {
                let text = file[at..].get(usize::from(start)..end)?.strip_suffix(&[0])?;
                (!text.is_empty() && !text.contains(&0)).then_some(text)
            });
            Some(Tokens { at, texts: texts.collect::<Option<_>>()? })
        })
    }

    fn expand(&self, name: &[u8]) -> String {
        let text: Vec<u8> =
            name.iter().flat_map(|&token| self.texts[usize::from(token)]).copied().collect();
        // The first letter is the symbol's type.
        plain(&String::from_utf8_lossy(text.get(1..).unwrap_or_default()))
    }
}

/// Where in the stream of names each 256th one is.
struct Marks {
    at: usize,
    marks: Vec<usize>,
}

impl Marks {
    /// Those that end before the tokens at `end`.
    fn before(file: &[u8], end: usize) -> Option<Self> {
        let mut marks = Vec::new();
        let mut at = end / ALIGNED * ALIGNED;
        loop {
            at = at.checked_sub(4)?;
            let mark = word(file, at)?;
            if marks.last().is_some_and(|&later| mark >= later) {
                return None;
            }
            marks.push(mark);
            if mark == 0 {
                marks.reverse();
                return Some(Marks { at, marks });
            }
        }
    }

    /// The symbols, whose names end before the marks; their number is in front of the names, and the
    /// places are in front of that.
    fn symbols(&self, file: &[u8], tokens: &Tokens<'_>) -> Option<Vec<Symbol>> {
        let last = *self.marks.last()?;
        let from = self.at.checked_sub(last + MARK_EVERY * usize::from(u8::MAX));
        (from.unwrap_or(ALIGNED)..self.at.checked_sub(last)?).rev().find_map(|start| {
            let count = word(file, start.checked_sub(4)?)?;
            if count.div_ceil(MARK_EVERY) != self.marks.len() {
                return None;
            }
            let names = self.names(&file[start..self.at], count)?;
            let places = start.checked_sub(4 + 4 * count)?;
            let symbols = names.into_iter().enumerate().map(|(nth, name)| {
                let offset = u32::try_from(word(file, places + 4 * nth)?).ok()?;
                Some(Symbol { offset, name: tokens.expand(name) })
            });
            let symbols = symbols.collect::<Option<Vec<_>>>()?;
            symbols.is_sorted_by_key(|symbol| symbol.offset).then_some(symbols)
        })
    }

    /// The stream of so many names, if `stream` is no more than that and the marks agree.
    fn names<'f>(&self, stream: &'f [u8], count: usize) -> Option<Vec<&'f [u8]>> {
        let mut names = Vec::new();
        let mut at = 0;
        for nth in 0..count {
            if nth % MARK_EVERY == 0 && self.marks[nth / MARK_EVERY] != at {
                return None;
            }
            let (&len, rest) = stream.get(at..)?.split_first()?;
            names.push(rest.get(..usize::from(len))?);
            at += 1 + usize::from(len);
        }
        (stream.len() - at < ALIGNED).then_some(names)
    }
}

fn word(file: &[u8], at: usize) -> Option<usize> {
    let bytes = file.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::xen::symbols::xen_build::{self, PHYSICAL, STRIDE};

    const FUNCTIONS: [xen_build::Function<'_>; 3] =
        [("b", Some("common/a.c"), &[0xc3]), ("a", None, &[0xc3]), ("end", None, &[0xc3])];

    #[test]
    fn symbols_are_found_wherever_they_are() {
        let file = xen_build::boot(1, &FUNCTIONS);
        let symbols = read(&file).unwrap();
        let expected = ["common/a.c#b", "a", "end"].iter().enumerate().map(|(nth, &name)| Symbol {
            offset: (PHYSICAL as usize + (nth + 1) * STRIDE) as u32,
            name: name.into(),
        });
        assert_eq!(symbols, expected.collect::<Vec<_>>());
        let moved = [&[0xcc; 6][..], &file].concat();
        assert_eq!(read(&moved), Some(symbols));
    }

    /// More names than one mark is for.
    #[test]
    fn marks_are_followed() {
        let names: Vec<String> = (0..600).map(|nth| format!("function_{nth}")).collect();
        let functions: Vec<xen_build::Function<'_>> =
            names.iter().map(|name| (name.as_str(), None, &[0xc3][..])).collect();
        let symbols = read(&xen_build::boot(1, &functions)).unwrap();
        assert!(symbols.iter().map(|symbol| &symbol.name).eq(&names));
    }

    #[test]
    fn what_is_no_table_is_none() {
        let file = xen_build::boot(1, &FUNCTIONS);
        assert_eq!(read(b""), None);
        for size in (0..file.len()).step_by(7) {
            assert_eq!(read(&file[..size]), None, "{size}");
        }
        // Behind one mark there are tokens of a letter and a NUL each.
        let index = file.len() - INDEX_SIZE;
        let mark = index - 2 * TOKENS - 4;
        for at in [file.len() - 1, index, mark] {
            let mut damaged = file.clone();
            damaged[at] ^= 0xff;
            assert_eq!(read(&damaged), None, "{at}");
        }
    }
}
