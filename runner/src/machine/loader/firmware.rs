//! UEFI firmware for a machine, as the host's descriptors name it.
//!
//! QEMU defines the descriptors and where they are (docs/interop/firmware.json): JSON files, of
//! which the first one in the order of their names counts that fits. A file of the same name in a
//! folder of higher rank takes the place of another one, and an empty one takes it away.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::BootFile;
use crate::base::exit::{Error, IoContext, Result};

/// The machine that the firmware must be for: every descriptor of firmware for PCs knows it.
pub const CHIPSET: &str = "q35";
/// The same, as descriptors call it.
const MACHINE: &str = "pc-q35-";
const ARCHITECTURE: &str = "x86_64";
/// What Xen, which is not signed by anybody, or a plain machine has no use for.
const UNWANTED: [&str; 3] = ["enrolled-keys", "requires-smm", "secure-boot"];
/// How the formats of files begin that are not raw.
const QCOW2: &[u8] = b"QFI\xfb";
/// Names of the links in a boot's folder.
const CODE_LINK: &str = "firmware";
const VARIABLES_LINK: &str = "firmware-variables";
/// For who has none.
const REMEDY: &str = "install the package ovmf, or name an image or a descriptor in \
                      xtf-runner.toml with `firmware` of [qemu]";

/// Firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Its code, and its variables where they are in the same file.
    code: Image,
    /// What its variables are at first.
    variables: Option<Image>,
}

/// A file that a flash device of the machine shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Image {
    filename: PathBuf,
    format: String,
}

/// A descriptor, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    mode: Option<String>,
    executable: Option<Image>,
    nvram_template: Option<Image>,
}

#[derive(Debug, Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// The firmware that the user `wants`, or the first one of this host's that fits.
pub fn find(wanted: Option<&Path>) -> Result<Firmware> {
    match wanted {
        Some(path) => at(path),
        None => first_in(&folders()),
    }
}

/// The folders with descriptors, the one of the highest rank first.
fn folders() -> Vec<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| home.join(".config"));
    let own = variable("XDG_CONFIG_HOME").or_else(home);
    let all = own.into_iter().chain(["/etc".into(), "/usr/share".into()]);
    all.map(|folder: PathBuf| folder.join("qemu/firmware")).collect()
}

/// The first firmware that fits of those that descriptors in `folders` name.
fn first_in(folders: &[PathBuf]) -> Result<Firmware> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in folders.iter().rev() {
        let entries = match fs::read_dir(folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            entries => entries.io("read", folder)?,
        };
        for entry in entries {
            let path = entry.io("read", folder)?.path();
            if path.extension().is_some_and(|ext| ext == "json") {
                files.insert(path.file_name().unwrap_or_default().to_owned(), path);
            }
        }
    }
    let mut passed_over = Vec::new();
    for path in files.values() {
        let text = fs::read_to_string(path).io("read", path)?;
        if text.trim().is_empty() {
            continue;
        }
        match described_by(&text) {
            Ok(firmware) => return Ok(firmware),
            Err(why) => passed_over.push(format!("\n  {} {why}", path.display())),
        }
    }
    let folders: Vec<String> = folders.iter().map(|dir| dir.display().to_string()).collect();
    Err(Error::Tool(format!(
        "the loader efi needs UEFI firmware for QEMU, and no descriptor in {} is about one that \
         fits; {REMEDY}{}",
        folders.join(", "),
        passed_over.concat()
    )))
}

/// The firmware at `path`: a descriptor of it, or an image with code and perhaps variables.
fn at(path: &Path) -> Result<Firmware> {
    let bytes = fs::read(path).map_err(|e| {
        Error::Tool(format!("cannot read the firmware {}: {e}; {REMEDY}", path.display()))
    })?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        let described = described_by(&String::from_utf8_lossy(&bytes));
        return described.map_err(|why| {
            Error::Tool(format!("the firmware's descriptor {} {why}; {REMEDY}", path.display()))
        });
    }
    let format = if bytes.starts_with(QCOW2) { "qcow2" } else { "raw" };
    let filename = std::path::absolute(path).io("resolve", path)?;
    Ok(Firmware { code: Image { filename, format: format.into() }, variables: None })
}

/// The firmware that the descriptor `text` is about, or why it does not fit.
fn described_by(text: &str) -> std::result::Result<Firmware, String> {
    let Descriptor { interface_types, mapping, targets, features } =
        serde_json::from_str(text).map_err(|e| format!("is not read: {e}"))?;
    let is_for_us = |target: &Target| {
        target.architecture == ARCHITECTURE
            && target.machines.iter().any(|machine| machine.starts_with(MACHINE))
    };
    if !interface_types.iter().any(|interface| interface == "uefi") {
        return Err("is not about UEFI".into());
    }
    if !targets.iter().any(is_for_us) {
        return Err(format!("is for other machines than {MACHINE}* of {ARCHITECTURE}"));
    }
    if let Some(feature) = features.iter().find(|feature| UNWANTED.contains(&feature.as_str())) {
        return Err(format!("has the feature {feature}"));
    }
    let Mapping { device, mode, executable, nvram_template } = mapping;
    let mode = mode.as_deref().unwrap_or("split");
    let (code, variables) = match (device.as_str(), mode, executable, nvram_template) {
        ("flash", "split", Some(code), Some(variables)) => (code, Some(variables)),
        ("flash", "combined", Some(code), _) => (code, None),
        _ => return Err(format!("keeps no variables in flash (`{device}`, `{mode}`)")),
    };
    for image in [Some(&code), variables.as_ref()].into_iter().flatten() {
        if !image.filename.is_file() {
            return Err(format!("names {}, which does not exist", image.filename.display()));
        }
    }
    Ok(Firmware { code, variables })
}

impl Firmware {
    /// Its code's file.
    pub fn path(&self) -> &Path {
        &self.code.filename
    }

    /// QEMU's arguments. What the machine writes to its variables is gone with it.
    pub(super) fn args(&self) -> Vec<String> {
        let drive = |unit: u8, image: &Image, how: &str, link: &str| {
            let format = &image.format;
            format!("if=pflash,unit={unit},format={format},{how},file={link}")
        };
        let code = match self.variables {
            Some(_) => drive(0, &self.code, "readonly=on", CODE_LINK),
            None => drive(0, &self.code, "snapshot=on", CODE_LINK),
        };
        let variables = self.variables.iter();
        let variables = variables.map(|image| drive(1, image, "snapshot=on", VARIABLES_LINK));
        [code].into_iter().chain(variables).flat_map(|drive| ["-drive".into(), drive]).collect()
    }

    /// The links that the arguments refer to.
    pub(super) fn files(&self) -> Vec<BootFile> {
        let link =
            |at: &str, image: &Image| BootFile::Link { at: at.into(), to: image.filename.clone() };
        let variables = self.variables.iter().map(|image| link(VARIABLES_LINK, image));
        [link(CODE_LINK, &self.code)].into_iter().chain(variables).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A descriptor in the form that QEMU defines, of files in `dir`.
    fn descriptor(dir: &Path, machines: &str, features: &str, code: &str) -> String {
        let dir = dir.display();
        format!(
            r#"{{ "description": "x", "interface-types": ["uefi"],
                "mapping": {{ "device": "flash",
                    "executable": {{ "filename": "{dir}/{code}", "format": "raw" }},
                    "nvram-template": {{ "filename": "{dir}/vars.fd", "format": "qcow2" }} }},
                "targets": [ {{ "architecture": "x86_64", "machines": [{machines}] }} ],
                "features": [{features}], "tags": [] }}"#
        )
    }

    const PCS: &str = r#""pc-i440fx-*", "pc-q35-*""#;

    struct Host {
        dir: tempfile::TempDir,
    }

    impl Host {
        fn new() -> Host {
            let host = Host { dir: tempfile::tempdir().unwrap() };
            for file in ["code.fd", "other.fd", "vars.fd"] {
                host.write(file, "x");
            }
            host
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn descriptor(&self, name: &str, machines: &str, features: &str, code: &str) {
            self.write(name, &descriptor(self.dir.path(), machines, features, code));
        }

        fn first(&self) -> Result<Firmware> {
            first_in(&[self.path("home"), self.path("etc"), self.path("usr")])
        }
    }

    #[test]
    fn the_first_one_that_fits_counts() {
        let host = Host::new();
        host.descriptor("usr/40-a.json", PCS, r#""secure-boot", "enrolled-keys""#, "other.fd");
        host.descriptor("usr/45-b.json", r#""virt-*""#, "", "other.fd");
        host.descriptor("usr/50-c.json", PCS, r#""requires-smm""#, "other.fd");
        host.descriptor("usr/55-d.json", PCS, "", "gone.fd");
        host.write("usr/56-e.json", "no json");
        host.write("usr/57-f.txt", "no descriptor");
        host.descriptor("usr/60-g.json", PCS, r#""acpi-s3""#, "code.fd");
        host.descriptor("usr/70-h.json", PCS, "", "other.fd");
        let firmware = host.first().unwrap();
        assert_eq!(firmware.path(), host.path("code.fd"));
        assert_eq!(
            firmware.args(),
            [
                "-drive",
                "if=pflash,unit=0,format=raw,readonly=on,file=firmware",
                "-drive",
                "if=pflash,unit=1,format=qcow2,snapshot=on,file=firmware-variables",
            ]
        );
        let link = |at: &str, to| BootFile::Link { at: at.into(), to: host.path(to) };
        let links = [link("firmware", "code.fd"), link("firmware-variables", "vars.fd")];
        assert_eq!(firmware.files(), links);
    }

    #[test]
    fn a_folder_of_higher_rank_replaces_and_removes() {
        let host = Host::new();
        host.descriptor("usr/60-a.json", PCS, "", "other.fd");
        host.descriptor("usr/70-b.json", PCS, "", "other.fd");
        host.descriptor("etc/60-a.json", PCS, "", "gone.fd");
        host.write("home/60-a.json", "");
        host.descriptor("etc/70-b.json", PCS, "", "code.fd");
        assert_eq!(host.first().unwrap().path(), host.path("code.fd"));
    }

    #[test]
    fn a_host_without_is_told_what_to_install() {
        let host = Host::new();
        let none = host.first().unwrap_err();
        assert_eq!(none.exit(), crate::base::exit::Exit::Tool);
        assert!(none.to_string().contains("install the package ovmf"), "{none}");
        host.descriptor("usr/50-c.json", PCS, r#""requires-smm""#, "code.fd");
        let why = host.first().unwrap_err().to_string();
        assert!(why.contains("50-c.json has the feature requires-smm"), "{why}");
    }

    #[test]
    fn what_the_user_names() {
        let host = Host::new();
        let whole = find(Some(&host.path("code.fd"))).unwrap();
        assert_eq!(whole.args()[1], "if=pflash,unit=0,format=raw,snapshot=on,file=firmware");
        host.descriptor("mine.json", PCS, "", "code.fd");
        assert_eq!(find(Some(&host.path("mine.json"))).unwrap().args().len(), 4);
        host.descriptor("mine.json", PCS, r#""secure-boot""#, "code.fd");
        let why = find(Some(&host.path("mine.json"))).unwrap_err().to_string();
        assert!(why.contains("mine.json has the feature secure-boot; install"), "{why}");
        let gone = find(Some(&host.path("none.fd"))).unwrap_err();
        assert_eq!(gone.exit(), crate::base::exit::Exit::Tool);
    }
}
