//! Files of every kind, and the verdict on a small Xen that calls itself 4.17.7.

use expect_test::expect;
use livepatch::abi::Revision;
use livepatch::change::Change;
use livepatch::payload::wire::{
    R_X86_64_32, R_X86_64_PC32, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS,
};
use livepatch::payload::{
    Area, Chunk, Data, Function, Hook, HookBody, Payload, Replacement, Section, Target, code, wire,
};
use livepatch::program::Rng;

use super::file::Contents;
use super::prospect::Prospect;
use super::verdict::{Answer, Subject, Verdict};
use super::{OfFile, SCHEMA, Shown, exit, text};
use crate::base::exit::Exit;
use crate::fuzzing::peak_of;
use crate::xen::symbols::{BootXen, KnownSymbols, xen_build};

const XEN: u8 = 7;
const FUNCTIONS: [xen_build::Function<'_>; 7] = [
    ("livepatch_op", None, &[0xc3]),
    ("payload_list", Some("common/livepatch.c"), &[0; 16]),
    ("xen_major_version", None, &[0xb8, 4, 0, 0, 0, 0xc3]),
    ("xen_minor_version", None, &[0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 17, 0, 0, 0, 0xc3]),
    // lea rax, [rip + 1]; ret; and the text.
    ("xen_extra_version", None, b"\x48\x8d\x05\x01\0\0\0\xc3.7-x\0"),
    ("do_something", None, &[0x55, 0x48, 0x89, 0xe5, 0xc3]),
    ("last", None, &[0xc3]),
];

pub fn subject() -> Subject {
    Subject::of("sample", "nowhere".into(), symbols(&FUNCTIONS))
}

fn symbols(functions: &[xen_build::Function<'_>]) -> KnownSymbols {
    BootXen::parse(xen_build::boot(XEN, functions)).and_then(KnownSymbols::of).unwrap()
}

fn target() -> Target {
    Target::new(Revision::V2, [XEN; 20])
}

pub fn payload() -> Payload {
    Payload::new(&target(), [1; 20])
        .function(Function::named("xen_extra_version", code::return_str("-a")))
}

fn judge(files: &[Vec<u8>]) -> Vec<Verdict> {
    let read = |bytes: &Vec<u8>| (bytes.clone(), Contents::of(bytes));
    let files: Vec<_> = files.iter().map(read).collect();
    subject().judge(&files, false).files
}

fn judge_one(bytes: &[u8]) -> Verdict {
    judge(&[bytes.to_vec()]).remove(0)
}

/// The error, the function, and what does not hold.
fn refused(bytes: &[u8]) -> (String, &'static str, Option<String>) {
    let verdict = judge_one(bytes);
    assert_eq!(verdict.upload, Answer::Refused, "{verdict:?}");
    let told = verdict.refusal.unwrap();
    assert!(!told.remedy.is_empty());
    (told.errno, told.function, told.item)
}

fn shown(bytes: &[u8]) -> String {
    let files = [(bytes.to_vec(), Contents::of(bytes))];
    let xens = vec![subject().judge(&files, false)];
    let of = OfFile { path: "lp.livepatch".into(), contents: &files[0].1 };
    text::text(&Shown { schema: SCHEMA, files: vec![of], xens, each: false })
}

#[test]
fn a_payload_that_xen_takes() {
    let rich = payload()
        .hook(Hook::PreApply, HookBody::Code(code::return_u32(0)))
        .metadata("author=me")
        .metadata("ticket=7");
    expect![[r#"
        lp.livepatch
          size         1608 of 2097152 bytes, 13 of 1023 sections; loaded: 26 of code, 104 of data, 153 of constants
          build-id     0101010101010101010101010101010101010101
          depends      0707070707070707070707070707070707070707
          xen          0707070707070707070707070707070707070707
          functions    0: xen_extra_version, 16 bytes become a jump to 11, version 2
          hooks        preapply 1
          metadata     author=me
                       ticket=7
          relocations  R_X86_64_64 3
        on sample: Xen 4.17.7, nowhere, 0707070707070707070707070707070707070707
          lp.livepatch: UPLOAD succeeds
            function 0 is at 0xffff82d040200140 xen_extra_version
            the PreApply hook decides whether the action works
            it cannot take part in a REPLACE: it has a hook before or after
    "#]].assert_eq(&shown(&rich.to_bytes()));
}

/// What a damaged file says that it has is not believed. What is in it once is not kept a thousand
/// times.
#[test]
fn claims_of_a_damaged_file_cost_nothing() {
    let mut elf = payload().elf();
    for section in [".rodata", ".livepatch.depends"] {
        elf.section_mut(section).shdr.sh_size = u64::MAX;
    }
    assert_eq!(Contents::of(&elf.to_bytes()).constants, u64::MAX);

    let names: Vec<String> = (0..200).map(|number| format!("symbol_{number}")).collect();
    let all = names.iter().fold(payload(), |payload, name| {
        payload.function(Function::symbol(name, Replacement::Jump(1)))
    });
    let mut elf = all.clone().elf();
    let further: Vec<String> = (0..200).map(|number| format!(".rela.{number}")).collect();
    for name in &further {
        elf.push(Section::new(name, SHT_PROGBITS, 0, 8, Data::Bytes(Vec::new())));
    }
    let table = elf.section(".rela.livepatch.funcs").shdr;
    for name in &further {
        let shdr = &mut elf.section_mut(name).shdr;
        *shdr = wire::Shdr { sh_name: shdr.sh_name, ..table };
    }
    let contents = Contents::of(&elf.to_bytes());
    assert_eq!(contents.damaged.as_deref(), Some("its relocations overlap"));

    let long = "x".repeat(100_000);
    let mut elf = all.function(Function::symbol(&long, Replacement::Jump(1))).elf();
    let place = elf.symbol_mut(&long).st_name;
    names.iter().for_each(|name| elf.symbol_mut(name).st_name = place);
    let bytes = elf.to_bytes();
    let (contents, peak) = peak_of(|| Contents::of(&bytes));
    assert!(contents.imports.iter().all(|name| name.len() < 1000));
    assert!(peak < 16 * bytes.len(), "{peak} bytes for {}", bytes.len());
}

#[test]
fn a_payload_for_another_xen() {
    let other = Target::new(Revision::V2, [9; 20]);
    let other = Payload::new(&other, [1; 20])
        .function(Function::named("xen_extra_version", code::return_str("-a")));
    let (errno, function, item) = refused(&other.to_bytes());
    assert_eq!((errno.as_str(), function, item), ("EINVAL", "xen_build_id_dep", None));
}

#[test]
fn the_first_check_that_refuses_is_named() {
    let mut elf = payload().elf();
    elf.section_mut(".text").shdr.sh_flags |= SHF_WRITE;
    assert_eq!(
        refused(&elf.to_bytes()),
        ("EOPNOTSUPP".into(), "move_payload", Some("section 1, .text".into()))
    );

    let mut elf = payload().elf();
    elf.rela_mut(".rela.livepatch.funcs")[1].set_kind(R_X86_64_32);
    let (errno, function, item) = refused(&elf.to_bytes());
    assert_eq!((errno.as_str(), function), ("EOPNOTSUPP", "arch_livepatch_perform_rela"));
    assert!(item.unwrap().contains("R_X86_64_32 to `.text`"));

    let mut elf = payload().elf();
    elf.section_mut(".livepatch.depends").name = ".something".into();
    elf.relayout();
    let (errno, function, item) = refused(&elf.to_bytes());
    assert_eq!((errno.as_str(), function), ("EINVAL", "check_special_sections"));
    assert_eq!(item.as_deref(), Some("there is no .livepatch.depends"));

    // Xen's function has 9 bytes with an ENDBR64 in front of them.
    let short = Function::named("xen_minor_version", code::return_u32(1)).old_size(8);
    let (errno, function, item) =
        refused(&Payload::new(&target(), [1; 20]).function(short).to_bytes());
    assert_eq!((errno.as_str(), function), ("EINVAL", "arch_livepatch_verify_func"));
    assert_eq!(item.as_deref(), Some("function 0, xen_minor_version"));
}

#[test]
fn a_symbol_that_is_spelled_otherwise() {
    let import = payload().text("user", code::jump("common/livepat#payload_list"));
    let verdict = judge_one(&import.to_bytes());
    let told = verdict.refusal.unwrap();
    assert_eq!((told.errno.as_str(), told.function), ("ENOENT", "livepatch_elf_resolve_symbols"));
    assert!(
        told.remedy.starts_with(
            "this Xen has common/livepatch.c#payload_list (as it is spelled, a xen.efi has it); "
        ),
        "{told:?}"
    );

    let function = Function::named("do_somethin", code::return_u32(0));
    let named = Payload::new(&target(), [1; 20]).function(function);
    let told = judge_one(&named.to_bytes()).refusal.unwrap();
    assert_eq!((told.errno.as_str(), told.function), ("ENOENT", "resolve_old_address"));
    assert!(told.remedy.starts_with("this Xen has do_something; "), "{told:?}");
}

#[test]
fn what_comes_after_the_upload() {
    let something = || Function::named("do_something", code::return_u32(0));
    let stranger = something().expecting(&[0x90; 4]);
    let verdict = judge_one(&payload().function(stranger).to_bytes());
    assert_eq!(verdict.upload, Answer::Success);
    assert!(
        verdict.then[0].to_string().starts_with("APPLY: EINVAL, because the code of function 1"),
        "{verdict:?}"
    );

    let large = something().old_size(65);
    let shown = shown(&payload().function(large).to_bytes());
    assert!(
        shown.contains(" do_something, which has 64 bytes here, not 65: was the payload built "),
        "{shown}"
    );

    let same = something().expecting(&[0x55, 0x48, 0x89]);
    assert!(judge_one(&payload().function(same).to_bytes()).then.is_empty());
}

/// The checks of the tables of instructions, on code and replacements of a few bytes each.
#[test]
fn tables_are_checked() {
    let with = |name: &'static str, content: Chunk| {
        let replacements = Area::loaded(".altinstr_replacement", 0, 1);
        payload()
            .text("code", [0x90; 8])
            .section(replacements, "replacement", [0x90; 4])
            .section(Area::loaded(name, 0, 1), "table", content)
            .to_bytes()
    };
    for (name, size) in [(".bug_frames.0", 7), (".altinstructions", 13), (".ex_table", 12)] {
        let (errno, function, item) = refused(&with(name, Chunk::new(vec![0; size])));
        assert_eq!((errno.as_str(), function), ("EINVAL", "prepare_payload"));
        assert!(item.unwrap().ends_with(name));
    }
    // A distance to code and to its replacement, a feature, and three lengths.
    let of = |feature: u16, orig: i64, repl: i64, lengths: [u8; 4]| {
        let references = Chunk::new([0; 8]).reloc(0, R_X86_64_PC32, "code", orig).reloc(
            4,
            R_X86_64_PC32,
            "replacement",
            repl,
        );
        let rest = Chunk::new(feature.to_le_bytes()).then(Chunk::new(lengths));
        with(".altinstructions", references.then(rest))
    };
    let alternative = |orig, repl, lengths| of(10, orig, repl, lengths);
    assert_eq!(judge_one(&alternative(0, 0, [8, 4, 0, 0])).upload, Answer::Success);
    // A feature behind those that every release knows; this one says how many it knows.
    let late = |feature| of(feature, 0, 0, [8, 4, 0, 0]);
    assert_eq!(judge_one(&late(320)).upload, Answer::Unknown);
    // cmp ecx, 671; ret
    let applies = ("_apply_alternatives", None, &b"\x81\xf9\x9f\x02\0\0\xc3"[..]);
    let functions = [&[applies], &FUNCTIONS[..]].concat();
    let knows = Subject::of("sample", "nowhere".into(), symbols(&functions));
    for (feature, answer) in [(671, Answer::Success), (672, Answer::Unknown)] {
        let bytes = late(feature);
        let files = [(bytes.clone(), Contents::of(&bytes))];
        assert_eq!(knows.judge(&files, false).files[0].upload, answer, "{feature}");
    }
    for (orig, repl, lengths) in
        [(-40, 0, [8, 4, 0, 0]), (0, 1, [8, 4, 0, 0]), (0, -1, [8, 1, 0, 0])]
    {
        let (errno, _, item) = refused(&alternative(orig, repl, lengths));
        assert_eq!(errno, "EINVAL");
        assert!(item.unwrap().starts_with("element 0 of section"), "{orig} {repl} {lengths:?}");
    }
}

#[test]
fn a_stack_of_files() {
    let second = |depends: [u8; 20]| {
        let text = Function::named("do_something", code::return_u32(0));
        Payload::new(&target(), [2; 20]).depends(depends).function(text).to_bytes()
    };
    let first = payload().to_bytes();
    let verdicts = judge(&[first.clone(), second([1; 20])]);
    assert!(verdicts.iter().all(|verdict| verdict.upload == Answer::Success), "{verdicts:?}");
    assert!(verdicts[1].then.is_empty(), "{verdicts:?}");
    let verdicts = judge(&[first.clone(), second([XEN; 20])]);
    assert!(verdicts[1].then[0].to_string().contains("the file below it has 0101"), "{verdicts:?}");
    let alone = [(first.clone(), Contents::of(&first)), (first.clone(), Contents::of(&first))];
    let alone = subject().judge(&alone, true).files;
    assert!(alone.iter().all(|verdict| verdict.upload == Answer::Success), "{alone:?}");
    // The same build-id, under whatever name.
    let verdicts = judge(&[first.clone(), first]);
    let told = verdicts[1].refusal.as_ref().unwrap();
    assert_eq!((told.errno.as_str(), told.function), ("EEXIST", "prepare_payload"));
}

#[test]
fn what_a_file_expects_where_one_below_it_has_patched() {
    let patch = |id: u8, depends: u8, code: &[u8]| {
        let function = Function::named("do_something", code::return_u32(0)).expecting(code);
        let patch = Payload::new(&target(), [id; 20]).depends([depends; 20]).function(function);
        patch.to_bytes()
    };
    let same = [0x55, 0x48, 0x89];
    for expected in [same, [0x90; 3]] {
        let verdicts = judge(&[patch(1, XEN, &same), patch(2, 1, &expected)]);
        assert_eq!(verdicts[1].then, [Prospect::Covered(0)], "{verdicts:?}");
        assert!(verdicts[0].then.is_empty(), "{verdicts:?}");
    }
}

#[test]
fn nothing_is_foretold_upon_a_file_of_which_nothing_is() {
    let mut elf = payload().elf();
    elf.section_mut(".text").shdr.sh_addralign = 8192;
    let other = Payload::new(&target(), [2; 20]);
    let other = other.function(Function::named("do_something", code::return_u32(0))).to_bytes();
    let verdicts = judge(&[elf.to_bytes(), other]);
    let why: Vec<_> = verdicts.iter().map(|verdict| verdict.unknown.as_deref()).collect();
    assert_eq!(why, [Some("alignment beyond a page"), Some("what comes of a file before it")]);
}

#[test]
fn what_apply_refuses_is_no_success() {
    let shown = |each: bool| {
        let bytes = Payload::new(&target(), [2; 20])
            .depends([9; 20])
            .function(Function::named("do_something", code::return_u32(0)));
        let files = [(bytes.to_bytes(), Contents::of(&bytes.to_bytes()))];
        let xens = vec![subject().judge(&files, each)];
        exit(&Shown { schema: SCHEMA, files: Vec::new(), xens, each })
    };
    assert_eq!((shown(false), shown(true)), (Exit::Failure, Exit::Success));
}

#[test]
fn what_a_terminal_would_obey_is_not_printed() {
    let function = Function::named("do_something", code::return_u32(0));
    let file = payload().function(function).metadata("a=\x1b[2Jb").to_bytes();
    let shown = shown(&file);
    assert!(shown.contains("a=\u{fffd}[2Jb") && !shown.contains('\x1b'), "{shown}");
}

#[test]
fn an_unknown_release_is_no_verdict() {
    let functions = [FUNCTIONS[0], FUNCTIONS[4]];
    let bytes = payload().to_bytes();
    let files = [(bytes.clone(), Contents::of(&bytes))];
    let subject = Subject::of("sample", "nowhere".into(), symbols(&functions));
    let on = subject.judge(&files, false);
    assert_eq!((on.release, on.files[0].upload), (None, Answer::Unknown));
}

#[test]
fn what_the_model_cannot_tell() {
    let mut elf = payload().elf();
    elf.section_mut(".text").shdr.sh_addralign = 8192;
    let verdict = judge_one(&elf.to_bytes());
    assert_eq!((verdict.upload, verdict.refusal.is_none()), (Answer::Unknown, true));
    assert_eq!(verdict.unknown.as_deref(), Some("alignment beyond a page"));
}

/// What Xen calls itself decides what it checks.
#[test]
fn the_release_is_read_off_the_code() {
    let release = symbols(&FUNCTIONS).release().unwrap();
    assert_eq!(release.to_string(), "4.17.7");
    assert!(Change::LargeText.entry().is_in(release));
}

/// Bytes of an ELF header, and of a section's.
const HEADER: usize = 64;

/// Files of all sizes and with any field wrong: a verdict or none, but an answer.
#[test]
fn damaged_files_are_judged_as_well() {
    let table = Section::new(".ex_table", SHT_PROGBITS, SHF_ALLOC, 8, Data::Bytes(vec![0; 16]));
    let mut elf = payload().metadata("a=b").elf();
    elf.push(table);
    elf.push(Section::new(".more", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 1, Data::NoBits(9)));
    let whole = elf.to_bytes();
    assert_eq!(judge_one(&whole).upload, Answer::Success);
    let mut refused = 0;
    for len in (0..whole.len()).step_by(64) {
        let cut = judge_one(&whole[..len]);
        assert_ne!(cut.upload, Answer::Success, "{len}");
        refused += usize::from(cut.upload == Answer::Refused);
        shown(&whole[..len]);
    }
    assert!(refused > 10, "{refused}");
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            shown(&changed);
        }
    }
    // Whole fields of the headers.
    let sections = whole.len() - HEADER * elf.sections.len();
    let mut numbers = Rng::new(1);
    for at in (0..HEADER).chain(sections..whole.len()).step_by(4) {
        for width in [2, 4, 8] {
            let mut changed = whole.clone();
            let field = at..(at + width).min(whole.len());
            let (number, small) = (numbers.next_u64(), 8 * numbers.below(8));
            let number = number >> small;
            changed[field.clone()].copy_from_slice(&number.to_le_bytes()[..field.len()]);
            shown(&changed);
        }
    }
}
