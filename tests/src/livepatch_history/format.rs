//! Changes to which payloads are taken, and with which errno others are not.

use alloc::vec::Vec;

use kernel::xen::{Release, point_release, release};
use kernel::{Answer, Context, Deviation, Errno, Outcome, Stop};
use livepatch::payload::wire::{R_X86_64_PC32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS};
use livepatch::payload::{Area, Chunk, Data, Function, Hook, Payload, Section, code};

use crate::support::{load, marker, minds_endbr, needs_4_14, payload, try_upload};

const OK: Answer = Answer::SUCCESS;

/// UPLOAD answers `claimed`; where `deviation` is known it answers `known`.
pub fn upload(
    context: &Context,
    file: &[u8],
    claimed: impl Into<Answer>,
    known: impl Into<Answer>,
    deviation: Deviation,
) -> Outcome {
    deviation.judge(context, try_upload(context, "history", file), claimed.into(), known.into())
}

const ALIGNMENT: Deviation = Deviation { id: "history-c3f951417f", on: |xen| xen < release(4, 10) };

/// c3f951417f: alignments are powers of two.
pub fn alignment_3(context: &Context) -> Outcome {
    let mut elf = marker(context, "-align")?.rodata("constant", [0; 8]).elf();
    elf.section_mut(".rodata").shdr.sh_addralign = 3;
    upload(context, &elf.to_bytes(), Errno::EOPNOTSUPP, OK, ALIGNMENT)
}

/// c3f951417f: and what is stated as an address agrees with them.
pub fn misaligned_address(context: &Context) -> Outcome {
    let mut elf = marker(context, "-align")?.rodata("constant", [0; 8]).elf();
    elf.section_mut(".rodata").shdr.sh_addr = 4;
    upload(context, &elf.to_bytes(), Errno::EINVAL, OK, ALIGNMENT)
}

/// 7597fabca7: linkers leave empty ones.
pub fn empty_ex_table(context: &Context) -> Outcome {
    let patch = marker(context, "-ex")?.section(Area::loaded(".ex_table", 0, 4), "table", []);
    let deviation = Deviation { id: "history-7597fabca7", on: |xen| xen < release(4, 10) };
    upload(context, &patch.to_bytes(), OK, Errno::EINVAL, deviation)
}

/// 879615f5db: the hypervisor that a payload was built for is compared at UPLOAD.
pub fn another_xen(context: &Context) -> Outcome {
    let patch = marker(context, "-other")?.xen_depends("another Xen's id");
    let deviation = Deviation { id: "history-879615f5db", on: |xen| xen < release(4, 14) };
    upload(context, &patch.to_bytes(), Errno::EINVAL, OK, deviation)
}

/// Has fa49f4be41 and 86d09d16dd, which came together.
fn has_early_checks(xen: Release) -> bool {
    xen.has(release(4, 20), &[point_release(4, 18, 4), point_release(4, 19, 1)])
}

/// fa49f4be41: before anything else about the payload is looked at, such as a section that is
/// both writable and executable.
pub fn another_xen_first(context: &Context) -> Outcome {
    let area = Area::loaded(".wx", SHF_WRITE | SHF_EXECINSTR, 1);
    let patch = marker(context, "-other")?.xen_depends("another Xen's id").section(area, "wx", [0]);
    let deviation = Deviation { id: "history-fa49f4be41", on: |xen| !has_early_checks(xen) };
    upload(context, &patch.to_bytes(), Errno::EINVAL, Errno::EOPNOTSUPP, deviation)
}

/// 76b3d4098a: hooks are enough.
pub fn no_functions(context: &Context) -> Outcome {
    let patch = payload(context, "none")?.hook(Hook::Load, code::ret());
    let deviation = Deviation { id: "history-76b3d4098a", on: |xen| xen < release(4, 14) };
    upload(context, &patch.to_bytes(), OK, Errno::EINVAL, deviation)
}

/// 4848297ad4: metadata consists of strings.
pub fn metadata_end(context: &Context) -> Outcome {
    let area = Area::loaded(".modinfo", 0, 1);
    let patch = marker(context, "-meta")?.section(area, "metadata", *b"key=value");
    let deviation = Deviation { id: "history-4848297ad4", on: |xen| xen < release(4, 14) };
    upload(context, &patch.to_bytes(), Errno::EINVAL, OK, deviation)
}

/// 5142dc5c25: a function has to be found before its size can be judged.
pub fn unknown_name(context: &Context) -> Outcome {
    let function = Function::named("xtf_no_such_function", code::ret()).old_size(1);
    let patch = payload(context, "unknown")?.function(function);
    let deviation = Deviation { id: "history-5142dc5c25", on: |xen| !minds_endbr(xen) };
    upload(context, &patch.to_bytes(), Errno::ENOENT, Errno::EINVAL, deviation)
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
    let deviation = Deviation { id: "history-6974c75180", on: |xen| !minds_endbr(xen) };
    try_upload(context, "history", &of_size(4)?).must_be(Errno::EINVAL)?;
    try_upload(context, "history", &of_size(9)?).must_be(OK)?;
    for bytes in [5, 8] {
        upload(context, &of_size(bytes)?, Errno::EINVAL, OK, deviation)?;
    }
    Ok(())
}

/// 0dc1f929e8: an empty section has a place, too. Without one, its symbols are too far away for a
/// 32-bit displacement.
pub fn empty_section_symbol(context: &Context) -> Outcome {
    let function = Function::named("xen_minor_version", code::return_address("nothing"));
    let patch = payload(context, "empty")?.data("nothing", []).function(function);
    let deviation = Deviation { id: "history-0dc1f929e8", on: |xen| !minds_endbr(xen) };
    upload(context, &patch.to_bytes(), OK, Errno::EOVERFLOW, deviation)
}

/// 9120b5737f: a section that is not loaded has none, and Xen used what stood in the file.
pub fn unloaded_section_symbol(context: &Context) -> Outcome {
    let area = Area { sh_flags: 0, ..Area::loaded(".comment", 0, 1) };
    let patch = marker(context, "-comment")?
        .section(area, "comment", *b"xtf")
        .rodata("pointer", Chunk::address_of("comment"));
    let deviation = Deviation { id: "history-9120b5737f", on: |xen| !minds_endbr(xen) };
    upload(context, &patch.to_bytes(), Errno::EINVAL, OK, deviation)
}

/// A payload with an alternative for these 4 bytes of it, which become 4 others of the same effect
/// on every CPU (`struct alt_instr` since 4.14).
fn with_alternative(context: &Context, original: &str) -> Result<Payload, Stop> {
    needs_4_14(context)?;
    // Where and by what, both relative; the feature; lengths of the original, of the replacement
    // and of the padding.
    let alternative = Chunk::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 0, 0])
        .reloc(0, R_X86_64_PC32, original, 0)
        .reloc(4, R_X86_64_PC32, "replacement", 0);
    Ok(marker(context, "-alt")?
        .text("original", code::nops(8))
        .rodata("constant", [0x90; 8])
        .section(Area::loaded(".altinstructions", 0, 1), "alternatives", alternative))
}

const ALTERNATIVES: Deviation = Deviation {
    id: "history-e74360e4ba",
    on: |xen| !xen.has(release(4, 18), &[point_release(4, 17, 4)]),
};

/// e74360e4ba: alternatives have to be for the payload's code.
pub fn alternative_outside(context: &Context) -> Outcome {
    let area = Area::loaded(".altinstr_replacement", SHF_EXECINSTR, 1);
    let patch = |original: &str| {
        let payload = with_alternative(context, original)?;
        Ok::<_, Stop>(payload.section(area.clone(), "replacement", code::nops(4)).to_bytes())
    };
    // One that is all right is taken.
    try_upload(context, "history", &patch("original")?).must_be(OK)?;
    upload(context, &patch("constant")?, Errno::EINVAL, OK, ALTERNATIVES)
}

/// e74360e4ba: and to be there.
pub fn alternative_without(context: &Context) -> Outcome {
    let patch = with_alternative(context, "original")?.rodata("replacement", [0x90; 4]);
    upload(context, &patch.to_bytes(), Errno::EINVAL, OK, ALTERNATIVES)
}

/// 86d09d16dd: a note that is not a build-id gets the errno of the function that found out.
pub fn foreign_note(context: &Context) -> Outcome {
    let mut elf = marker(context, "-note")?.elf();
    elf.note_mut(".note.gnu.build-id").kind = 1;
    let deviation = Deviation { id: "history-86d09d16dd", on: |xen| !has_early_checks(xen) };
    upload(context, &elf.to_bytes(), Errno::ENODATA, Errno::EINVAL, deviation)
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
    let deviation = Deviation { id: "history-d2fd5f0fcd", on: |xen| xen < release(4, 21) };
    upload(context, &patch.to_bytes(), Errno::EINVAL, OK, deviation)
}
