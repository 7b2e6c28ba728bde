//! What Xen says while it acts.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::report::Hex;
use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop};
use livepatch::abi::{ActionCmd, State};
use livepatch::payload::{Chunk, Function, Hook, Payload, code};

use super::key::{ENTRIES, address_of};
use super::said::{Ear, are_lines, messages_during, says};
use crate::support::{
    apply, apply_nodeps, extra_version, livepatch_function, load, load_marker, marker,
    needs_if_protected, payload, reads, replace, revert, target, try_upload, unload,
};

/// What Xen says when it applies a payload without metadata.
fn applied(context: &Context, name: &str, functions: usize) -> Vec<String> {
    let mut lines = applying(context, name, functions);
    lines.push(finished(name, "APPLY", 0));
    lines
}

/// All of it but the last line.
fn applying(context: &Context, name: &str, functions: usize) -> Vec<String> {
    let mut lines = verifying(context, name);
    lines.push(format!("{name}: Applying {functions} functions"));
    lines
}

/// Since there are expectations, Xen says that it looks at them, also where there are none.
fn verifying(context: &Context, name: &str) -> Vec<String> {
    let line = format!("{name}: Verifying enabled expectations for all functions");
    context.xen.has(Change::Expectations).then_some(line).into_iter().collect()
}

fn reverted(name: &str) -> Vec<String> {
    Vec::from([format!("{name}: Reverting"), finished(name, "REVERT", 0)])
}

fn finished(name: &str, action: &str, rc: i32) -> String {
    format!("{name} finished {action} with rc={rc}")
}

/// The hook's code: it leaves `rc` as its result.
fn result(rc: i32) -> Chunk {
    code::return_u32(rc as u32)
}

const EIO: i32 = -(Errno::EIO.0 as i32);

/// How many functions there are.
pub fn apply_and_revert(context: &Context) -> Outcome {
    const FUNCTIONS: [&str; 3] = ["xen_extra_version", "xen_changeset", "xen_compile_date"];
    for count in 1..=FUNCTIONS.len() {
        let patch =
            FUNCTIONS[..count].iter().fold(payload(context, "plain")?, |patch, function| {
                patch.function(Function::named(function, code::return_str("-")))
            });
        let loaded = load(context, "plain", &patch)?;
        says(context, || apply(&loaded), &applied(context, "plain", count))?;
        says(context, || revert(&loaded), &reverted("plain"))?;
    }
    Ok(())
}

pub fn no_function(context: &Context) -> Outcome {
    context.needs(Change::HooksAlone)?;
    let patch = payload(context, "hook")?.hook(Hook::Load, code::ret());
    let loaded = load(context, "hook", &patch)?;
    says(context, || apply(&loaded), &applied(context, "hook", 0))?;
    says(context, || revert(&loaded), &reverted("hook"))
}

pub fn names(context: &Context) -> Outcome {
    let longest = "n".repeat(127);
    for name in ["", " ", "a b", "%s%n%d", "livepatch: x finished APPLY with rc=0", &longest] {
        let loaded = load(context, name, &marker(context, "-odd")?)?;
        says(context, || apply(&loaded), &applied(context, name, 1))
            .and_then(|()| says(context, || revert(&loaded), &reverted(name)))
            .map_err(|stop| stop.at(format_args!("{name:?}")))?;
    }
    Ok(())
}

/// Each time that it is applied, and not when it is reverted.
pub fn metadata(context: &Context) -> Outcome {
    context.needs(Change::Modinfo)?;
    for (entries, shown) in ENTRIES {
        let patch =
            entries.iter().fold(marker(context, "-m")?, |patch, entry| patch.metadata(entry));
        let loaded = load(context, "meta", &patch)?;
        let mut lines = applying(context, "meta", 1);
        lines.extend(shown.iter().map(|line| String::from(*line)));
        lines.push(finished("meta", "APPLY", 0));
        for _ in 0..2 {
            says(context, || apply(&loaded), &lines)?;
            says(context, || revert(&loaded), &reverted("meta"))?;
        }
    }
    Ok(())
}

/// The one applied last goes first.
pub fn replaces(context: &Context) -> Outcome {
    let a = load_marker(context, "-a")?;
    let b = load(context, "-b", &marker(context, "-b")?.depends("-a"))?;
    let x = load_marker(context, "-x")?;
    apply(&a)?;
    apply(&b)?;
    let mut lines = Vec::from(["-b: Reverting", "-a: Reverting"].map(String::from));
    lines.extend(applying(context, "-x", 1));
    lines.push(finished("-x", "REPLACE", 0));
    says(context, || replace(&x), &lines)?;
    // Where there is nothing to replace.
    says(context, || revert(&x), &reverted("-x"))?;
    let lines = [applying(context, "-x", 1), [finished("-x", "REPLACE", 0)].into()].concat();
    says(context, || replace(&x), &lines)
}

/// UPLOAD, UNLOAD, GET, LIST, and actions that find their work done.
pub fn silence(context: &Context) -> Outcome {
    let quiet = || {
        let loaded = load_marker(context, "-quiet")?;
        loaded.status()?;
        context.livepatch().list()?;
        loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
        unload(context, &loaded)
    };
    says(context, quiet, &[])?;
    let loaded = load_marker(context, "-quiet")?;
    apply(&loaded)?;
    let again = || {
        loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
        loaded.action(ActionCmd::Replace).must_be(Answer::SUCCESS)
    };
    says(context, again, &[])
}

fn hooked(context: &Context, hooks: &[(Hook, i32)]) -> Result<Payload, Stop> {
    let patch = payload(context, "hooked")?;
    Ok(hooks.iter().fold(patch, |patch, &(hook, rc)| patch.hook(hook, result(rc))))
}

/// Hooks that only load and unload are not announced.
pub fn hooks(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let hooks = [
        Hook::Load,
        Hook::PreApply,
        Hook::PostApply,
        Hook::PreRevert,
        Hook::PostRevert,
        Hook::Unload,
    ];
    let patch = hooked(context, &hooks.map(|hook| (hook, 0)))?;
    let loaded = load(context, "h", &patch)?;
    let calling = |what: &str| format!("h: Calling {what} hook function");
    let mut lines = verifying(context, "h");
    lines.extend([
        calling("pre-apply"),
        "h: Applying 0 functions".into(),
        calling("post-apply") + " with rc=0",
        finished("h", "APPLY", 0),
    ]);
    says(context, || apply(&loaded), &lines)?;
    let lines = [
        calling("pre-revert"),
        "h: Reverting".into(),
        calling("post-revert") + " with rc=0",
        finished("h", "REVERT", 0),
    ];
    says(context, || revert(&loaded), &lines)
}

/// Those that do the work say nothing of functions.
pub fn action_hooks(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let patch = hooked(context, &[(Hook::Apply, 0), (Hook::Revert, 0)])?;
    let loaded = load(context, "h", &patch)?;
    let calling = |what: &str| format!("h: Calling {what} action hook function");
    let with_hook = |action: &str| {
        [calling("apply"), finished("h", action, 0)].into_iter().collect::<Vec<String>>()
    };
    let verifying = verifying(context, "h");
    says(context, || apply(&loaded), &[&*verifying, &with_hook("APPLY")].concat())?;
    let lines = [calling("revert"), finished("h", "REVERT", 0)];
    says(context, || revert(&loaded), &lines)?;
    says(context, || replace(&loaded), &[&*verifying, &with_hook("REPLACE")].concat())?;
    // Its own hook takes it away when another one takes its place.
    let other = load_marker(context, "-o")?;
    let mut lines = Vec::from([calling("revert")]);
    lines.extend(applying(context, "-o", 1));
    lines.push(finished("-o", "REPLACE", 0));
    says(context, || replace(&other), &lines)
}

/// The hook before says no; what its result was is in Xen's words.
pub fn pre_hooks_fail(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let loaded = load(context, "h", &hooked(context, &[(Hook::PreApply, EIO)])?)?;
    let refused = |cmd| loaded.action(cmd).must_be(Errno::EIO);
    let mut lines = verifying(context, "h");
    lines.push("h: Calling pre-apply hook function".into());
    lines.push("h: pre-apply hook failed (rc=-5), aborting!".into());
    says(context, || refused(ActionCmd::Apply), &lines)?;
    unload(context, &loaded)?;
    // It fails once only, so that the payload can be taken out.
    let patch = payload(context, "hooked")?
        .data("veto", EIO.to_le_bytes())
        .hook(Hook::PreRevert, code::take_u32_at("veto"));
    let loaded = load(context, "h", &patch)?;
    apply(&loaded)?;
    let lines = [
        "h: Calling pre-revert hook function".into(),
        "h: pre-revert hook failed (rc=-5), aborting!".into(),
    ];
    says(context, || loaded.action(ActionCmd::Revert).must_be(Errno::EIO), &lines)
}

/// The result of what does the work is in the last line, and handed to the hook after it.
pub fn action_hooks_fail(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let hooks = [(Hook::Apply, EIO), (Hook::PostApply, 0)];
    let loaded = load(context, "h", &hooked(context, &hooks)?)?;
    let mut lines = verifying(context, "h");
    lines.extend([
        "h: Calling apply action hook function".into(),
        "h: Calling post-apply hook function with rc=-5".into(),
        finished("h", "APPLY", EIO),
    ]);
    let fails = || {
        loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
        loaded.must_be(State::Checked, Errno::EIO)
    };
    says(context, fails, &lines)?;
    unload(context, &loaded)?;
    let patch = payload(context, "hooked")?
        .data("veto", EIO.to_le_bytes())
        .hook(Hook::Revert, code::take_u32_at("veto"))
        .hook(Hook::PostRevert, result(0));
    let loaded = load(context, "h", &patch)?;
    apply(&loaded)?;
    let lines = [
        "h: Calling revert action hook function".into(),
        "h: Calling post-revert hook function with rc=-5".into(),
        finished("h", "REVERT", EIO),
    ];
    let fails = || {
        loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
        loaded.must_be(State::Applied, Errno::EIO)
    };
    says(context, fails, &lines)
}

/// A hook that has Xen revert all functions, and then once more: they are reverted once.
pub fn reverts_again(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let original = extra_version()?;
    let functions = ["xen_extra_version", "xen_changeset"];
    let own = livepatch_function(context, "revert_payload")?;
    let twice = code::call_keeping_argument(&own).then(code::jump(&own));
    let patch = functions.iter().fold(payload(context, "twice")?, |patch, function| {
        patch.function(Function::named(function, code::return_str("-twice")))
    });
    let loaded = load(context, "h", &patch.hook(Hook::Revert, twice))?;
    apply(&loaded)?;
    let mut lines = Vec::from([
        "h: Calling revert action hook function".into(),
        "h: Reverting".into(),
        "h: Reverting".into(),
    ]);
    lines.extend(functions.map(|name| format!("{name} has not been applied before")));
    lines.push(finished("h", "REVERT", 0));
    let heard = messages_during(context, || revert(&loaded), lines.len())?;
    // Which function of Xen's says so is no claim: it was common_livepatch_revert, too.
    let without_function = |line: &String| match line.split_once(": ") {
        Some(("revert_payload" | "common_livepatch_revert", rest)) => String::from(rest),
        _ => line.clone(),
    };
    let heard: Vec<String> = heard.iter().map(without_function).collect();
    are_lines("Xen's messages", &heard, &lines)?;
    reads(&original)
}

/// One that would not go.
pub fn replace_fails(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    // Who cannot listen must not apply what goes only the second time.
    Ear::new(context)?;
    let patch = payload(context, "stubborn")?
        .data("veto", EIO.to_le_bytes())
        .hook(Hook::Revert, code::take_u32_at("veto"));
    let stubborn = load(context, "s", &patch)?;
    let x = load_marker(context, "-x")?;
    apply(&stubborn)?;
    let lines = ["s: Calling revert action hook function".into(), finished("-x", "REPLACE", -22)];
    says(context, || x.action(ActionCmd::Replace).must_be(Answer::SUCCESS), &lines)
}

pub fn not_on_top(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    let a = load_marker(context, "-a")?;
    let b = load(context, "-b", &marker(context, "-b")?.depends("-a"))?;
    apply(&a)?;
    apply(&b)?;
    let lines = ["-a: can't unload. Top is -b".into()];
    says(context, || a.action(ActionCmd::Revert).must_be(Errno::EBUSY), &lines)
}

/// Which payload it was compared with.
pub fn dependency(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    let a = load_marker(context, "-a")?;
    let b = load(context, "-b", &marker(context, "-b")?.depends("-a"))?;
    let refused = |cmd| b.action(cmd).must_be(Errno::EINVAL);
    let with_xen = ["-b: check against hypervisor build-id failed".into()];
    says(context, || refused(ActionCmd::Apply), &with_xen)?;
    says(context, || refused(ActionCmd::Replace), &with_xen)?;
    apply(&a)?;
    let x = load_marker(context, "-x")?;
    let lines = ["-x: check against -a build-id failed".into()];
    says(context, || x.action(ActionCmd::Apply).must_be(Errno::EINVAL), &lines)
}

/// Its variables may have been written to. Xen says "revert" where it means "apply".
pub fn not_pristine(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    let patch = marker(context, "-d")?.data("variable", [0; 4]);
    let loaded = load(context, "-d", &patch)?;
    apply(&loaded)?;
    revert(&loaded)?;
    let lines = ["-d: can't revert as payload has .data. Please unload".into()];
    let refused = || {
        loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
        loaded.must_be(State::Checked, Errno::EINVAL)
    };
    says(context, refused, &lines)
}

/// Bytes of the function are shown beside those that were expected.
pub fn expectation(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    needs_if_protected(context, Change::LoadedRegions)?;
    let library = payload(context, "library")?
        .text("xtf_known", code::return_u32(0x11).then(code::nops(10)))
        .export("xtf_known");
    let library = library.function(Function::named("xen_extra_version", code::ret()));
    let _library = load(context, "library", &library)?;
    let function = Function::named("xtf_known", code::return_u32(2)).expecting(&[0xb8, 0x12]);
    let x = load(context, "x", &payload(context, "x")?.function(function))?;
    let mut lines = verifying(context, "x");
    lines.extend([
        // The only one that has no name of a payload.
        "xtf_known: expectation failed: expected:b812, actual:b811".into(),
        "x: expectations of xtf_known failed (rc=-22), aborting!".into(),
    ]);
    says(context, || x.action(ActionCmd::Apply).must_be(Errno::EINVAL), &lines)?;
    // REPLACE finds out when all others have gone.
    let a = load_marker(context, "-a")?;
    apply(&a)?;
    lines.insert(0, "-a: Reverting".into());
    lines.extend([
        "x: SYSTEM MIGHT BE INSECURE: Replace action has been aborted after reverting ALL \
         payloads!"
            .into(),
        finished("x", "REPLACE", -22),
    ]);
    says(context, || x.action(ActionCmd::Replace).must_be(Answer::SUCCESS), &lines)
}

/// A wrong length is no difference in bytes, and the function need not have a name.
pub fn nameless_expectation(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    let address = address_of(context, "xen_extra_version")?;
    let function = Function::at(address, code::return_str("-x")).old_size(9);
    let function = function.expecting(&[0xff; 10]);
    let x = load(context, "x", &payload(context, "x")?.function(function))?;
    let mut lines = verifying(context, "x");
    lines.push("x: expectations of unknown failed (rc=-34), aborting!".into());
    says(context, || x.action(ActionCmd::Apply).must_be(Errno::ERANGE), &lines)
}

pub fn vetoing_hooks(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let loaded = load(context, "h", &hooked(context, &[(Hook::PreApply, 0)])?)?;
    let lines = ["h: REPLACE action is not supported on livepatches with vetoing hooks!".into()];
    says(context, || loaded.action(ActionCmd::Replace).must_be(Errno::EOPNOTSUPP), &lines)
}

/// UPLOAD says why it refuses; which reason comes with which file is `livepatch-elf`'s business.
pub fn refused_uploads(context: &Context) -> Outcome {
    context.needs(Change::ErrorsTold)?;
    let upload = |patch: &Payload, errno: Errno, lines: &[String]| {
        let file = patch.to_bytes();
        says(context, || try_upload(context, "up", &file).must_be(errno), lines)
    };
    let code = || code::return_u32(1);
    let none = marker(context, "-up")?.function(Function::named("xtf_no_such_function", code()));
    let lines = ["up: Could not resolve old address of xtf_no_such_function".into()];
    upload(&none, Errno::ENOENT, &lines)?;
    let none = marker(context, "-up")?.rodata("pointer", Chunk::address_of("xtf_no_such_symbol"));
    upload(&none, Errno::ENOENT, &["up: Unknown symbol: xtf_no_such_symbol".into()])?;
    let known = marker(context, "-up")?.text("do_sysctl", code()).export("do_sysctl");
    upload(&known, Errno::EEXIST, &["up: duplicate new symbol: do_sysctl".into()])?;
    other_xen(context)
}

/// A payload for another Xen: since fa49f4be41 both ids are shown.
fn other_xen(context: &Context) -> Outcome {
    if !context.xen.has(Change::XenDepends) {
        return Ok(());
    }
    let file = marker(context, "-up")?.xen_depends([0x12, 0xef]).to_bytes();
    let upload = || try_upload(context, "up", &file).must_be(Errno::EINVAL);
    if !context.xen.has(Change::XenDependsFirst) {
        return says(context, upload, &["up: check against hypervisor build-id failed".into()]);
    }
    let ear = Ear::new(context)?;
    upload()?;
    let lines = ear.lines()?;
    let expected = [
        "livepatch: up: build-id mismatch:".into(),
        // Xen's source has no-break spaces there.
        "\u{a0} livepatch: 12ef".into(),
        format!("{} xen: {}", "\u{a0}".repeat(7), Hex(&target(context)?.xen_build_id)),
    ];
    let begin = lines.iter().position(|line| *line == expected[0]).unwrap_or(lines.len());
    are_lines("Xen's message", &lines[begin..], &expected)
}

/// ACTION with a flag that is about dependencies alone says the same.
pub fn nodeps(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let b = load(context, "-b", &marker(context, "-b")?.depends("-a"))?;
    let applies = || apply_nodeps(context, &b).must_be(Answer::SUCCESS);
    says(context, applies, &applied(context, "-b", 1))
}
