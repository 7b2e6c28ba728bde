//! Programs of livepatch calls, and archives for the guest: what crates without files of their own
//! read.

use livepatch::program::{Generator, Mix, Program, decode, encode, parse};
use protocol::archive;

use super::{Target, peak_of};
use crate::machine::cpio::Archive;

const WORDS: &[&str] = &[
    "upload \"p0\" id=1",
    "get raw\"p\\x00\"",
    "list nr=1",
    "action apply \"p1\"",
    "action 7 \"p1\"",
    "op 4",
    "look\n",
    " name-size=5",
    " name-pad=1,2,3",
    " name-at=null",
    " payload-at=tight",
    " status=tight:7",
    " metadata-len=xen-range",
    " func=extra/nop:5/old-size:7/symbol/expect:right",
    " func=own",
    " hook=preapply/ret:-1",
    " hook=load/once:2147483647",
    " hook=postapply/null",
    " data=4",
    " bss=8",
    " meta=\"a\\n\\\\\\\"\"",
    " export=shared-0",
    " import=xen",
    " table=alternatives:28",
    " table=bug_frames.0:8",
    " depends=31",
    " xen-depends=nobody",
    " set=ehdr.machine:3",
    " set=.text.align:64",
    " set=funcs[0].version:2",
    " set=symbols[1].shndx:9",
    " set=.rela.livepatch.funcs[0].type:10",
    " set=.note.gnu.build-id.note-descsz:9",
    " byte=.text+3:1",
    " byte=7:1",
    " remove=.symtab",
    " truncate=100",
    " version=0x12",
    " op-flags=1",
    " at=short",
    " # x",
];

#[test]
fn fuzz_program() {
    let mixes = [Mix::DEFAULT, Mix { wild: true, wrong: 256, faulty: 256, ..Mix::PAYLOADS }];
    let programs = mixes.iter().map(|&mix| Generator::new(1, mix).program(20));
    let seeds = programs.flat_map(|program| [program.to_string().into_bytes(), encode(&program)]);
    Target {
        name: "program",
        run: check,
        seeds: seeds.collect(),
        words: WORDS,
        longest: 1 << 12,
        mutants: 2000,
    }
    .test();
}

fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(program) => is_printed_and_read_back(&program),
        Err(error) => {
            let line = text.lines().nth(error.line - 1).expect("a line of the text");
            assert!(error.column <= line.len() + 1, "{error}");
        }
    }
    is_printed_and_read_back(&decode(bytes, 100));
}

fn is_printed_and_read_back(program: &Program) {
    let text = program.to_string();
    assert_eq!(parse(&text).as_ref(), Ok(program), "{text}");
    assert_eq!(decode(&encode(program), usize::MAX), *program, "{text}");
}

#[test]
fn fuzz_archive() {
    let mut archive = Archive::default();
    archive.file("lp", 0o644, b"12345");
    archive.file("../up", 0o644, b"");
    archive.folder("a", 0o755);
    let words = &["070701", "TRAILER!!!\0", "../", "FFFFFFFF", "000081A4"];
    let seeds = vec![archive.finish()];
    Target { name: "archive", run: files, seeds, words, longest: 1 << 12, mutants: 2000 }.test();
}

fn files(bytes: &[u8]) {
    let ((), peak) = peak_of(|| {
        let mut left = bytes.len();
        for file in archive::files(bytes).map_while(Result::ok) {
            let size = file.name.len() + file.content.len();
            left = left.checked_sub(size).expect("files of more than there is");
        }
    });
    assert_eq!(peak, 0);
}
