//! Shrinks a program that still fails in the same way.
//!
//! Lines are removed first, in ever smaller groups (delta debugging); then keywords that differ
//! from a correct call, one by one. Both are repeated while something helps.

use alloc::vec::Vec;

use super::Program;
use super::op::{ActionArg, GetArg, ListArg, NameArg, Op, Outer, Sink, Source, Step, UploadArg};
use super::spec::{FunctionSpec, IdSpec, PayloadSpec};

/// Says whether the same comes of a program.
pub type Try<'t, E> = dyn FnMut(&Program) -> Result<bool, E> + 't;

/// The smallest program of which `same` still says yes, as it does of `program`. What is tried
/// first takes away most, so that few tries say yes: each of them may cost a boot.
///
/// # Errors
/// The first one of `same`.
pub fn minimize<E>(program: Program, same: &mut Try<'_, E>) -> Result<Program, E> {
    let mut program = program;
    loop {
        let before = program.clone();
        program = fewer_steps(program, same)?;
        program = simpler_steps(program, same)?;
        if program == before {
            return Ok(program);
        }
    }
}

/// Leaves steps out. The verdict is about the last step that was begun: what follows it was never
/// performed and goes first, by leaving out the second half, quarter, and so on.
fn fewer_steps<E>(program: Program, same: &mut Try<'_, E>) -> Result<Program, E> {
    let mut steps = program.steps;
    let mut size = steps.len().div_ceil(2);
    while size > 0 && !steps.is_empty() {
        let mut end = steps.len();
        let mut helped = false;
        while end > 0 {
            let start = end.saturating_sub(size);
            let mut fewer = steps.clone();
            fewer.drain(start..end);
            let candidate = Program { steps: fewer };
            if !candidate.steps.is_empty() && same(&candidate)? {
                steps = candidate.steps;
                helped = true;
            }
            end = start;
        }
        // A size that has helped may help again: what was needed may not be any more.
        if size == 1 && !helped {
            break;
        }
        if size > 1 || !helped {
            size /= 2;
        }
    }
    Ok(Program { steps })
}

/// Brings words to what goes without saying.
fn simpler_steps<E>(program: Program, same: &mut Try<'_, E>) -> Result<Program, E> {
    let mut program = program;
    for index in 0..program.steps.len() {
        let mut offer = 0;
        while let Some(simpler) = simpler(&program.steps[index]).into_iter().nth(offer) {
            let mut candidate = program.clone();
            candidate.steps[index] = simpler;
            if same(&candidate)? {
                program = candidate;
                // What remains to be offered is fewer by this one.
            } else {
                offer += 1;
            }
        }
    }
    Ok(program)
}

/// Everything that is one word simpler than `step`.
fn simpler(step: &Step) -> Vec<Step> {
    let mut all = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Step)| {
        let mut simpler = step.clone();
        change(&mut simpler);
        if simpler != *step && !all.contains(&simpler) {
            all.push(simpler);
        }
    };
    offer(&|step| step.outer = Outer::PLAIN);
    offer(&|step| step.outer.version = None);
    offer(&|step| step.outer.flags = 0);
    offer(&|step| step.outer.at = Outer::PLAIN.at);
    offer(&|step| {
        if let Some(name) = step.op.name_mut() {
            *name = NameArg { bytes: name.bytes.clone(), ..NameArg::new("") };
        }
    });
    let name = |change: fn(&mut NameArg)| {
        move |step: &mut Step| {
            if let Some(name) = step.op.name_mut() {
                change(name);
            }
        }
    };
    offer(&name(|name| name.at = Source::Ample));
    offer(&name(|name| name.size = None));
    offer(&name(|name| name.pad = [0; 3]));
    match &step.op {
        Op::Upload(upload) => simpler_uploads(upload, &mut |simpler| {
            offer(&|step| step.op = Op::Upload(simpler.clone()));
        }),
        Op::Get(get) => {
            let plain = GetArg { name: get.name.clone(), state: 0, rc: 0 };
            offer(&|step| step.op = Op::Get(plain.clone()));
        }
        Op::List(list) => simpler_lists(list, &mut |simpler| {
            offer(&|step| step.op = Op::List(simpler));
        }),
        Op::Action(action) => {
            for simpler in [
                ActionArg { timeout: 0, ..action.clone() },
                ActionArg { flags: 0, ..action.clone() },
                ActionArg { flags: 1, ..action.clone() },
                ActionArg { pad: 0, ..action.clone() },
            ] {
                // From other flags to the one that exists, but not from none.
                if simpler.flags != 1 || action.flags > 1 {
                    offer(&|step| step.op = Op::Action(simpler.clone()));
                }
            }
        }
        Op::Bare(_) | Op::Look => {}
    }
    all
}

fn simpler_lists(list: &ListArg, offer: &mut dyn FnMut(ListArg)) {
    let plain = ListArg::EMPTY;
    offer(ListArg { version: plain.version, ..*list });
    offer(ListArg { idx: plain.idx, ..*list });
    offer(ListArg { nr: plain.nr, ..*list });
    offer(ListArg { pad: plain.pad, ..*list });
    offer(ListArg { name_total: plain.name_total, ..*list });
    offer(ListArg { metadata_total: plain.metadata_total, ..*list });
    for index in 0..list.arrays.len() {
        let mut simpler = *list;
        simpler.arrays[index] = Sink::Ample;
        offer(simpler);
    }
}

fn simpler_uploads(upload: &UploadArg, offer: &mut dyn FnMut(UploadArg)) {
    offer(UploadArg { size: None, ..upload.clone() });
    offer(UploadArg { at: Source::Ample, ..upload.clone() });
    let mut payload = |change: &dyn Fn(&mut PayloadSpec)| {
        let mut simpler = upload.clone();
        change(&mut simpler.payload);
        offer(simpler);
    };
    let spec = &upload.payload;
    // All of a kind, then one after the other.
    payload(&|spec| {
        *spec = PayloadSpec {
            functions: spec.functions.clone(),
            defects: spec.defects.clone(),
            ..PayloadSpec::new(spec.id)
        };
    });
    payload(&|spec| spec.defects.clear());
    payload(&|spec| spec.functions.clear());
    payload(&|spec| spec.hooks.clear());
    for index in (0..spec.defects.len()).rev() {
        payload(&|spec| {
            spec.defects.remove(index);
        });
    }
    for index in (0..spec.functions.len()).rev() {
        payload(&|spec| {
            spec.functions.remove(index);
        });
        payload(&|spec| {
            let function = &mut spec.functions[index];
            *function = FunctionSpec::new(function.target);
        });
        let plain = FunctionSpec::new(spec.functions[index].target);
        payload(&|spec| spec.functions[index].nop = plain.nop);
        payload(&|spec| spec.functions[index].old_size = plain.old_size);
        payload(&|spec| spec.functions[index].by_symbol = plain.by_symbol);
        payload(&|spec| spec.functions[index].expect = plain.expect);
    }
    for index in (0..spec.hooks.len()).rev() {
        payload(&|spec| {
            spec.hooks.remove(index);
        });
    }
    payload(&|spec| spec.data = 0);
    payload(&|spec| spec.bss = 0);
    payload(&|spec| spec.metadata = None);
    payload(&|spec| spec.metadata = spec.metadata.as_ref().map(|_| Vec::new()));
    payload(&|spec| spec.export = None);
    payload(&|spec| spec.import = None);
    for index in (0..spec.tables.len()).rev() {
        payload(&|spec| {
            spec.tables.remove(index);
        });
    }
    payload(&|spec| spec.depends = IdSpec::Xen);
    payload(&|spec| spec.xen_depends = IdSpec::Xen);
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use super::super::parse;
    use super::*;

    fn minimized(text: &str, same: impl Fn(&str) -> bool) -> (String, usize) {
        let mut tries = 0;
        let result = minimize(parse(text).unwrap(), &mut |program| {
            tries += 1;
            Ok::<_, ()>(same(&program.to_string()))
        });
        (result.unwrap().to_string(), tries)
    }

    #[test]
    fn only_the_steps_that_matter_stay() {
        let mut text = String::new();
        for number in 0..200 {
            text += &format!("get \"g{number}\"\n");
        }
        let (smallest, tries) =
            minimized(&text, |text| text.contains("\"g17\"") && text.contains("\"g123\""));
        assert_eq!(smallest, "get \"g17\"\nget \"g123\"\n");
        assert!(tries < 100, "{tries} boots");
    }

    #[test]
    fn only_the_words_that_matter_stay() {
        let text = "upload \"p\" name-pad=1,0,0 id=3 func=extra/symbol/expect:right func=own/nop:5 \
                    hook=load/ret:0 data=4 meta=\"x\" depends=2 set=.text.size:1 set=ehdr.type:2 \
                    size=70 at=tight\nlist idx=1 nr=2 pad=3 name=null stamp=5\n\
                    action apply \"p\" timeout=3 flags=7 version=0x15\n";
        let needed = ["expect:right", "set=ehdr.type:2", "pad=3", "\"p\" flags="];
        let (smallest, _) = minimized(text, |text| needed.iter().all(|word| text.contains(word)));
        assert_eq!(
            smallest,
            "upload \"p\" id=3 func=extra/expect:right set=ehdr.type:2\nlist pad=3\n\
             action apply \"p\" flags=1\n"
        );
    }

    #[test]
    fn what_cannot_be_smaller_stays() {
        let text = "look\n";
        assert_eq!(minimized(text, |_| true).0, text);
        assert_eq!(minimized("look\nget \"a\"\n", |text| text.contains("get")).0, "get \"a\"\n");
    }
}
