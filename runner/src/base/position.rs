//! Where something stands in a text, for messages about it.

/// The line, from 1 on, of the byte at `offset` in `text`.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}
