//! The output for people.

use std::fmt::Write;

use livepatch::abi::{PAYLOAD_SIZE_MAX, SECTION_COUNT_LIMIT};

use super::Shown;
use super::file::{Contents, Function};
use super::verdict::{Answer, OnXen, Place, Verdict};
use crate::base::plain::plain;
use crate::base::plural::count;

/// All of it.
pub fn text(shown: &Shown<'_>) -> String {
    let mut out = String::new();
    for shown in &shown.files {
        file(&mut out, &shown.path, shown.contents);
    }
    for on in &shown.xens {
        xen(&mut out, on, shown);
    }
    out
}

/// A line with its name in front, unless there is nothing to say.
fn line(out: &mut String, name: &str, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(out, "  {name:<12} {}", plain(text));
    }
}

fn file(out: &mut String, path: &str, contents: &Contents) {
    let _ = writeln!(out, "{}", plain(path));
    let size = format!(
        "{} of {PAYLOAD_SIZE_MAX} bytes, {} of {} sections; loaded: {} of code, {} of data, {} of \
         constants",
        contents.size,
        contents.sections,
        SECTION_COUNT_LIMIT - 1,
        contents.code,
        contents.data,
        contents.constants
    );
    line(out, "size", &size);
    line(out, "damaged", contents.damaged.as_deref().unwrap_or_default());
    line(out, "build-id", contents.build_id.as_deref().unwrap_or_default());
    line(out, "depends", contents.depends.as_deref().unwrap_or_default());
    line(out, "xen", contents.xen_depends.as_deref().unwrap_or_default());
    for (number, of) in contents.functions.iter().enumerate() {
        line(out, if number == 0 { "functions" } else { "" }, &function(number, of));
    }
    line(out, "hooks", &numbers(&contents.hooks));
    for (number, string) in contents.metadata.iter().enumerate() {
        line(out, if number == 0 { "metadata" } else { "" }, string);
    }
    line(out, "tables", &numbers(&contents.tables));
    line(out, "relocations", &numbers(&contents.relocations));
    line(out, "imports", &contents.imports.join(", "));
    if contents.signed {
        line(out, "signature", "attached, as for a module of Linux; no release of Xen looks at it");
    }
}

/// `a 1, b 2`
fn numbers<'n>(of: impl IntoIterator<Item = (&'n String, &'n u64)>) -> String {
    let texts: Vec<String> =
        of.into_iter().map(|(name, number)| format!("{name} {number}")).collect();
    texts.join(", ")
}

fn function(number: usize, function: &Function) -> String {
    let Function { name, old_address, old_symbol, old_size, new_size, nops, version, expects } =
        function;
    let mut text = format!("{number}: {}", name.as_deref().unwrap_or("(no name)"));
    if let Some(address) = old_address {
        let _ = write!(text, " at {address:#x}");
    }
    if let Some(symbol) = old_symbol {
        let _ = write!(text, " at {symbol}");
    }
    let how = if *nops { format!("{new_size} of NOPs") } else { format!("a jump to {new_size}") };
    let _ = write!(text, ", {} become {how}, version {version}", count(*old_size, "byte"));
    if let Some(expects) = expects {
        let _ = write!(text, ", if they begin with {expects}");
    }
    text
}

fn xen(out: &mut String, on: &OnXen, shown: &Shown<'_>) {
    let release = on.release.as_deref().unwrap_or("of an unknown release");
    let _ = writeln!(out, "on {}: Xen {release}, {}, {}", on.xen, on.provenance, on.build_id);
    for (of, verdict) in shown.files.iter().zip(&on.files) {
        let name = plain(of.path.rsplit('/').next().unwrap_or_default());
        match (verdict.upload, &verdict.refusal, &verdict.unknown) {
            (Answer::Success, ..) => {
                let _ = writeln!(out, "  {name}: UPLOAD succeeds");
            }
            (_, Some(told), _) => {
                let _ = writeln!(out, "  {name}: UPLOAD: {} from {}", told.errno, told.function);
                let _ = writeln!(out, "    Xen asks: {}", told.rule);
                if let Some(item) = &told.item {
                    let _ = writeln!(out, "    but: {}", plain(item));
                }
                let _ = writeln!(out, "    remedy: {}", plain(&told.remedy));
            }
            (_, None, why) => {
                let why = why.as_deref().unwrap_or("it");
                let _ = writeln!(out, "  {name}: the model cannot tell: {why}");
            }
        }
        details(out, &of.contents.functions, verdict);
    }
}

fn details(out: &mut String, functions: &[Function], verdict: &Verdict) {
    for (number, (function, place)) in functions.iter().zip(&verdict.functions).enumerate() {
        let Some(Place { address, symbol, size }) = place else { continue };
        let _ = write!(out, "    function {number} is at {address:#x} {symbol}");
        let size = size.filter(|&size| size < function.old_size.into());
        let _ = match size {
            Some(size) => writeln!(
                out,
                ", which has {} here, not {}: was the payload built against this source?",
                count(u32::try_from(size).unwrap_or(u32::MAX), "byte"),
                function.old_size
            ),
            None => writeln!(out),
        };
    }
    for line in &verdict.then {
        let _ = writeln!(out, "    {line}");
    }
}
