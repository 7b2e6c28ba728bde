//! `payload write`: a live patch for a given Xen, in a file for any client of the sysctl.
//!
//! The guest builds its payloads with the same library, so another client also tests ours.

use std::fs;

use livepatch::abi::Revision;
use livepatch::payload::{Function, Payload, Target, code};

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::hash::sha256;
use crate::cli::{FuncLayout, WriteArgs};
use crate::commands::chosen;
use crate::xen::symbols::{BootXen, in_file};

/// The function that says what `xl info` shows as xen_extra,
const FUNCTION: &str = "xen_extra_version";
/// of which XENVER_extraversion passes on this much.
const MAX_TEXT: usize = 15;

/// Runs the command.
pub fn write(args: &WriteArgs) -> Result<Exit> {
    check_text("--text", &args.text)?;
    let build_id = match &args.build_id {
        Some(digits) => from_hex(digits).ok_or_else(|| {
            Error::Usage(format!(
                "--build-id must be pairs of hexadecimal digits, and is `{digits}`"
            ))
        })?,
        None => build_id_of_xen(args)?,
    };
    let bytes = build(args.layout, &build_id, &args.text);
    fs::write(&args.output, bytes).io("write", &args.output)?;
    Ok(Exit::Success)
}

/// Refuses what XENVER_extraversion cannot be; `option` says it.
pub fn check_text(option: &str, text: &str) -> Result<()> {
    if text.len() > MAX_TEXT || !text.chars().all(|c| (' '..='~').contains(&c)) {
        let why = format!(
            "{option} must be at most {MAX_TEXT} printable ASCII characters, and is `{text}`"
        );
        return Err(Error::Usage(why));
    }
    Ok(())
}

fn build(layout: FuncLayout, build_id: &[u8], text: &str) -> Vec<u8> {
    let revision = match layout {
        FuncLayout::V1 => Revision::V1,
        FuncLayout::V2 => Revision::V2,
    };
    // Two payloads with the same id can't be loaded together.
    let own_id = sha256(&[build_id, text.as_bytes()].concat());
    Payload::new(&Target::new(revision, build_id), &own_id.as_bytes()[..20])
        .function(Function::named(FUNCTION, code::return_str(text)))
        .to_bytes()
}

fn build_id_of_xen(args: &WriteArgs) -> Result<Vec<u8>> {
    let ready = chosen(&args.on)?.obtain()?;
    let bytes = fs::read(&ready.path).io("read", &ready.path)?;
    let xen = BootXen::parse(bytes).map_err(|why| in_file(&ready.path, &why))?;
    Ok(xen.build_id().to_vec())
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let bytes = digits.as_bytes();
    if bytes.is_empty()
        || !bytes.len().is_multiple_of(2)
        || !bytes.iter().all(u8::is_ascii_hexdigit)
    {
        return None;
    }
    let pairs = bytes.chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSection};

    use super::*;

    #[test]
    fn what_is_in_the_file() {
        let id: Vec<u8> = (0..20).collect();
        for (layout, size) in [(FuncLayout::V1, 64), (FuncLayout::V2, 104)] {
            let bytes = build(layout, &id, "-hello");
            let elf = object::File::parse(bytes.as_slice()).unwrap();
            let data = |name: &str| elf.section_by_name(name).unwrap().data().unwrap();
            assert_eq!(data(".livepatch.funcs").len(), size);
            assert!(data(".livepatch.xen_depends").ends_with(&id));
            assert!(bytes.windows(7).any(|window| window == b"-hello\0"));
        }
        assert_ne!(build(FuncLayout::V2, &id, "a"), build(FuncLayout::V2, &id, "b"));
    }

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(from_hex("00fF"), Some(vec![0, 255]));
        for bad in ["", "0", "0g", "123", "+1", "é1"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
