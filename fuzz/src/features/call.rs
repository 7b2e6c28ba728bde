//! Calls: what surrounds them, their arguments, and what is done with a payload.

use livepatch::abi::ActionCmd;
use livepatch::program::{
    ActionArg, ListArg, ListArray, NameArg, Op, Outer, Sink, Source, Step, Word,
};

use super::Scope;
use super::class::{add, size};

/// What is done with a payload that is applied or replaces others.
pub const USED: &str = "put to use";
const APPLY: &str = "apply";
const REPLACE: &str = "replace";

/// The actions on the payload `name`.
pub fn actions(steps: &[Step], name: &NameArg) -> Vec<&'static str> {
    let action = |step: &Step| match &step.op {
        Op::Action(action) if action.name.bytes == name.bytes => Some(command(action)),
        _ => None,
    };
    steps.iter().filter_map(action).collect()
}

/// What is done with a payload by these actions.
pub fn uses(actions: &[&'static str]) -> Scope {
    let mut uses = Scope::new();
    let mut before: Option<&str> = None;
    for &word in actions {
        add(&mut uses, word);
        if matches!(word, APPLY | REPLACE) {
            add(&mut uses, USED);
        }
        if let Some(before) = before {
            add(&mut uses, format!("{word} after {before}"));
        }
        before = Some(word);
    }
    uses
}

fn command(action: &ActionArg) -> &'static str {
    match action.cmd {
        ActionCmd::Unload => "unload",
        ActionCmd::Revert => "revert",
        ActionCmd::Apply => APPLY,
        ActionCmd::Replace => REPLACE,
        ActionCmd::Other(_) => "another action",
    }
}

/// What surrounds a call.
pub fn outer(scope: &mut Scope, step: &Step) {
    let Outer { version, flags, at } = step.outer;
    if version.is_some() {
        add(scope, "another interface version");
    }
    if flags != 0 {
        add(scope, format!("flags of the call: {}", size(flags.into())));
    }
    if at != Outer::PLAIN.at {
        add(scope, format!("structure at {}", at.word()));
    }
    if let Some(name) = step.op.name() {
        if name.at != Source::Ample {
            add(scope, format!("name at {}", name.at.word()));
        }
        if name.size.is_some() {
            add(scope, "another size of a name");
        }
        if name.pad != [0; 3] {
            add(scope, "padding of a name");
        }
    }
}

/// A call that uploads nothing.
pub fn call(scope: &mut Scope, step: &Step) {
    outer(scope, step);
    match &step.op {
        Op::Get(_) => add(scope, "GET"),
        Op::List(list) => listing(scope, list),
        Op::Action(action) => {
            add(scope, command(action));
            for (what, value) in
                [("flags", action.flags), ("timeout", action.timeout), ("padding", action.pad)]
            {
                if value != 0 {
                    add(scope, format!("{what} of {}: {}", command(action), size(value.into())));
                }
            }
        }
        Op::Bare(_) => add(scope, "another sub-op"),
        Op::Look | Op::Upload(_) => {}
    }
}

fn listing(scope: &mut Scope, list: &ListArg) {
    add(scope, "LIST");
    for (what, value, plain) in [
        ("nr", list.nr, 0),
        ("idx", list.idx, 0),
        ("padding", list.pad, 0),
        ("bytes of names", list.name_total, ListArg::ROOM),
        ("bytes of metadata", list.metadata_total, ListArg::ROOM),
    ] {
        if value != plain {
            add(scope, format!("LIST's {what}: {}", size(value.into())));
        }
    }
    for ((word, _), sink) in ListArray::WORDS.iter().zip(list.arrays) {
        let at = match sink {
            Sink::Ample => continue,
            Sink::Tight(_) => "tight",
            _ => Sink::WORDS.iter().find(|(_, at)| *at == sink).map_or("?", |(word, _)| word),
        };
        add(scope, format!("LIST's {word} at {at}"));
    }
}
