//! Changes to which payloads are taken, and with which errno others are not.

use alloc::vec::Vec;

use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop};
use livepatch::payload::wire::{R_X86_64_PC32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS};
use livepatch::payload::{
    Area, Chunk, Data, FuncVersion, Function, Hook, Payload, Section, Target, code,
};

use super::judge;
use crate::support::{load, marker, payload, static_of_xen, target, try_upload};

const OK: Answer = Answer::SUCCESS;

/// UPLOAD answers `with`; on a Xen without the change it answers `without`.
fn upload(
    context: &Context,
    change: Change,
    file: &[u8],
    with: impl Into<Answer>,
    without: impl Into<Answer>,
) -> Outcome {
    judge(context, change, try_upload(context, "history", file), with.into(), without.into())
}

/// deed149b1b: what a payload offers to others has a name of its own.
pub fn known_symbol(context: &Context) -> Outcome {
    let patch = marker(context, "-symbol")?.rodata("xen_changeset", [0; 8]).export("xen_changeset");
    upload(context, Change::KnownSymbols, &patch.to_bytes(), Errno::EEXIST, OK)
}

/// c3f951417f: alignments are powers of two.
pub fn alignment_3(context: &Context) -> Outcome {
    let mut elf = marker(context, "-align")?.rodata("constant", [0; 8]).elf();
    elf.section_mut(".rodata").shdr.sh_addralign = 3;
    upload(context, Change::SectionAlignment, &elf.to_bytes(), Errno::EOPNOTSUPP, OK)
}

/// c3f951417f: and what is stated as an address agrees with them.
pub fn misaligned_address(context: &Context) -> Outcome {
    let mut elf = marker(context, "-align")?.rodata("constant", [0; 8]).elf();
    elf.section_mut(".rodata").shdr.sh_addr = 4;
    upload(context, Change::SectionAlignment, &elf.to_bytes(), Errno::EINVAL, OK)
}

/// 7597fabca7: linkers leave empty ones.
pub fn empty_ex_table(context: &Context) -> Outcome {
    let patch = marker(context, "-ex")?.section(Area::loaded(".ex_table", 0, 4), "table", []);
    upload(context, Change::EmptyExTable, &patch.to_bytes(), OK, Errno::EINVAL)
}

/// 879615f5db: the hypervisor that a payload was built for is compared at UPLOAD.
pub fn another_xen(context: &Context) -> Outcome {
    let patch = marker(context, "-other")?.xen_depends("another Xen's id");
    upload(context, Change::XenDepends, &patch.to_bytes(), Errno::EINVAL, OK)
}

/// fa49f4be41: before anything else about the payload is looked at, such as a section that is
/// both writable and executable.
pub fn another_xen_first(context: &Context) -> Outcome {
    let area = Area::loaded(".wx", SHF_WRITE | SHF_EXECINSTR, 1);
    let patch = marker(context, "-other")?.xen_depends("another Xen's id").section(area, "wx", [0]);
    upload(context, Change::XenDependsFirst, &patch.to_bytes(), Errno::EINVAL, Errno::EOPNOTSUPP)
}

/// 76b3d4098a: hooks are enough.
pub fn no_functions(context: &Context) -> Outcome {
    let patch = payload(context, "none")?.hook(Hook::Load, code::ret());
    upload(context, Change::HooksAlone, &patch.to_bytes(), OK, Errno::EINVAL)
}

/// 6047104c3c: Xen's own notes and an expectation have room in it.
pub fn function_version(context: &Context) -> Outcome {
    let target = Target { func_version: FuncVersion::V2, ..target(context)? };
    let function = Function::named("xen_extra_version", code::return_str("-v2"));
    let patch = Payload::new(&target, "-v2").function(function);
    upload(context, Change::FunctionVersion2, &patch.to_bytes(), OK, Errno::EINVAL)
}

/// 81ecb38b83: files of the same name in different folders have statics of the same name.
pub fn symbol_path(context: &Context) -> Outcome {
    let name = static_of_xen(context, "common/livepatch.c", "payload_list")?;
    let name = name.ok_or_else(|| Stop::failure("Xen's list of payloads is not found"))?;
    let file = name.split('/').next().unwrap_or(&name);
    judge(context, Change::SymbolPaths, file, "common", "livepatch.c#payload_list")
}

/// 4848297ad4: metadata consists of strings.
pub fn metadata_end(context: &Context) -> Outcome {
    let area = Area::loaded(".modinfo", 0, 1);
    let patch = marker(context, "-meta")?.section(area, "metadata", *b"key=value");
    upload(context, Change::Modinfo, &patch.to_bytes(), Errno::EINVAL, OK)
}

/// 5142dc5c25: a function has to be found before its size can be judged.
pub fn unknown_name(context: &Context) -> Outcome {
    let function = Function::named("xtf_no_such_function", code::ret()).old_size(1);
    let patch = payload(context, "unknown")?.function(function);
    upload(context, Change::NameBeforeSize, &patch.to_bytes(), Errno::ENOENT, Errno::EINVAL)
}

/// 6974c75180: 5 bytes for the jump and 4 for what stays in front of it.
pub fn endbr_size(context: &Context) -> Outcome {
    let below = marker(context, "-below")?
        .text("xtf_endbr", code::endbr64().then(code::nops(12)))
        .export("xtf_endbr");
    let _below = load(context, "-below", &below)?;
    let of_size = |bytes: u32| {
        let function = Function::named("xtf_endbr", code::ret()).old_size(bytes);
        payload(context, "above").map(|p| p.function(function).to_bytes())
    };
    try_upload(context, "history", &of_size(4)?).must_be(Errno::EINVAL)?;
    try_upload(context, "history", &of_size(9)?).must_be(OK)?;
    for bytes in [5, 8] {
        upload(context, Change::EndbrJump, &of_size(bytes)?, Errno::EINVAL, OK)?;
    }
    Ok(())
}

/// 89a24719b6: an ENDBR64 that nobody needs becomes a NOP which stays in front as well.
pub fn poison_size(context: &Context) -> Outcome {
    // nopw (%rcx): the one NOP of this length that no compiler emits.
    let below = marker(context, "-below")?
        .text("xtf_poison", Chunk::new([0x66, 0x0f, 0x1f, 0x01]).then(code::nops(12)))
        .export("xtf_poison");
    let _below = load(context, "-below", &below)?;
    let function = Function::named("xtf_poison", code::ret()).old_size(8);
    let patch = payload(context, "above")?.function(function);
    upload(context, Change::EndbrPoison, &patch.to_bytes(), Errno::EINVAL, OK)
}

/// 0dc1f929e8: an empty section has a place, too. Without one, its symbols are too far away for a
/// 32-bit displacement.
pub fn empty_section_symbol(context: &Context) -> Outcome {
    let function = Function::named("xen_minor_version", code::return_address("nothing"));
    let patch = payload(context, "empty")?.data("nothing", []).function(function);
    upload(context, Change::EmptySections, &patch.to_bytes(), OK, Errno::EOVERFLOW)
}

/// 9120b5737f: a section that is not loaded has none, and Xen used what stood in the file.
pub fn unloaded_section_symbol(context: &Context) -> Outcome {
    let area = Area { sh_flags: 0, ..Area::loaded(".comment", 0, 1) };
    let patch = marker(context, "-comment")?
        .section(area, "comment", *b"xtf")
        .rodata("pointer", Chunk::address_of("comment"));
    upload(context, Change::UnloadedSymbols, &patch.to_bytes(), Errno::EINVAL, OK)
}

/// A payload with an alternative for these 4 bytes of it, which become 4 others of the same effect
/// on every CPU (`struct alt_instr`, in so many bytes).
fn with_alternative(context: &Context, original: &str, size: usize) -> Result<Payload, Stop> {
    // Where and by what, both relative; the feature; lengths of the original, of the replacement
    // and of the padding, which may be left out.
    let alternative = Chunk::new(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 0, 0][..size])
        .reloc(0, R_X86_64_PC32, original, 0)
        .reloc(4, R_X86_64_PC32, "replacement", 0);
    Ok(marker(context, "-alt")?
        .text("original", code::nops(8))
        .rodata("constant", [0x90; 8])
        .section(Area::loaded(".altinstructions", 0, 1), "alternatives", alternative))
}

/// Where the replacement of an alternative has to be.
fn with_replacement(payload: Payload) -> Payload {
    let area = Area::loaded(".altinstr_replacement", SHF_EXECINSTR, 1);
    payload.section(area, "replacement", code::nops(4))
}

/// 4008c71d7a: an alternative may be longer than what it replaces.
pub fn alternative_size(context: &Context) -> Outcome {
    let of_size = |size| with_alternative(context, "original", size).map(with_replacement);
    upload(context, Change::AlternativePadding, &of_size(14)?.to_bytes(), OK, Errno::EINVAL)?;
    try_upload(context, "history", &of_size(12)?.to_bytes()).must_be(Errno::EINVAL)
}

/// Bytes of an alternative.
fn alternative_bytes(context: &Context) -> usize {
    if context.xen.has(Change::AlternativePadding) { 14 } else { 12 }
}

/// e74360e4ba: alternatives have to be for the payload's code.
pub fn alternative_outside(context: &Context) -> Outcome {
    let size = alternative_bytes(context);
    let patch = |original: &str| {
        with_alternative(context, original, size).map(|p| with_replacement(p).to_bytes())
    };
    // One that is all right is taken.
    try_upload(context, "history", &patch("original")?).must_be(OK)?;
    upload(context, Change::AlternativePlaces, &patch("constant")?, Errno::EINVAL, OK)
}

/// e74360e4ba: and to be there.
pub fn alternative_without(context: &Context) -> Outcome {
    let patch = with_alternative(context, "original", alternative_bytes(context))?;
    let patch = patch.rodata("replacement", [0x90; 4]);
    upload(context, Change::AlternativePlaces, &patch.to_bytes(), Errno::EINVAL, OK)
}

/// 86d09d16dd: a note that is not a build-id gets the errno of the function that found out.
pub fn foreign_note(context: &Context) -> Outcome {
    let mut elf = marker(context, "-note")?.elf();
    elf.note_mut(".note.gnu.build-id").kind = 1;
    upload(context, Change::ForeignNotes, &elf.to_bytes(), Errno::ENODATA, Errno::EINVAL)
}

/// 3a28da8f4d dropped a test for sections of the same name that never fired: the first one is
/// used, as ever. The second one here would be refused.
pub fn second_section(context: &Context) -> Outcome {
    let mut elf = marker(context, "-twice")?.elf();
    let bytes = Data::Bytes(Vec::from([0; 7]));
    elf.push(Section::new(".livepatch.funcs", SHT_PROGBITS, SHF_ALLOC, 1, bytes));
    try_upload(context, "history", &elf.to_bytes()).must_be(OK)
}

/// d2fd5f0fcd: sites of indirect calls that Xen makes direct ones, in 4 bytes each.
pub fn alternative_calls(context: &Context) -> Outcome {
    let area = Area::loaded(".alt_call_sites", 0, 1);
    let patch = marker(context, "-calls")?.section(area, "sites", [0; 3]);
    upload(context, Change::AlternativeCalls, &patch.to_bytes(), Errno::EINVAL, OK)
}
