//! The backend that the user chose: the few questions in which a run with the image as dom0 and one in
//! domains of xl differ.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::Plan;
use crate::base::exit::{Error, Result};
use crate::base::output::note;
use crate::base::signals::StopSignal;
use crate::cli::{BackendKind, RunArgs};
use crate::image::{Image, Role};
use crate::machine::Boot;
use crate::machine::accel::{self, Accel, KvmProbe};
use crate::machine::as_dom0::{AsDom0, as_it_is};
use crate::machine::backend::Backend;
use crate::machine::debug::Debug;
use crate::machine::qemu::{Kvm, Qemu};
use crate::machine::session::cpus;
use crate::machine::snapshot::FromSnapshot;
use crate::machine::xl::{Domains, Hosts, with_dom0};
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
        let cache = Cache::of_workspace(&config.workspace)?.looking(args.look());
        Ok(ChosenBackend { args, cache, qemu, version: String::new() })
    }

    /// The Xens that the user named.
    pub fn xens(&self, config: &Config) -> Result<Vec<Hypervisor>> {
        match self.args.backend {
            BackendKind::Qemu | BackendKind::QemuXl => config.select(&self.args.xen),
            BackendKind::Xl => Ok(self.given().0.into_iter().map(|xen| xen.hypervisor).collect()),
        }
    }

    /// What the image is to Xen.
    pub fn role(&self) -> Role {
        match self.args.backend {
            BackendKind::Qemu => Role::ControlDomain,
            BackendKind::Xl | BackendKind::QemuXl => Role::Unprivileged,
        }
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

    /// Gets what is current of the Xens and of what else they need.
    pub fn fetch(&self, xens: &[Hypervisor]) -> Result<()> {
        for xen in xens {
            let name = &xen.name;
            if self.args.backend == BackendKind::Qemu {
                let file = hypervisor::obtain(xen, &self.cache, &mut note)?;
                let cached = hypervisor::describe_cached(xen, &self.cache)?;
                let known = cached.unwrap_or(file.provenance);
                note(&format!("{name}: {} is {known}", file.elf.display()));
            } else {
                let (file, dom0) = with_dom0(xen, &self.cache)?;
                note(&format!("{name}: {} is {}", file.elf.display(), file.provenance));
                note(&format!("{name}: {} is {}", dom0.initramfs.display(), dom0.provenance));
            }
        }
        Ok(())
    }

    /// Checks that QEMU works as it is wanted, if it is needed; returns its description of itself.
    pub fn probe(&mut self) -> Result<&str> {
        if self.args.backend != BackendKind::Xl {
            self.version = self.qemu.probe()?;
            if let (Accel::Kvm, Some(why)) = (self.args.accel, accel::unusable()) {
                return Err(Error::Tool(format!("--accel kvm, but {why}; try --accel tcg")));
            }
        }
        Ok(&self.version)
    }

    /// Gets the Xens ready, and where domains run on them, if domains are to run.
    pub fn obtain(&self, xens: &[Hypervisor]) -> Result<(Vec<XenUnderTest>, Option<Hosts>)> {
        let (xens, hosts) = match self.args.backend {
            BackendKind::Qemu => {
                let ready = xens.iter().map(|xen| self.with_symbols(xen));
                return Ok((ready.collect::<Result<_>>()?, None));
            }
            BackendKind::Xl => self.given(),
            BackendKind::QemuXl => Hosts::booted(self.qemu.clone(), xens, &self.cache)?,
        };
        Ok((xens, Some(hosts)))
    }

    /// The Xen host that is there already, and its Xen.
    fn given(&self) -> (Vec<XenUnderTest>, Hosts) {
        Hosts::given(self.args.host.as_deref(), self.args.ssh_config.as_deref())
    }

    /// Gets a Xen, with its xen-syms where they are of use.
    fn with_symbols(&self, xen: &Hypervisor) -> Result<XenUnderTest> {
        let file = hypervisor::obtain(xen, &self.cache, &mut note)?;
        let symbols = self.symbols(xen, &file);
        Ok(XenUnderTest { symbols, ..XenUnderTest::new(xen, Some(file)) })
    }

    /// The xen-syms of `xen`: for a debugger any; else a file of the same build, for source lines.
    /// Debian's has no line tables, and without them Xen's own words say as much.
    fn symbols(&self, xen: &Hypervisor, file: &XenFile) -> Option<PathBuf> {
        let debug = self.qemu.debug != Debug::No;
        let fits = |origin: &&Origin| debug || matches!(origin, Origin::Path(_));
        let origin = xen.symbols.as_ref().filter(fits)?;
        let found = hypervisor::obtain_symbols(origin, file, &self.cache, &mut note);
        let why = match found {
            Ok(syms) if debug || same_build(&file.elf, &syms.elf) => {
                return Some(syms.elf);
            }
            Ok(_) => "its symbols belong to another build".to_owned(),
            Err(error) => error.to_string(),
        };
        note(&match debug {
            true => format!("continuing without Xen's symbols: {why}"),
            false => format!("no source lines for Xen {}'s messages: {why}", xen.name),
        });
        None
    }

    /// Finds out where KVM boots Xen, if the user leaves it to us; without `stop` it is not tried.
    pub fn accelerate(
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
        &'s self,
        hosts: Option<Hosts>,
        xens: &[XenUnderTest],
        boots: &[Boot<'_>],
        image: &Image,
        logs: &Path,
    ) -> Result<Box<dyn Backend + 's>> {
        Ok(match hosts {
            Some(hosts) => Box::new(self.domains(hosts, xens, image, logs)?),
            None => {
                let (qemu, version) = (&self.qemu, self.version.as_str());
                let dom0 = AsDom0 { qemu, version, prepare: &as_it_is };
                Box::new(FromSnapshot::new(dom0, boots, self.args.snapshot))
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
        plan: &Plan<'_>,
        xens: &[Hypervisor],
        image: &Image,
    ) -> Result<String> {
        if self.args.backend == BackendKind::Qemu {
            return self.commands(plan, xens, image);
        }
        self.probe()?;
        let (xens, hosts) = self.obtain(xens)?;
        let domains = hosts.map(|hosts| self.domains(hosts, &xens, image, Path::new("")));
        domains.transpose()?.map_or(Ok(String::new()), |domains| domains.plan(&plan.boots(&xens)))
    }

    fn commands(mut self, plan: &Plan<'_>, xens: &[Hypervisor], image: &Image) -> Result<String> {
        let xens = xens.iter().map(|xen| self.would_be(xen)).collect::<Result<Vec<_>>>()?;
        let boots = plan.boots(&xens);
        let are_there = xens.iter().all(|xen| xen.elf().is_some_and(Path::is_file));
        if self.args.accel == Accel::Auto && are_there {
            self.version = self.qemu.probe()?;
            self.accelerate(&boots, image, None, &mut |text| eprintln!("note: {text}"))?;
        }
        let command = |boot: &Boot<'_>| {
            let elf = &boot.xen.bootable()?.elf;
            Ok(self.qemu.invocation(boot).shell_anywhere(elf, &image.path) + "\n")
        };
        boots.iter().map(command).collect()
    }

    /// The Xen as it would be when it is obtained.
    fn would_be(&self, xen: &Hypervisor) -> Result<XenUnderTest> {
        let elf = match hypervisor::would_be(xen, &self.cache)? {
            Some(elf) => elf,
            None => hypervisor::obtain(xen, &self.cache, &mut note)?.elf,
        };
        if !elf.is_file() {
            eprintln!("note: Xen {} is not in the cache; download it with --fetch-only", xen.name);
        }
        Ok(XenUnderTest::new(xen, Some(XenFile::file(elf, String::new()))))
    }
}

fn same_build(xen: &Path, syms: &Path) -> bool {
    hypervisor::build_id(xen).is_some_and(|id| hypervisor::build_id(syms) == Some(id))
}
