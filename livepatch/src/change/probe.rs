//! How a guest finds out whether a Xen has a change: by calls that no release is harmed by, and
//! that leave nothing behind.
//!
//! Most questions are an UPLOAD of a payload that is without a fault but for the one that the
//! change is about. It is never applied, and taken out again if it gets in. They mean something
//! only where a payload without any fault gets in ([`plain`]).

use alloc::format;
use alloc::vec::Vec;

use super::Change;
use crate::Errno;
use crate::binary::Binary;
use crate::payload::wire::{
    R_X86_64_PC32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS, Shdr,
};
use crate::payload::{Area, Chunk, Data, Elf, Function, Hook, Old, Payload, Section, Target, code};

/// Changes that are observed by other calls than UPLOAD, or by [`plain`].
pub const BY_CALLS: [Change; 6] = [
    Change::FunctionVersion2,
    Change::OpFlags,
    Change::ActionFlags,
    Change::ListMetadata,
    Change::PackedNames,
    Change::BoundedList,
];

/// What UPLOAD answers: accepted, or refused so.
pub type UploadAnswer = Result<(), Errno>;

/// An UPLOAD whose answer tells whether a Xen has a change.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which change. Where several questions are about one, a single one may find it.
    pub change: Change,
    /// What to upload.
    pub file: Vec<u8>,
    /// The answer of a Xen that has it.
    pub present: UploadAnswer,
    /// The answer of a Xen that has not. Any other means nothing.
    pub absent: UploadAnswer,
    /// A change without which the question makes no sense, if there is one.
    pub given: Option<Change>,
}

/// A payload with a number of its own and without any fault, and what else it is to have.
fn correct(target: &Target, number: u8) -> Payload {
    let function = Function::named("xen_extra_version", code::return_str("-probe"));
    Payload::new(target, [b'p', number]).function(function)
}

/// A payload without any fault, as a file.
pub fn plain(target: &Target, number: u8) -> Vec<u8> {
    correct(target, number).to_bytes()
}

/// A payload that has metadata, without any fault, as a file.
pub fn with_metadata(target: &Target, number: u8) -> Vec<u8> {
    correct(target, number).metadata("a=b").to_bytes()
}

/// Every question that is an UPLOAD, in the order in which to ask.
pub fn questions(target: &Target) -> Vec<Question> {
    const ACCEPTED: UploadAnswer = Ok(());
    const EINVAL: UploadAnswer = Err(Errno::EINVAL);
    const ENOENT: UploadAnswer = Err(Errno::ENOENT);
    const EOPNOTSUPP: UploadAnswer = Err(Errno::EOPNOTSUPP);

    let mut questions = Vec::new();
    let mut ask = |change, file: Vec<u8>, present, absent| {
        let given = (change == Change::AlternativePlaces).then_some(Change::AlternativePadding);
        questions.push(Question { change, file, present, absent, given });
    };
    let base = || correct(target, 0);
    let add = |area: Area, content: Chunk| base().section(area, "added", content).to_bytes();
    let zeroes =
        |name, size: usize| add(Area::loaded(name, 0, 8), Chunk::new(alloc::vec![0; size]));

    let known = base().rodata("xen_changeset", [0; 8]).export("xen_changeset");
    ask(Change::KnownSymbols, known.to_bytes(), Err(Errno::EEXIST), ACCEPTED);
    ask(Change::EmptyExTable, zeroes(".ex_table", 0), ACCEPTED, EINVAL);
    let aligned_to_3 = changed(base().rodata("constant", [0; 8]), |elf| {
        elf.section_mut(".rodata").shdr.sh_addralign = 3;
    });
    ask(Change::SectionAlignment, aligned_to_3, EOPNOTSUPP, ACCEPTED);
    ask(Change::AlternativePadding, alternative(target, "original"), ACCEPTED, EINVAL);
    const FILE: &str = "common/livepatch.c";
    for binary in [Binary::Elf, Binary::Efi] {
        let name = format!("{}#payload_list", binary.path(FILE));
        ask(Change::SymbolPaths, refers_to(target, &name), ACCEPTED, ENOENT);
    }
    ask(Change::XenDepends, base().xen_depends(*b"another Xen").to_bytes(), EINVAL, ACCEPTED);
    // Twice as large as a single hook is.
    ask(Change::PrePostHooks, zeroes(Hook::PreApply.section(), 16), EINVAL, ACCEPTED);
    ask(Change::ActionHooks, zeroes(Hook::Apply.section(), 16), EINVAL, ACCEPTED);
    let hook_alone = Payload::new(target, *b"p0").hook(Hook::Load, code::ret());
    ask(Change::HooksAlone, hook_alone.to_bytes(), ACCEPTED, EINVAL);
    ask(
        Change::Modinfo,
        add(Area::loaded(".modinfo", 0, 1), Chunk::new(*b"a=b")),
        EINVAL,
        ACCEPTED,
    );
    let nobody = Function::named("xtf_no_such_function", code::ret()).old_size(1);
    let nobody = Payload::new(target, *b"p0").function(nobody);
    ask(Change::NameBeforeSize, nobody.to_bytes(), ENOENT, EINVAL);
    // nopw (%rcx)
    ask(
        Change::EndbrPoison,
        jump_in_8_bytes(target, [0x66, 0x0F, 0x1F, 0x01].into()),
        EINVAL,
        ACCEPTED,
    );
    ask(Change::EndbrJump, jump_in_8_bytes(target, code::endbr64()), EINVAL, ACCEPTED);
    let empty = changed(base(), |elf| {
        let flags = SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR;
        unused(elf, |shdr| (shdr.sh_flags, shdr.sh_size) = (flags, 0));
    });
    ask(Change::EmptySections, empty, EOPNOTSUPP, ACCEPTED);
    let comment = Area { sh_flags: 0, ..Area::loaded(".comment", 0, 1) };
    let comment = base().section(comment, "comment", *b"xtf");
    let comment = comment.rodata("pointer", Chunk::address_of("comment"));
    ask(Change::UnloadedSymbols, comment.to_bytes(), EINVAL, ACCEPTED);
    ask(
        Change::ProtectedPatching,
        refers_to(target, "relax_virtual_region_perms"),
        ACCEPTED,
        ENOENT,
    );
    ask(Change::AlternativePlaces, alternative(target, "constant"), EINVAL, ACCEPTED);
    let foreign = changed(base(), |elf| elf.note_mut(".note.gnu.build-id").kind = 1);
    ask(Change::ForeignNotes, foreign, Err(Errno::ENODATA), EINVAL);
    let area = Area::loaded(".wx", SHF_WRITE | SHF_EXECINSTR, 1);
    let two_faults = base().xen_depends(*b"another Xen").section(area, "wx", [0]);
    ask(Change::XenDependsFirst, two_faults.to_bytes(), EINVAL, EOPNOTSUPP);
    ask(Change::AlternativeCalls, zeroes(".alt_call_sites", 3), EINVAL, ACCEPTED);
    questions
}

/// A payload with one thing changed.
fn changed(payload: Payload, change: impl FnOnce(&mut Elf)) -> Vec<u8> {
    let mut elf = payload.elf();
    change(&mut elf);
    elf.to_bytes()
}

/// Appends a section that is not loaded, unless its header comes to say so.
fn unused(elf: &mut Elf, change: impl FnOnce(&mut Shdr)) {
    let data = Data::Bytes(alloc::vec![0; 8]);
    let index = elf.push(Section::new(".unused", SHT_PROGBITS, 0, 1, data));
    change(&mut elf.sections[index].shdr);
}

/// A payload with the address of one of Xen's symbols.
fn refers_to(target: &Target, symbol: &str) -> Vec<u8> {
    correct(target, 0).rodata("pointer", Chunk::address_of(symbol)).to_bytes()
}

/// A payload that replaces a function of its own, which begins so, and is said to have 8 bytes.
fn jump_in_8_bytes(target: &Target, begin: Chunk) -> Vec<u8> {
    let function = Function {
        name: None,
        old: Old::Symbol("old".into()),
        ..Function::named("", code::ret()).old_size(8)
    };
    let old = begin.then(code::nops(12));
    Payload::new(target, *b"p0").text("old", old).function(function).to_bytes()
}

/// A payload with an alternative, of 14 bytes, for 4 bytes at a label. It is for a CPU that does
/// not exist, so that nothing is written.
fn alternative(target: &Target, original: &str) -> Vec<u8> {
    /// A reserved bit of CPUID leaf 1.
    const RESERVED: u8 = 10;
    // Where and by what, both relative; the feature; lengths of the original, of the replacement
    // and of the padding.
    let entry = Chunk::new([0, 0, 0, 0, 0, 0, 0, 0, RESERVED, 0, 4, 4, 0, 0])
        .reloc(0, R_X86_64_PC32, original, 0)
        .reloc(4, R_X86_64_PC32, "replacement", 0);
    correct(target, 0)
        .text("original", code::nops(8))
        .rodata("constant", [0x90; 8])
        .section(
            Area::loaded(".altinstr_replacement", SHF_EXECINSTR, 1),
            "replacement",
            code::nops(4),
        )
        .section(Area::loaded(".altinstructions", 0, 1), "alternatives", entry)
        .to_bytes()
}
