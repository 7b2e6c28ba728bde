//! Why a result is not what the guest says it is, told apart by who said so.

use std::fmt;

/// Something that a report gives as a reason for its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The guest broke the protocol of its console, so that nothing it says can be relied on.
    Protocol(String),
    /// Xen did not get the command line that it was meant to get, or refused some of it.
    CommandLine(String),
    /// The guest, Xen or a tool said so, or it follows from what they did.
    Told(String),
}

impl Fault {
    /// Whether a success beside it is none.
    pub fn casts_doubt(&self) -> bool {
        match self {
            Fault::Protocol(_) | Fault::CommandLine(_) => true,
            Fault::Told(_) => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Protocol(why) => write!(f, "protocol: {why}"),
            Fault::CommandLine(why) | Fault::Told(why) => f.write_str(why),
        }
    }
}
