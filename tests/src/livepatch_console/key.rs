//! What the debug key `x` lists.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::hypercall::physinfo::physinfo;
use kernel::livepatch::Loaded;
use kernel::report::Hex;
use kernel::xen::Change;
use kernel::{Context, Outcome, Stop};
use livepatch::payload::{Chunk, Function, Hook, Payload, code};

use super::said::{are_lines, press, pressed};
use crate::support::{self, LOG, Log, apply, load, packed_version, payload, revert};

/// A label at the beginning of a payload's code.
pub const BASE: &str = "xtf_base";
/// How much code is there before the first function. Functions are aligned to as many bytes.
const BASE_SIZE: u64 = 16;
/// The upper half of each address in Xen's image, and in payloads, which lie behind it
/// (`XEN_VIRT_START` in xen/arch/x86/include/asm/config.h).
const UPPER_HALF: u64 = 0xffff_82d0 << 32;
const PAGE: u64 = 4096;

/// A payload whose code begins at [`BASE`].
fn based(context: &Context, id: &str) -> Result<Payload, Stop> {
    Ok(payload(context, id)?.text(BASE, code::nops(BASE_SIZE as usize)).export(BASE))
}

/// The address of a symbol of Xen, or of a payload that is loaded: another payload returns its
/// lower half as Xen's version. Nothing else may be applied meanwhile.
pub fn address_of(context: &Context, symbol: &str) -> Result<u64, Stop> {
    let reader = payload(context, "reader")?
        .rodata("pointer", Chunk::address_of(symbol))
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", code::return_u32_at("pointer")));
    let reader = load(context, "reader", &reader)?;
    apply(&reader)?;
    Ok(UPPER_HALF | u64::from(packed_version()))
}

/// The lines before the first payload.
fn head(context: &Context) -> Result<Vec<String>, Stop> {
    let id = support::target(context)?.xen_build_id;
    Ok(Vec::from([
        String::from("'x' pressed - Dumping all livepatch patches"),
        format!("build-id: {}", Hex(&id)),
    ]))
}

/// The line of a payload whose code is `text` and has `text_pages`, followed by `data_pages` and by
/// one page of constants.
fn summary(name: &str, state: &str, text: u64, text_pages: u64, data_pages: u64) -> String {
    let data = text + text_pages * PAGE;
    let constants = data + data_pages * PAGE;
    let pages = text_pages + data_pages + 1;
    format!(
        " name={name} state={state} {text:016x} (.data={data:016x}, .rodata={constants:016x}) \
         using {pages} pages."
    )
}

const CHECKED: &str = "CHECKED(1)";
const APPLIED: &str = "APPLIED(2)";

fn function(name: &str, (old, old_size): (u64, u32), (new, new_size): (u64, u32)) -> String {
    format!("    {name} patch {old:016x}({old_size}) with {new:016x} ({new_size})")
}

/// The build-ids behind a payload's functions.
fn ids(context: &Context, id: &str, depends: &[u8]) -> Result<Vec<String>, Stop> {
    let mut lines = Vec::from([
        format!("build-id={}", Hex(id.as_bytes())),
        format!("depend-on={}", Hex(depends)),
    ]);
    // Since it is compared before anything is loaded, Xen does not keep it.
    if context.xen.has(Change::XenDepends) && !context.xen.has(Change::XenDependsFirst) {
        let id = support::target(context)?.xen_build_id;
        lines.push(format!("depend-on-xen={}", Hex(&id)));
    }
    Ok(lines)
}

/// Passes if the key lists payloads in these lines, and nothing else.
fn lists(context: &Context, payloads: &[Vec<String>]) -> Outcome {
    let mut expected = head(context)?;
    expected.extend(payloads.iter().flatten().cloned());
    are_lines("the debug key", &pressed(context)?, &expected)
}

pub fn nothing(context: &Context) -> Outcome {
    lists(context, &[])
}

/// One that replaces the minor version by code that follows [`BASE`], and its lines.
pub struct Shown<'c> {
    loaded: Loaded<'c>,
    name: &'static str,
    text: u64,
    functions: Vec<String>,
    ids: Vec<String>,
}

impl<'c> Shown<'c> {
    /// Loads it.
    ///
    /// # Errors
    /// When that fails.
    pub fn load(context: &'c Context, name: &'static str) -> Result<Self, Stop> {
        let code = code::return_u32(0x77);
        let function_of_xen = "xen_minor_version";
        let patch = based(context, name)?.function(Function::named(function_of_xen, code));
        let loaded = load(context, name, &patch)?;
        let text = address_of(context, BASE)?;
        let old = address_of(context, function_of_xen)?;
        let depends = support::target(context)?.xen_build_id;
        Ok(Self {
            loaded,
            name,
            text,
            functions: [function(function_of_xen, (old, 16), (text + BASE_SIZE, 6))].into(),
            ids: ids(context, name, &depends)?,
        })
    }

    fn lines(&self, state: &str) -> Vec<String> {
        let summary = summary(self.name, state, self.text, 1, 1);
        [summary].into_iter().chain(self.functions.clone()).chain(self.ids.clone()).collect()
    }
}

pub fn one(context: &Context) -> Outcome {
    let shown = Shown::load(context, "one")?;
    lists(context, &[shown.lines(CHECKED)])
}

pub fn states(context: &Context) -> Outcome {
    let shown = Shown::load(context, "state")?;
    apply(&shown.loaded)?;
    lists(context, &[shown.lines(APPLIED)])?;
    revert(&shown.loaded)?;
    lists(context, &[shown.lines(CHECKED)])
}

/// Of which one is applied, and which is neither the first nor the last.
pub fn order(context: &Context) -> Outcome {
    let depends = support::target(context)?.xen_build_id;
    let plain = |name: &'static str| {
        let patch = payload(context, name)?;
        load(context, name, &patch.function(Function::named("xen_extra_version", code::ret())))
    };
    let (_first, middle, _last) = (plain("z")?, Shown::load(context, "m")?, plain("a")?);
    apply(&middle.loaded)?;
    let lines = pressed(context)?;
    let names: Vec<String> = lines.iter().filter_map(|line| name_and_state(line)).collect();
    are_lines(
        "names",
        &names,
        &["z CHECKED(1)", "m APPLIED(2)", "a CHECKED(1)"].map(String::from),
    )?;
    // Each has its own ids behind it.
    let ids_of = |id| ids(context, id, &depends);
    let expected = [ids_of("z")?, ids_of("m")?, ids_of("a")?].concat();
    let is_id = |line: &&String| line.starts_with("build-id=") || line.starts_with("depend-on");
    let actual: Vec<String> = lines.iter().filter(is_id).cloned().collect();
    are_lines("ids", &actual, &expected)
}

fn name_and_state(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix(" name=")?.split_once(" state=")?;
    Some(format!("{name} {}", rest.split(' ').next()?))
}

pub fn depends(context: &Context) -> Outcome {
    let below = Shown::load(context, "below")?;
    let patch = payload(context, "above")?.depends("below");
    let patch = patch.function(Function::named("xen_extra_version", code::ret()));
    let _above = load(context, "above", &patch)?;
    let lines = pressed(context)?;
    let above = lines.iter().skip_while(|line| !line.starts_with(" name=above "));
    // Behind its own line and that of its function.
    let actual: Vec<String> = above.skip(2).cloned().collect();
    are_lines("ids", &actual, &ids(context, "above", below.name.as_bytes())?)
}

/// Found by name, by address, and by a symbol; with sizes of their own.
pub fn functions(context: &Context) -> Outcome {
    let extra = address_of(context, "xen_extra_version")?;
    let minor = address_of(context, "xen_minor_version")?;
    let major = address_of(context, "xen_major_version")?;
    let by_address = Function::at(minor, code::return_u32(1).then(code::nops(10)));
    let patch = based(context, "id")?
        .function(Function::named("xen_extra_version", code::return_str("-x")).old_size(9))
        .function(by_address.old_size(1000))
        .function(Function::symbol("xen_major_version", code::ret()).old_size(u32::MAX));
    let _loaded = load(context, "functions", &patch)?;
    let text = address_of(context, BASE)?;
    // The code of 11 bytes is followed by that of 16, which ends where the last one begins.
    let (first, second, third) = (text + BASE_SIZE, text + BASE_SIZE + 16, text + BASE_SIZE + 32);
    let expected = [
        function("xen_extra_version", (extra, 9), (first, 11)),
        // Xen is not told the name of this one.
        function("<NULL>", (minor, 1000), (second, 16)),
        function("xen_major_version", (major, u32::MAX), (third, 1)),
    ];
    let lines = [summary("functions", CHECKED, text, 1, 1)].into_iter().chain(expected);
    let ids = ids(context, "id", &support::target(context)?.xen_build_id)?;
    lists(context, &[lines.chain(ids).collect()])
}

/// Some pages of them.
pub fn many_functions(context: &Context) -> Outcome {
    const COUNT: u32 = 130;
    let old = address_of(context, "xen_extra_version")?;
    let mut patch = based(context, "many")?;
    for _ in 0..COUNT {
        patch = patch.function(Function::named("xen_extra_version", code::ret()));
    }
    let _loaded = load(context, "many", &patch)?;
    let text = address_of(context, BASE)?;
    let new = |number: u32| text + BASE_SIZE * u64::from(number + 1);
    let line = |number| function("xen_extra_version", (old, 16), (new(number), 1));
    // The table of functions has 64 or 104 bytes for each.
    let size = support::target(context)?.func_version.size() as u64;
    let data_pages = (size * u64::from(COUNT)).div_ceil(PAGE);
    let mut lines = Vec::from([summary("many", CHECKED, text, 1, data_pages)]);
    lines.extend((0..COUNT).map(line));
    lines.extend(ids(context, "many", &support::target(context)?.xen_build_id)?);
    lists(context, &[lines])
}

/// Before each further 64 functions Xen lets go of the list, and sees to what waits for the CPU. What it
/// does that with is replaced meanwhile by something that leaves a trace and does nothing: applying,
/// reverting and the key can do without, UPLOAD cannot (`rcu_barrier`).
pub fn lets_others_in(context: &Context) -> Outcome {
    // Another CPU does that before it idles.
    let cpus = physinfo(context.livepatch().version).map(|info| info.cpus);
    if cpus != Ok(1) {
        return Err(Stop::skip("on several CPUs the others do the same"));
    }
    let log = Log::open(context)?;
    let trace = code::append_digit(LOG, 1).then(code::ret());
    let witness =
        log.payload("witness")?.function(Function::named("process_pending_softirqs", trace));
    let mut before = 0;
    for (functions, after) in [(1, 0), (64, 0), (65, 0x1), (128, 0x11), (129, 0x1111)] {
        let mut many = payload(context, "many")?;
        for _ in 0..functions {
            many = many.function(Function::named("xen_extra_version", code::ret()));
        }
        let _many = load(context, "many", &many)?;
        let witness = load(context, "witness", &witness)?;
        apply(&witness)?;
        let at = |stop: Stop| stop.at(format_args!("with {functions} functions"));
        log.holds("before the key", before).map_err(at)?;
        press(context)?;
        log.holds("after the key", after).map_err(at)?;
        before = after;
        revert(&witness)?;
    }
    Ok(())
}

/// A payload of nothing but a hook has no line of functions, and no page of variables.
pub fn no_function(context: &Context) -> Outcome {
    context.needs(Change::HooksAlone)?;
    let patch = based(context, "hook")?.hook(Hook::Load, code::ret());
    let _loaded = load(context, "hook", &patch)?;
    let text = address_of(context, BASE)?;
    let summary = summary("hook", CHECKED, text, 1, 0);
    let ids = ids(context, "hook", &support::target(context)?.xen_build_id)?;
    lists(context, &[[summary].into_iter().chain(ids).collect()])
}

/// How many pages each of the parts has, in decimal digits.
pub fn pages(context: &Context) -> Outcome {
    let patch = based(context, "large")?
        .text("more_code", code::nops(11 * PAGE as usize))
        .bss("variable", 4 * PAGE as usize)
        .function(Function::named("xen_extra_version", code::ret()));
    let _loaded = load(context, "large", &patch)?;
    let text = address_of(context, BASE)?;
    let lines = pressed(context)?;
    // The table of functions is writable as well.
    let expected = summary("large", CHECKED, text, 12, 5);
    let names: Vec<String> = lines.into_iter().filter(|line| line.contains(" name=")).collect();
    are_lines("the payload", &names, &[expected])
}

/// Between a payload's first line and its functions.
pub fn metadata(context: &Context) -> Outcome {
    context.needs(Change::HooksAlone)?;
    context.needs(Change::Modinfo)?;
    let hook = |id: &str, entries: &[&str]| {
        let patch = based(context, id)?.hook(Hook::Load, code::ret());
        Ok::<_, Stop>(entries.iter().fold(patch, |patch, entry| patch.metadata(entry)))
    };
    for (entries, shown) in ENTRIES {
        let _loaded = load(context, "meta", &hook("meta", entries)?)?;
        let text = address_of(context, BASE)?;
        let mut lines = Vec::from([summary("meta", CHECKED, text, 1, 0)]);
        lines.extend(shown.iter().map(|line| format!("livepatch: {line}")));
        lines.extend(ids(context, "meta", &support::target(context)?.xen_build_id)?);
        lists(context, &[lines])?;
    }
    Ok(())
}

/// Metadata, and what Xen says of it.
pub const ENTRIES: [(&[&str], &[&str]); 3] = [
    (&["author=xtf"], &["module metadata:", "  author=xtf"]),
    (
        &["a", "", "  two blanks, %s and %n", "=", "end"],
        &["module metadata:", "  a", "  ", "    two blanks, %s and %n", "  =", "  end"],
    ),
    // All that is there is one NUL.
    (&[""], &["module metadata:", "  "]),
];

/// Names are nothing but bytes, up to their NUL, of which there are 127 at most.
pub fn odd_names(context: &Context) -> Outcome {
    let longest = "n".repeat(127);
    for name in ["", " ", "a b", "%s%n%d", "<2>state=APPLIED(2)", "n\u{e4}me", &longest] {
        let patch = based(context, "odd")?;
        let patch = patch.function(Function::named("xen_extra_version", code::ret()));
        let _loaded = load(context, name, &patch)?;
        let text = address_of(context, BASE)?;
        let lines = pressed(context)?;
        let lines: Vec<String> = lines.into_iter().filter(|l| l.contains(" name=")).collect();
        are_lines("the payload", &lines, &[summary(name, CHECKED, text, 1, 1)])
            .map_err(|stop| stop.at(format_args!("{name:?}")))?;
    }
    Ok(())
}
