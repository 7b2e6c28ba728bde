//! Selects functions of Xen by name.

use clap::ValueEnum;

use super::files::{XenFunction, XenSyms};
use crate::base::exit::{Error, Result};
use crate::base::pattern::Pattern;

/// Sets of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// All of common/livepatch.c, common/livepatch_elf.c and arch/x86/livepatch.c
    Livepatch,
}

/// The functions that fit one of `patterns`, or without any those of `preset`.
pub fn chosen<'a>(
    symbols: &'a XenSyms,
    patterns: &[String],
    preset: Preset,
) -> Result<Vec<&'a XenFunction>> {
    if patterns.is_empty() { of_preset(symbols, preset) } else { matching(symbols, patterns) }
}

/// The source files of a preset, by their last component: the symbol table's paths differ between
/// builds.
fn files(preset: Preset) -> &'static [&'static str] {
    match preset {
        Preset::Livepatch => &["livepatch.c", "livepatch_elf.c"],
    }
}

/// The globals of those files, in any Xen since 4.14. The symbol table doesn't say which file a
/// global is of.
fn globals(preset: Preset) -> &'static [&'static str] {
    match preset {
        Preset::Livepatch => &[
            // common/livepatch.c
            "check_for_livepatch_work",
            "is_patch",
            "livepatch_op",
            "livepatch_symbols_lookup_by_name",
            "revert_payload",
            "revert_payload_tail",
            // common/livepatch_elf.c
            "livepatch_elf_free",
            "livepatch_elf_load",
            "livepatch_elf_perform_relocs",
            "livepatch_elf_resolve_symbols",
            "livepatch_elf_sec_by_name",
            // arch/x86/livepatch.c
            "arch_livepatch_apply",
            "arch_livepatch_init",
            "arch_livepatch_mask",
            "arch_livepatch_perform_rel",
            "arch_livepatch_perform_rela",
            "arch_livepatch_post_action",
            "arch_livepatch_quiesce",
            "arch_livepatch_revert",
            "arch_livepatch_revive",
            "arch_livepatch_safety_check",
            "arch_livepatch_secure",
            "arch_livepatch_symbol_deny",
            "arch_livepatch_symbol_ok",
            "arch_livepatch_unmask",
            "arch_livepatch_verify_elf",
            "arch_livepatch_verify_func",
        ],
    }
}

/// The functions of a preset that this Xen has.
fn of_preset(symbols: &XenSyms, preset: Preset) -> Result<Vec<&XenFunction>> {
    let chosen = distinct(symbols, |function| match &function.file {
        Some(file) => files(preset).contains(&file.rsplit('/').next().unwrap_or(file)),
        None => globals(preset).contains(&function.name.as_str()),
    });
    if chosen.is_empty() {
        return Err(Error::EmptySelection(
            "this Xen has none of the preset's functions; name some with --functions".into(),
        ));
    }
    Ok(chosen)
}

/// The functions that match one of the patterns, by name or by FILE#NAME.
fn matching<'a>(symbols: &'a XenSyms, texts: &[String]) -> Result<Vec<&'a XenFunction>> {
    let matches = |pattern: &Pattern, function: &XenFunction| {
        pattern.matches(&function.name) || pattern.matches(&function.full_name())
    };
    let mut patterns = Vec::new();
    for text in texts {
        let pattern =
            Pattern::new(text).map_err(|why| Error::Usage(format!("--functions: {why}")))?;
        if !symbols.functions.iter().any(|function| matches(&pattern, function)) {
            return Err(Error::EmptySelection(format!(
                "no function of this Xen matches `{pattern}`; the compiler may have inlined it"
            )));
        }
        patterns.push(pattern);
    }
    Ok(distinct(symbols, |function| patterns.iter().any(|pattern| matches(pattern, function))))
}

/// The chosen functions by address; of several names of the same code, one.
fn distinct(symbols: &XenSyms, chosen: impl Fn(&XenFunction) -> bool) -> Vec<&XenFunction> {
    let mut functions: Vec<&XenFunction> =
        symbols.functions.iter().filter(|function| chosen(function)).collect();
    functions.dedup_by_key(|function| function.address);
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_of_functions() {
        let symbols = XenSyms {
            build_id: Vec::new(),
            names: Vec::new(),
            functions: vec![
                XenFunction::sample("get_name", Some("common/livepatch.c"), 0x2000, &[0xc3]),
                XenFunction::sample("get_name", Some("common/other.c"), 0x2010, &[0xc3]),
                XenFunction::sample("livepatch_op", None, 0x2020, &[0xc3]),
                XenFunction::sample("livepatch_op_alias", None, 0x2020, &[0xc3]),
                XenFunction::sample("livepatch_other", None, 0x2030, &[0xc3]),
                XenFunction::sample("setup", Some("livepatch_elf.c"), 0x2040, &[0xc3]),
            ],
        };
        let names = |chosen: Vec<&XenFunction>| {
            chosen.iter().map(|f| f.full_name()).collect::<Vec<_>>().join(" ")
        };
        let patterns = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).into()).collect();
            matching(&symbols, &patterns)
        };
        assert_eq!(
            names(of_preset(&symbols, Preset::Livepatch).unwrap()),
            "common/livepatch.c#get_name livepatch_op livepatch_elf.c#setup"
        );
        assert_eq!(
            names(patterns(&["get_*", "livepatch_op*"]).unwrap()),
            "common/livepatch.c#get_name common/other.c#get_name livepatch_op"
        );
        assert_eq!(names(patterns(&["*other.c#*"]).unwrap()), "common/other.c#get_name");
        assert!(patterns(&["get_*", "zz"]).unwrap_err().to_string().contains("matches `zz`"));
    }
}
