//! Changes to what happens with a payload that was taken.

use alloc::vec::Vec;

use kernel::buffer::{FILL, Guarded};
use kernel::hypercall::symbols;
use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop, expect, expect_that};
use livepatch::abi::{Action, ActionCmd, Call, List, ListBuffers, NAME_SIZE_MAX, Name, State};
use livepatch::payload::wire::{R_X86_64_PC32, R_X86_64_PLT32, SHF_EXECINSTR, SHT_NOBITS};
use livepatch::payload::{Area, Chunk, Function, Hook, HookBody, Payload, Replacement, code};

use super::{judge, own};
use crate::support::{
    LOG, Log, apply, apply_nodeps, bug_frame, bug_instruction, extra_version, load, load_marker,
    marker, metadata, needs_if_protected, packed_version, payload, reads, revert, static_of_xen,
    try_upload, version_is, with_read_only_functions,
};

/// 66d3f83db6: what cannot have changed may be applied again.
pub fn nothing_writable(context: &Context) -> Outcome {
    let loaded = context
        .livepatch()
        .load(b"again\0", &with_read_only_functions(context, &marker(context, "-again")?)?)?;
    apply(&loaded)?;
    revert(&loaded)?;
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    let rc = Answer(loaded.status()?.rc.into());
    judge(context, Change::ReapplyReadOnly, rc, Answer::SUCCESS, Errno::EINVAL.into())
}

/// b274989b61: an action flag, for which older calls have no room.
pub fn nodeps(context: &Context) -> Outcome {
    own(context, Change::ActionFlags)?;
    let loaded = load(context, "above", &marker(context, "-above")?.depends("nobody"))?;
    apply_nodeps(context, &loaded).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Applied, Answer::SUCCESS)?;
    reads("-above")
}

/// APPLY of a payload with a hook that does not agree: its answer, and the rc once it is over.
fn refusing(context: &Context, hook: Hook) -> Result<(Answer, Answer), Stop> {
    let refuse = code::return_u32((-i32::from(Errno::EIO.0)) as u32);
    let loaded = load(context, "hook", &marker(context, "-hook")?.hook(hook, refuse))?;
    let answer = loaded.action(ActionCmd::Apply);
    Ok((answer, Answer(loaded.status()?.rc.into())))
}

/// 8313c864fa: a hook may say no beforehand.
pub fn pre_hooks(context: &Context) -> Outcome {
    let no = Answer::from(Errno::EIO);
    let ignored = (Answer::SUCCESS, Answer::SUCCESS);
    judge(context, Change::PrePostHooks, refusing(context, Hook::PreApply)?, (no, no), ignored)
}

/// ef87efee9d: or do all the work, and fail at it.
pub fn action_hooks(context: &Context) -> Outcome {
    let failed = (Answer::SUCCESS, Answer::from(Errno::EIO));
    let ignored = (Answer::SUCCESS, Answer::SUCCESS);
    judge(context, Change::ActionHooks, refusing(context, Hook::Apply)?, failed, ignored)
}

/// 8e24c88788: a field of functions, for which older ones have no room.
pub fn expectations(context: &Context) -> Outcome {
    own(context, Change::Expectations)?;
    let function = Function::named("xen_extra_version", code::return_str("-x"));
    let patch = payload(context, "x")?.function(function.expecting(&[0xff; 8]));
    let loaded = load(context, "x", &patch)?;
    loaded.action(ActionCmd::Apply).must_be(Errno::EINVAL)
}

/// 5083e0ff93: fields of LIST, for which older calls have no room.
pub fn list_metadata(context: &Context) -> Outcome {
    own(context, Change::ListMetadata)?;
    let _loaded = load(context, "meta", &marker(context, "-meta")?.metadata("key=value"))?;
    expect("metadata", metadata(context)?, Vec::from([Vec::from(*b"key=value\0")]))
}

/// LIST of all into buffers that are large enough, stating sizes of its own; what it answers and
/// the names. Whatever it answers, Xen stays within the buffers.
fn list(context: &Context, nr: u32, stated: u32) -> (Answer, Vec<u8>) {
    let livepatch = context.livepatch();
    let mut buffers = ListBuffers::new(nr as usize, 64, 0);
    let call = List { name_total_size: stated, metadata_total_size: stated, ..buffers.list(0, nr) };
    let answer = livepatch.call(&Call::list(livepatch.version, call));
    (answer, buffers.names)
}

/// b145b4a39c: each name takes as much room as it is long.
pub fn list_packs_names(context: &Context) -> Outcome {
    let _a = load_marker(context, "-a")?;
    let _b = load_marker(context, "-b")?;
    // Xen stops short when it has something else to do, so it may take several attempts.
    let (mut answer, mut names) = list(context, 2, 64);
    while answer == Answer(1) {
        (answer, names) = list(context, 2, 64);
    }
    answer.must_be(2)?;
    let second = |at: usize| names[at..].starts_with(b"-b\0");
    expect_that(names.starts_with(b"-a\0"), "the first name first")?;
    let place = [3, NAME_SIZE_MAX].into_iter().find(|&at| second(at));
    judge(context, Change::PackedNames, place, Some(3), Some(NAME_SIZE_MAX))
}

/// 4c3ce492ed: the sizes in the call are those of the caller's buffers.
pub fn list_sizes(context: &Context) -> Outcome {
    context.needs(Change::ListMetadata)?;
    let _a = load_marker(context, "-a")?;
    let (answer, _) = list(context, 1, 2);
    judge(context, Change::BoundedList, answer, Errno::ENOBUFS.into(), Answer(1))
}

/// 67a8e5721e: what is written of a number that reaches beyond the end of memory, for each array of
/// numbers. One instruction wrote a number and faulted, or wrote all of it. Now that is so for an
/// aligned number alone, of which all bytes are in one page. For a guest in HVM mode Xen always went
/// page by page.
pub fn list_writes_what_fits(context: &Context) -> Outcome {
    const ROOM: usize = 3;
    let livepatch = context.livepatch();
    let _loaded = load(context, "a", &marker(context, "-a")?.metadata("k=v"))?;
    let arrays = if livepatch.revision.has_metadata_and_flags() { 3 } else { 2 };
    let mut written = Vec::new();
    for array in 0..arrays {
        let mut memory = Guarded::new(ROOM)?;
        let mut buffers = ListBuffers::new(1, 64, FILL);
        let mut list = buffers.list(0, 1);
        *[&mut list.status, &mut list.len, &mut list.metadata_len][array] = memory.output();
        let answer = livepatch.call(&Call::list(livepatch.version, list));
        answer.must_be(Errno::EFAULT).map_err(|stop| stop.at(format_args!("array {array}")))?;
        written.push(Vec::from(memory.bytes()));
    }
    // The state CHECKED, and lengths that include a NUL.
    let fits = [[1, 0, 0], [2, 0, 0], [4, 0, 0]].map(Vec::from)[..arrays].to_vec();
    if context.environment.is_hvm() {
        return expect("what was written", written, fits);
    }
    let nothing = alloc::vec![alloc::vec![FILL; ROOM]; arrays];
    judge(context, Change::ByteCopies, written, fits, nothing)
}

/// 005de45c88: on one CPU there is nothing to wait for.
pub fn action_is_over(context: &Context) -> Outcome {
    let loaded = load_marker(context, "-a")?;
    let livepatch = context.livepatch();
    let action = Action::new(Name::new(loaded.name()), ActionCmd::Apply);
    let call = Call::action(livepatch.version, action);
    livepatch.perform_without_waiting(&call).answer.must_be(Answer::SUCCESS)?;
    let first = Answer(loaded.status()?.rc.into());
    livepatch.wait_for(Name::new(loaded.name()));
    loaded.must_be(State::Applied, Answer::SUCCESS)?;
    judge(context, Change::ActionAtOnce, first, Answer::SUCCESS, Errno::EAGAIN.into())
}

/// 0dd9268808: REPLACE that cannot revert one is an error, and that one stays applied.
pub fn replace_rc(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    context.needs(Change::ReplaceRc)?;
    // xor eax, eax; xchg eax, [rip+veto]; test eax, eax; jnz 1f; jmp revert_payload; 1: ret
    let fail_once = |name: &str| {
        Chunk::new([0x31, 0xc0, 0x87, 0x05, 0, 0, 0, 0, 0x85, 0xc0, 0x75, 0x05, 0xe9, 0, 0, 0, 0])
            .reloc(4, R_X86_64_PC32, "veto", -4)
            .reloc(13, R_X86_64_PLT32, name, -4)
            .then(code::ret())
    };
    let stubborn = |name: &str| {
        let veto = (-i32::from(Errno::ENOSPC.0)).to_le_bytes();
        marker(context, "-a").map(|p| p.data("veto", veto).hook(Hook::Revert, fail_once(name)))
    };
    const REVERT: &str = "revert_payload";
    let name = match static_of_xen(context, "common/livepatch.c", REVERT)? {
        Some(name) => name,
        None if symbols::find(REVERT).is_ok() => REVERT.into(),
        None => return Err(Stop::skip("the compiler left no revert_payload in this Xen")),
    };
    let a = load(context, "a", &stubborn(&name)?)?;
    let x = load_marker(context, "-x")?;
    apply(&a)?;
    x.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
    x.must_be(State::Checked, Errno::EINVAL)?;
    a.must_be(State::Applied, Errno::ENOSPC)?;
    reads("-a")?;
    revert(&a)
}

/// A payload with a function `xtf_endbr` that begins with an ENDBR64; XENVER_version returns its
/// first byte.
fn endbr(context: &Context) -> Result<Payload, Stop> {
    // movzx eax, byte ptr [rip+xtf_endbr]; ret
    let first =
        Chunk::new([0x0f, 0xb6, 0x05, 0, 0, 0, 0, 0xc3]).reloc(3, R_X86_64_PC32, "xtf_endbr", -4);
    Ok(payload(context, "endbr")?
        .text("xtf_endbr", code::endbr64().then(code::nops(24)))
        .export("xtf_endbr")
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", first)))
}

/// The first byte of a function with an ENDBR64 when it is replaced by this.
fn first_byte(context: &Context, new: impl Into<Replacement>) -> Result<u32, Stop> {
    let below = load(context, "endbr", &endbr(context)?)?;
    let function = Function::named("xtf_endbr", new);
    let above =
        load(context, "above", &payload(context, "above")?.depends("endbr").function(function))?;
    apply(&below)?;
    let before = packed_version();
    apply(&above)?;
    let patched = packed_version();
    revert(&above)?;
    version_is("put back", before)?;
    Ok(patched)
}

const ENDBR: u32 = 0xf3;
const JUMP: u32 = 0xe9;
/// Of the longest NOP there is, as Xen writes it.
const NOP: u32 = 0x66;

/// 6974c75180: or an indirect call to the function would be a fault.
pub fn jump_leaves_endbr(context: &Context) -> Outcome {
    judge(context, Change::EndbrJump, first_byte(context, code::ret())?, ENDBR, JUMP)
}

/// 8a87b9a0fb: see above.
pub fn nop_leaves_endbr(context: &Context) -> Outcome {
    let first = first_byte(context, Replacement::Nop(12))?;
    judge(context, Change::EndbrNop, first, ENDBR, NOP)
}

/// 8676092a0f: what that is good for shows only on a CPU with shadow stacks; the function that it
/// added can be seen.
pub fn permissions(context: &Context) -> Outcome {
    let symbol = Chunk::address_of("relax_virtual_region_perms");
    let patch = marker(context, "-relax")?.rodata("pointer", symbol);
    let answer = try_upload(context, "relax", &patch.to_bytes());
    judge(context, Change::ProtectedPatching, answer, Answer::SUCCESS, Errno::ENOENT.into())
}

/// 82182ad7b4: Xen wrote to the payload's functions, wherever they were.
pub fn read_only_functions(context: &Context) -> Outcome {
    let original = extra_version()?;
    let loaded = context
        .livepatch()
        .load(b"ro\0", &with_read_only_functions(context, &marker(context, "-ro")?)?)?;
    apply(&loaded)?;
    reads("-ro")?;
    revert(&loaded)?;
    reads(&original)
}

/// a57b4074ab and d2daa40fb3: the invalid instructions that Xen's macros leave are explained by
/// tables, which for a payload were consulted only while it was applied. A pre-apply hook runs
/// before. The kind used here calls a function and goes on.
pub fn bug_frames(context: &Context) -> Outcome {
    const RUN_FUNCTION: &str = ".bug_frames.0";
    context.needs(Change::PrePostHooks)?;
    context.needs(Change::LoadedRegions)?;
    context.needs(Change::LoadedSymbols)?;
    let mark = |digit| code::append_digit(LOG, digit);
    let log = Log::open(context)?;
    let frame = |bug: &str| bug_frame(bug, 0, "handler", 0);
    let invalid = || bug_instruction(context);
    let hook = |name: &str| HookBody::Symbol(name.into());
    // The invalid instruction needs a label of its own, so each hook jumps to it.
    let patch = log
        .payload("bug")?
        .text("handler", code::endbr64().then(mark(2)).then(code::ret()))
        .text("before", invalid().then(mark(3)).then(code::return_u32(0)))
        .text("after", invalid().then(mark(5)).then(code::return_u32(0)))
        .text("pre", code::endbr64().then(mark(1)).then(code::jump("before")))
        .text("post", code::endbr64().then(mark(4)).then(code::jump("after")))
        .section(Area::loaded(RUN_FUNCTION, 0, 4), "frame_before", frame("before"))
        .section(Area::loaded(RUN_FUNCTION, 0, 4), "frame_after", frame("after"))
        .hook(Hook::PreApply, hook("pre"))
        .hook(Hook::PostRevert, hook("post"));
    let loaded = load(context, "bug", &patch)?;
    apply(&loaded)?;
    log.holds("log after APPLY", 0x123)?;
    revert(&loaded)?;
    log.holds("log after REVERT", 0x12_3425)
}

/// 7c81558208: code of any size. Introduced by 8676092a0f.
pub fn large_text(context: &Context) -> Outcome {
    needs_if_protected(context, Change::LargeText)?;
    let original = extra_version()?;
    let area = |name| Area { sh_type: SHT_NOBITS, ..Area::loaded(name, SHF_EXECINSTR, 16) };
    let large = marker(context, "-large")?
        .section(area(".text.one"), "one", alloc::vec![0; 2 << 20])
        .section(area(".text.two"), "two", alloc::vec![0; 1 << 20]);
    let loaded = load(context, "large", &large)?;
    apply(&loaded)?;
    reads("-large")?;
    revert(&loaded)?;
    reads(&original)
}

/// b083b1c393: not only code. The table of names that is overwritten with NOPs for a moment is
/// used when a pool of CPUs is described, which nobody does here.
pub fn constants_of_xen(context: &Context) -> Outcome {
    const NAMES: &str = "common/sched/cpupool.c#sg_name";
    needs_if_protected(context, Change::XenConstants)?;
    if symbols::find(NAMES).is_err() {
        return Err(Stop::skip(format_args!("this Xen has no {NAMES}")));
    }
    constant(context, payload(context, "below")?, NAMES)
}

/// ef969144a4: nor only Xen's.
pub fn constants_of_a_payload(context: &Context) -> Outcome {
    needs_if_protected(context, Change::PayloadConstants)?;
    needs_if_protected(context, Change::XenConstants)?;
    let below = payload(context, "below")?.rodata("xtf_constant", [0x11; 8]).export("xtf_constant");
    constant(context, below, "xtf_constant")
}

/// Overwrites a constant with one NOP of 4 bytes, and sees it in the version.
fn constant(context: &Context, below: Payload, name: &str) -> Outcome {
    let below = below
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", code::return_u32_at(name)));
    let below = load(context, "below", &below)?;
    let above = payload(context, "above")?
        .depends("below")
        .function(Function::named(name, Replacement::Nop(4)));
    let above = load(context, "above", &above)?;
    apply(&below)?;
    let original = packed_version();
    apply(&above)?;
    expect_that(packed_version() != original, "another value of the constant")?;
    revert(&above)?;
    version_is("the constant", original)
}

/// 62a72092a5: what was padding of every call became flags, of which this is one.
pub fn op_flag_force(context: &Context) -> Outcome {
    let loaded = load_marker(context, "-a")?;
    let version = context.livepatch().version;
    let call = Call { flags: 1, ..Call::get(version, Name::new(loaded.name())) };
    let answer = context.livepatch().call(&call);
    judge(context, Change::OpFlags, answer, Answer::SUCCESS, Errno::EINVAL.into())
}
