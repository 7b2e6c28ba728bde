//! The test image, as a file: its tests' metadata, read from the ELF without booting it; its
//! command line and input, stamped in; and a copy without debug information.
//!
//! This room reads and makes ELF files. It runs nothing.

pub mod stamp;
mod strip;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};
use protocol::image::META;
use protocol::metadata::{Category, Environment, Need, is_test_name};
use serde::{Deserialize, Serialize};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::hash::sha256;
use strip::without_debug_sections;

/// Where the workspace's build leaves the image.
const BUILT: &str = "target/x86_64-unknown-none/release/xtf";
/// And that for 32-bit guests.
const BUILT_32: &str = "target/i586-unknown-linux-gnu/release/xtf";
/// What the name of the image for 32-bit guests has behind that of the other one, beside which it is.
pub const SUFFIX_32: &str = "32";

/// The image at `path`, or the one that is found by itself: what `workspace` has built, else the
/// file beside the runner. The one for 32-bit guests comes with it, where there is one: built in the
/// same workspace, or beside it, by the same name and `32`.
pub fn find(path: Option<&Path>, workspace: &Path) -> Result<Image> {
    let built = workspace.join(BUILT);
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("xtf")));
    let beside = beside.filter(|path| !built.is_file() && path.is_file());
    let (wide, narrow) = match path.map(Path::to_owned).or(beside) {
        Some(path) => {
            let mut name = path.clone().into_os_string();
            name.push(SUFFIX_32);
            (path, PathBuf::from(name))
        }
        None => (built, workspace.join(BUILT_32)),
    };
    let mut image = Image::open(&wide)?;
    if !image.is_32bit && narrow.is_file() {
        image.narrow = Some(Box::new(Image::open(&narrow)?));
    }
    Ok(image)
}

/// What the image says about one of its tests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TestMeta {
    /// Unit of selection.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// XTF's category.
    pub category: Category,
    /// Environments that it supports.
    pub environments: Vec<Environment>,
    /// What Xen or the guest must offer.
    pub needs: Vec<Need>,
    /// May leave the hypervisor dirty: gets a boot of its own.
    pub own_boot: bool,
    /// Number of CPUs of the machine.
    pub vcpus: u32,
    /// Time from its subtest line to its result.
    pub timeout_s: u64,
    /// Runs without being named.
    pub default: bool,
    /// Its claims, in the order in which they are reported.
    pub cases: Vec<String>,
}

/// What the image is going to be to Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// dom0.
    ControlDomain,
    /// A domU without privileges.
    Unprivileged,
}

impl TestMeta {
    /// Whether the test is to run in this role without being named. One that could only be skipped
    /// there is not.
    pub fn runs_unnamed(&self, role: Role) -> bool {
        let impossible = match role {
            Role::ControlDomain => Need::Unprivileged,
            Role::Unprivileged => Need::Privileged,
        };
        self.default && !self.needs.contains(&impossible)
    }
}

#[cfg(test)]
impl TestMeta {
    /// An ordinary test.
    pub fn named(name: &str) -> TestMeta {
        TestMeta {
            name: name.into(),
            title: String::new(),
            category: Category::Functional,
            environments: Environment::WIDE_DOM0.to_vec(),
            needs: Vec::new(),
            own_boot: false,
            vcpus: 1,
            timeout_s: 1,
            default: true,
            cases: Vec::new(),
        }
    }
}

/// An image and its tests.
#[derive(Debug)]
pub struct Image {
    /// Absolute path.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
    /// In the image's order.
    pub tests: Vec<TestMeta>,
    /// Whether it is one for 32-bit guests.
    pub is_32bit: bool,
    /// The image of the same tests for 32-bit guests, if it is not that itself.
    pub narrow: Option<Box<Image>>,
}

impl Image {
    /// The image that a guest of this kind boots, which is this one or [`narrow`](Self::narrow).
    pub fn of(&self, environment: Environment) -> &Image {
        match &self.narrow {
            Some(narrow) if environment.is_32bit() => narrow,
            _ => self,
        }
    }

    /// Refuses environments that there is no image for.
    pub fn must_have(&self, environments: &[Environment]) -> Result<()> {
        let lacks = |place: &&Environment| self.of(**place).is_32bit != place.is_32bit();
        let Some(place) = environments.iter().find(lacks) else { return Ok(()) };
        let bits = if place.is_32bit() { 32 } else { 64 };
        Err(Error::Data(format!(
            "{} needs an image for {bits}-bit guests, and {} is none, nor is there one beside it; \
             `make image` builds both",
            place.name(),
            self.path.display()
        )))
    }

    /// The file without what only a debugger reads: three quarters of it.
    pub fn small(&self) -> Result<Vec<u8>> {
        let bytes = fs::read(&self.path).io("read", &self.path)?;
        without_debug_sections(&bytes)
            .map_err(|why| Error::Data(format!("image {}: {why}", self.path.display())))
    }

    /// Reads the metadata of the image at `path`.
    pub fn open(path: &Path) -> Result<Image> {
        if !path.is_file() {
            return Err(Error::Data(format!(
                "there is no image at {}; build it with `make build`, or name one with --image PATH",
                path.display()
            )));
        }
        let path = path.canonicalize().io("resolve", path)?;
        let bytes = fs::read(&path).io("read", &path)?;
        let (is_32bit, tests) = read_metadata(&bytes)
            .map_err(|why| Error::Data(format!("image {}: {why}", path.display())))?;
        Ok(Image { path, sha256: sha256(&bytes), tests, is_32bit, narrow: None })
    }

    /// No image at all: what somebody ran is not at hand.
    pub fn none() -> Image {
        Image {
            path: PathBuf::new(),
            sha256: String::new(),
            tests: Vec::new(),
            is_32bit: false,
            narrow: None,
        }
    }

    /// An image of somebody else's at `path`, about whose tests nothing is known.
    pub fn foreign(path: &Path) -> Result<Image> {
        let path = path.canonicalize().io("find the image", path)?;
        let bytes = fs::read(&path).io("read", &path)?;
        let sha256 = sha256(&bytes);
        Ok(Image { path, sha256, tests: Vec::new(), is_32bit: false, narrow: None })
    }
}

/// Whether the image is one for 32-bit guests, and its tests.
fn read_metadata(bytes: &[u8]) -> std::result::Result<(bool, Vec<TestMeta>), String> {
    let elf = object::File::parse(bytes).map_err(|e| format!("not an ELF file: {e}"))?;
    let section = elf
        .section_by_name(META)
        .ok_or_else(|| format!("no section {META}; is this an xtf-rs image?"))?;
    let data = section.data().map_err(|e| format!("section {META}: {e}"))?;
    let tests = parse_metadata(data).map_err(|why| format!("section {META}: {why}"))?;
    Ok((!elf.is_64(), tests))
}

fn parse_metadata(data: &[u8]) -> std::result::Result<Vec<TestMeta>, String> {
    let mut tests: Vec<TestMeta> = Vec::new();
    for (index, line) in data.split(|&b| b == b'\n').enumerate() {
        let line = line.trim_ascii();
        let start = line.iter().position(|&b| b != 0).unwrap_or(line.len());
        let end = line.iter().rposition(|&b| b != 0).map_or(start, |last| last + 1);
        let line = line[start..end].trim_ascii();
        if line.is_empty() {
            continue;
        }
        let number = index + 1;
        let test: TestMeta = serde_json::from_slice(line).map_err(|e| {
            let text: String = String::from_utf8_lossy(line).chars().take(80).collect();
            format!("line {number}: {e} in `{text}`")
        })?;
        check(&test).map_err(|why| format!("line {number}: {why}"))?;
        if tests.iter().any(|other| other.name == test.name) {
            return Err(format!("line {number}: a second test `{}`", test.name));
        }
        tests.push(test);
    }
    if tests.is_empty() {
        return Err("describes no test".into());
    }
    Ok(tests)
}

fn check(test: &TestMeta) -> std::result::Result<(), String> {
    if !is_test_name(&test.name) {
        return Err(format!(
            "`{}` is not a valid test name (use letters, digits and -_.~+)",
            test.name
        ));
    }
    if test.vcpus == 0 {
        return Err(format!("test `{}` has vcpus 0", test.name));
    }
    if test.timeout_s == 0 {
        return Err(format!("test `{}` has timeout_s 0", test.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"name":"a","title":"t","category":"in-development","environments":["pv64"],"needs":[],"own_boot":false,"vcpus":1,"timeout_s":3,"default":true,"cases":["x"],"new":1}"#;

    #[test]
    fn padding_and_unknown_keys_are_ignored() {
        let data = format!("\0\0{LINE}\n\0\0\0{}\n\0", LINE.replace("\"a\"", "\"b\""));
        let tests = parse_metadata(data.as_bytes()).unwrap();
        assert_eq!(tests.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tests[0].category, Category::InDevelopment);
    }

    #[test]
    fn bad_metadata_is_never_skipped() {
        for (data, why) in [
            (LINE.replace("\"vcpus\":1,", ""), "line 1: missing field `vcpus`"),
            (format!("{LINE}\n{{\n"), "line 2: EOF"),
            (format!("{LINE}\n{LINE}\n"), "a second test `a`"),
            (LINE.replace("\"a\"", "\"a,b\""), "not a valid test name"),
            (LINE.replace("in-development", "fun"), "unknown variant `fun`"),
            (LINE.replace("\"timeout_s\":3", "\"timeout_s\":0"), "timeout_s 0"),
            ("\0\n".into(), "describes no test"),
        ] {
            let error = parse_metadata(data.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
