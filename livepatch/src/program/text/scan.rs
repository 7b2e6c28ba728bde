//! Lines into words, and words into values.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::super::words::Word;

/// Why a text is no program, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The byte in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl core::error::Error for ParseError {}

pub(super) type Result<T> = core::result::Result<T, ParseError>;

/// Part of a line, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub text: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Piece<'a> {
    /// The words of a line; spaces in quotes do not separate them, and `#` begins a comment.
    pub fn words(line: usize, text: &'a str) -> Result<Vec<Self>> {
        let mut words = Vec::new();
        let mut start = None;
        let (mut quoted, mut escaped) = (None, false);
        for (at, char) in text.char_indices() {
            let here = Piece { text: &text[at..], line, column: at + 1 };
            if quoted.is_some() {
                match char {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '"' => quoted = None,
                    _ => {}
                }
                continue;
            }
            match char {
                '#' if start.is_none() => break,
                '"' => {
                    start.get_or_insert(at);
                    quoted = Some(here);
                }
                ' ' | '\t' | '\r' => words.extend(start.take().map(|s| (s, at))),
                _ => {
                    start.get_or_insert(at);
                }
            }
            if char == '#' && start.is_some() {
                return Err(here.error("a comment begins after a space"));
            }
        }
        if let Some(quote) = quoted {
            return Err(quote.error("this quote is not closed"));
        }
        let text_end = text.len();
        words.extend(start.map(|s| (s, text_end)));
        Ok(words
            .into_iter()
            .map(|(start, end)| Piece { text: &text[start..end], line, column: start + 1 })
            .collect())
    }

    pub fn error(self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.line, column: self.column, message: message.into() }
    }

    /// The part from a byte on.
    pub fn from(self, at: usize) -> Self {
        Self { text: &self.text[at..], column: self.column + at, ..self }
    }

    /// The part before a byte.
    pub fn until(self, at: usize) -> Self {
        Self { text: &self.text[..at], ..self }
    }

    /// What is before and behind a separator.
    pub fn split(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.until(at), self.from(at + separator.len_utf8())))
    }

    /// As [`Piece::split`], at the last separator.
    pub fn split_last(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.rfind(separator)?;
        Some((self.until(at), self.from(at + separator.len_utf8())))
    }

    /// What is behind a prefix.
    pub fn strip(self, prefix: &str) -> Option<Self> {
        self.text.starts_with(prefix).then(|| self.from(prefix.len()))
    }

    /// A number of at most `max`.
    pub fn number(self, max: u64) -> Result<u64> {
        let value = match self.text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => self.text.parse(),
        };
        match value {
            Ok(value) if value <= max => Ok(value),
            Ok(value) => Err(self.error(format!("{value} is more than {max}"))),
            Err(_) => Err(self.error(format!("`{}` is not a number", self.text))),
        }
    }

    /// A number that fits.
    pub fn integer<T: TryFrom<u64>>(self) -> Result<T> {
        let value = self.number(u64::MAX)?;
        T::try_from(value)
            .map_err(|_| self.error(format!("{value} does not fit into {} bytes", size_of::<T>())))
    }

    /// A number that may be negative.
    pub fn signed(self) -> Result<i32> {
        self.text.parse().map_err(|_| {
            self.error(format!("`{}` is not a number of 32 bits with a sign", self.text))
        })
    }

    /// One of the words of a type.
    pub fn word<T: Word>(self) -> Result<T> {
        T::from_word(self.text).ok_or_else(|| {
            let known: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
            self.error(format!("`{}` is none of {}", self.text, known.join(", ")))
        })
    }

    /// Bytes in quotes, at most `most`.
    pub fn quoted(self, most: usize) -> Result<Vec<u8>> {
        let inner = self.text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let Some(inner) = inner else {
            return Err(self.error(format!("`{}` is not in quotes", self.text)));
        };
        let mut bytes = Vec::new();
        let mut rest = inner.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let at = 1 + inner.len() - rest.len();
            let (value, used) = match (byte, after) {
                (b'\\', [quoted @ (b'"' | b'\\'), ..]) => (*quoted, 2),
                (b'\\', [b'n', ..]) => (b'\n', 2),
                (b'\\', [b'x', high, low, ..]) => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, 4),
                    _ => return Err(self.from(at).error("`\\x` needs two hexadecimal digits")),
                },
                (b'\\' | b'"', _) => {
                    return Err(self
                        .from(at)
                        .error("only `\\\"`, `\\\\`, `\\n` and `\\xNN` are escapes"));
                }
                _ => (byte, 1),
            };
            bytes.push(value);
            rest = &rest[used..];
        }
        if bytes.len() > most {
            return Err(self.error(format!("{} bytes are more than {most}", bytes.len())));
        }
        Ok(bytes)
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}
