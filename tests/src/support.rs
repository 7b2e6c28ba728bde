//! What several suites share: harmless payloads, and how their effect is seen.
#![forbid(unsafe_code)]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::hypercall::physinfo::physinfo;
use kernel::hypercall::version::{self, Text, text};
use kernel::livepatch::Loaded;
use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop, expect};
use livepatch::abi::{ACTION_FLAG_NODEPS, Action, ActionCmd, Call, Name, State};
use livepatch::binary::names_of_static;
use livepatch::payload::wire::{R_X86_64_PC32, SHF_WRITE};
use livepatch::payload::{Chunk, FuncVersion, Function, Payload, Target, code};

/// What a payload for the running Xen has to name.
///
/// # Errors
/// A [`Stop::Error`] where Xen has no build-id to name.
pub fn target(context: &Context) -> Result<Target, Stop> {
    let id = context.xen.build_id.as_ref();
    let id = id.map_err(|errno| Stop::error(format_args!("Xen tells no build-id: {errno}")))?;
    let second = context.xen.has(Change::FunctionVersion2);
    let func_version = if second { FuncVersion::V2 } else { FuncVersion::V1 };
    Ok(Target { func_version, xen_build_id: id.clone() })
}

/// A payload with this build-id that does nothing yet and depends on Xen alone.
///
/// # Errors
/// As for [`target`].
pub fn payload(context: &Context, build_id: &str) -> Result<Payload, Stop> {
    Ok(Payload::new(&target(context)?, build_id))
}

/// A payload that makes Xen's extra version read `marker`; its build-id is `marker` as well.
///
/// # Errors
/// As for [`target`].
pub fn marker(context: &Context, marker: &str) -> Result<Payload, Stop> {
    let function = Function::named("xen_extra_version", code::return_str(marker));
    Ok(payload(context, marker)?.function(function))
}

/// Uploads a payload under a name, given without its NUL.
///
/// # Errors
/// A [`Stop::Error`] when Xen refuses it.
pub fn load<'c>(context: &'c Context, name: &str, payload: &Payload) -> Result<Loaded<'c>, Stop> {
    context.livepatch().load(format!("{name}\0").as_bytes(), &payload.to_bytes())
}

/// Uploads a [`marker`] under the marker's name.
///
/// # Errors
/// As for [`load`].
pub fn load_marker<'c>(context: &'c Context, text: &str) -> Result<Loaded<'c>, Stop> {
    load(context, text, &marker(context, text)?)
}

/// Uploads a payload that is not meant to stay, for the answer: what gets in is taken out again.
pub fn try_upload(context: &Context, name: &str, file: &[u8]) -> Answer {
    let name = format!("{name}\0");
    let answer = context.livepatch().upload(name.as_bytes(), file);
    if answer == Answer::SUCCESS {
        // What will not go is found by the framework after the test.
        let _ = context.livepatch().action(name.as_bytes(), ActionCmd::Unload);
    }
    answer
}

/// ACTION with any timeout and flags, for its answer.
pub fn action_with(
    context: &Context,
    loaded: &Loaded<'_>,
    cmd: ActionCmd,
    timeout: u32,
    flags: u32,
) -> Answer {
    let action = Action { timeout, flags, ..Action::new(Name::new(loaded.name()), cmd) };
    context.livepatch().call(&Call::action(context.livepatch().version, action))
}

/// APPLY that does not look at what the payload depends on.
pub fn apply_nodeps(context: &Context, loaded: &Loaded<'_>) -> Answer {
    action_with(context, loaded, ActionCmd::Apply, 0, ACTION_FLAG_NODEPS)
}

/// APPLY, which must work.
///
/// # Errors
/// A [`Stop::Failure`] when it does not.
pub fn apply(loaded: &Loaded<'_>) -> Outcome {
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS).map_err(|stop| stop.at("APPLY"))?;
    loaded.must_be(State::Applied, Answer::SUCCESS).map_err(|stop| stop.at("after APPLY"))
}

/// REVERT, which must work.
///
/// # Errors
/// A [`Stop::Failure`] when it does not.
pub fn revert(loaded: &Loaded<'_>) -> Outcome {
    loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS).map_err(|stop| stop.at("REVERT"))?;
    loaded.must_be(State::Checked, Answer::SUCCESS).map_err(|stop| stop.at("after REVERT"))
}

/// REPLACE, which must work.
///
/// # Errors
/// A [`Stop::Failure`] when it does not.
pub fn replace(loaded: &Loaded<'_>) -> Outcome {
    loaded
        .action(ActionCmd::Replace)
        .must_be(Answer::SUCCESS)
        .map_err(|stop| stop.at("REPLACE"))?;
    loaded.must_be(State::Applied, Answer::SUCCESS).map_err(|stop| stop.at("after REPLACE"))
}

/// UNLOAD, which must work; GET does not know the payload afterwards.
///
/// # Errors
/// A [`Stop::Failure`] when it is not so.
pub fn unload(context: &Context, loaded: &Loaded<'_>) -> Outcome {
    loaded.action(ActionCmd::Unload).must_be(Answer::SUCCESS).map_err(|stop| stop.at("UNLOAD"))?;
    let after = context.livepatch().get(loaded.name());
    expect("GET after UNLOAD", after.map(|status| status.state), Err(Errno::ENOENT))
}

/// Xen's extra version as it reads now.
///
/// # Errors
/// A [`Stop::Error`] when Xen refuses to tell.
pub fn extra_version() -> Result<String, Stop> {
    read_text(Text::Extraversion)
}

/// One of Xen's strings as it reads now.
///
/// # Errors
/// A [`Stop::Error`] when Xen refuses to tell.
pub fn read_text(which: Text) -> Result<String, Stop> {
    text(which).map_err(|errno| Stop::error(format_args!("XENVER {which:?} answers {errno}")))
}

/// Passes if Xen's extra version reads so.
///
/// # Errors
/// A [`Stop::Failure`] that names both.
pub fn reads(extra: &str) -> Outcome {
    expect("extra version", extra_version()?.as_str(), extra)
}

/// What Xen's functions for the major and the minor version return, shifted and joined by Xen.
pub fn packed_version() -> u32 {
    let (major, minor) = version::version();
    u32::from(major) << 16 | u32::from(minor)
}

/// Passes if [`packed_version`] is this.
///
/// # Errors
/// A [`Stop::Failure`] that names both.
pub fn version_is(what: &str, expected: u32) -> Outcome {
    expect(what, format!("{:#x}", packed_version()), format!("{expected:#x}"))
}

/// The metadata of every payload, in Xen's order.
///
/// # Errors
/// A [`Stop::Error`] when LIST fails.
pub fn metadata(context: &Context) -> Result<Vec<Vec<u8>>, Stop> {
    Ok(context.livepatch().list()?.into_iter().map(|entry| entry.metadata).collect())
}

/// The file of a payload whose functions are in a section that is not writable.
///
/// # Errors
/// A [`Stop::Skip`] on a Xen with 8676092a0f, but without 82182ad7b4.
pub fn with_read_only_functions(context: &Context, payload: &Payload) -> Result<Vec<u8>, Stop> {
    needs_if_protected(context, Change::FunctionState)?;
    let mut elf = payload.elf();
    elf.section_mut(".livepatch.funcs").shdr.sh_flags &= !SHF_WRITE;
    Ok(elf.to_bytes())
}

/// Skips the case on a Xen that protects memory while patching (8676092a0f) but lacks a change
/// without which it does not survive a valid payload then.
///
/// # Errors
/// A [`Stop::Skip`].
pub fn needs_if_protected(context: &Context, change: Change) -> Outcome {
    if context.xen.has(Change::ProtectedPatching) {
        return context.needs(change);
    }
    Ok(())
}

/// By which name a payload finds a static symbol of Xen, in a source file such as
/// `common/version.c`: the first of [`names_of_static`] that Xen knows.
///
/// # Errors
/// As for [`target`].
pub fn static_of_xen(context: &Context, file: &str, name: &str) -> Result<Option<String>, Stop> {
    first_known(context, names_of_static(file, name))
}

fn first_known(
    context: &Context,
    names: impl IntoIterator<Item = String>,
) -> Result<Option<String>, Stop> {
    for name in names {
        let pointer = Chunk::address_of(&name);
        let patch = marker(context, "-symbol")?.rodata("pointer", pointer);
        if try_upload(context, "symbol", &patch.to_bytes()) == Answer::SUCCESS {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// A function of Xen's livepatch.c that a hook calls: it is static in some releases only.
///
/// # Errors
/// A [`Stop::Skip`] where it is inlined; else as for [`target`].
pub fn livepatch_function(context: &Context, name: &str) -> Result<String, Stop> {
    let statics = names_of_static("common/livepatch.c", name);
    first_known(context, [String::from(name)].into_iter().chain(statics))?
        .ok_or_else(|| Stop::skip("the compiler left no such function in this Xen"))
}

/// The instruction at which Xen consults its tables of BUG, WARN and the like: UD2; since 1f3dd605ea
/// UDB, which is one byte.
pub fn bug_instruction(context: &Context) -> Chunk {
    Chunk::new(if context.xen.has(Change::Udb) { &[0xd6][..] } else { &[0x0f, 0x0b] })
}

/// An entry of such a table (`struct bug_frame` in xen/include/xen/bug.h): the instruction is `at`
/// bytes behind the label `code`; `subject` is a function to call or the name of a file, and `line`
/// a line of that.
pub fn bug_frame(code: &str, at: u32, subject: &str, line: u16) -> Chunk {
    // Both places are stated from the beginning of the entry, in 24 bits each; 7 bits of the line
    // are in the byte above each.
    let (high, low) = (i64::from(line >> 7), i64::from(line & 0x7f));
    Chunk::new([0; 8]).reloc(0, R_X86_64_PC32, code, i64::from(at) + (high << 24)).reloc(
        4,
        R_X86_64_PC32,
        subject,
        4 + (low << 24),
    )
}

/// A feature that no CPU has: a reserved bit of CPUID leaf 1.
pub const NO_FEATURE: u16 = 10;

/// What is to be altered or put in its place, in an entry of `.altinstructions`.
pub struct Bytes<'l> {
    /// So many bytes behind this label.
    pub at: (&'l str, i64),
    /// How many.
    pub length: u8,
}

/// An entry of `.altinstructions` (`struct alt_instr` in xen/arch/x86/include/asm/alternative.h), for CPUs
/// with the feature `cpuid`. `padding` bytes behind the original may be overwritten as well.
pub fn alternative(
    context: &Context,
    original: Bytes<'_>,
    replacement: Bytes<'_>,
    cpuid: u16,
    padding: u8,
) -> Chunk {
    // Bytes that came with the padding (4008c71d7a).
    let rest = [padding, 0];
    let rest = if context.xen.has(Change::AlternativePadding) { &rest[..] } else { &[] };
    Chunk::new([0; 8])
        .reloc(0, R_X86_64_PC32, original.at.0, original.at.1)
        .reloc(4, R_X86_64_PC32, replacement.at.0, replacement.at.1)
        .then(Chunk::new(cpuid.to_le_bytes()))
        .then(Chunk::new([original.length, replacement.length]))
        .then(Chunk::new(rest))
}

/// The symbol of [`Log`]'s 32 bits.
pub const LOG: &str = "xtf_log";
const LOG_ID: &str = "log";

/// An applied payload that lets hooks leave a trace: 32 bits in Xen, exported as [`LOG`], that
/// XENVER_version returns.
///
/// Hooks run when the payload that they belong to is not, or not any more, in effect; and a
/// payload with variables of its own can't be applied twice. So the variable lives in a payload
/// of its own, at the bottom of the stack.
pub struct Log<'c> {
    context: &'c Context,
    _loaded: Loaded<'c>,
}

impl<'c> Log<'c> {
    /// Loads and applies it.
    ///
    /// # Errors
    /// When that fails.
    pub fn open(context: &'c Context) -> Result<Self, Stop> {
        let log = payload(context, LOG_ID)?
            .bss(LOG, size_of::<u32>())
            .export(LOG)
            .function(Function::named("xen_major_version", code::return_u32(0)))
            .function(Function::named("xen_minor_version", code::return_u32_at(LOG)));
        let loaded = load(context, "log", &log)?;
        apply(&loaded).map_err(|stop| stop.at("the log"))?;
        Ok(Self { context, _loaded: loaded })
    }

    /// A payload with this build-id that goes on top of the log.
    ///
    /// # Errors
    /// As for [`target`].
    pub fn payload(&self, build_id: &str) -> Result<Payload, Stop> {
        Ok(payload(self.context, build_id)?.depends(LOG_ID))
    }

    /// Passes if the log holds exactly this.
    ///
    /// # Errors
    /// A [`Stop::Failure`] that names both.
    pub fn holds(&self, when: &str, digits: u32) -> Outcome {
        version_is(when, digits)
    }
}

/// Pages that belong to nobody, Xen included.
///
/// # Errors
/// A [`Stop::Error`] where Xen does not tell.
pub fn free_pages(context: &Context) -> Result<u64, Stop> {
    let info = physinfo(context.livepatch().version);
    let info =
        info.map_err(|errno| Stop::error(format_args!("XEN_SYSCTL_physinfo answers {errno}")))?;
    Ok(info.free_pages)
}

/// Does something so many times after a first time, and expects that it has cost no memory. What
/// Xen's allocators keep for the next time is no leak: they have it from the first time.
///
/// # Errors
/// What the something says, with the number of the time; [`Stop::Failure`] for lost pages.
pub fn costs_no_memory(
    context: &Context,
    times: u64,
    mut something: impl FnMut() -> Outcome,
) -> Outcome {
    something()?;
    let before = free_pages(context)?;
    for number in 0..times {
        something().map_err(|stop| stop.at(format_args!("round {number}")))?;
    }
    expect("free pages", free_pages(context)?, before)
}
