//! The names for the debugger: Xen's and the guest's. Without them, gdb shows numbers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::exit::{IoContext, Result};
use crate::base::output::note;
use crate::cli::DebugArgs;
use crate::image::{self, stamp};
use crate::machine::logs::{IMAGE_LINK, XEN_LINK};
use crate::machine::recipe::Recipe;
use crate::machine::rewind::landmarks::Landmarks;
use crate::plan::config::{Config, Origin};
use crate::xen::hypervisor::{self, Cache, XenFile, XenUnderTest};

/// The files that have names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Of Xen.
    pub xen: Option<PathBuf>,
    /// Of the guest, with its source lines where there are any.
    pub guest: PathBuf,
    /// What can be recognised by the guest's.
    pub landmarks: Landmarks,
    /// Whether the guest has page tables of its own, below Xen's.
    pub is_hvm: bool,
}

/// Finds those of the boot of `recipe`, whose links are in the folder `dir`; says what is missing.
pub fn find(args: &DebugArgs, config: &Config, recipe: &Recipe, dir: &Path) -> Result<Symbols> {
    let of_xen = of_xen(args, config, recipe, dir);
    let xen = of_xen.map_err(|why| note(&format!("no names of Xen's functions: {why}"))).ok();
    let guest = of_guest(args, config, recipe, dir)?;
    let landmarks = Landmarks::of(&fs::read(&guest).io("read", &guest)?);
    Ok(Symbols { xen, guest, landmarks, is_hvm: recipe.environment.is_hvm() })
}

/// The xen-syms of the very build that booted; or why there is none.
fn of_xen(
    args: &DebugArgs,
    config: &Config,
    recipe: &Recipe,
    dir: &Path,
) -> std::result::Result<PathBuf, String> {
    const REMEDY: &str = "name its xen-syms with --symbols";
    let link = dir.join(XEN_LINK);
    let booted = link.canonicalize().map_err(|e| format!("{}: {e}; {REMEDY}", link.display()))?;
    let path = recipe.path.to_string_lossy().into_owned();
    // A Xen from a path is in no configuration under its name.
    let known = |name: &String| config.select(std::slice::from_ref(name)).ok()?.pop();
    let xen = known(&recipe.xen).or_else(|| known(&path));
    let xen = xen.ok_or_else(|| format!("no Xen {} is known here; {REMEDY}", recipe.xen))?;
    let explicit = args.symbols.as_ref().map(|path| Origin::Path(path.clone()));
    let origin = explicit.or_else(|| xen.symbols.clone());
    let origin = origin.ok_or_else(|| format!("the configuration has none; {REMEDY}"))?;
    let version = recipe.version.clone();
    let file = XenFile { path: booted, provenance: String::new(), version };
    let cache = Cache::at(&config.cache()).map_err(|e| e.to_string())?.looking(args.fetch.look());
    let found = hypervisor::obtain_symbols(&origin, &file, &cache, &mut note);
    let found = found.map_err(|e| e.to_string())?;
    let under_test = XenUnderTest::new(&xen, Some(file));
    match under_test.is_same_build(&found.path) {
        true => Ok(found.path),
        false => Err(format!("{} is of another build; {REMEDY}", found.path.display())),
    }
}

/// The image with all that a debugger reads, if it is the one that booted; else what booted.
fn of_guest(args: &DebugArgs, config: &Config, recipe: &Recipe, dir: &Path) -> Result<PathBuf> {
    let link = dir.join(IMAGE_LINK);
    let booted = fs::read(&link).io("read", &link)?;
    // Whatever its tests got as input.
    let bare = |image: Vec<u8>| stamp::stamp_input(&image, &[]).unwrap_or(image);
    let booted = bare(booted);
    let same = |image: &image::Image| {
        fs::read(&image.path).is_ok_and(|whole| bare(whole) == booted)
            || image.small().is_ok_and(|small| bare(small) == booted)
    };
    let found = image::find(args.places.image.as_deref(), &config.workspace);
    let found = found.ok();
    let image = found.as_ref().map(|image| image.of(recipe.environment));
    if let Some(image) = image.filter(|image| same(image)) {
        return Ok(image.path.clone());
    }
    note(
        "no source lines of the guest: the image that is here is not the one that booted, which has \
         names alone; name that one with --image",
    );
    link.canonicalize().io("resolve", &link)
}
