//! The model of Xen: explored, and pinned by facts that the suites state in their own words.

use std::collections::HashSet;

use xtf_livepatch::Errno;
use xtf_livepatch::abi::{ActionCmd, Revision, State, SysctlVersion};
use xtf_livepatch::change::{Changes, Release};
use xtf_livepatch::model::{Facts, Model, Observed};
use xtf_livepatch::payload::Target;
use xtf_livepatch::program::{Generator, Mix, Op, Step, parse};

const BUILD_ID: [u8; 20] = [0x5a; 20];

fn facts(release: Release, version: u32, pv: bool) -> Facts {
    let version = SysctlVersion(version);
    Facts {
        release,
        changes: Changes::of(release),
        version,
        revision: Revision::for_version(version).unwrap().revision,
        pv,
        build_id: BUILD_ID.to_vec(),
        extra_version: ".0".into(),
        endbr: Some(false),
    }
}

/// Debian's three, one before 4.14 and one with limits on LIST.
fn xens() -> Vec<Facts> {
    vec![
        facts(Release::four(13, 5), 0x12, true),
        facts(Release::four(14, 6), 0x13, true),
        facts(Release::four(17, 7), 0x15, true),
        facts(Release::four(20, 4), 0x15, false),
        facts(Release::four(22, 0), 0x16, true),
    ]
}

/// Performs a step; `None` if nobody can predict it.
fn step(model: &mut Model, step: &Step) -> Option<i64> {
    let facts = model.facts();
    let target = Target::new(facts.revision, facts.build_id.clone());
    let file = match &step.op {
        Op::Upload(upload) => upload.payload.to_bytes(&target),
        _ => Vec::new(),
    };
    model.step(step, &file).ok()?.answer()
}

/// What holds in every state.
#[track_caller]
fn check(model: &Model, what: &dyn std::fmt::Display) {
    let applied: Vec<_> =
        model.payloads().iter().filter(|p| p.state == State::Applied).map(|p| &p.name).collect();
    assert_eq!(applied.len(), model.applied().len(), "{what}: {:?}", model.applied());
    for name in model.applied() {
        assert!(applied.contains(&name), "{what}: {name:?} is on the stack only");
    }
    for (index, payload) in model.payloads().iter().enumerate() {
        let others = &model.payloads()[index + 1..];
        assert!(others.iter().all(|other| other.name != payload.name), "{what}: a name twice");
        assert!(
            others.iter().all(|other| other.image.build_id != payload.image.build_id),
            "{what}: a build-id twice"
        );
    }
}

#[test]
fn random_steps_keep_the_state_consistent() {
    for facts in xens() {
        for seed in 0..18 {
            let mix = [Mix::DEFAULT, Mix::CALLS, Mix::PAYLOADS][seed as usize % 3];
            let mut generator = Generator::new(seed, mix);
            let mut model = Model::new(facts.clone(), 1);
            for number in 0..1000 {
                let next = generator.step();
                step(&mut model, &next);
                check(&model, &format_args!("seed {seed}, step {number}: {next}"));
            }
        }
    }
}

/// What the exploration knows: a stack of two, one with variables, one that can't be replaced, one
/// that refuses to go once, one with a failed expectation and a symbol that another one needs.
const UNIVERSE: [(&str, &str); 5] = [
    ("a", "id=0 func=extra export=shared-0"),
    ("b", "id=1 func=minor depends=0"),
    ("c", "id=2 func=extra data=4 hook=postrevert/ret:0"),
    ("d", "id=3 func=major hook=prerevert/once:-88"),
    ("e", "id=4 func=extra/expect:wrong import=shared-0"),
];

fn explored_steps() -> Vec<Step> {
    let mut text = String::new();
    for (name, payload) in UNIVERSE {
        text += &format!("upload \"{name}\" {payload}\n");
        for action in ["unload", "revert", "apply", "replace"] {
            text += &format!("action {action} \"{name}\"\n");
        }
        text += &format!("action apply \"{name}\" flags=1\n");
    }
    parse(&text).unwrap().steps
}

/// What one step may have changed, given how it was answered.
fn check_transition(before: &Model, after: &Model, step: &Step, answer: i64) {
    let what = format!("{step} ({answer})");
    let names = |model: &Model| -> Vec<_> {
        model.payloads().iter().map(|payload| payload.name.clone()).collect()
    };
    let (old, new) = (names(before), names(after));
    let name = step.op.name().unwrap().bytes.strip_suffix(b"\0").unwrap().to_vec();
    let known = old.contains(&name);
    let cmd = match &step.op {
        Op::Action(action) => Some(action.cmd),
        _ => None,
    };
    let mut expected = old.clone();
    match cmd {
        None if answer == 0 => expected.push(name.clone()),
        Some(ActionCmd::Unload) if answer == 0 => expected.retain(|other| *other != name),
        _ => {}
    }
    assert_eq!(new, expected, "{what}: the list's order");
    let moved = old.len() != new.len();
    assert_eq!(after.stamp(), before.stamp() + u32::from(moved), "{what}: the stamp");
    if !known && cmd.is_some() {
        assert_eq!(answer, -2, "{what}");
        assert_eq!(after.key(), before.key(), "{what}: a missing payload");
    }
    let (below, above) = (before.applied(), after.applied());
    match cmd {
        None | Some(ActionCmd::Unload) => assert_eq!(below, above, "{what}: the stack"),
        Some(ActionCmd::Apply) => {
            assert!(above == below || above.split_last() == Some((&name, below)), "{what}");
        }
        Some(ActionCmd::Revert) => {
            assert!(above == below || below.split_last() == Some((&name, above)), "{what}");
        }
        _ => assert!(above == below || above.is_empty() || above == [name.clone()], "{what}"),
    }
    if answer < 0 {
        assert_eq!(below, above, "{what}: an error that patches");
    }
}

/// GET and LIST tell the state, and change nothing.
fn check_reading(model: &mut Model) {
    let key = model.key();
    for payload in key.0.clone() {
        let name = String::from_utf8(payload.name.clone()).unwrap();
        let get = parse(&format!("get \"{name}\"")).unwrap();
        let mut after = [0; 136];
        after[32..36].copy_from_slice(&u32::from(payload.state).to_le_bytes());
        after[36..40].copy_from_slice(&payload.rc.to_le_bytes());
        let observed =
            Observed { answer: 0, before: &[0; 136], after: Some(&after), arrays: [&[]; 5] };
        let prediction = model.step(&get.steps[0], &[]).unwrap();
        prediction.check(&observed).unwrap();
    }
    let list = parse("list nr=1024").unwrap();
    let prediction = model.step(&list.steps[0], &[]).unwrap();
    assert!(prediction.allows(key.0.len() as i64));
    assert!(!prediction.allows(key.0.len() as i64 + 1));
    assert_eq!(prediction.allows(0), key.0.is_empty());
    assert!(key.0.is_empty() || prediction.allows(1), "LIST may stop short");
    assert_eq!(model.key(), key);
}

#[test]
fn every_state_within_five_steps_is_consistent() {
    let steps = explored_steps();
    for facts in xens() {
        let mut seen = HashSet::new();
        let mut edge = vec![Model::new(facts, 1)];
        for _ in 0..5 {
            let mut next = Vec::new();
            for model in edge {
                for candidate in &steps {
                    let mut after = model.clone();
                    let answer = step(&mut after, candidate).expect("nothing here is unforeseen");
                    check(&after, candidate);
                    check_transition(&model, &after, candidate, answer);
                    if seen.insert(after.key()) {
                        check_reading(&mut after);
                        next.push(after);
                    }
                }
            }
            edge = next;
        }
        assert!(seen.len() > 500, "only {} states", seen.len());
    }
}

/// A payload `p` in a state, by the steps that bring it there.
const BEFORE: [(&str, &str); 13] = [
    ("absent", ""),
    ("checked", "upload \"p\" id=0 func=extra\n"),
    ("misfit", "upload \"p\" id=0 func=extra depends=nobody\n"),
    ("vetoing", "upload \"p\" id=0 func=extra hook=postrevert/ret:0\n"),
    ("applied", "upload \"p\" id=0 func=extra\naction apply \"p\"\n"),
    (
        "buried",
        "upload \"p\" id=0 func=extra\naction apply \"p\"\n\
         upload \"o\" id=1 func=minor depends=0\naction apply \"o\"\n",
    ),
    ("reverted", "upload \"p\" id=0 func=extra\naction apply \"p\"\naction revert \"p\"\n"),
    (
        "replaced",
        "upload \"p\" id=0 func=extra\naction apply \"p\"\n\
         upload \"o\" id=1 func=extra\naction replace \"o\"\n",
    ),
    ("stale", "upload \"p\" id=0 func=extra data=4\naction apply \"p\"\naction revert \"p\"\n"),
    (
        "stale_refused",
        "upload \"p\" id=0 func=extra data=4\naction apply \"p\"\naction revert \"p\"\n\
         action apply \"p\"\n",
    ),
    ("apply_refused", "upload \"p\" id=0 func=extra hook=preapply/once:-88\naction apply \"p\"\n"),
    (
        "revert_refused",
        "upload \"p\" id=0 func=extra hook=prerevert/once:-88\naction apply \"p\"\n\
         action revert \"p\"\n",
    ),
    ("unexpected", "upload \"p\" id=0 func=extra/expect:wrong\n"),
];

const OK: i64 = 0;
const fn errno(errno: Errno) -> i64 {
    -(errno.0 as i64)
}
const ENOENT: i64 = errno(Errno::ENOENT);
const EINVAL: i64 = errno(Errno::EINVAL);
const EBUSY: i64 = errno(Errno::EBUSY);
const EOPNOTSUPP: i64 = errno(Errno::EOPNOTSUPP);
/// What the refusing hooks return.
const VETO: i32 = -88;

/// What GET shows afterwards: nothing, or whether it is applied and its rc.
type Then = Option<(State, i32)>;
const GONE: Then = None;
const CHECKED: Then = Some((State::Checked, 0));
const APPLIED: Then = Some((State::Applied, 0));
const REFUSED: Then = Some((State::Checked, -22));

/// The answers of UNLOAD, REVERT, APPLY, REPLACE and an action that there is none of, and what
/// GET shows afterwards: the matrix of ACTION on 4.14 and later.
#[rustfmt::skip]
const MATRIX: [(&str, [(i64, Then); 5]); 13] = [
    ("absent", [(ENOENT, GONE), (ENOENT, GONE), (ENOENT, GONE), (ENOENT, GONE), (ENOENT, GONE)]),
    ("checked", [(OK, GONE), (OK, CHECKED), (OK, APPLIED), (OK, APPLIED), (EOPNOTSUPP, CHECKED)]),
    ("misfit", [(OK, GONE), (OK, CHECKED), (EINVAL, CHECKED), (EINVAL, CHECKED),
        (EOPNOTSUPP, CHECKED)]),
    ("vetoing", [(OK, GONE), (OK, CHECKED), (OK, APPLIED), (EOPNOTSUPP, CHECKED),
        (EOPNOTSUPP, CHECKED)]),
    ("applied", [(EINVAL, APPLIED), (OK, CHECKED), (OK, APPLIED), (OK, APPLIED),
        (EOPNOTSUPP, APPLIED)]),
    ("buried", [(EINVAL, APPLIED), (EBUSY, APPLIED), (OK, APPLIED), (OK, APPLIED),
        (EOPNOTSUPP, APPLIED)]),
    ("reverted", [(OK, GONE), (OK, CHECKED), (OK, APPLIED), (OK, APPLIED), (EOPNOTSUPP, CHECKED)]),
    ("replaced", [(OK, GONE), (OK, CHECKED), (EINVAL, CHECKED), (OK, APPLIED),
        (EOPNOTSUPP, CHECKED)]),
    ("stale", [(OK, GONE), (OK, CHECKED), (OK, REFUSED), (OK, APPLIED), (EOPNOTSUPP, CHECKED)]),
    ("stale_refused", [(OK, GONE), (OK, REFUSED), (OK, REFUSED), (OK, APPLIED),
        (EOPNOTSUPP, REFUSED)]),
    ("apply_refused", [(OK, GONE), (OK, Some((State::Checked, VETO))), (OK, APPLIED),
        (EOPNOTSUPP, Some((State::Checked, VETO))), (EOPNOTSUPP, Some((State::Checked, VETO)))]),
    ("revert_refused", [(EINVAL, Some((State::Applied, VETO))), (OK, CHECKED),
        (OK, Some((State::Applied, VETO))), (OK, Some((State::Applied, VETO))),
        (EOPNOTSUPP, Some((State::Applied, VETO)))]),
    ("unexpected", [(OK, GONE), (OK, CHECKED), (EINVAL, CHECKED), (OK, REFUSED),
        (EOPNOTSUPP, CHECKED)]),
];

/// Runs a text; the last step's answer.
fn run(model: &mut Model, text: &str) -> i64 {
    let program = parse(text).unwrap();
    let mut last = 0;
    for next in &program.steps {
        last = step(model, next).unwrap_or_else(|| panic!("unforeseen: {next}"));
    }
    last
}

#[test]
fn the_matrix_of_actions() {
    for facts in xens().into_iter().filter(|facts| facts.revision != Revision::V1) {
        for ((state, steps), (row, expected)) in BEFORE.into_iter().zip(MATRIX) {
            assert_eq!(state, row);
            let actions = ["unload", "revert", "apply", "replace", "5"];
            for (action, (answer, then)) in actions.into_iter().zip(expected) {
                let mut model = Model::new(facts.clone(), 1);
                run(&mut model, steps);
                let got = run(&mut model, &format!("action {action} \"p\""));
                assert_eq!(got, answer, "{state}, {action} on {:?}", facts.release);
                let found = model.payloads().iter().find(|payload| payload.name == b"p");
                let got = found.map(|payload| (payload.state, payload.rc));
                assert_eq!(got, then, "{state}, {action} on {:?}", facts.release);
            }
        }
    }
}

/// Before 4.14 there are no hooks, no expectations, no flags.
#[test]
fn the_matrix_of_old() {
    let expected = [
        ("vetoing", "replace", OK, APPLIED),
        ("unexpected", "apply", OK, APPLIED),
        ("unexpected", "replace", OK, APPLIED),
        ("misfit", "apply", EINVAL, CHECKED),
        ("stale", "apply", OK, REFUSED),
        ("buried", "revert", EBUSY, APPLIED),
    ];
    for (state, action, answer, then) in expected {
        let steps = BEFORE.iter().find(|(name, _)| *name == state).unwrap().1;
        let mut model = Model::new(xens().swap_remove(0), 1);
        run(&mut model, steps);
        assert_eq!(run(&mut model, &format!("action {action} \"p\" flags=1")), answer, "{state}");
        let payload = model.payloads().iter().find(|payload| payload.name == b"p");
        assert_eq!(payload.map(|payload| (payload.state, payload.rc)), then, "{state}");
    }
}

/// Answers to single calls while `p` is loaded and `q` is not: for PV guests of 4.17, then where
/// others differ.
#[test]
fn arguments_are_checked_in_order() {
    const LOADED: &str = "upload \"p\" id=0 func=extra meta=\"m\"\n";
    #[rustfmt::skip]
    let cases = [
        ("get \"p\"", OK), ("get \"q\"", ENOENT), ("get \"p\\x00x\"", OK),
        ("get \"q\" at=short", -14), ("get \"p\" at=read-only", -14),
        ("op 4 at=read-only", EOPNOTSUPP), ("op 0", EINVAL), ("op 2", OK),
        ("get \"q\" version=0", -13), ("get \"q\" version=0 op-flags=2", -13),
        ("op 99 op-flags=2", EINVAL), ("get \"q\" op-flags=1", EINVAL),
        ("get \"q\" name-size=0 name-at=null", EINVAL), ("get \"q\" name-size=129", EINVAL),
        ("get \"q\" name-pad=0,0,1 name-at=null", EINVAL), ("get \"q\" name-at=null", -14),
        ("get raw\"q\"", EINVAL), ("get raw\"q\" name-at=tight name-size=2", -14),
        ("action 99 \"q\"", ENOENT), ("action 99 \"p\"", EOPNOTSUPP),
        ("action 99 \"p\" name-at=null pad=1", EINVAL), ("action apply \"p\" name-at=null", -14),
        ("list nr=1025 pad=1", -7), ("list pad=1 idx=9", EINVAL), ("list idx=1", EINVAL),
        ("list nr=1 status=null", -14), ("list nr=1 status=non-canonical", EINVAL),
        ("list nr=1 name=xen-range", EINVAL), ("list nr=0 status=xen-range", OK),
        ("list nr=1", 1), ("list nr=1 name=tight:2", 1), ("list nr=1 name=tight:1", -14),
        ("list nr=1 metadata=tight:1", -14), ("list nr=5 name-total=0", 1),
        ("upload \"p\" id=1 func=extra", -17), ("upload \"q\" id=0 func=extra", -17),
        ("upload \"q\" id=1 func=extra name-at=null", EINVAL),
        ("upload \"p\" id=1 func=extra size=0", EINVAL),
        ("upload \"p\" id=1 func=extra size=0x200001 payload-at=xen-range", EINVAL),
        ("upload \"p\" id=1 func=extra payload-at=xen-range", -14),
        ("upload \"p\" id=1 func=extra payload-at=null", -17),
        ("upload \"q\" id=1 func=extra payload-at=null", -14),
        ("upload \"q\" id=1 func=extra size=63", EINVAL),
        ("upload \"q\" id=1 func=extra size=99999", OK),
        ("upload \"q\" id=1 func=nobody", ENOENT), ("upload \"q\" id=1", EINVAL),
        ("upload \"q\" id=1 func=extra import=shared-0", ENOENT),
        ("upload \"q\" id=1 func=extra import=xen", OK),
        ("upload \"q\" id=1 func=extra export=xen", -17),
        ("upload \"q\" id=1 func=extra/old-size:4", EINVAL),
        ("upload \"q\" id=1 func=own/nop:17", EINVAL),
        ("upload \"q\" id=1 func=own/nop:32/old-size:99", EOPNOTSUPP),
        ("upload \"q\" id=1 func=own-endbr/old-size:8", EINVAL),
        ("upload \"q\" id=1 func=extra xen-depends=nobody", EINVAL),
        ("upload \"q\" id=1 func=extra depends=nobody", OK),
        ("upload \"q\" id=1 func=extra set=ehdr.machine:3", EOPNOTSUPP),
        ("upload \"q\" id=1 func=extra set=ehdr.shnum:1024", EOPNOTSUPP),
        ("upload \"q\" id=1 func=extra set=ehdr.shnum:7", EINVAL),
        ("upload \"q\" id=1 func=extra set=.text.flags:7", EOPNOTSUPP),
        ("upload \"q\" id=1 func=extra set=.text.align:3", EOPNOTSUPP),
        ("upload \"q\" id=1 func=extra set=funcs[0].version:1", EOPNOTSUPP),
        ("upload \"q\" id=1 func=extra set=funcs[0].new_addr:1 set=.rela.livepatch.funcs[1].type:0",
            -75),
        ("upload \"q\" id=1 func=extra set=.rela.livepatch.funcs[0].type:10", EOPNOTSUPP),
        ("upload \"q\" id=1 func=extra set=.rela.livepatch.funcs[0].offset:97", EINVAL),
        ("upload \"q\" id=1 func=extra set=.note.gnu.build-id.note-type:4", EINVAL),
        ("upload \"q\" id=1 func=extra remove=.livepatch.depends", EINVAL),
        ("upload \"q\" id=1 func=extra remove=.livepatch.funcs", EINVAL),
        ("upload \"q\" id=1 func=extra meta=\"m\" byte=.modinfo+1:1", EINVAL),
    ];
    let others = [
        (1, "upload \"q\" id=1 func=extra set=.note.gnu.build-id.note-type:4", EINVAL),
        (3, "upload \"q\" id=1 func=extra set=.note.gnu.build-id.note-type:4", -61),
        (3, "get \"q\" op-flags=1", ENOENT),
        (3, "get \"q\" op-flags=0x80000001", ENOENT),
        (3, "get \"q\" op-flags=2", EINVAL),
        (3, "upload \"p\" id=1 func=extra payload-at=xen-range", -17),
        (3, "list nr=1 status=non-canonical", -14),
        (4, "list nr=5 name-total=1", -105),
        (4, "list nr=5 name-total=2 metadata-total=2", 1),
        (4, "list nr=5 metadata-total=1", -105),
        (0, "action apply \"p\" pad=1", OK),
        (0, "list nr=1 name=tight:1", -14),
        (0, "list nr=1 metadata=null", 1),
    ];
    let cases = cases.map(|(text, answer)| (2, text, answer));
    for (xen, text, expected) in cases.into_iter().chain(others) {
        let mut model = Model::new(xens().swap_remove(xen), 1);
        run(&mut model, LOADED);
        assert_eq!(run(&mut model, text), expected, "{text} on {:?}", model.facts().release);
    }
}

/// What the model can't tell is not predicted, and not done.
#[test]
fn what_nobody_can_predict_is_not_done() {
    let debian = || xens().swap_remove(2);
    // Without a57b4074ab the model does not follow a payload that patches its own code.
    let without = || facts(Release::four(17, 2), 0x15, true);
    for (xen, text) in [
        (debian(), "upload \"p\" id=0 func=extra meta=\"m\" set=.modinfo.align:8192"),
        (
            without(),
            "upload \"p\" id=0 func=own
action apply \"p\"",
        ),
    ] {
        let mut model = Model::new(xen, 1);
        let program = parse(text).unwrap();
        let (last, before) = program.steps.split_last().unwrap();
        before.iter().for_each(|next| assert_eq!(step(&mut model, next), Some(0), "{text}"));
        let key = model.key();
        assert_eq!(step(&mut model, last), None, "{text}");
        assert_eq!(model.key(), key, "{text}");
        model.lose_track();
        assert!(model.step(last, &[]).unwrap().allows(-1));
    }
}
