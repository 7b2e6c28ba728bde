//! The backend that runs the image in domains: on this machine, through ssh, or in a Linux dom0
//! that it boots itself under each Xen.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use protocol::cmdline::TESTS;

use super::dom0::Dom0;
use super::dom0::machine::RunningDom0;
use super::domain::Domain;
use super::place::{HostShell, Remote};
use super::site::{AgentRun, XenHost};
use crate::base::environment::Environment;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::shell::quote;
use crate::base::signals::StopSignal;
use crate::image::stamp::stamp;
use crate::image::{Image, without_debug_sections};
use crate::machine::boot::{ConsoleProcess, Limits};
use crate::machine::logs::BootLogs;
use crate::machine::qemu::{Kvm, Qemu};
use crate::machine::session::{Backend, Prepared};
use crate::plan::Boot;
use crate::plan::spec::join;

/// What a domain gets where nothing asks for more.
const MEMORY_MIB: u32 = 128;
/// For what the runner times by itself: this is only for when the runner does not.
const SLACK: Duration = Duration::from_secs(60);

/// Where the sites come from.
pub enum Source<'a> {
    /// One is there.
    Given {
        /// As the user calls it.
        name: String,
        /// How to reach it; `None` is this machine.
        remote: Option<Remote>,
    },
    /// One for each Xen, booted when it is needed first.
    Booted {
        /// How.
        qemu: &'a Qemu,
        /// On what.
        xens: Vec<BootedXen>,
        /// Folder for their logs.
        logs: PathBuf,
    },
}

/// A Xen with the dom0 that goes with it.
pub struct BootedXen {
    /// As the user calls it.
    pub name: String,
    /// Xen's file.
    pub elf: PathBuf,
    /// Where that came from.
    pub provenance: String,
    /// Its command line.
    pub cmdline: String,
    /// Its dom0.
    pub dom0: Dom0,
}

/// The backend.
pub struct Domains<'a> {
    source: Source<'a>,
    /// The image, without what only a debugger reads.
    image: Vec<u8>,
    /// Further words for the guest.
    guest_cmdline: String,
    /// By index of the Xen.
    sites: Vec<Mutex<Option<Arc<XenHost>>>>,
    /// Starts the names of all our domains.
    prefix: String,
    domains: AtomicUsize,
}

impl<'a> Domains<'a> {
    /// A backend for `image`, whose guests all get `guest_cmdline`.
    pub fn new(source: Source<'a>, image: &Image, guest_cmdline: String) -> Result<Domains<'a>> {
        let bytes = fs::read(&image.path).io("read", &image.path)?;
        let image = without_debug_sections(&bytes)
            .map_err(|why| Error::Data(format!("image {}: {why}", image.path.display())))?;
        let count = match &source {
            Source::Given { .. } => 1,
            Source::Booted { xens, .. } => xens.len(),
        };
        let sites = (0..count).map(|_| Mutex::new(None)).collect();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let prefix = format!("xtf-{}-{:04x}", std::process::id(), since.subsec_micros() & 0xffff);
        let domains = AtomicUsize::new(1);
        Ok(Domains { source, image, guest_cmdline, sites, prefix, domains })
    }

    /// The site of this index, made ready if need be: for the first time, or because Xen died.
    fn site(&self, xen: usize, stop: &StopSignal) -> Result<Arc<XenHost>> {
        let mut slot = self.sites[xen].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = slot.as_ref()
            && site.is_alive()
        {
            return Ok(Arc::clone(site));
        }
        // What is left of the old one goes first.
        *slot = None;
        let site = match &self.source {
            Source::Given { remote: None, .. } => {
                XenHost::open(HostShell::here()?, None, &self.image)?
            }
            Source::Given { remote: Some(remote), .. } => {
                XenHost::open(HostShell::beyond(remote)?, None, &self.image)?
            }
            Source::Booted { qemu, xens, logs } => {
                let BootedXen { name, elf, cmdline, dom0, .. } = &xens[xen];
                let folder = new_folder(logs, &format!("dom0-{name}"))?;
                let machine = RunningDom0::start(qemu, (elf, cmdline), dom0, &folder, stop)?;
                let place = HostShell::beyond(machine.remote())?;
                XenHost::open(place, Some(machine), &self.image)?
            }
        };
        Ok(Arc::clone(slot.insert(Arc::new(site))))
    }

    /// The domain for a boot. The image is copied for one that has to bear its command line.
    fn domain(&self, boot: &Boot<'_>, site: &XenHost) -> Result<Domain> {
        let number = self.domains.fetch_add(1, Ordering::Relaxed);
        let mut domain = self.domain_of(boot, number, site.image.clone());
        if boot.environment == Environment::Hvm64 {
            let stamped = stamp(&self.image, &domain.cmdline)?;
            domain.image = site.place.put(&format!("{}.image", domain.name), &stamped)?;
        }
        Ok(domain)
    }

    fn domain_of(&self, boot: &Boot<'_>, number: usize, image: String) -> Domain {
        let tests: Vec<&str> = boot.tests.iter().map(|test| test.word.as_str()).collect();
        let tests = format!("{TESTS}={}", tests.join(","));
        let machine = &boot.machine;
        Domain {
            name: format!("{}-{number}", self.prefix),
            environment: boot.environment,
            image,
            vcpus: machine.vcpus,
            memory_mib: machine.memory_mib.unwrap_or(MEMORY_MIB),
            cmdline: join([&tests, &machine.guest_cmdline, &self.guest_cmdline]),
        }
    }

    /// What would be done, as text.
    pub fn plan(&self, boots: &[Boot<'_>]) -> String {
        let mut text = String::new();
        let mut last = None;
        for (number, boot) in (1..).zip(boots) {
            if last.replace(boot.xen) != Some(boot.xen) {
                text += &match &self.source {
                    Source::Given { remote: None, .. } => "# on this machine\n".to_owned(),
                    Source::Given { remote: Some(remote), .. } => {
                        format!("# on {}\n", remote.destination)
                    }
                    Source::Booted { qemu, xens, .. } => {
                        let BootedXen { name, elf, cmdline, dom0, .. } = &xens[boot.xen];
                        let command = super::dom0::machine::invocation(qemu, cmdline, "KEY", 0);
                        format!(
                            "# in the dom0 of Xen {name}: {}\n# vmlinux is {}\n# initramfs is \
                             {}\n# {}\n",
                            elf.display(),
                            dom0.kernel.display(),
                            dom0.initramfs.display(),
                            command.shell()
                        )
                    }
                };
            }
            let domain = self.domain_of(boot, number, "FOLDER/xtf".into());
            text += &format!("# agent {} FOLDER/{0}.cfg\n", domain.name);
            if boot.environment == Environment::Hvm64 {
                text += &format!("# stamped into the image: {}\n", domain.cmdline);
            }
            text += &domain.configuration();
            text.push('\n');
        }
        text
    }

    /// Whether the machine below this Xen runs, if that is ours.
    pub fn is_powered(&self, xen: usize) -> bool {
        let slot = self.sites[xen].lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().is_some_and(|site| site.is_ours() && site.is_alive())
    }

    /// Whether xl still works there. A host that is silent takes a minute to be given up.
    pub fn answers(&self, xen: usize) -> bool {
        let slot = self.sites[xen].lock().unwrap_or_else(PoisonError::into_inner);
        let works = |site: &Arc<XenHost>| {
            let listed = site.place.run("xl list");
            site.is_alive() && listed.is_ok_and(|output| output.status.success())
        };
        slot.as_ref().is_some_and(works)
    }

    /// Ends the machines that are ours: the next domain gets a fresh one.
    pub fn power_off(&self) {
        for slot in &self.sites {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.take_if(|site| site.is_ours());
        }
    }

    /// Destroys what is left of our domains; returns their names.
    pub fn sweep(&self) -> Vec<String> {
        let mut left = Vec::new();
        for slot in &self.sites {
            let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(site) = slot.as_ref() else { continue };
            if site.is_ours() {
                continue;
            }
            let listed = site.place.run("xl list").map(|output| output.stdout).unwrap_or_default();
            for line in String::from_utf8_lossy(&listed).lines() {
                let name = line.split_whitespace().next().unwrap_or_default();
                if name.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with('-')) {
                    let _ = site.place.run(&format!("xl destroy {}", quote(name)));
                    left.push(name.to_owned());
                }
            }
        }
        left
    }
}

impl Backend for Domains<'_> {
    fn xen_name(&self, xen: usize) -> &str {
        match &self.source {
            Source::Given { name, .. } => name,
            Source::Booted { xens, .. } => &xens[xen].name,
        }
    }

    fn xen_file(&self, xen: usize) -> Option<&Path> {
        match &self.source {
            Source::Given { .. } => None,
            Source::Booted { xens, .. } => Some(&xens[xen].elf),
        }
    }

    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        let site = self.site(boot.xen, stop)?;
        let version = &site.capabilities.version;
        let (provenance, backend, mode) = match &self.source {
            Source::Given { name, .. } => (format!("Xen {version} of {name}"), "xl", "plain, real"),
            Source::Booted { qemu, xens, .. } => {
                let BootedXen { provenance, dom0, .. } = &xens[boot.xen];
                logs.decision(&format!("dom0: {}", dom0.provenance))?;
                let kvm = matches!(qemu.kvm, Kvm::Always);
                (provenance.clone(), "qemu-xl", if kvm { "plain, kvm" } else { "plain, tcg" })
            }
        };
        logs.decision(&format!("Xen: {provenance}\nxl info: Xen {version}"))?;
        let start = match site.capabilities.lacks(boot.environment) {
            Some(why) => Err(why),
            None => {
                let domain = self.domain(boot, &site)?;
                logs.decision(&domain.configuration())?;
                let times = boot.tests.iter().map(|test| (limits.test)(&test.name) + limits.boot);
                let limit = times.sum::<Duration>() + limits.boot + SLACK;
                let run = AgentRun::new(site, &domain, limit);
                let carrier: Box<dyn ConsoleProcess> = Box::new(run);
                Ok((carrier, boot.judge()))
            }
        };
        Ok(Prepared { provenance, backend, mode, note: None, start })
    }
}

/// A folder in `parent` that was not there: a Xen that dies is booted again.
fn new_folder(parent: &Path, name: &str) -> Result<PathBuf> {
    for number in 1.. {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let path = parent.join(name);
        match fs::create_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).io("create", &path),
            Ok(()) => return Ok(path),
        }
    }
    Err(Error::Usage(format!(
        "every folder name in {} is in use; remove old logs",
        parent.display()
    )))
}
