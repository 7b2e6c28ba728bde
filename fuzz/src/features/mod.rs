//! What is in a program, as short texts that a person can read: the features from which
//! [`learn`](crate::learn) draws its lessons.
//!
//! A program has a scope for each payload that it uploads, with all that it does with it, and one
//! for the program as a whole. None of it is about any Xen: a feature tells what an input looks
//! like, by the field that is unusual and by the class of its value.

mod call;
mod class;
mod file;
mod reader;
mod recipe;

use std::collections::BTreeSet;

use livepatch::payload::Target;
use livepatch::program::{Op, Program, Step};

use call::{actions, call, outer, uses};
use class::{add, at_most};
use file::unusual;
use recipe::payload;

pub use reader::Reader;

/// The features of one scope.
pub type Scope = BTreeSet<String>;

/// Marks the scope of a program as a whole.
const WHOLE: &str = "the program as a whole";

/// What the features of a scope come from.
#[derive(Debug)]
pub enum Part<'p> {
    /// A step, and what is done with its payload later on, if it uploads one.
    Step(&'p Step, Vec<&'static str>),
    /// So many payloads in a program.
    Payloads(usize),
}

impl Part<'_> {
    /// Its features.
    pub fn features(&self, target: &Target) -> Scope {
        let mut scope = Scope::new();
        match self {
            Part::Step(step, actions) => match &step.op {
                Op::Upload(upload) => {
                    outer(&mut scope, step);
                    payload(&mut scope, upload, &uses(actions));
                    if !upload.payload.defects.is_empty() {
                        scope.extend(unusual(&upload.payload, target));
                    }
                }
                _ => call(&mut scope, step),
            },
            Part::Payloads(count) => {
                add(&mut scope, WHOLE);
                add(&mut scope, format!("{} payloads", at_most(*count, 3)));
            }
        }
        scope
    }
}

/// The scopes of `program`: its payloads', and its own if it has not just one payload. `features`
/// tells those of a part.
pub fn scopes<T: Ord + Clone>(
    program: &Program,
    mut features: impl FnMut(Part<'_>) -> Vec<T>,
) -> (Vec<Vec<T>>, Option<Vec<T>>) {
    let is_upload = |step: &&Step| matches!(step.op, Op::Upload(_));
    let uploads = program.steps.iter().filter(is_upload).count();
    let mut scopes = Vec::new();
    let mut whole = Vec::new();
    for (index, step) in program.steps.iter().enumerate() {
        if let Op::Upload(upload) = &step.op {
            let actions = actions(&program.steps[index + 1..], &upload.name);
            scopes.push(features(Part::Step(step, actions)));
        } else if uploads != 1 {
            whole.extend(features(Part::Step(step, Vec::new())));
        }
    }
    if uploads == 1 {
        return (scopes, None);
    }
    whole.extend(scopes.iter().flatten().cloned());
    whole.extend(features(Part::Payloads(uploads)));
    whole.sort_unstable();
    whole.dedup();
    (scopes, Some(whole))
}

#[cfg(test)]
mod tests {
    use livepatch::abi::Revision;
    use livepatch::program::parse;

    use super::*;

    fn of_program(program: &Program) -> Vec<Scope> {
        let target = Target::new(Revision::V2, [0x5a; 20]);
        let (payloads, whole) =
            scopes(program, |part| part.features(&target).into_iter().collect());
        payloads.into_iter().chain(whole).map(|scope| scope.into_iter().collect()).collect()
    }

    fn of(text: &str) -> Vec<Scope> {
        of_program(&parse(text).unwrap())
    }

    #[track_caller]
    fn has(scope: &Scope, features: &[&str]) {
        for feature in features {
            assert!(scope.contains(*feature), "«{feature}» is not in {scope:#?}");
        }
    }

    #[test]
    fn a_payload_and_what_is_done_with_it_is_a_scope() {
        let all = of("upload \"p\" id=0 func=extra/old-size:32 hook=load/ret:0 data=4\n\
                      action apply \"p\"\naction revert \"p\"\n");
        assert_eq!(all.len(), 1);
        has(&all[0], &["function extra", "load hook: returns 0", "variables", "apply"]);
        has(&all[0], &["revert after apply", "stated size of a function: from 2^5"]);
        assert!(!all[0].contains("section header, size 0"));
    }

    #[test]
    fn payloads_do_not_mix_but_in_the_whole() {
        let all = of("upload \"p\" id=0 func=extra\nupload \"q\" id=1 meta=\"m\"\n\
                      action apply \"q\"\nget \"q\" at=tight\n");
        let [first, second, whole] = &all[..] else { panic!("{all:#?}") };
        assert!(!first.contains("apply") && second.contains("apply"));
        assert!(!first.contains("metadata") && !second.contains("function extra"));
        has(whole, &[WHOLE, "2 payloads", "metadata", "function extra", "structure at tight"]);
    }

    #[test]
    fn broken_fields_are_told_by_their_class_and_in_the_file() {
        let all = of("upload \"p\" id=0 func=extra set=.rodata.align:8192\naction apply \"p\"");
        has(&all[0], &["broken section header align", "broken .rodata align: large"]);
        has(&all[0], &["broken .rodata align, and in use", "contents, alignment beyond a page"]);
        assert!(!all[0].contains(".text, alignment usual"), "{all:#?}");
        let all = of("upload \"p\" id=0 func=extra meta=\"m\" remove=.modinfo");
        has(&all[0], &[".modinfo removed", "a section removed"]);
    }

    /// However a pointer got broken, it leads nowhere.
    #[test]
    fn what_becomes_of_a_pointer_is_one_feature() {
        for defect in ["remove=.rela.livepatch.funcs", "set=.rela.livepatch.funcs.type:1"] {
            let all = of(&format!("upload \"p\" id=0 func=extra {defect}\n"));
            has(&all[0], &["name leads nowhere, old address null"]);
        }
        let all = of("upload \"p\" id=0 func=extra hook=load/ret:0 set=.text.flags:0\n");
        has(&all[0], &["a hook leads nowhere", ".livepatch.hooks.load a number"]);
        let all = of("upload \"p\" id=0 func=extra set=.livepatch.funcs.flags:0\n");
        has(&all[0], &["relocations of a section that is not loaded"]);
        let all = of("upload \"p\" id=0 func=extra hook=load/ret:0 meta=\"m\" remove=.modinfo\n");
        assert!(!all[0].iter().any(|feature| feature.contains("nowhere")), "{all:#?}");
    }

    #[test]
    fn tables_and_being_put_to_use_are_features() {
        let all = of("upload \"p\" id=0 table=.ex_table:8 table=.bug_frames.2:9\n\
                      action replace \"p\"\n");
        has(&all[0], &["table .ex_table of whole entries", "table .bug_frames.2 of another size"]);
        has(&all[0], &["replace", "put to use"]);
    }

    #[test]
    fn calls_without_a_payload_are_a_scope() {
        let all = of("list nr=70000 name=tight:4\nop 99\n");
        assert_eq!(all.len(), 1);
        has(&all[0], &["LIST's nr: large", "LIST's name at tight", "another sub-op", "0 payloads"]);
    }

    #[test]
    fn nothing_is_too_damaged_to_be_described() {
        for seed in 0..2000 {
            let mix = livepatch::program::Mix {
                wild: true,
                faulty: 256,
                ..crate::vary::mix(crate::vary::Programs::Calls)
            };
            let program = livepatch::program::Generator::new(seed, mix).program(3);
            of_program(&program);
        }
    }
}
