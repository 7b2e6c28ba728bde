//! What the cases claim of a payload: refused, accepted, works.

use alloc::vec::Vec;
use core::fmt::Debug;

use kernel::livepatch::Loaded;
use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop, expect};
use livepatch::abi::{ActionCmd, Call, Name, State, Upload};
use livepatch::payload::wire::{SHN_ABS, SHT_PROGBITS, Shdr};
use livepatch::payload::{Data, Elf, Payload, Section};

use crate::support;

// The tables of cases are read column by column: short names.
pub const EEXIST: Errno = Errno::EEXIST;
pub const EINVAL: Errno = Errno::EINVAL;
pub const ENODATA: Errno = Errno::ENODATA;
pub const ENOENT: Errno = Errno::ENOENT;
pub const EOPNOTSUPP: Errno = Errno::EOPNOTSUPP;
pub const EOVERFLOW: Errno = Errno::EOVERFLOW;

/// The payload under test.
pub const NAME: &[u8] = b"elf\0";
/// Another one that has to be loaded for the case.
pub const OTHER: &[u8] = b"other\0";
/// What Xen's extra version reads while the base payload is applied.
pub const MARK: &str = "-elf";

/// A payload without a fault: the one that cases break.
pub fn base(c: &Context) -> Result<Payload, Stop> {
    support::marker(c, MARK)
}

/// The base payload with `change` is refused with `errno`.
pub fn refused(c: &Context, errno: Errno, change: impl FnOnce(&mut Elf)) -> Outcome {
    let mut elf = base(c)?.elf();
    change(&mut elf);
    file_refused(c, errno, &elf.to_bytes())
}

/// The base payload with `change` is accepted.
pub fn accepted(c: &Context, change: impl FnOnce(&mut Elf)) -> Outcome {
    let mut elf = base(c)?.elf();
    change(&mut elf);
    file_accepted(c, &elf.to_bytes())
}

/// The base payload with `change` is accepted and still does its work.
pub fn works(c: &Context, change: impl FnOnce(&mut Elf)) -> Outcome {
    let mut elf = base(c)?.elf();
    change(&mut elf);
    file_shows(c, MARK, &elf.to_bytes())
}

/// The base payload with `change` made to its bytes is refused with `errno`.
pub fn bytes_refused(c: &Context, errno: Errno, change: impl FnOnce(&mut Vec<u8>)) -> Outcome {
    let mut file = base(c)?.to_bytes();
    change(&mut file);
    file_refused(c, errno, &file)
}

/// The base payload with `change` made to its bytes is accepted and still does its work.
pub fn bytes_work(c: &Context, change: impl FnOnce(&mut Vec<u8>)) -> Outcome {
    let mut file = base(c)?.to_bytes();
    change(&mut file);
    file_shows(c, MARK, &file)
}

/// Xen refuses the file with `errno`, and nothing has changed.
pub fn file_refused(c: &Context, errno: Errno, file: &[u8]) -> Outcome {
    let livepatch = c.livepatch();
    let upload = Upload::new(Name::new(NAME), file);
    let outcome = livepatch.refuses(&Call::upload(livepatch.version, upload), errno);
    if outcome.is_err() {
        // Perhaps it was accepted: out with it, or all cases that follow fail as well.
        let _ = livepatch.action(NAME, ActionCmd::Unload);
    }
    outcome
}

/// Xen accepts the file.
pub fn file_accepted(c: &Context, file: &[u8]) -> Outcome {
    load(c, NAME, file)?.must_be(State::Checked, Answer::SUCCESS)
}

/// Uploads what the case claims that Xen accepts.
pub fn load<'c>(c: &'c Context, name: &[u8], file: &[u8]) -> Result<Loaded<'c>, Stop> {
    c.livepatch().load(name, file).map_err(|stop| match stop {
        Stop::Error(why) => Stop::Failure(why),
        other => other,
    })
}

/// Xen accepts the file, and its extra version reads `text` for as long as it is applied.
pub fn file_shows(c: &Context, text: &str, file: &[u8]) -> Outcome {
    let original = support::extra_version()?;
    let loaded = load(c, NAME, file)?;
    loaded.must_be(State::Checked, Answer::SUCCESS)?;
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Applied, Answer::SUCCESS)?;
    expect("extra version", support::extra_version()?.as_str(), text)?;
    loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Checked, Answer::SUCCESS)?;
    expect("extra version after the revert", support::extra_version()?, original)
}

/// The claim holds for each of the values.
pub fn each<T: Copy + Debug>(
    values: impl IntoIterator<Item = T>,
    claim: impl Fn(T) -> Outcome,
) -> Outcome {
    values
        .into_iter()
        .try_for_each(|value| claim(value).map_err(|stop| stop.at(format_args!("{value:x?}"))))
}

/// Appends a section that is not loaded, so that Xen looks at nothing but its header.
pub fn junk(elf: &mut Elf, change: impl FnOnce(&mut Shdr)) {
    let section = Section::new(".junk", SHT_PROGBITS, 0, 1, Data::Bytes(alloc::vec![0x5A; 8]));
    let index = elf.push(section);
    change(&mut elf.sections[index].shdr);
}

/// Gives a symbol that the payload refers to, and does not define, a value.
pub fn define(elf: &mut Elf, symbol: &str, value: u64) {
    let sym = elf.symbol_mut(symbol);
    sym.st_shndx = SHN_ABS;
    sym.st_value = value;
}

/// Whether Xen looks at `.livepatch.xen_depends` before it loads anything (fa49f4be41).
pub fn checks_xen_depends_first(c: &Context) -> bool {
    c.xen.has(Change::XenDependsFirst)
}
