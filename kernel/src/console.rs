//! Lines to the console.

use core::fmt::{self, Write};

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($format:tt)*) => { $crate::console::line(format_args!($($format)*)) };
}

pub use arch::console::drain;

/// Writes a line to every console of the domain.
pub fn line(text: fmt::Arguments<'_>) {
    // There is nowhere to tell that the console is gone.
    let _ = is_line_taken(text);
}

/// The same; returns whether all of it was taken ([`arch::console::write`]).
pub fn is_line_taken(text: fmt::Arguments<'_>) -> bool {
    let mut buffer = Buffer::new();
    // Writing to a console cannot fail, only a `Display` of the caller's can.
    let _ = buffer.write_fmt(text);
    buffer.push(b"\n");
    buffer.flush();
    buffer.taken
}

/// Collects a line, so that it is one write to the console: Xen's own messages then do not
/// land in the middle of it. Needs no heap, since panics come this way.
struct Buffer {
    bytes: [u8; 512],
    used: usize,
    /// Whether all that was written so far was taken.
    taken: bool,
}

impl Buffer {
    const fn new() -> Self {
        Self { bytes: [0; 512], used: 0, taken: true }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.used == self.bytes.len() {
                self.flush();
            }
            let room = self.bytes.len() - self.used;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.bytes[self.used..self.used + now.len()].copy_from_slice(now);
            self.used += now.len();
            bytes = later;
        }
    }

    fn flush(&mut self) {
        self.taken &= arch::console::write(&self.bytes[..self.used]);
        self.used = 0;
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}
