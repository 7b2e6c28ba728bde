//! Any file may be shown.

use livepatch::payload::Hook;

use super::file::Contents;
use super::tests::{payload, subject};
use super::verdict::Subject;
use super::{OfFile, SCHEMA, Shown, text};
use crate::base::output::json;
use crate::fuzzing::{Target, peak_of};
use livepatch::payload::{HookBody, code};

const WORDS: &[&str] = &[
    ".livepatch.funcs\0",
    ".livepatch.depends\0",
    ".rela.livepatch.funcs\0",
    ".altinstructions\0",
    ".bug_frames.0\0",
    ".modinfo\0",
    ".text\0",
    "xen_extra_version\0",
    "common/livepatch.c#payload_list\0",
    "~Module signature appended~\n",
    "\x1b[31m",
];

#[test]
fn fuzz_payload() {
    let rich =
        payload().hook(Hook::PreApply, HookBody::Code(code::return_u32(0))).metadata("a=\tb");
    Target {
        name: "payload",
        run: check,
        seeds: vec![payload().to_bytes(), rich.to_bytes()],
        words: WORDS,
        longest: 1 << 14,
        mutants: 500,
    }
    .test();
}

fn check(bytes: &[u8]) {
    thread_local! {
        static SUBJECT: Subject = subject();
    }
    let (text, peak) = SUBJECT.with(|subject| peak_of(|| shown(subject, bytes)));
    assert!(peak < (1 << 20) + 64 * bytes.len(), "{peak} bytes for {}", bytes.len());
    // `plain` lets a tab through: it moves a terminal's cursor within the line.
    assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{text:?}");
}

/// Both forms of what is shown of a file, alone and upon itself.
fn shown(subject: &Subject, bytes: &[u8]) -> String {
    let file = || (bytes.to_vec(), Contents::of(bytes));
    let files = [file(), file()];
    let xens = vec![subject.judge(&files, true), subject.judge(&files, false)];
    let files = files.iter().map(|(_, contents)| OfFile { path: "x".into(), contents }).collect();
    let shown = Shown { schema: SCHEMA, files, xens, each: true };
    json(&shown).unwrap();
    text::text(&shown)
}
