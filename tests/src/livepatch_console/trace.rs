//! What Xen says when a WARN comes up in a payload's code: whose code it is.
//!
//! A WARN tells the file and the line, the registers, what lies on the stack, and whose code the
//! addresses are in; then Xen goes on. Of all that, these are claims: the first line, the line that
//! begins with `RIP:`, the one in front of the code's bytes, and the lines of the call trace that
//! are about payloads. The rest is about the machine, and nobody looks at it.
//!
//! A WARN that Xen does not take for one ends Xen. So a mutant of `is_patch` that does not know the
//! file's name any more shows as a CRASH.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::hypercall::version::Text;
use kernel::livepatch::Loaded;
use kernel::xen::Change;
use kernel::{Context, Outcome, Stop, expect, expect_that};
use livepatch::payload::{Area, Chunk, Function, Hook, Payload, code};

use super::key::address_of;
use super::said::{Ear, are_lines};
use crate::support::{apply, bug_frame, bug_instruction, load, payload, read_text, revert, unload};

/// The table of Xen's WARNs.
const WARNS: Area = Area::loaded(".bug_frames.1", 0, 4);
/// A label at the beginning of a payload's code.
const BASE: &str = "xtf_warn_base";
const FILE: &str = "xtf/warn.c";
/// An entry of the table has 7 bits of it in one place and 7 in another; this number needs both.
const LINE: u16 = 12_345;
/// What is patched so that it warns. Not one of the functions that tell Xen's version: it prints
/// that in front of the registers.
const PATCHED: &str = "xen_changeset";
/// What that function returns then.
const CHANGESET: &str = "warned";

/// `push rbp; mov rbp, rsp`, so that a Xen that follows frame pointers finds the caller.
const PROLOGUE: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
/// `pop rbp`.
const EPILOGUE: [u8; 1] = [0x5d];
/// Where in its function the WARN is: behind the prologue and some NOPs, because Xen shows the eight
/// bytes before it, too.
const AT: u32 = 12;

/// Code with a WARN that goes on and returns [`CHANGESET`], and the number of its bytes.
fn warning(context: &Context) -> (Chunk, u32) {
    let code = Chunk::new(PROLOGUE)
        .then(code::nops(AT as usize - PROLOGUE.len()))
        .then(bug_instruction(context))
        .then(Chunk::new(EPILOGUE))
        .then(code::return_str(CHANGESET));
    let size = code.bytes.len() as u32;
    (code, size)
}

/// A payload that warns when the changeset is asked for: its code `warn` goes on at [`BASE`].
fn warns_at_base(payload: Payload, file: &str) -> Payload {
    payload
        .section(WARNS, "frame", bug_frame(BASE, AT, file, LINE))
        .function(Function::named(PATCHED, code::jump("warn")))
}

/// What of a WARN's lines is a claim.
struct Heard {
    lines: Vec<String>,
    /// Where the WARN is.
    rip: u64,
    /// Whether the trace tells where Xen has each address from.
    letters: bool,
}

/// Asks for the changeset, during which Xen warns, and goes on.
fn hear(context: &Context, rip: u64) -> Result<Heard, Stop> {
    let letters = context.xen.has(Change::TraceLetters);
    Ok(Heard { lines: lines_of_warning(context)?, rip, letters })
}

fn lines_of_warning(context: &Context) -> Result<Vec<String>, Stop> {
    let ear = Ear::new(context)?;
    let changeset = read_text(Text::Changeset)?;
    let lines = ear.lines()?;
    expect("what the function returns", changeset.as_str(), CHANGESET)?;
    Ok(lines)
}

impl Heard {
    /// Passes if Xen names the file and the line, and the code at fault as `place`.
    fn is_at(&self, file: &str, place: &str) -> Outcome {
        let rip = self.rip;
        let starts = |begin: &str| self.lines.iter().find(|line| line.starts_with(begin)).cloned();
        let actual = ["Xen WARN at ", "RIP: ", "Xen code around "].map(starts);
        let actual: Vec<String> = actual.into_iter().flatten().collect();
        let expected = [
            format!("Xen WARN at {file}:{LINE}"),
            format!("RIP:    e008:[<{rip:016x}>] {place}"),
            format!("Xen code around <{rip:016x}> ({place}):"),
        ];
        are_lines("the WARN", &actual, &expected)
    }

    /// Passes if the call trace begins at the WARN, and names the `caller` of that.
    fn trace_is(&self, place: &str, caller: Option<(u64, &str)>) -> Outcome {
        let lines = self.lines.iter().skip_while(|line| *line != "Xen call trace:");
        let trace: Vec<String> = lines.skip(1).cloned().collect();
        let line = |at, letter: &str, place: &str| {
            let letter = if self.letters { letter } else { "" };
            format!("   [<{}>] {letter}{place}", hex(at))
        };
        let first = line(self.rip, "R ", place);
        are_lines("the call trace", &trace[..trace.len().min(1)], &[first])?;
        let Some((at, place)) = caller else { return Ok(()) };
        // Xen either takes each word on the stack that may be an address of code for one (S), or
        // follows frame pointers (F): as it was built.
        let of_caller = |line: &&String| line.contains(&hex(at));
        let callers: Vec<&String> = trace.iter().filter(of_caller).collect();
        let forms = ["S ", "F "].map(|letter| line(at, letter, place));
        expect_that(
            !callers.is_empty() && callers.iter().all(|line| forms.contains(line)),
            format_args!("{:?} in the call trace, and not {callers:?}", forms[0]),
        )
    }
}

fn hex(address: u64) -> String {
    format!("{address:016x}")
}

/// A payload whose function `xtf_warn` is called by `xtf_calls`, both of them symbols that Xen
/// knows.
pub fn names_functions(context: &Context) -> Outcome {
    let (warn, size) = warning(context);
    let calls = Chunk::new(PROLOGUE)
        .then(code::call("xtf_warn"))
        .then(Chunk::new(EPILOGUE))
        .then(code::ret());
    let calls_size = calls.bytes.len();
    let patch = payload(context, "id")?
        .text("xtf_warn", warn)
        .text("xtf_calls", calls)
        .rodata("file", string(FILE))
        .export("xtf_warn")
        .export("xtf_calls")
        .section(WARNS, "frame", bug_frame("xtf_warn", AT, "file", LINE))
        .function(Function::named(PATCHED, code::jump("xtf_calls")));
    let loaded = load(context, "traced", &patch)?;
    let (inner, outer) = (address_of(context, "xtf_warn")?, address_of(context, "xtf_calls")?);
    apply(&loaded)?;
    let rip = inner + u64::from(AT);
    let heard = hear(context, rip)?;
    let warned = format!("xtf_warn+{AT:#x}/{size:#x} [traced]");
    // Behind the prologue and the call.
    let returns = format!("xtf_calls+0x9/{calls_size:#x} [traced]");
    heard.is_at(FILE, &warned)?;
    heard.trace_is(&warned, Some((outer + 9, &returns)))
}

/// The name of a file, with its NUL.
fn string(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// A payload with symbols around the WARN, in an order that is not that of their addresses. The one
/// that counts is the last one that is not behind it, wherever it is in the table.
pub fn nearest_symbol(context: &Context) -> Outcome {
    let (warn, size) = warning(context);
    let labels = ["xtf_1", "xtf_2", "xtf_3", "xtf_5", "xtf_6"];
    let orders: [[&str; 6]; 5] = [
        ["xtf_2", "xtf_6", BASE, "xtf_1", "xtf_5", "xtf_3"],
        [BASE, "xtf_3", "xtf_5", "xtf_2", "xtf_6", "xtf_1"],
        ["xtf_6", "xtf_5", "xtf_1", "xtf_2", "xtf_3", BASE],
        ["xtf_1", "xtf_2", BASE, "xtf_6", "xtf_3", "xtf_5"],
        ["xtf_2", "xtf_1", "xtf_3", "xtf_6", BASE, "xtf_5"],
    ];
    for order in orders {
        let mut patch = payload(context, "id")?;
        for (number, label) in labels.into_iter().enumerate() {
            if number == 3 {
                patch = patch.text(BASE, warn.clone());
            }
            patch = patch.text(label, code::nops(16));
        }
        patch = patch.text("warn", code::jump(BASE)).rodata("file", string(FILE));
        let patch = order.into_iter().fold(patch, Payload::export);
        let loaded = load(context, "symbols", &warns_at_base(patch, "file"))?;
        let rip = address_of(context, BASE)? + u64::from(AT);
        apply(&loaded)?;
        let place = format!("{BASE}+{AT:#x}/{size:#x} [symbols]");
        let heard = hear(context, rip)?;
        heard
            .is_at(FILE, &place)
            .and_then(|()| heard.trace_is(&place, None))
            .map_err(|stop| stop.at(format_args!("{order:?}")))?;
    }
    Ok(())
}

/// Two payloads in a row, of which one warns: which one, and where in memory it is, differs.
pub fn right_payload(context: &Context) -> Outcome {
    // The first place in memory is taken, and free again when two lie behind it.
    let place = load(context, "place", &warner(context, "place", "xtf_place")?)?;
    let earlier = load(context, "high", &warner(context, "high", "xtf_high")?)?;
    unload(context, &place)?;
    let later = load(context, "low", &warner(context, "low", "xtf_low")?)?;
    let above = load(context, "top", &warner(context, "top", "xtf_top")?)?;
    let [high, low, top] = [
        address_of(context, "xtf_high")?,
        address_of(context, "xtf_low")?,
        address_of(context, "xtf_top")?,
    ];
    for (loaded, symbol, at) in
        [(&later, "low", low), (&earlier, "high", high), (&above, "top", top)]
    {
        warned_by(context, loaded, symbol, at)?;
    }
    Ok(())
}

/// A payload that warns at the start of a function of its own, whose symbol this is.
fn warner(context: &Context, id: &str, symbol: &str) -> Result<Payload, Stop> {
    let (warn, _) = warning(context);
    let patch = payload(context, id)?
        .text(symbol, warn)
        .rodata("file", string(FILE))
        .export(symbol)
        .section(WARNS, "frame", bug_frame(symbol, AT, "file", LINE))
        .function(Function::named(PATCHED, code::jump(symbol)));
    Ok(patch)
}

fn warned_by(context: &Context, loaded: &Loaded<'_>, name: &str, at: u64) -> Outcome {
    let (_, size) = warning(context);
    apply(loaded)?;
    let place = format!("xtf_{name}+{AT:#x}/{size:#x} [{name}]");
    hear(context, at + u64::from(AT))?.is_at(FILE, &place)?;
    revert(loaded)
}

/// Before the first symbol, and in a payload without any: Xen shows the address.
pub fn no_symbol(context: &Context) -> Outcome {
    let (warn, size) = warning(context);
    let after = u64::from(size.next_multiple_of(16));
    let patch = || {
        let patch = payload(context, "id")?
            .text(BASE, warn.clone())
            .text("xtf_after", code::jump(BASE))
            .text("warn", code::jump(BASE))
            .rodata("file", string(FILE));
        Ok::<_, Stop>(warns_at_base(patch, "file"))
    };
    let loaded = load(context, "symbols", &patch()?.export("xtf_after"))?;
    let rip = address_of(context, "xtf_after")? - after + u64::from(AT);
    apply(&loaded)?;
    let heard = hear(context, rip)?;
    heard.is_at(FILE, &hex(rip))?;
    heard.trace_is(&hex(rip), None)?;
    revert(&loaded)?;
    unload(context, &loaded)?;
    // The same memory is free again, but nothing in it can be asked for.
    let loaded = load(context, "symbols", &patch()?)?;
    apply(&loaded)?;
    hear(context, rip)?.is_at(FILE, &hex(rip))
}

/// The name of the file is in constants, in variables or between code: `is_patch` has to know each
/// of the three. Of a long name, Xen shows the end.
pub fn file(context: &Context) -> Outcome {
    let long = "0123456789/".repeat(5);
    let shown = format!("...{}", &long[long.len() - 47..]);
    let (_, size) = warning(context);
    let place = format!("{BASE}+{AT:#x}/{size:#x} [file]");
    for area in [Area::RODATA, Area::DATA, Area::TEXT] {
        for (name, shown) in [(FILE, FILE), (&*long, &*shown), ("", "")] {
            let (warn, _) = warning(context);
            let patch = payload(context, "id")?
                .text(BASE, warn)
                .text("warn", code::jump(BASE))
                .export(BASE)
                .section(area.clone(), "file", string(name));
            let loaded = load(context, "file", &warns_at_base(patch, "file"))?;
            let rip = address_of(context, BASE)? + u64::from(AT);
            apply(&loaded)?;
            hear(context, rip)?
                .is_at(shown, &place)
                .map_err(|stop| stop.at(format_args!("{name:?} in {}", area.name)))?;
        }
    }
    Ok(())
}

/// Xen has room for 126 bytes of a payload's name there.
pub fn long_name(context: &Context) -> Outcome {
    let longest = "n".repeat(127);
    let patch = warner(context, "id", "xtf_long")?;
    let loaded = load(context, &longest, &patch)?;
    let rip = address_of(context, "xtf_long")? + u64::from(AT);
    apply(&loaded)?;
    let (_, size) = warning(context);
    hear(context, rip)?.is_at(FILE, &format!("xtf_long+{AT:#x}/{size:#x} [{}]", &longest[..126]))
}

/// A patched function warns in a hypercall of this domain. A load hook runs when the CPU has nothing
/// else to do: on behalf of no domain.
pub fn context(context: &Context) -> Outcome {
    let loaded = load(context, "warns", &warner(context, "id", "xtf_warns")?)?;
    apply(&loaded)?;
    is_for(&lines_of_warning(context)?, "hypervisor (d0v0)")?;
    revert(&loaded)?;
    context.needs(Change::LoadedRegions)?;
    context.needs(Change::LoadedSymbols)?;
    let (warn, _) = warning(context);
    let patch = payload(context, "hook")?
        .text("xtf_hook", warn)
        .rodata("file", string(FILE))
        .section(WARNS, "frame", bug_frame("xtf_hook", AT, "file", LINE))
        .hook(Hook::Load, code::endbr64().then(code::jump("xtf_hook")));
    let loaded = load(context, "hook", &patch)?;
    let ear = Ear::new(context)?;
    apply(&loaded)?;
    is_for(&ear.lines()?, "hypervisor")
}

fn is_for(lines: &[String], whom: &str) -> Outcome {
    let mut contexts = lines.iter().filter_map(|line| line.split_once("CONTEXT: "));
    expect("the context of the WARN", contexts.next().map(|(_, context)| context), Some(whom))
}
