//! `xtf-runner new`: adds a test that builds and runs at once.
//!
//! It copies the example of the source tree, so that a new test starts from code that compiles and
//! runs.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use protocol::metadata::Category;

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::write_out;
use crate::cli::NewArgs;
use crate::plan::config::Config;

/// The test that new ones are made after,
const EXAMPLE: &str = include_str!("../../../tests/src/example.rs");
/// and the one for what live patches do.
const OF_PAYLOADS: &str = include_str!("../../../tests/src/payload_effect.rs");
/// Where tests are declared, below the workspace.
const REGISTRY: &str = "tests/src/main.rs";
/// Words that cannot be the name of a module: Rust's, and the crates that the tests use.
const RESERVED: [&str; 57] = [
    "abstract",
    "alloc",
    "arch",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "kernel",
    "let",
    "livepatch",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
];
/// XTF's environments, which no test may be called after: selections could not tell them apart.
const ENVIRONMENTS: [&str; 7] =
    ["pv64", "pv32pae", "pvh64", "hvm64", "hvm32", "hvm32pae", "hvm32pse"];

/// Runs the command.
pub fn new(args: &NewArgs) -> Result<Exit> {
    check_name(&args.name).map_err(|why| Error::Usage(format!("`{}` {why}", args.name)))?;
    check_title(&args.title)?;
    let workspace = match &args.workspace {
        Some(dir) => dir.clone(),
        None => Config::load(None)?.workspace,
    };
    let here = env::current_dir().io("find", Path::new("the working directory"))?;
    if args.workspace.is_none() && !here.starts_with(&workspace) {
        return Err(Error::Usage(format!(
            "this is no source tree of xtf-rs; name one with --workspace, such as {}",
            workspace.display()
        )));
    }
    let registry = workspace.join(REGISTRY);
    let text = fs::read_to_string(&registry).map_err(|e| {
        Error::Usage(format!(
            "{} is not the source tree of xtf-rs (cannot read {REGISTRY}: {e}); name it with \
             --workspace",
            workspace.display()
        ))
    })?;
    let module = args.name.replace('-', "_");
    let registered = register(&text, &module)
        .map_err(|why| Error::Usage(format!("{}: {why}", registry.display())))?;

    let folder = workspace.join("tests/src").join(&module);
    let file = folder.with_extension("rs");
    if folder.exists() {
        return Err(Error::Usage(format!("{} exists already", folder.display())));
    }
    // Refuses what is there.
    let mut out = File::create_new(&file).io("create", &file)?;
    out.write_all(scaffold(args).as_bytes()).io("write", &file)?;
    replace(&registry, &registered)?;
    write_out(&format!(
        "tests/src/{module}.rs: write what the test proves, and replace its cases\n\
         {REGISTRY}: lists the test after the others\n\
         then: make build && target/release/xtf-runner {}\n\
         before it lands: make docs test\n",
        match args.payloads {
            true => format!("payload try FILE --with {}", args.name),
            false => format!("run {}", args.name),
        }
    ))?;
    Ok(Exit::Success)
}

/// Replaces a file in one step: nobody sees half of it.
fn replace(path: &Path, text: &str) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(dir).io("create a file in", dir)?;
    fresh.write_all(text.as_bytes()).io("write", path)?;
    let mode = fs::metadata(path).io("look at", path)?.permissions();
    fresh.as_file().set_permissions(mode).io("write", path)?;
    fresh.persist(path).map_err(|e| e.error).io("write", path)?;
    Ok(())
}

fn check_name(name: &str) -> std::result::Result<(), String> {
    let word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.split('-').all(word) {
        return Err(
            "is not a valid test name: use lower-case words and digits, joined by `-`".into()
        );
    }
    if name.starts_with("test-") {
        return Err("begins with test-, which XTF puts before the environment; omit it".into());
    }
    let selects = Category::ALL.iter().any(|category| category.name() == name);
    if selects || ENVIRONMENTS.contains(&name) {
        return Err("is the name of a category or an environment".into());
    }
    if RESERVED.contains(&name.replace('-', "_").as_str()) {
        return Err("is not a valid name of a Rust module".into());
    }
    Ok(())
}

fn check_title(title: &str) -> Result<()> {
    let good = |c: char| (' '..='~').contains(&c) && !matches!(c, '"' | '\\');
    if title.is_empty() || !title.chars().all(good) {
        return Err(Error::Usage(
            "a title is a line of printable ASCII without quotes and backslashes".into(),
        ));
    }
    Ok(())
}

/// The source of the new test.
fn scaffold(args: &NewArgs) -> String {
    let NewArgs { name, title, category, own_boot, payloads, .. } = args;
    let example = if *payloads { OF_PAYLOADS } else { EXAMPLE };
    let (_, code) = example.split_once("#![forbid").unwrap_or(("", example));
    let variant = match category {
        Category::Functional => "Functional",
        Category::Xsa => "Xsa",
        Category::Utility => "Utility",
        Category::Special => "Special",
        Category::InDevelopment => "InDevelopment",
    };
    let mut extra = String::new();
    if *own_boot {
        extra += "    own_boot: true,\n";
    }
    if matches!(category, Category::Special | Category::InDevelopment) && !payloads {
        extra += "    default: false,\n";
    }
    let code = code.replace("use protocol::programs::PAYLOAD_EFFECT;\n", "");
    let mut text = format!(
        "//! # {name}\n//!\n//! What it proves, and where in Xen that is decided.\n#![forbid{code}"
    );
    let swap = |text: &mut String, key: &str, value: String| {
        let start = format!("    {key}: ");
        let line = text.lines().find(|line| line.starts_with(&start)).map(str::to_owned);
        if let Some(line) = line {
            *text = text.replacen(&line, &format!("{start}{value},"), 1);
        }
    };
    swap(&mut text, "name", format!("\"{name}\""));
    swap(&mut text, "title", format!("\"{title}\""));
    swap(&mut text, "category", format!("Category::{variant}"));
    text.replacen("    ..Test::DEFAULT\n", &format!("{extra}    ..Test::DEFAULT\n"), 1)
}

/// The registry's source with `module` declared, in order, and run after the last test that has a
/// module of its own.
fn register(text: &str, module: &str) -> std::result::Result<String, String> {
    let name_of = |line: &str| Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let modules: Vec<usize> = (0..lines.len()).filter(|&i| name_of(&lines[i]).is_some()).collect();
    let (Some(first), Some(last)) = (modules.first(), modules.last()) else {
        return Err("declares no module".into());
    };
    if modules.iter().any(|&i| name_of(&lines[i]).as_deref() == Some(module)) {
        return Err(format!("the module {module} exists already"));
    }
    let place = (*first..=*last).find(|&i| name_of(&lines[i]).is_some_and(|m| m.as_str() > module));
    lines.insert(place.unwrap_or(last + 1), format!("mod {module};"));

    let open = lines.iter().position(|line| line.starts_with("kernel::registry!["));
    let open = open.ok_or("has no kernel::registry![")?;
    let close = lines[open..]
        .iter()
        .position(|line| line == "];")
        .ok_or("does not close kernel::registry![")?;
    let own = |line: &String| line.strip_suffix(',').is_some_and(|name| !name.contains("::"));
    let place = lines[open..open + close].iter().rposition(own).map_or(open + 1, |i| open + i + 1);
    lines.insert(place, format!("    {module},"));
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str) -> NewArgs {
        NewArgs {
            name: name.into(),
            title: "A title".into(),
            category: Category::Functional,
            own_boot: false,
            payloads: false,
            workspace: None,
        }
    }

    #[test]
    fn names() {
        for name in ["a", "livepatch-limits", "xsa-123", "a1"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for (name, why) in [
            ("", "is not a valid test name"),
            ("A", "is not a valid test name"),
            ("a_b", "is not a valid test name"),
            ("1a", "is not a valid test name"),
            ("a--b", "is not a valid test name"),
            ("a-", "is not a valid test name"),
            ("-a", "is not a valid test name"),
            ("../a", "is not a valid test name"),
            ("test-a", "begins with test-"),
            ("functional", "a category or an environment"),
            ("pv64", "a category or an environment"),
            ("loop", "a valid name of a Rust module"),
            ("kernel", "a valid name of a Rust module"),
        ] {
            assert!(check_name(name).unwrap_err().contains(why), "{name}");
        }
    }

    #[test]
    fn a_scaffold_is_the_example_under_another_name() {
        let text = scaffold(&args("a-b"));
        assert!(text.starts_with("//! # a-b\n//!\n//! What it proves"), "{text}");
        for line in ["name: \"a-b\",", "title: \"A title\",", "category: Category::Functional,"] {
            assert_eq!(text.matches(&format!("\n    {line}\n")).count(), 1, "{line} in {text}");
        }
        assert!(!text.contains("default: false") && !text.contains("own_boot"), "{text}");
        assert!(!text.contains("copy"), "{text}");
        let rest = |text: &str| text[text.find("    cases: ").unwrap()..].to_owned();
        assert_eq!(rest(&text), rest(EXAMPLE));

        let special = NewArgs { category: Category::InDevelopment, own_boot: true, ..args("a") };
        let lines = "    own_boot: true,\n    default: false,\n    ..Test::DEFAULT\n";
        assert!(scaffold(&special).contains(lines));

        let of_payloads = NewArgs { payloads: true, category: Category::Special, ..args("mine") };
        let text = scaffold(&of_payloads);
        assert!(
            text.contains("    name: \"mine\",\n") && !text.contains("PAYLOAD_EFFECT"),
            "{text}"
        );
        assert_eq!(text.matches("default: false").count(), 1, "{text}");
        assert_eq!(rest(&text), rest(OF_PAYLOADS));
    }

    #[test]
    fn registering() {
        let text = "mod bad;\nmod example;\nmod support;\n\nkernel::registry![\n    example,\n    \
                    bad::error,\n];\n";
        let with = |module: &str| register(text, module).unwrap();
        assert_eq!(
            with("code"),
            "mod bad;\nmod code;\nmod example;\nmod support;\n\nkernel::registry![\n    example,\n    \
             code,\n    bad::error,\n];\n"
        );
        assert!(with("zebra").contains("mod support;\nmod zebra;\n\n"));
        assert!(with("aa").starts_with("mod aa;\nmod bad;\n"));
        assert!(register(text, "support").unwrap_err().contains("already"));
        assert!(register("", "a").is_err());
        assert!(register("mod a;\nkernel::registry![\n", "b").unwrap_err().contains("not close"));
    }
}
