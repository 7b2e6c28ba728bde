//! A frame's registers, as reports show them.

use core::fmt;

use crate::width::TrapFrame;

impl TrapFrame {
    /// All registers, in lines.
    pub fn registers(&self) -> impl Iterator<Item = Registers<'_>> {
        (0..Self::LINES).map(|line| Registers { frame: self, line })
    }
}

/// Some of a frame's registers, in one line.
#[derive(Debug)]
pub struct Registers<'f> {
    frame: &'f TrapFrame,
    line: usize,
}

impl fmt::Display for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frame.show_line(self.line, f)
    }
}
