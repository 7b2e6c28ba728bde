//! The functions of a Xen, by name and by source file, and their instructions.
//!
//! [`Build`] is a Xen together with the xen-syms of the same build, and gives the functions that
//! the user chose; [`code`] takes them apart. `coverage`, `fuzz` and `mutate` begin
//! here.

pub mod code;
mod files;
mod functions;
mod known;
mod table;
#[cfg(test)]
#[path = "../../../tests/fixtures/xen_build.rs"]
pub(crate) mod xen_build;

use std::fs;
use std::path::Path;

pub use files::{BootXen, XenFunction, XenSyms};
pub use functions::Preset;
pub use known::KnownSymbols;

use crate::base::exit::{Error, IoContext, Result};
use crate::plan::config::{Hypervisor, Origin};
use crate::xen::hypervisor::{self, Cache, XenFile};

/// A Xen and its xen-syms, known to belong together.
#[derive(Debug)]
pub struct Build {
    /// The Xen that boots.
    pub ready: XenFile,
    /// Its content.
    pub binary: BootXen,
    /// The xen-syms.
    pub syms: XenFile,
    /// What it says.
    pub symbols: XenSyms,
}

impl Build {
    /// Gets `xen` and its symbols: those at `explicit`, or those that the configuration names.
    pub fn obtain(xen: &Hypervisor, explicit: Option<&Path>, cache: &Cache) -> Result<Build> {
        if xen.loader.takes_efi() {
            return Err(Error::Usage(format!(
                "Xen {} is an EFI application, which is linked on its own: no xen-syms has its \
                 addresses; take its xen or xen.gz, with --loader direct",
                xen.name
            )));
        }
        // Notes go where they don't end up in anybody's output.
        let mut note = |text: &str| eprintln!("note: {text}");
        let ready = hypervisor::obtain(xen, cache, &mut note)?;
        let explicit = explicit.map(|path| Origin::Path(path.to_owned()));
        let origin = explicit.or_else(|| xen.symbols.clone());
        let origin = origin.ok_or_else(|| {
            Error::Usage(format!(
                "no symbols of Xen {}: name its xen-syms with --symbols, or in xtf-runner.toml \
                 with `symbols`",
                xen.name
            ))
        })?;
        let syms = hypervisor::obtain_symbols(&origin, &ready, cache, &mut note)?;
        let bytes = |path: &Path| fs::read(path).io("read", path);
        let symbols =
            XenSyms::parse(&bytes(&syms.path)?).map_err(|why| in_file(&syms.path, &why))?;
        let binary =
            BootXen::parse(bytes(&ready.path)?).map_err(|why| in_file(&ready.path, &why))?;
        binary.check_build(&symbols).map_err(|why| {
            let XenFile { path, provenance, .. } = &syms;
            let why = format!(
                "{why}, {provenance}; Xen and its symbols must be of one version: remove the older \
                 one from the cache ({})",
                path.display()
            );
            in_file(&ready.path, &why)
        })?;
        Ok(Build { ready, binary, syms, symbols })
    }

    /// The functions that the user chose, whose code is known to be in the Xen that boots.
    pub fn functions(&self, patterns: &[String], preset: Preset) -> Result<Vec<&XenFunction>> {
        let functions = functions::chosen(&self.symbols, patterns, preset)?;
        for function in &functions {
            self.binary.check_code(function).map_err(|why| in_file(&self.ready.path, &why))?;
        }
        Ok(functions)
    }
}

/// What is wrong with the file at `path`.
pub fn in_file(path: &Path, why: &str) -> Error {
    Error::Data(format!("{} {why}", path.display()))
}
