//! Folders and files that a run leaves behind.
//!
//! ```text
//! logs/20260102-030405/001-4.17-pv64/{console,guest,xen,runner,qemu}.log, boot.json, xen, xtf
//! logs/20260102-030405/xtf
//! logs/latest -> 20260102-030405
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::image::{Image, SUFFIX_32};
use crate::judge::splitter::{Line, Speaker};
use crate::xen::hypervisor::XenUnderTest;

/// Name of the link to Xen in a boot's folder.
pub const XEN_LINK: &str = "xen";
/// Name of the link to the image in a boot's folder.
pub const IMAGE_LINK: &str = "xtf";
/// Name of the link to the initrd in a boot's folder, where there is one.
pub const INITRD_LINK: &str = "initrd";

/// What the console said, byte for byte.
pub const CONSOLE: &str = "console.log";

/// The folder of a run.
#[derive(Debug)]
pub struct RunLogs {
    dir: PathBuf,
    /// What its boots boot.
    images: [OnceLock<PathBuf>; 2],
}

impl RunLogs {
    /// A new folder below `base`, with `latest` pointing to it.
    ///
    /// Whoever sees the folder may send a signal: `_heard` is there to hear it.
    pub fn create(base: &Path, _heard: &StopSignal) -> Result<RunLogs> {
        let refused = |source| {
            let what =
                format!("cannot create a folder in {} (--logs names another)", base.display());
            Error::Io { what, source }
        };
        fs::create_dir_all(base).map_err(refused)?;
        let folder = base.canonicalize().io("resolve", base)?;
        let stamp = chrono::Local::now().format("%Y%m%d-%H%M%S").to_string();
        let names = std::iter::once(stamp.clone()).chain((2..1000).map(|n| format!("{stamp}-{n}")));
        for name in names {
            let dir = folder.join(&name);
            match fs::create_dir(&dir) {
                Ok(()) => {
                    point_latest(&folder, &name)?;
                    return Ok(RunLogs { dir, images: Default::default() });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(refused(e)),
            }
        }
        Err(Error::Usage(format!(
            "every folder name for this second is in use in {}",
            base.display()
        )))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What boots instead of the run's image: a copy in this folder, without what only a debugger
    /// reads, which is most of it and would be loaded at each boot. A boot can be repeated with it
    /// whatever becomes of the image. Where there can be no copy, it is the image itself.
    pub fn small(&self, image: &Image) -> &Path {
        self.images[usize::from(image.is_32bit)].get_or_init(|| {
            let suffix = if image.is_32bit { SUFFIX_32 } else { "" };
            let copy = self.dir.join(format!("{IMAGE_LINK}{suffix}"));
            if image.small().is_ok_and(|small| fs::write(&copy, small).is_ok()) {
                return copy;
            }
            let _ = fs::remove_file(copy);
            image.path.clone()
        })
    }

    /// The path of the folder for boot `number`, called after `title`.
    pub fn boot(&self, number: usize, title: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
        let title: String = title.chars().map(plain).take(80).collect();
        self.dir.join(format!("{number:03}-{title}"))
    }
}

/// Replaces the link in one step, so that it is never missing.
fn point_latest(base: &Path, name: &str) -> Result<()> {
    let scratch = base.join(format!(".latest-{}", std::process::id()));
    let latest = base.join("latest");
    let _ = fs::remove_file(&scratch);
    symlink(name, &scratch).io("create", &scratch)?;
    fs::rename(&scratch, &latest).io("create", &latest)
}

/// Makes the links in `dir` that a boot's command refers to.
pub fn link(dir: &Path, xen: Option<&Path>, modules: &[PathBuf], image: &Path) -> Result<()> {
    for (target, link) in links(xen, modules, image) {
        let link = dir.join(link);
        symlink(target, &link).io("create", &link)?;
    }
    Ok(())
}

/// The files that a boot's command refers to, and by what names.
pub fn links<'p>(
    xen: Option<&'p Path>,
    modules: &'p [PathBuf],
    image: &'p Path,
) -> impl Iterator<Item = (&'p Path, String)> {
    let own = xen.map(|xen| (xen, XEN_LINK)).into_iter().chain([(image, IMAGE_LINK)]);
    own.map(|(target, name)| (target, name.to_owned())).chain(module_links(modules))
}

/// The Xen's own modules, and the names of the links to them.
pub fn module_links(modules: &[PathBuf]) -> impl Iterator<Item = (&Path, String)> {
    let named = |(number, module)| (PathBuf::as_path(module), format!("module-{number}"));
    (1..).zip(modules).map(named)
}

/// Makes the link in `dir` to a file that the image is to get as its initrd.
pub fn link_initrd(dir: &Path, initrd: &Path) -> Result<()> {
    let link = dir.join(INITRD_LINK);
    symlink(initrd, &link).io("create", &link)
}

/// The files that the boot whose folder is `dir` needs: their names there, and where they are.
pub fn linked(dir: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).io("read", dir)? {
        let entry = entry.io("read", dir)?;
        let path = entry.path();
        if !path.is_symlink() {
            continue;
        }
        let target = path.canonicalize().map_err(|e| {
            Error::Data(format!(
                "{} leads to what is no longer there ({e}); run the test again, and debug that boot",
                path.display()
            ))
        })?;
        files.push((entry.file_name().into(), target));
    }
    Ok(files)
}

/// Makes in the folder `to` the links of the boot whose folder is `from`.
pub fn link_again(from: &Path, to: &Path) -> Result<()> {
    for (name, target) in linked(from)? {
        let link = to.join(name);
        symlink(target, &link).io("create", &link)?;
    }
    Ok(())
}

/// Takes those of the files `names` out of the folder `dir` that are there.
pub fn remove(dir: &Path, names: &[&str]) -> Result<()> {
    for name in names {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).io("remove", &path),
            _ => {}
        }
    }
    Ok(())
}

/// The files of a boot.
#[derive(Debug)]
pub struct BootLogs {
    dir: PathBuf,
    console: Log,
    guest: Log,
    xen: Log,
    runner: Log,
}

impl BootLogs {
    /// A new folder `dir`, with the links that a boot's command refers to, if it has one.
    pub fn create(
        dir: PathBuf,
        xen: Option<&XenUnderTest>,
        image: Option<&Path>,
    ) -> Result<BootLogs> {
        fs::create_dir(&dir).io("create", &dir)?;
        if let Some(image) = image {
            let modules = xen.map_or(&[][..], |xen| &xen.hypervisor.modules);
            link(&dir, xen.and_then(XenUnderTest::path), modules, image)?;
        }
        let open = |name: &str| Log::create(dir.join(name));
        Ok(BootLogs {
            console: open(CONSOLE)?,
            guest: open("guest.log")?,
            xen: open("xen.log")?,
            runner: open("runner.log")?,
            dir,
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file for the complaints of what carries the boot, which is called `name`.
    pub fn stderr(&self, name: &str) -> Result<(File, PathBuf)> {
        let path = self.dir.join(format!("{name}.log"));
        Ok((File::create(&path).io("create", &path)?, path))
    }

    /// Console bytes, untouched.
    pub fn console(&mut self, bytes: &[u8]) -> Result<()> {
        self.console.write(bytes)
    }

    /// A clean line, to the log of whoever printed it.
    pub fn line(&mut self, line: &Line) -> Result<()> {
        let log = match line.speaker {
            Speaker::Xen => &mut self.xen,
            Speaker::Guest => &mut self.guest,
        };
        log.write(line.text.as_bytes())?;
        log.write(b"\n")
    }

    /// What the runner does and decides.
    pub fn decision(&mut self, text: &str) -> Result<()> {
        self.runner.write(text.as_bytes())?;
        self.runner.write(b"\n")
    }

    /// Puts everything on disk, for a person who looks on.
    pub fn flush(&mut self) -> Result<()> {
        for log in [&mut self.console, &mut self.guest, &mut self.xen, &mut self.runner] {
            log.file.flush().io("write", &log.path)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Log {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Log {
    fn create(path: PathBuf) -> Result<Log> {
        let file = BufWriter::new(File::create(&path).io("create", &path)?);
        Ok(Log { file, path })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).io("write", &self.path)
    }
}
