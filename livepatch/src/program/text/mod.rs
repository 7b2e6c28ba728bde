//! Programs as text.

mod parse;
mod print;
mod scan;

pub use parse::parse;
pub use scan::ParseError;

use crate::abi::ActionCmd;

/// The actions that have words.
const ACTIONS: [(&str, ActionCmd); 4] = [
    ("unload", ActionCmd::Unload),
    ("revert", ActionCmd::Revert),
    ("apply", ActionCmd::Apply),
    ("replace", ActionCmd::Replace),
];
