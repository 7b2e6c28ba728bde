//! The backend that the user chose: the few questions in which a run with the image as dom0 and one
//! in domains of xl differ.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::base::exit::{Error, Exit, Result};
use crate::base::output::note;
use crate::base::signals::StopSignal;
use crate::cli::{BackendKind, RunArgs};
use crate::image::Image;
use crate::machine::accel::{self, Accel, KvmProbe};
use crate::machine::as_dom0::{AsDom0, as_it_is};
use crate::machine::backend::Backend;
use crate::machine::debug::Debug;
use crate::machine::plugin::Plugin;
use crate::machine::qemu::{Kvm, Qemu};
use crate::machine::session::cpus;
use crate::machine::snapshot::FromSnapshot;
use crate::machine::xl::{Domains, Hosts, with_dom0};
use crate::machine::{Boot, boots_on};
use crate::plan;
use crate::plan::config::{Config, Hypervisor, Origin};
use crate::xen::hypervisor::{self, Cache, XenFile, XenUnderTest};

/// See the module.
pub struct ChosenBackend<'a> {
    args: &'a RunArgs,
    cache: Cache,
    /// How QEMU boots, unless the Xen host is there already.
    qemu: Qemu,
    /// QEMU's description of itself, once it was asked.
    version: String,
}

impl<'a> ChosenBackend<'a> {
    /// The backend of `args`.
    pub fn of(args: &'a RunArgs, config: &Config) -> Result<Self> {
        let qemu = Qemu {
            // Until it is known better. Domains don't ask: it is not worth it for a single boot.
            kvm: if args.accel == Accel::Kvm { Kvm::Always } else { Kvm::Never },
            mode: args.boot,
            debug: args.debug(),
            guest_cmdline: args.cmdline.clone().unwrap_or_default(),
            xen_cmdline: args.xen_cmdline.clone().unwrap_or_default(),
            ..Qemu::of(args.qemu.as_deref(), config)
        };
        let cache = Cache::at(&config.cache())?.looking(args.look());
        Ok(ChosenBackend { args, cache, qemu, version: String::new() })
    }

    /// CPUs' worth of boots at a time.
    pub fn jobs(&self) -> NonZeroUsize {
        match (self.args.backend, self.qemu.debug) {
            (_, Debug::Keep) => NonZeroUsize::MIN,
            (BackendKind::Qemu, _) => self.args.jobs.unwrap_or_else(cpus),
            // A domain at a time, unless told otherwise: its Xen may be busy with other things.
            (BackendKind::Xl | BackendKind::QemuXl, _) => {
                self.args.jobs.unwrap_or(NonZeroUsize::MIN)
            }
        }
    }

    /// Checks that QEMU works as it is wanted, if it is needed.
    fn probe(&mut self) -> Result<()> {
        if self.args.backend != BackendKind::Xl {
            self.version = self.qemu.probe()?;
            if let (Accel::Kvm, Some(why)) = (self.args.accel, accel::unusable()) {
                return Err(Error::Tool(format!("--accel kvm, but {why}; try --accel tcg")));
            }
        }
        Ok(())
    }

    /// The plugin that makes a boot the same twice.
    pub fn plugin(&self, config: &Config) -> Result<Plugin> {
        Plugin::find(None, config, &self.qemu.binary)
    }

    /// QEMU's description of itself; empty where no QEMU takes part.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Gets the Xens ready, and where domains run on them, if domains are to run.
    pub fn obtain(&mut self, xens: &[Hypervisor]) -> Result<(Vec<XenUnderTest>, Option<Hosts>)> {
        self.probe()?;
        let (xens, hosts) = match self.args.backend {
            BackendKind::Qemu => {
                let ready = xens.iter().map(|xen| self.with_symbols(xen));
                return Ok((ready.collect::<Result<_>>()?, None));
            }
            BackendKind::Xl => {
                Hosts::given(self.args.host.as_deref(), self.args.ssh_config.as_deref())
            }
            BackendKind::QemuXl => Hosts::booted(self.qemu.clone(), xens, &self.cache)?,
        };
        Ok((xens, Some(hosts)))
    }

    /// Gets a Xen, with its xen-syms where they are of use.
    fn with_symbols(&self, xen: &Hypervisor) -> Result<XenUnderTest> {
        let file = hypervisor::obtain(xen, &self.cache, &mut note)?;
        let xen = XenUnderTest::new(xen, Some(file));
        Ok(XenUnderTest { symbols: self.symbols(&xen), ..xen })
    }

    /// The xen-syms of `xen`: for a debugger any; else a file of the same build, for source lines.
    /// Debian's has no line tables, and without them Xen's own words say as much.
    fn symbols(&self, xen: &XenUnderTest) -> Option<PathBuf> {
        let debug = self.qemu.debug != Debug::No;
        if xen.hypervisor.loader.takes_efi() {
            if debug {
                note(&format!(
                    "continuing without Xen's symbols: Xen {} is an EFI application, which is \
                     linked on its own, so no xen-syms has its addresses",
                    xen.name()
                ));
            }
            return None;
        }
        let fits = |origin: &&Origin| debug || matches!(origin, Origin::Path(_));
        let origin = xen.hypervisor.symbols.as_ref().filter(fits)?;
        let file = xen.file.as_ref()?;
        let found = hypervisor::obtain_symbols(origin, file, &self.cache, &mut note);
        let why = match found {
            Ok(syms) if debug || xen.is_same_build(&syms.path) => return Some(syms.path),
            Ok(_) => "its symbols belong to another build".to_owned(),
            // Nobody has said that the Xen's package has them, too.
            Err(_) if !debug && is_within(&xen.hypervisor.origin, origin) => return None,
            Err(error) => error.to_string(),
        };
        note(&match debug {
            true => format!("continuing without Xen's symbols: {why}"),
            false => format!("no source lines for Xen {}'s messages: {why}", xen.name()),
        });
        None
    }

    /// Finds out where KVM boots Xen, if the user leaves it to us; without `stop` it is not tried.
    fn accelerate(
        &mut self,
        boots: &[Boot<'_>],
        image: &Image,
        stop: Option<&StopSignal>,
        note: &mut dyn FnMut(&str),
    ) -> Result<()> {
        if self.args.backend == BackendKind::Qemu && self.args.accel == Accel::Auto {
            let ChosenBackend { qemu, version, cache, .. } = &*self;
            self.qemu.kvm = KvmProbe { qemu, version, image, cache }.ask(boots, stop, note)?;
        }
        Ok(())
    }

    /// What carries out `boots`, which are on `xens`; further machines have their logs in `logs`.
    pub fn start<'s>(
        &'s mut self,
        hosts: Option<Hosts>,
        xens: &[XenUnderTest],
        boots: &[Boot<'_>],
        image: &Image,
        logs: &Path,
        stop: &StopSignal,
    ) -> Result<Box<dyn Backend + 's>> {
        self.accelerate(boots, image, Some(stop), &mut note)?;
        Ok(match hosts {
            Some(hosts) => Box::new(self.domains(hosts, xens, image, logs)?),
            None => {
                let (qemu, version) = (&self.qemu, self.version.as_str());
                let dom0 = AsDom0 { qemu, version, prepare: &as_it_is };
                Box::new(FromSnapshot::new(dom0, boots, self.args.snapshot)?)
            }
        })
    }

    fn domains(
        &self,
        hosts: Hosts,
        xens: &[XenUnderTest],
        image: &Image,
        logs: &Path,
    ) -> Result<Domains> {
        Domains::new(hosts, xens, image, self.qemu.guest_cmdline.clone(), logs)
    }

    /// What a run would do, as text: its commands, or its domains.
    pub fn dry_run(
        mut self,
        planned: &[plan::Boot<'_, Hypervisor>],
        xens: &[Hypervisor],
        image: &Image,
    ) -> Result<String> {
        if self.args.backend == BackendKind::Qemu {
            let xens = xens.iter().map(|xen| self.would_be(xen)).collect::<Result<Vec<_>>>()?;
            let are_there = xens.iter().all(|xen| xen.path().is_some_and(Path::is_file));
            return self.commands(&boots_on(planned, &xens), are_there, image);
        }
        let (xens, hosts) = self.obtain(xens)?;
        let domains = hosts.map(|hosts| self.domains(hosts, &xens, image, Path::new("")));
        let boots = boots_on(planned, &xens);
        domains.transpose()?.map_or(Ok(String::new()), |domains| domains.plan(&boots))
    }

    /// The commands for `boots`, of Xens that `are_there` already or are to be downloaded.
    fn commands(mut self, boots: &[Boot<'_>], are_there: bool, image: &Image) -> Result<String> {
        if self.args.accel == Accel::Auto && are_there {
            self.version = self.qemu.probe()?;
            self.accelerate(boots, image, None, &mut |text| eprintln!("note: {text}"))?;
        }
        let command = |boot: &Boot<'_>| {
            let path = &boot.xen.bootable()?.path;
            let invocation = self.qemu.invocation(boot)?;
            Ok(invocation.shell_anywhere(
                path,
                &boot.xen.hypervisor,
                &image.of(boot.environment).path,
            ) + "\n")
        };
        boots.iter().map(command).collect()
    }

    /// The Xen as it would be when it is obtained.
    fn would_be(&self, xen: &Hypervisor) -> Result<XenUnderTest> {
        let path = match hypervisor::would_be(xen, &self.cache)? {
            Some(path) => path,
            None => hypervisor::obtain(xen, &self.cache, &mut note)?.path,
        };
        if !path.is_file() {
            eprintln!("note: Xen {} is not in the cache; download it with --fetch-only", xen.name);
        }
        Ok(XenUnderTest::new(xen, Some(XenFile::file(path, String::new()))))
    }
}

/// Gets what is current of the Xens that `args` name, and of what else they need.
pub fn fetch(args: &RunArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?.loading(args.loader.loader);
    let cache = Cache::at(&config.cache())?.looking(args.look());
    for xen in &config.select(&args.xen)? {
        let name = &xen.name;
        if args.backend == BackendKind::Qemu {
            let file = hypervisor::obtain(xen, &cache, &mut note)?;
            let cached = hypervisor::describe_cached(xen, &cache)?;
            let known = cached.unwrap_or(file.provenance);
            note(&format!("{name}: {} is {known}", file.path.display()));
        } else {
            let (file, dom0) = with_dom0(xen, &[], &cache)?;
            note(&format!("{name}: {} is {}", file.path.display(), file.provenance));
            note(&format!("{name}: {} is {}", dom0.initramfs.display(), dom0.provenance));
        }
    }
    Ok(Exit::Success)
}

/// Whether `origin` is the file `package`, or one in it.
fn is_within(origin: &Origin, package: &Origin) -> bool {
    matches!((origin, package), (Origin::Path(path), Origin::Path(file)) if path.starts_with(file))
}
