//! Which functions, and the conditional branches in them.

use glob::Pattern;
use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::binary::{Function, Symbols};
use crate::cli::Preset;
use crate::exit::{Error, Result};

/// A conditional branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// The function that it is in.
    pub function: &'a Function,
    /// Where the instruction begins.
    pub address: u64,
    /// Physical address of the byte that holds its condition.
    pub opcode: u64,
}

impl Site<'_> {
    /// `function+offset`.
    pub fn name(&self) -> String {
        format!("{}+{:#x}", self.function.label, self.address - self.function.address)
    }
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
pub fn of_preset(symbols: &Symbols, preset: Preset) -> Result<Vec<&Function>> {
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

/// The functions that match one of `globs`, by name or by FILE#NAME.
pub fn matching<'a>(symbols: &'a Symbols, globs: &[String]) -> Result<Vec<&'a Function>> {
    let mut patterns = Vec::new();
    for glob in globs {
        let pattern = Pattern::new(glob)
            .map_err(|e| Error::Usage(format!("--functions: `{glob}` is no pattern: {}", e.msg)))?;
        let matches = |function: &Function| {
            pattern.matches(&function.name) || pattern.matches(&function.full_name())
        };
        if !symbols.functions.iter().any(matches) {
            return Err(Error::EmptySelection(format!(
                "no function of this Xen matches `{glob}`; the compiler may have put it into its \
                 caller"
            )));
        }
        patterns.push(pattern);
    }
    Ok(distinct(symbols, |function| {
        let full = function.full_name();
        patterns.iter().any(|pattern| pattern.matches(&function.name) || pattern.matches(&full))
    }))
}

/// The chosen functions by address; of several names of the same code, one.
fn distinct(symbols: &Symbols, chosen: impl Fn(&Function) -> bool) -> Vec<&Function> {
    let mut functions: Vec<&Function> =
        symbols.functions.iter().filter(|function| chosen(function)).collect();
    functions.dedup_by_key(|function| function.address);
    functions
}

/// The conditional branches of `function`.
///
/// Only what is an instruction when one decodes from the function's start counts, so that no byte
/// of an operand is taken for a branch.
pub fn find(function: &Function) -> Result<Vec<Site<'_>>> {
    let mut sites = Vec::new();
    for instruction in instructions(function) {
        if instruction.is_invalid() {
            return Err(Error::Data(format!(
                "the code of {} can't be decoded at {:#x}; leave it out of --functions",
                function.name,
                instruction.ip()
            )));
        }
        if instruction.is_jcc_short_or_near() {
            // Counted from the end, for the sake of prefixes: the opcode is right before the
            // distance, of which a short branch has one byte and a near one four.
            let from_end = if instruction.code().is_jcc_short() { 2 } else { 5 };
            let opcode = instruction.next_ip() - from_end - function.address + function.physical;
            sites.push(Site { function, address: instruction.ip(), opcode });
        }
    }
    Ok(sites)
}

/// The instructions of `function`.
pub fn instructions(function: &Function) -> Vec<Instruction> {
    let options = DecoderOptions::NONE;
    Decoder::with_ip(64, &function.code, function.address, options).into_iter().collect()
}

/// The site that the user names by address or by FUNCTION+OFFSET.
pub fn by_name<'s, 'a>(sites: &'s [Site<'a>], wanted: &str) -> Result<&'s Site<'a>> {
    let address = wanted.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let found = sites.iter().find(|site| Some(site.address) == address || site.name() == wanted);
    found.ok_or_else(|| {
        Error::Usage(format!(
            "--only: there is no conditional branch at `{wanted}` in the chosen functions; see \
             --list"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, file: Option<&str>, address: u64, code: &[u8]) -> Function {
        Function {
            name: name.into(),
            file: file.map(str::to_owned),
            label: name.into(),
            address,
            physical: address - 0x1000,
            code: code.to_vec(),
        }
    }

    #[test]
    fn only_real_conditional_branches_are_sites() {
        let code = [
            &[0x74, 0x02][..],                     // 0: je
            &[0xb8, 0x74, 0x75, 0x0f, 0x84],       // 2: mov $0x840f7574,%eax: no branch in there
            &[0x0f, 0x8f, 0x00, 0x01, 0x00, 0x00], // 7: jg, near
            &[0xeb, 0x00],                         // 13: jmp
            &[0xe3, 0x00],                         // 15: jrcxz: its opcode has no inverse
            &[0x3e, 0x7d, 0xf0],                   // 17: jge with a prefix
            &[0x0f, 0x94, 0xc0],                   // 20: sete
            &[0xc3],
        ]
        .concat();
        let function = function("f", None, 0x2000, &code);
        let sites = find(&function).unwrap();
        let places: Vec<_> = sites.iter().map(|s| (s.name(), s.address, s.opcode)).collect();
        assert_eq!(
            places,
            [
                ("f+0x0".into(), 0x2000, 0x1000),
                ("f+0x7".into(), 0x2007, 0x1008),
                ("f+0x11".into(), 0x2011, 0x1012),
            ]
        );
        assert_eq!(by_name(&sites, "f+0x7").unwrap().address, 0x2007);
        assert_eq!(by_name(&sites, "0x2007").unwrap().address, 0x2007);
        assert!(by_name(&sites, "0x2008").unwrap_err().to_string().contains("--list"));
    }

    #[test]
    fn code_that_is_none_is_an_error() {
        let function = function("f", None, 0x2000, &[0x90, 0x06, 0x74, 0x00]);
        assert!(find(&function).unwrap_err().to_string().contains("f can't be decoded at 0x2001"));
    }

    #[test]
    fn choice_of_functions() {
        let symbols = Symbols {
            build_id: Vec::new(),
            names: Vec::new(),
            functions: vec![
                function("get_name", Some("common/livepatch.c"), 0x2000, &[0xc3]),
                function("get_name", Some("common/other.c"), 0x2010, &[0xc3]),
                function("livepatch_op", None, 0x2020, &[0xc3]),
                function("livepatch_op_alias", None, 0x2020, &[0xc3]),
                function("livepatch_other", None, 0x2030, &[0xc3]),
                function("setup", Some("livepatch_elf.c"), 0x2040, &[0xc3]),
            ],
        };
        let names = |chosen: Vec<&Function>| {
            chosen.iter().map(|f| f.full_name()).collect::<Vec<_>>().join(" ")
        };
        let globs = |globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).into()).collect();
            matching(&symbols, &globs)
        };
        assert_eq!(
            names(of_preset(&symbols, Preset::Livepatch).unwrap()),
            "common/livepatch.c#get_name livepatch_op livepatch_elf.c#setup"
        );
        assert_eq!(
            names(globs(&["get_*", "livepatch_op*"]).unwrap()),
            "common/livepatch.c#get_name common/other.c#get_name livepatch_op"
        );
        assert_eq!(names(globs(&["*other.c#*"]).unwrap()), "common/other.c#get_name");
        assert!(globs(&["get_*", "zz"]).unwrap_err().to_string().contains("matches `zz`"));
    }
}
