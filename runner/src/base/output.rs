//! The two outputs of the program: what was asked for, and what is worth knowing meanwhile.

use std::io::{self, Write};

use serde::Serialize;

use crate::base::exit::{Error, Result};

/// Writes to standard output; a reader who has seen enough is no error.
pub fn write_out(text: &str) -> Result<()> {
    write_to(&mut io::stdout(), text)
}

/// Writes to what stands for standard output.
pub fn write_to(out: &mut dyn Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { what: "cannot write to standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// `what` as JSON that people can read as well.
pub fn json(what: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(what);
    text.map(|text| text + "\n").map_err(|e| Error::Data(format!("cannot print as JSON: {e}")))
}

/// Something that takes time, or is worth knowing, before there is a run to report on. What goes
/// to standard output may be a report that a program reads.
pub fn note(text: &str) {
    eprintln!("{:13}{text}", "");
}
