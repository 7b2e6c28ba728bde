//! The model of Xen: explored, and pinned by facts that the suites state in their own words.

use xtf_livepatch::abi::{Revision, State, SysctlVersion};
use xtf_livepatch::model::{Facts, Model};
use xtf_livepatch::payload::Target;
use xtf_livepatch::program::{Generator, Mix, Op, Step};
use xtf_livepatch::release::{Release, point_release};

const BUILD_ID: [u8; 20] = [0x5a; 20];

fn facts(release: Release, version: u32, pv: bool) -> Facts {
    let version = SysctlVersion(version);
    Facts {
        release,
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
        facts(point_release(4, 13, 5), 0x12, true),
        facts(point_release(4, 14, 6), 0x13, true),
        facts(point_release(4, 17, 7), 0x15, true),
        facts(point_release(4, 20, 4), 0x15, false),
        facts(point_release(4, 22, 0), 0x16, true),
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
        for seed in 0..60 {
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
