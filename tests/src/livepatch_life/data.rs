//! What the code of a payload can reach: Xen, other payloads, its own data, its metadata.

use alloc::string::String;
use alloc::vec::Vec;

use kernel::xen::Change;
use kernel::{Answer, Context, Outcome, Stop, expect};
use livepatch::abi::ActionCmd;
use livepatch::payload::wire::{R_X86_64_PC32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE};
use livepatch::payload::{Area, Chunk, Function, Hook, Payload, code};

use super::function::DENIED;
use crate::support::{
    LOG, Log, apply, extra_version, load, marker, metadata, packed_version, payload, reads, revert,
    static_of_xen, target, unload, version_is,
};

/// A payload whose function returns all of XENVER_version.
fn returning(context: &Context, code: Chunk) -> Result<Payload, Stop> {
    Ok(payload(context, "id")?
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", code)))
}

/// Applies it, sees this value, reverts it and sees the old one.
fn returns(context: &Context, payload: &Payload, value: u32) -> Outcome {
    let original = packed_version();
    let loaded = load(context, "code", payload)?;
    apply(&loaded)?;
    version_is("patched", value)?;
    revert(&loaded)?;
    version_is("reverted", original)
}

/// Not even the notes that each payload must have.
pub fn nothing_need_be_constant(context: &Context) -> Outcome {
    let original = extra_version()?;
    let mut elf = marker(context, "-data")?.elf();
    for section in &mut elf.sections {
        if section.shdr.sh_flags & (SHF_ALLOC | SHF_EXECINSTR) == SHF_ALLOC {
            section.shdr.sh_flags |= SHF_WRITE;
        }
    }
    let loaded = context.livepatch().load(b"data\0", &elf.to_bytes())?;
    apply(&loaded)?;
    reads("-data")?;
    revert(&loaded)?;
    reads(&original)
}

pub fn calls_a_function_of_xen(context: &Context) -> Outcome {
    // The result of Xen's own function, plus 0x100.
    let code = code::call("xen_minor_version")
        .then(Chunk::new([0x05, 0, 1, 0, 0])) // add eax, 0x100
        .then(code::ret());
    let patch = payload(context, "id")?.function(Function::named("xen_major_version", code));
    let minor = u32::from(context.xen.release.minor);
    returns(context, &patch, (minor + 0x100) << 16 | minor)
}

pub fn jumps_to_a_function_of_xen(context: &Context) -> Outcome {
    let original = extra_version()?;
    let function = Function::named("xen_extra_version", code::jump("xen_deny"));
    let loaded = load(context, "jump", &payload(context, "id")?.function(function))?;
    apply(&loaded)?;
    reads(DENIED)?;
    revert(&loaded)?;
    reads(&original)
}

/// Xen keeps the length of its own build-id in a static variable.
pub fn reads_a_static_of_xen(context: &Context) -> Outcome {
    let length = target(context)?.xen_build_id.len();
    let Some(name) = static_of_xen(context, "common/version.c", "build_id_len")? else {
        return Err(Stop::skip("this Xen has no such variable, or it is not static"));
    };
    let code = code::return_u32_at(&name);
    returns(context, &returning(context, code)?, length as u32)
}

fn library(context: &Context) -> Result<Payload, Stop> {
    Ok(payload(context, "library")?
        .rodata("xtf_number", 0xa11ce_u32.to_le_bytes())
        .export("xtf_number")
        .text("xtf_function", code::return_u32(0xb0b))
        .export("xtf_function")
        // A payload of 4.8 needs a function.
        .function(Function::named("xen_extra_version", code::return_str("-library"))))
}

pub fn reads_another_payloads_data(context: &Context) -> Outcome {
    let _library = load(context, "library", &library(context)?)?;
    returns(context, &returning(context, code::return_u32_at("xtf_number"))?, 0xa11ce)
}

pub fn calls_another_payloads_function(context: &Context) -> Outcome {
    let _library = load(context, "library", &library(context)?)?;
    let code = code::call("xtf_function").then(code::ret());
    returns(context, &returning(context, code)?, 0xb0b)
}

/// A 64-bit address in the payload's constants, filled in by Xen.
pub fn follows_a_pointer(context: &Context) -> Outcome {
    let original = extra_version()?;
    let patch = payload(context, "id")?
        .rodata("text", *b"-pointer\0")
        .rodata("pointer", Chunk::address_of("text"))
        .function(Function::named("xen_extra_version", code::return_u64_at("pointer")));
    let loaded = load(context, "pointer", &patch)?;
    apply(&loaded)?;
    reads("-pointer")?;
    revert(&loaded)?;
    reads(&original)
}

pub fn rodata_is_readable(context: &Context) -> Outcome {
    let patch = returning(context, code::return_u32_at("constant"))?;
    returns(context, &patch.rodata("constant", 0x1234_5678_u32.to_le_bytes()), 0x1234_5678)
}

pub fn data_has_its_value(context: &Context) -> Outcome {
    let patch = returning(context, code::return_u32_at("variable"))?;
    returns(context, &patch.data("variable", 0x8765_4321_u32.to_le_bytes()), 0x8765_4321)
}

pub fn data_is_writable(context: &Context) -> Outcome {
    let code = code::count_u32("variable").then(code::return_u32_at("variable"));
    counts(context, &returning(context, code)?.data("variable", 41_u32.to_le_bytes()), 41)
}

pub fn bss_is_zero_and_writable(context: &Context) -> Outcome {
    let code = code::count_u32("variable").then(code::return_u32_at("variable"));
    counts(context, &returning(context, code)?.bss("variable", 4), 0)
}

/// The function returns one more on each call.
fn counts(context: &Context, payload: &Payload, from: u32) -> Outcome {
    let original = packed_version();
    let loaded = load(context, "count", payload)?;
    apply(&loaded)?;
    version_is("first call", from + 1)?;
    version_is("second call", from + 2)?;
    version_is("third call", from + 3)?;
    revert(&loaded)?;
    version_is("reverted", original)
}

/// Memory that a payload has used comes back to the next one zeroed.
pub fn bss_is_zero_after_a_reload(context: &Context) -> Outcome {
    let code = code::count_u32("variable").then(code::return_u32_at("variable"));
    let patch = returning(context, code)?.bss("variable", 4);
    for _ in 0..3 {
        counts(context, &patch, 0)?;
    }
    Ok(())
}

/// Three regions of more than a page each: the last byte of each is at its place.
pub fn a_region_spans_pages(context: &Context) -> Outcome {
    const SIZE: usize = 3 * 4096;
    let filled = |value: u8| {
        let mut bytes = alloc::vec![0xee; SIZE];
        bytes.push(value);
        bytes
    };
    // The sum of the bytes behind each block.
    let add = |label: &str| {
        // movzx edx, byte ptr [rip+label+SIZE]; add ecx, edx
        Chunk::new([0x0f, 0xb6, 0x15, 0, 0, 0, 0, 0x01, 0xd1]).reloc(
            3,
            R_X86_64_PC32,
            label,
            SIZE as i64 - 4,
        )
    };
    let sum = Chunk::new([0x31, 0xc9]) // xor ecx, ecx
        .then(add("text"))
        .then(add("constant"))
        .then(add("variable"))
        .then(add("zero"))
        .then(Chunk::new([0x89, 0xc8])) // mov eax, ecx
        .then(code::ret());
    let patch = returning(context, sum)?
        .text("text", filled(1))
        .rodata("constant", filled(2))
        .data("variable", filled(4))
        .bss("zero", SIZE + 1);
    returns(context, &patch, 7)
}

/// Sections of one region follow one another, each at its own alignment.
pub fn alignment_is_kept(context: &Context) -> Outcome {
    let area = |name, align| Area::loaded(name, 0, align);
    // The low bits of three addresses, in alignments of 1, 64 and 4096.
    let code = Chunk::new([0x48, 0x8d, 0x05, 0, 0, 0, 0]) // lea rax, [rip+page]
        .reloc(3, R_X86_64_PC32, "page", -4)
        .then(Chunk::new([0x25, 0xff, 0x0f, 0, 0])) // and eax, 0xfff
        .then(
            Chunk::new([0x48, 0x8d, 0x0d, 0, 0, 0, 0]) // lea rcx, [rip+line]
                .reloc(3, R_X86_64_PC32, "line", -4),
        )
        .then(Chunk::new([0x83, 0xe1, 0x3f])) // and ecx, 0x3f
        .then(Chunk::new([0x01, 0xc8])) // add eax, ecx
        .then(
            Chunk::new([0x0f, 0xb6, 0x0d, 0, 0, 0, 0]) // movzx ecx, byte ptr [rip+byte]
                .reloc(3, R_X86_64_PC32, "byte", -4),
        )
        .then(Chunk::new([0x01, 0xc8])) // add eax, ecx
        .then(code::ret());
    let patch = returning(context, code)?
        .section(area(".rodata.byte", 1), "byte", [0x77])
        .section(area(".rodata.line", 64), "line", [1])
        .section(area(".rodata.page", 4096), "page", [1]);
    returns(context, &patch, 0x77)
}

pub fn metadata_comes_back(context: &Context) -> Outcome {
    context.needs(Change::ListMetadata)?;
    let patch = payload(context, "id")?
        .metadata("author=xtf")
        .metadata("empty=")
        .metadata("")
        .function(Function::named("xen_extra_version", code::return_str("-meta")));
    let loaded = load(context, "meta", &patch)?;
    let expected = Vec::from([Vec::from(*b"author=xtf\0empty=\0\0")]);
    expect("metadata", strings(metadata(context)?), strings(expected.clone()))?;
    // Applying prints it on Xen's console; it stays what it is.
    apply(&loaded)?;
    reads("-meta")?;
    expect("metadata when applied", strings(metadata(context)?), strings(expected))?;
    revert(&loaded)
}

fn strings(metadata: Vec<Vec<u8>>) -> Vec<String> {
    metadata.iter().map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}

pub fn metadata_none_is_empty(context: &Context) -> Outcome {
    context.needs(Change::ListMetadata)?;
    let _loaded = load(context, "plain", &library(context)?)?;
    expect("metadata", metadata(context)?, Vec::from([Vec::new()]))?;
    expect("its total size", context.livepatch().totals()?.metadata_total_size, 0)
}

/// Each payload's own, in the order of LIST, also after one in the middle went.
pub fn metadata_goes_with_its_payload(context: &Context) -> Outcome {
    context.needs(Change::ListMetadata)?;
    let with = |id: &str, text: &str| Ok(payload(context, id)?.metadata(text));
    let nothing = |payload: Payload| payload.hook(Hook::PostApply, code::ret());
    let first = load(context, "first", &nothing(with("1", "a=first")?))?;
    let second = load(context, "second", &nothing(with("2", "b=second payload")?))?;
    let _third = load(context, "third", &nothing(payload(context, "3")?))?;
    let _fourth = load(context, "fourth", &nothing(with("4", "d=")?))?;
    let all = ["a=first\0", "b=second payload\0", "", "d=\0"];
    expect("metadata of four", strings(metadata(context)?), all.map(String::from).to_vec())?;
    let total: usize = all.iter().map(|text| text.len()).sum();
    expect("their total", context.livepatch().totals()?.metadata_total_size, total as u32)?;
    second.action(ActionCmd::Unload).must_be(Answer::SUCCESS)?;
    let rest = ["a=first\0", "", "d=\0"];
    expect("metadata of three", strings(metadata(context)?), rest.map(String::from).to_vec())?;
    unload(context, &first)
}

/// Hooks write to the 32 bits at `target`, before anything was patched and afterwards, and once more in
/// a second payload, when the first one was reverted. Should that fault, as it must, the payload's
/// exception table leads past the instruction.
fn is_write_protected(context: &Context, with_target: fn(Payload) -> Payload) -> Outcome {
    const FAULTED: u8 = 1;
    const WRITTEN: u8 = 2;
    context.needs(Change::PrePostHooks)?;
    let log = Log::open(context)?;
    let mark = |digit| code::append_digit(LOG, digit).then(code::return_u32(0));
    // An entry is where the fault is and where to go on, each counted from its own field.
    let entry =
        Chunk::new([0; 8]).reloc(0, R_X86_64_PC32, "write", 0).reloc(4, R_X86_64_PC32, "go_on", 0);
    let early = context.xen.has(Change::LoadedRegions) && context.xen.has(Change::LoadedSymbols);
    let writing = |id: &str| {
        let patch = with_target(log.payload(id)?)
            .text("write", code::store_u32("target", 0).then(mark(WRITTEN)))
            .text("go_on", mark(FAULTED))
            .section(Area::loaded(".ex_table", 0, 4), "entry", entry.clone())
            .hook(Hook::PreRevert, code::jump("write"));
        let patch = match early {
            true => patch.hook(Hook::PreApply, code::jump("write")),
            false => patch,
        };
        load(context, id, &patch)
    };
    let both = [writing("first")?, writing("second")?];
    for loaded in &both {
        apply(loaded)?;
        revert(loaded)?;
    }
    log.holds("1 for each fault, 2 for none", if early { 0x1111 } else { 0x11 })
}

pub fn rodata_is_write_protected(context: &Context) -> Outcome {
    is_write_protected(context, |payload| payload.rodata("target", [0; 4]))
}

pub fn text_is_write_protected(context: &Context) -> Outcome {
    is_write_protected(context, |payload| payload.text("target", code::nops(4)))
}

/// How the page of `target` is mapped while the payload is loaded, and while it is applied.
fn is_mapped(context: &Context, flags: u32, with_target: fn(Payload) -> Payload) -> Outcome {
    let library = with_target(payload(context, "library")?)
        .export("xtf_target")
        .function(Function::named("xen_extra_version", code::return_str("-library")));
    let library = load(context, "library", &library)?;
    let reader = || returning(context, code::return_protection_of("xtf_target"));
    returns(context, &reader()?, flags).map_err(|stop| stop.at("while it is loaded"))?;
    apply(&library)?;
    returns(context, &reader()?.depends("library"), flags)
        .map_err(|stop| stop.at("while it is applied"))
}

pub fn text_is_executable(context: &Context) -> Outcome {
    is_mapped(context, code::PRESENT, |payload| payload.text("xtf_target", code::ret()))
}

pub fn rodata_is_neither_writable_nor_executable(context: &Context) -> Outcome {
    let flags = code::PRESENT | code::NO_EXECUTE;
    is_mapped(context, flags, |payload| payload.rodata("xtf_target", [0; 4]))
}

pub fn data_is_not_executable(context: &Context) -> Outcome {
    let flags = code::PRESENT | code::WRITABLE | code::NO_EXECUTE;
    is_mapped(context, flags, |payload| payload.data("xtf_target", [0; 4]))?;
    is_mapped(context, flags, |payload| payload.bss("xtf_target", 4))
        .map_err(|stop| stop.at("without a value"))
}
