//! `xtf-runner export`: the tests as domains, for `xl create` and for upstream's `xtf-runner`.

mod domain;
mod tree;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use protocol::cmdline::{LINGER, TESTS};
use protocol::metadata::Environment;

use self::domain::{ExportedDomain, folders};
use self::tree::Tree;
use crate::base::exit::{Error, Exit, Result};
use crate::base::output::write_out;
use crate::base::plural::count;
use crate::cli::ExportArgs;
use crate::image::stamp::stamp;
use crate::image::{self, Role, TestMeta};
use crate::machine::command_lines::environment_word;
use crate::plan;
use crate::plan::config::Config;
use crate::plan::select::Selected;
use crate::plan::spec::join;

/// How long a domain stays after its last line, in ms. `xl console`, by which upstream's runner
/// reads it, ends with the domain and loses on a slow host what it has not passed on by then.
const LINGER_MS: u32 = 500;

/// Runs the command.
pub fn export(args: &ExportArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    let image = image::find(args.places.image.as_deref(), &config.workspace)?;
    let prefix = args.prefix.as_deref();
    if let Some(prefix) = prefix {
        check_prefix(prefix)?;
    }
    let tests = plan::choose_for(&image, args.selection.wanted(), Role::Unprivileged, &args.env)?;
    image.must_have(&args.env)?;
    let narrow = image.narrow.as_ref().map(|narrow| narrow.small()).transpose()?;
    let bytes = image.small()?;

    let mut planned = Vec::new();
    for test in &tests {
        let folders = folders(&test.test, &args.env);
        if !folders.is_empty() {
            let words = words(test, args.cmdline.as_deref());
            // All 64-bit domains have the same words, and so the same image.
            let mut images = BTreeMap::new();
            for kind in folders.iter().flat_map(|folder| &folder.domains).map(ExportedDomain::kind)
            {
                if let Entry::Vacant(new) = images.entry(stamped(&words, kind)) {
                    let narrow = narrow.as_ref().filter(|_| kind.is_32bit());
                    let image = stamp(narrow.unwrap_or(&bytes), &new.key().1)?;
                    new.insert(image);
                }
            }
            planned.push((test, folders, words, images));
        }
    }
    if planned.is_empty() {
        let why = "no selected test supports the environments of --env";
        return Err(Error::EmptySelection(why.into()));
    }
    if let Some(name) = twice(planned.iter().flat_map(|(_, folders, ..)| folders)) {
        let why = format!("two tests need the folder tests/{name}; export them one at a time");
        return Err(Error::Usage(why));
    }

    let mut tree = Tree::claim(&args.dir)?;
    let mut domains = 0;
    for (test, folders, words, images) in &planned {
        let mut originals: HashMap<_, String> = HashMap::new();
        for folder in folders {
            for domain in &folder.domains {
                let (place, key) = (domain.image(), stamped(words, domain.kind()));
                match originals.get(&key) {
                    Some(original) => tree.link(&place, original)?,
                    None => {
                        tree.write(&place, &images[&key])?;
                        originals.insert(key, place);
                    }
                }
                let config = format!("{}.cfg", domain.image());
                tree.write(&config, domain.config(prefix).as_bytes())?;
                domains += 1;
            }
            if let Some(info) = folder.info(&test.test) {
                let text = format!("{info:#}\n");
                tree.write(&format!("tests/{}/info.json", folder.name), text.as_bytes())?;
            }
        }
    }
    tree.finish()?;

    let tests = count(planned.len(), "test");
    let mut text = format!("{}: {} of {tests}\n", args.dir.display(), count(domains, "domain"));
    if args.selection.selectors.is_empty() {
        text += &left_out(&image.tests);
    }
    write_out(&text)?;
    Ok(Exit::Success)
}

/// What the user may miss.
fn left_out(tests: &[TestMeta]) -> String {
    let privileged = |test: &&TestMeta| {
        test.runs_unnamed(Role::ControlDomain) && !test.runs_unnamed(Role::Unprivileged)
    };
    let (tests, it) = match tests.iter().filter(privileged).count() {
        0 => return String::new(),
        1 => (count(1, "test"), "it"),
        many => (count(many, "test"), "them"),
    };
    format!(
        "left out: {tests} that an unprivileged domain can only skip; name {it} to export {it}\n"
    )
}

/// By what the image of such a domain differs from others: whether it is for 32-bit guests, and what is
/// stamped into it.
fn stamped(words: &str, kind: Environment) -> (bool, String) {
    (kind.is_32bit(), join(&[words.to_owned(), environment_word(kind)]))
}

/// What is stamped into a test's image, for whatever guest.
fn words(test: &Selected, more: Option<&str>) -> String {
    let mut words = format!("{TESTS}={} {LINGER}={LINGER_MS}", test.selector);
    for word in more.unwrap_or_default().split_ascii_whitespace() {
        words += " ";
        words += word;
    }
    words
}

/// A prefix ends up between quotes in xl's configuration.
fn check_prefix(prefix: &Path) -> Result<()> {
    let text = prefix.to_str().filter(|text| !text.contains(['"', '\\', '\n']));
    if prefix.is_absolute() && text.is_some() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "--prefix {}: must be an absolute path without quotes, backslashes and line ends",
        prefix.display()
    )))
}

/// The first name that is there more than once.
fn twice<'a>(folders: impl Iterator<Item = &'a domain::Folder>) -> Option<&'a str> {
    let mut names: Vec<&str> = folders.map(|folder| folder.name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
