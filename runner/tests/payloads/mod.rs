//! Payloads as compilers make them: `patch.c`, compiled by this host's cc in several ways, with the
//! notes that binutils add.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use livepatch::abi::Revision;
use livepatch::payload::Target;
use livepatch::program::{Generator, Mix, Op};

/// How `payload show` is to judge a payload: it is taken, or refused with this error by this
/// function of Xen.
pub type Verdict = Option<(&'static str, &'static str)>;

/// A way to compile `patch.c`.
pub struct Shape {
    pub name: &'static str,
    pub flags: &'static [&'static str],
    pub verdict: Verdict,
}

const fn taken(name: &'static str, flags: &'static [&'static str]) -> Shape {
    Shape { name, flags, verdict: None }
}

const fn refused(
    name: &'static str,
    flags: &'static [&'static str],
    errno: &'static str,
    function: &'static str,
) -> Shape {
    Shape { name, flags, verdict: Some((errno, function)) }
}

/// What every payload needs: code that can be anywhere near Xen.
const PIC: [&str; 5] = [
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-jump-tables",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
];

/// A symbol of 127 characters, quoted for C.
const LONGEST: &str = concat!(
    "-DLONG_NAMES=\"a_symbol_of_127_characters__________________________________________________",
    "___________________________________________________\""
);

pub const SHAPES: [Shape; 16] = [
    taken("plain", &[]),
    taken("sections", &["-ffunction-sections", "-fdata-sections"]),
    taken("read-only", &["-DREAD_ONLY_FUNCTIONS"]),
    taken("hooks", &["-DHOOKS"]),
    taken("metadata", &["-DMETADATA"]),
    taken("long-names", &[LONGEST]),
    taken("data", &["-DDATA"]),
    taken("tables", &["-DTABLES"]),
    taken("not-optimised", &["-O0"]),
    taken("debug", &["-g"]),
    taken("branch-tracking", &["-fcf-protection=branch"]),
    taken("everything", &["-ffunction-sections", "-DHOOKS", "-DMETADATA", "-DDATA", "-DTABLES"]),
    refused("common", &["-fcommon", "-DCOMMON"], "EINVAL", "livepatch_elf_resolve_symbols"),
    refused(
        "not-pic",
        &["-fno-pic", "-mcmodel=kernel"],
        "EOPNOTSUPP",
        "arch_livepatch_perform_rela",
    ),
    refused("unknown-symbol", &["-DUNKNOWN_SYMBOL"], "ENOENT", "livepatch_elf_resolve_symbols"),
    refused("name-of-xens", &["-DNAME_OF_XENS"], "EEXIST", "build_symbol_table"),
];

/// Compiles it for the Xen with that build-id, into `dir`.
pub fn build(shape: &Shape, build_id: &[u8], dir: &Path) -> PathBuf {
    build_upon(shape, build_id, build_id, dir)
}

/// The same, to be applied upon the payload with the build-id `below`.
pub fn build_upon(shape: &Shape, below: &[u8], xen: &[u8], dir: &Path) -> PathBuf {
    let path = |name: &str| dir.join(format!("{}.{name}", shape.name));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/patch.c");
    let [object, noted, linked] =
        ["o", "noted.o", "livepatch"].map(|name| path(name).display().to_string());

    run(Command::new("cc")
        .args(["-c", "-O2", "-ffreestanding"])
        .args(PIC)
        .args(shape.flags)
        .args(["-o", &object, &source.display().to_string()]));
    let mut objcopy = Command::new("objcopy");
    for (name, id) in [(".livepatch.depends", below), (".livepatch.xen_depends", xen)] {
        let note = path(&name[1..]);
        fs::write(&note, note_of(id)).unwrap();
        objcopy.arg(format!("--add-section={name}={}", note.display()));
        objcopy.arg(format!("--set-section-flags={name}=alloc,readonly"));
    }
    run(objcopy.args([&object, &noted]));
    run(Command::new("ld").args(["-r", "--build-id=sha1", "-o", &linked, &noted]));
    PathBuf::from(linked)
}

fn note_of(build_id: &[u8]) -> Vec<u8> {
    let words = [4, u32::try_from(build_id.len()).unwrap(), 3];
    let mut note: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    note.extend(b"GNU\0");
    note.extend(build_id);
    note
}

fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// So many [`many`] makes.
const MANY: usize = 400;

/// Payloads for the Xen with that build-id, into `dir`: of many recipes, valid and not, and as
/// compilers make them. Of some the model cannot tell what Xen says: these are not for a real one.
pub fn many(build_id: &[u8], dir: &Path) -> Vec<PathBuf> {
    let target = Target::new(Revision::V2, build_id);
    let mut generator = Generator::new(1, Mix::PAYLOADS);
    let mut files: Vec<PathBuf> = SHAPES.iter().map(|shape| build(shape, build_id, dir)).collect();
    while files.len() < MANY {
        if let Op::Upload(upload) = generator.step().op {
            let path = dir.join(format!("recipe-{}.livepatch", files.len()));
            let bytes = upload.payload.to_bytes(&target);
            // The runner refuses what does not even begin like an ELF file.
            if bytes.starts_with(b"\x7fELF") {
                fs::write(&path, bytes).unwrap();
                files.push(path);
            }
        }
    }
    files
}
