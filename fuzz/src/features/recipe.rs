//! Payloads as their recipes have them.

use livepatch::program::{
    Defect, ExpectSpec, FunctionSpec, HookDoes, IdSpec, PayloadSpec, Source, TableSpec, UploadArg,
    Word,
};

use super::Scope;
use super::call::USED;
use super::class::{add, both, size};

/// A payload as the recipe has it, and what is done with it.
pub fn payload(scope: &mut Scope, upload: &UploadArg, uses: &Scope) {
    let spec = &upload.payload;
    scope.extend(uses.iter().cloned());
    if let Some(stated) = upload.size {
        add(scope, format!("size of the upload: {}", size(stated)));
    }
    if upload.at != Source::Ample {
        add(scope, format!("payload at {}", upload.at.word()));
    }
    add(scope, format!("{} functions", spec.functions.len()));
    for (index, each) in spec.functions.iter().enumerate() {
        function(scope, each, &spec.functions[..index]);
    }
    for hook in &spec.hooks {
        let does = match hook.does {
            HookDoes::Return(0) => "returns 0",
            HookDoes::Return(_) => "returns an error",
            HookDoes::Once(_) => "returns an error once",
            HookDoes::Null => "null",
        };
        add(scope, format!("{} hook", hook.hook.word()));
        add(scope, format!("{} hook: {does}", hook.hook.word()));
    }
    belongings(scope, spec);
    let mut faulty = Scope::new();
    for each in &spec.defects {
        defect(&mut faulty, each);
    }
    // What is broken is one thing, what becomes of it once it is put to use is another.
    let used = uses.contains(USED);
    for feature in faulty {
        if used {
            add(scope, format!("{feature}, and in use"));
        }
        add(scope, feature);
    }
}

fn function(scope: &mut Scope, function: &FunctionSpec, before: &[FunctionSpec]) {
    let FunctionSpec { target, nop, old_size, by_symbol, expect } = *function;
    let word = target.word();
    add(scope, format!("function {word}"));
    if before.iter().any(|other| other.target == target) {
        add(scope, "a function again");
        add(scope, format!("function {word} again"));
    }
    if let Some(bytes) = nop {
        add(scope, "NOPs");
        both(scope, "NOPs", bytes.into());
        add(scope, format!("NOPs on {word}"));
        both(scope, format_args!("NOPs on {word}"), bytes.into());
    }
    if old_size != FunctionSpec::OLD_SIZE {
        both(scope, "stated size of a function", old_size.into());
    }
    if by_symbol {
        add(scope, "a function by symbol");
    }
    if expect != ExpectSpec::Nothing {
        add(scope, format!("a function expects {}", expect.word()));
    }
}

fn belongings(scope: &mut Scope, spec: &PayloadSpec) {
    if spec.data != 0 {
        add(scope, "variables");
    }
    if spec.bss != 0 {
        add(scope, format!("zeroes: {}", size(spec.bss.into())));
    }
    if let Some(metadata) = &spec.metadata {
        add(scope, "metadata");
        add(scope, format!("metadata: {}", size(metadata.len() as u64)));
    }
    for TableSpec { table, size } in &spec.tables {
        let whole = usize::from(*size).is_multiple_of(table.entry());
        let what = match size {
            0 => "empty",
            _ if whole => "of whole entries",
            _ => "of another size",
        };
        add(scope, format!("table {}", table.word()));
        add(scope, format!("table {} {what}", table.word()));
    }
    for (what, symbol) in [("exports", spec.export), ("imports", spec.import)] {
        if let Some(symbol) = symbol {
            add(scope, format!("{what} {}", symbol.word()));
        }
    }
    for (what, id) in [("depends", spec.depends), ("depends on Xen", spec.xen_depends)] {
        match id {
            IdSpec::Xen => {}
            IdSpec::Nobody => add(scope, format!("{what}: nobody")),
            IdSpec::Payload(_) => add(scope, format!("{what}: a payload")),
        }
    }
}

/// Something broken, from the coarsest to the finest.
fn defect(scope: &mut Scope, defect: &Defect) {
    let mut field = |table: &str, field: &str, value: u64| {
        add(scope, format!("broken {table}"));
        add(scope, format!("broken {table} {field}"));
        add(scope, format!("broken {table} {field}: {}", size(value)));
    };
    match *defect {
        Defect::Ehdr(f, value) => field("ELF header", f.word(), value),
        Defect::Func(_, f, value) => field("function", f.word(), value),
        Defect::Sym(_, f, value) => field("symbol", f.word(), value),
        Defect::Note(section, f, value) => {
            field("note", f.word(), value);
            field(section.word(), f.word(), value);
        }
        Defect::Rela(section, _, f, value) => {
            field("relocation", f.word(), value);
            field(section.word(), f.word(), value);
        }
        Defect::Shdr(section, f, value) => {
            field("section header", f.word(), value);
            field(section.word(), f.word(), value);
        }
        Defect::Remove(section) => {
            add(scope, "a section removed");
            add(scope, format!("{} removed", section.word()));
        }
        Defect::Byte(..) => add(scope, "a byte of the file"),
        Defect::Content(section, ..) => {
            add(scope, "a byte of a section");
            add(scope, format!("a byte of {}", section.word()));
        }
        Defect::Truncate(_) => add(scope, "cut short"),
    }
}
