//! Options of `xtf-runner iso`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use protocol::metadata::Environment;

use super::{FetchArgs, InputPaths, Selection, wide};
use crate::machine::serial::Serial;

/// Options of `iso`.
#[derive(Debug, Args)]
pub struct IsoArgs {
    /// What to run.
    #[command(flatten)]
    pub selection: Selection,

    /// File to write, replaced in one step; a device is refused
    #[arg(long, short, value_name = "FILE", default_value = "xtf.iso")]
    pub output: PathBuf,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Xen: a name from the configuration, `all` of them, or a xen, xen.gz, package or folder;
    /// repeatable
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Vec<String>,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Environments
    #[arg(long, value_name = "ENV", value_parser = wide, value_delimiter = ',', default_value = "pv64,pvh64")]
    pub env: Vec<Environment>,

    /// Give each test an entry, and so a boot, of its own
    #[arg(long)]
    pub isolate: bool,

    /// Serial line for GRUB and Xen: com1 or com2, and behind a comma what Xen's `com1=` takes, BAUD
    /// or BAUD,8n1,IO-BASE,IRQ or BAUD,8n1,pci; `none` for the screen alone
    #[arg(long, value_name = "PORT,BAUD", default_value = "com1,115200", value_parser = serial)]
    pub serial: Line,

    /// What the machine does after the last line
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = AtEnd::Halt)]
    pub at_end: AtEnd,

    /// Seconds before the first entry starts, in which ESC brings up the menu [default: 5, or 0 where
    /// there is only one entry]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(..=3600))]
    pub wait: Option<u32>,

    /// Further parameters for the guest
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub cmdline: Option<String>,

    /// Further arguments for Xen
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub xen_cmdline: Option<String>,
}

/// A serial line, or none.
pub type Line = Option<Serial>;

fn serial(text: &str) -> Result<Line, String> {
    if text == "none" { Ok(None) } else { text.parse().map(Some) }
}

/// What a machine does after the guest's last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AtEnd {
    /// Stand still, with the outcome on the screen; also where Xen panics
    Halt,
    /// Reset, and boot whatever its firmware chooses
    Reboot,
    /// Reset, and boot the next entry from the same medium, until all have run: a stick or a disk,
    /// on which GRUB notes where it is. From a medium that cannot be written, stand still
    Next,
}
