//! Lessons as a text, for people and for the next run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xtf_runner::base::exit::{Error, IoContext, Result};

/// The first lines of the file.
const HEAD: &str = "\
# What xtf-fuzz has learned of this Xen: programs with all `features` of a lesson in one payload, or
# in the program as a `whole`, ended it in that `place`, and of those that did not, hardly any came
# as far as `through` in Xen. `also` is what the programs that ended it had in common besides.
# Programs that fit are left out, but for a few that are tried. `ended` are programs of this folder
# that ended Xen. A run performs `rest` programs before it tries one. Remove a lesson, or the file,
# or say --forget, to have it learned anew.
";

/// A lesson as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub place: String,
    /// Whether it is about programs as a whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    pub features: Vec<String>,
    #[serde(default)]
    pub also: Vec<String>,
    /// Blocks of Xen.
    #[serde(default)]
    pub through: Vec<String>,
    #[serde(default)]
    pub killers: u64,
    #[serde(default)]
    pub met: u64,
    #[serde(default)]
    pub tried: u64,
    #[serde(default)]
    pub died: u64,
}

/// All that is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    /// Names of programs that ended Xen.
    #[serde(default)]
    pub ended: BTreeSet<String>,
    /// So many programs are performed before one is tried that is expected to end Xen.
    #[serde(default)]
    pub rest: u64,
    #[serde(default)]
    pub lesson: Vec<Entry>,
}

impl Entries {
    /// What a file says.
    pub fn parse(text: &str) -> std::result::Result<Entries, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    /// As a file.
    pub fn text(mut self) -> String {
        self.lesson.sort_by(|a, b| (&a.place, &a.features).cmp(&(&b.place, &b.features)));
        let text = toml::to_string_pretty(&self);
        format!("{HEAD}\n{}", text.unwrap_or_else(|e| format!("# {e}\n")))
    }
}

/// Where lessons about a build of Xen are kept.
#[derive(Clone, Debug)]
pub struct LessonFile(PathBuf);

impl LessonFile {
    /// The file in the folder `dir`.
    pub fn of(dir: &Path, build_id: &str) -> LessonFile {
        LessonFile(dir.join(format!("learned-{build_id}.toml")))
    }

    /// Forgets what is in it.
    pub fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.io("remove", &self.0),
        }
    }

    /// Replaces what is in it by what `change` makes of it, while nobody else does.
    pub fn update(
        &self,
        change: impl FnOnce(&str) -> std::result::Result<String, String>,
    ) -> Result<()> {
        let path = &self.0;
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        let mut open = options.open(path).io("open", path)?;
        open.lock().io("lock", path)?;
        let before = io::read_to_string(&open).io("read", path)?;
        let text = change(&before).map_err(|why| {
            Error::Data(format!("{}: {why}; repair it, or say --forget", path.display()))
        })?;
        if text != before {
            open.rewind().io("write", path)?;
            open.set_len(0).io("write", path)?;
            open.write_all(text.as_bytes()).io("write", path)?;
        }
        Ok(())
    }
}
