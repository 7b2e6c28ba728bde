//! Words for a POSIX shell.

use std::borrow::Cow;
use std::path::Path;

/// A word for a shell.
pub fn quote(word: &str) -> String {
    // Only a NUL can't be quoted, and no argument of a process holds one.
    shlex::try_quote(word).map_or_else(|_| word.replace('\0', ""), Cow::into_owned)
}

/// A command and its arguments as a line for a shell.
pub fn line<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words.into_iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// A path for a shell.
pub fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
