//! Programs of livepatch calls: their text and their binary form, and the payloads in them.

use xtf_livepatch::abi::{ActionCmd, Revision};
use xtf_livepatch::payload::{Hook, Target};
use xtf_livepatch::program::{
    Defect, EhdrField, FunctionSpec, FunctionTarget, Generator, HookDoes, HookSpec, IdSpec, Mix,
    NameArg, Op, PayloadSpec, Placement, Program, RelaField, Rng, SectionName, ShdrField, Sink,
    Source, Step, decode, encode, parse,
};

fn target() -> Target {
    Target::new(Revision::V2, [0x5a; 20])
}

fn mixes() -> [Mix; 4] {
    [
        Mix::DEFAULT,
        Mix::CALLS,
        Mix::PAYLOADS,
        Mix { wild: true, wrong: 256, faulty: 256, ..Mix::PAYLOADS },
    ]
}

/// Programs of every mix, and decoded noise.
fn programs() -> Vec<Program> {
    let mut programs = Vec::new();
    for seed in 0..40 {
        for mix in mixes() {
            programs.push(Generator::new(seed, mix).program(100));
        }
        programs.push(decode(&noise(seed, 4096), usize::MAX));
    }
    programs
}

fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..size).map(|_| rng.next_u32() as u8).collect()
}

#[test]
fn what_is_printed_is_read_back() {
    for program in programs() {
        let text = program.to_string();
        match parse(&text) {
            Ok(read) => assert_eq!(read, program, "{text}"),
            Err(error) => panic!("{error} in:\n{text}"),
        }
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    for program in programs() {
        let bytes = encode(&program);
        assert_eq!(decode(&bytes, usize::MAX), program, "{program}");
    }
}

#[test]
fn any_bytes_are_a_program() {
    for seed in 0..200 {
        let bytes = noise(seed, 300);
        let program = decode(&bytes, usize::MAX);
        assert!(!program.steps.is_empty());
        assert_eq!(decode(&encode(&program), usize::MAX), program);
        assert!(decode(&bytes, 3).steps.len() <= 3);
    }
    assert_eq!(decode(&[], 10).steps, []);
    assert_eq!(decode(&[0], 10).steps.len(), 1);
}

#[test]
fn usual_steps_are_short() {
    let usual = "upload \"p0\" id=0 func=extra\nget \"p0\"\nlist nr=5\naction apply \"p0\"\nlook\n";
    let bytes = encode(&parse(usual).unwrap());
    assert!(bytes.len() <= 24, "{} bytes", bytes.len());
}

#[test]
fn the_same_seed_makes_the_same_steps() {
    let steps = |seed| Generator::new(seed, Mix::DEFAULT).program(50);
    assert_eq!(steps(3), steps(3));
    assert_ne!(steps(3), steps(4));
}

#[test]
fn every_kind_of_step_is_generated() {
    let program = Generator::new(1, Mix::DEFAULT).program(3000);
    let has = |what: &str, found: &dyn Fn(&Step) -> bool| {
        assert!(program.steps.iter().any(found), "no {what} in 3000 steps");
    };
    has("UPLOAD", &|s| matches!(s.op, Op::Upload(_)));
    has("GET", &|s| matches!(s.op, Op::Get(_)));
    has("LIST", &|s| matches!(s.op, Op::List(_)));
    has("look", &|s| matches!(s.op, Op::Look));
    has("unknown sub-op", &|s| matches!(s.op, Op::Bare(_)));
    for cmd in [ActionCmd::Unload, ActionCmd::Revert, ActionCmd::Apply, ActionCmd::Replace] {
        has("ACTION", &|s| matches!(&s.op, Op::Action(a) if a.cmd == cmd));
    }
    has(
        "unknown ACTION",
        &|s| matches!(&s.op, Op::Action(a) if matches!(a.cmd, ActionCmd::Other(_))),
    );
    has("wrong version", &|s| s.outer.version.is_some());
    has("odd flags", &|s| s.outer.flags != 0);
    has("odd place", &|s| s.outer.at != Placement::Ample);
    has("bad array", &|s| matches!(&s.op, Op::List(l) if l.arrays.contains(&Sink::XenRange)));
    has("bad name", &|s| s.op.name().is_some_and(|n| n.at == Source::NonCanonical));
    has("defect", &|s| matches!(&s.op, Op::Upload(u) if !u.payload.defects.is_empty()));
}

/// No combination that a program can express makes the builder panic.
#[test]
fn every_payload_can_be_built() {
    let targets = [target(), Target::new(Revision::V1, *b"id")];
    for program in programs() {
        for step in &program.steps {
            if let Op::Upload(upload) = &step.op {
                targets.iter().for_each(|target| drop(upload.payload.to_bytes(target)));
            }
        }
    }
}

#[test]
fn every_word_is_understood() {
    let text = r#"
# a comment, and an empty line

upload "p\"\\\n\x01" id=3 func=extra func=own/nop:5/old-size:0x20/symbol/expect:right hook=preapply/ret:-22 hook=load/once:7 hook=postapply/null data=4 bss=8 meta="key=a b#c" export=shared-0 import=xen depends=31 xen-depends=nobody set=ehdr.machine:3 set=.text.align:64 set=funcs[2].old_size:0xffffffff set=symbols[1].shndx:9 set=.rela.livepatch.funcs[0].type:10 set=.note.gnu.build-id.note-descsz:99 byte=17:255 size=99 payload-at=tight version=0x12 op-flags=1 at=read-only # really
upload raw"" name-size=5 name-pad=1,2,0xffff name-at=xen-range id=0 byte=.text+3:1 remove=.symtab truncate=100
get raw"no nul" state=9 rc=-5
list idx=1 nr=2 pad=3 stamp=4 name-total=5 metadata-total=6 status=tight:7 name=null len=ample metadata=xen-range metadata-len=unmapped
action 99 "x" timeout=1 flags=0xffffffff pad=2
action replace "x"
op 0xffffffff at=short
look
"#;
    let program = parse(text).unwrap();
    assert_eq!(program.steps.len(), 8);
    let Op::Upload(first) = &program.steps[0].op else { panic!("an upload") };
    assert_eq!(first.name, NameArg::new("p\"\\\n\x01"));
    assert_eq!(first.payload.metadata.as_deref(), Some(&b"key=a b#c"[..]));
    assert_eq!(first.payload.depends, IdSpec::Payload(31));
    assert_eq!(first.payload.functions[1].nop, Some(5));
    assert_eq!(
        first.payload.hooks[0],
        HookSpec { hook: Hook::PreApply, does: HookDoes::Return(-22) }
    );
    assert_eq!(
        first.payload.defects[..2],
        [
            Defect::Ehdr(EhdrField::Machine, 3),
            Defect::Shdr(SectionName::Text, ShdrField::Align, 64)
        ]
    );
    assert_eq!(
        first.payload.defects[4],
        Defect::Rela(SectionName::RelaFuncs, 0, RelaField::Type, 10)
    );
    let Op::Upload(second) = &program.steps[1].op else { panic!("an upload") };
    assert_eq!((second.name.pad, second.name.at), ([1, 2, 0xffff], Source::XenRange));
    assert_eq!(parse(&program.to_string()), Ok(program));
}

#[test]
fn what_is_as_usual_is_not_said() {
    let text = "upload \"p0\" id=0 func=extra\nlist nr=3\naction apply \"p0\"\n";
    assert_eq!(parse(text).unwrap().to_string(), text);
}

#[track_caller]
fn refused(text: &str, line: usize, column: usize, message: &str) {
    let error = parse(text).expect_err(text);
    assert_eq!((error.line, error.column), (line, column), "{error}");
    assert!(error.message.contains(message), "{error}");
}

#[test]
fn errors_name_the_place() {
    refused("look\nlok\n", 2, 1, "`lok` is none of upload, get");
    refused("look now", 1, 6, "nothing may follow");
    refused("get", 1, 1, "`get` needs a name");
    refused("get p0", 1, 5, "`p0` is not in quotes");
    refused("get \"p0", 1, 5, "not closed");
    refused("get \"a\\qb\"", 1, 7, "are escapes");
    refused("get \"p0\" sstate=1", 1, 10, "`get` has no word `sstate`");
    refused("get \"p0\" state", 1, 10, "not `word=value`");
    refused("get \"p0\" state=1 state=2", 1, 18, "twice");
    refused("get \"p0\" state=x", 1, 16, "`x` is not a number");
    refused("get \"p0\" name-size=65536", 1, 20, "does not fit into 2 bytes");
    refused("get \"p0\" name-pad=1,2", 1, 19, "three numbers");
    refused("list status=tight", 1, 13, "tight:N");
    refused("action", 1, 1, "needs what to do");
    refused("action aply \"p0\"", 1, 8, "`aply` is none of unload");
    refused("upload \"p0\" func=extra", 1, 1, "needs the payload's id");
    refused("upload \"p0\" id=32", 1, 16, "more than 31");
    refused("upload \"p0\" id=1 func=extr", 1, 23, "`extr` is none of extra");
    refused("upload \"p0\" id=1 func=own/nop=5", 1, 27, "none of nop:N");
    refused("upload \"p0\" id=1 set=.text:1", 1, 22, "`` is none of .text");
    refused("upload \"p0\" id=1 set=ehdr.mashine:1", 1, 27, "`mashine` is none of");
    refused("upload \"p0\" id=1 set=funcs[0.version:1", 1, 22, "not closed by `]`");
    refused("get \"p0\"#x", 1, 9, "begins after a space");
}

#[test]
fn a_fault_changes_just_its_field() {
    let mut spec = PayloadSpec::new(1);
    spec.functions.push(FunctionSpec::new(FunctionTarget::Extra));
    let good = spec.to_bytes(&target());
    spec.defects.push(Defect::Ehdr(EhdrField::Machine, 3));
    let bad = spec.to_bytes(&target());
    let differ: Vec<_> = (0..good.len()).filter(|&i| good[i] != bad[i]).collect();
    assert_eq!(differ, [18]);
    spec.defects = vec![Defect::Truncate(70), Defect::Byte(69, 1), Defect::Byte(7000, 1)];
    assert_eq!(spec.to_bytes(&target()).len(), 70);
    spec.defects = vec![Defect::Remove(SectionName::Text), Defect::Remove(SectionName::Text)];
    assert!(spec.to_bytes(&target()).len() < good.len());
}
