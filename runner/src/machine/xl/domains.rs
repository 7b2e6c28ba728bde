//! The backend that runs the image in domains: on this machine, through ssh, or in a Linux dom0
//! that it boots itself under each Xen.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use protocol::cmdline::TESTS;

use super::Hosts;
use super::dom0::Dom0;
use super::dom0::machine::{RunningDom0, invocation};
use super::domain::Domain;
use super::host_shell::HostShell;
use super::xen_host::{AgentRun, XenHost};
use crate::base::exit::{Error, IoContext, Result};
use crate::base::shell::quote;
use crate::base::signals::StopSignal;
use crate::image::Image;
use crate::image::stamp::stamp;
use crate::machine::Boot;
use crate::machine::backend::{Backend, Prepared, judge_of};
use crate::machine::boot::{ConsoleProcess, Limits};
use crate::machine::command_lines;
use crate::machine::logs::BootLogs;
use crate::machine::qemu::Kvm;
use crate::plan::spec::join;
use crate::xen::hypervisor::XenUnderTest;

/// What a domain gets where nothing asks for more.
const MEMORY_MIB: u32 = 128;
/// For what the runner times by itself: this is only for when the runner does not.
const SLACK: Duration = Duration::from_secs(60);

/// A Xen host, once it is ready.
type Site = Mutex<Option<Arc<XenHost>>>;

/// The backend.
pub struct Domains {
    hosts: Hosts,
    /// By the Xen's name.
    sites: BTreeMap<String, Site>,
    /// The image, without what only a debugger reads.
    image: Vec<u8>,
    /// That for 32-bit guests, if there is one.
    narrow: Option<Vec<u8>>,
    /// Further parameters for the guest.
    guest_cmdline: String,
    /// Folder for the logs of machines that are booted.
    logs: PathBuf,
    /// Starts the names of all our domains.
    prefix: String,
    domains: AtomicUsize,
}

impl Domains {
    /// A backend for `image` on `hosts`, whose guests all get `guest_cmdline`.
    pub fn new(
        hosts: Hosts,
        xens: &[XenUnderTest],
        image: &Image,
        guest_cmdline: String,
        logs: &Path,
    ) -> Result<Domains> {
        let narrow = image.narrow.as_ref().map(|narrow| narrow.small()).transpose()?;
        let image = image.small()?;
        let sites = xens.iter().map(|xen| (xen.name().to_owned(), Site::default())).collect();
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let prefix = format!("xtf-{}-{:04x}", std::process::id(), since.subsec_micros() & 0xffff);
        let (logs, domains) = (logs.to_owned(), AtomicUsize::new(1));
        Ok(Domains { hosts, sites, image, narrow, guest_cmdline, logs, prefix, domains })
    }

    fn slot(&self, xen: &XenUnderTest) -> MutexGuard<'_, Option<Arc<XenHost>>> {
        self.sites[xen.name()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host of this Xen, made ready if need be: for the first time, or because Xen died.
    fn site(&self, xen: &XenUnderTest, stop: &StopSignal) -> Result<Arc<XenHost>> {
        let mut slot = self.slot(xen);
        if let Some(site) = slot.as_ref()
            && site.is_alive()
        {
            return Ok(Arc::clone(site));
        }
        // What is left of the old one goes first.
        *slot = None;
        let site = match &self.hosts {
            Hosts::Given(remote) => {
                let place = remote.as_ref().map_or_else(HostShell::here, HostShell::beyond)?;
                XenHost::open(place, None, &self.image)?
            }
            Hosts::Booted { qemu, dom0s } => {
                let folder = new_folder(&self.logs, &format!("dom0-{}", xen.name()))?;
                let dom0 = &dom0s[xen.name()];
                let machine = RunningDom0::start(qemu, xen, dom0, &folder, stop)?;
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
        let bears_its_line = domain.bears_its_line();
        if bears_its_line || boot.environment.is_32bit() {
            let narrow = self.narrow.as_ref().filter(|_| boot.environment.is_32bit());
            let image = narrow.unwrap_or(&self.image);
            let line = if bears_its_line { domain.cmdline.as_str() } else { "" };
            let stamped = stamp(image, line)?;
            domain.image = site.place.put(&format!("{}.image", domain.name), &stamped)?;
        }
        Ok(domain)
    }

    fn domain_of(&self, boot: &Boot<'_>, number: usize, image: String) -> Domain {
        let tests: Vec<&str> = boot.tests.iter().map(|test| test.selector.as_str()).collect();
        let tests = format!("{TESTS}={}", tests.join(","));
        let machine = &boot.machine;
        Domain {
            name: format!("{}-{number}", self.prefix),
            environment: boot.environment,
            image,
            vcpus: machine.vcpus,
            memory_mib: machine.memory_mib.unwrap_or(MEMORY_MIB),
            cmdline: join([
                &tests,
                &command_lines::environment_word(boot.environment),
                &machine.guest_cmdline,
                &self.guest_cmdline,
            ]),
        }
    }

    /// What would be done, as text.
    pub fn plan(&self, boots: &[Boot<'_>]) -> Result<String> {
        let mut text = String::new();
        let mut last = None;
        for (number, boot) in (1..).zip(boots) {
            if last.replace(boot.xen.name()) != Some(boot.xen.name()) {
                text += &self.describe(boot.xen)?;
            }
            let domain = self.domain_of(boot, number, "FOLDER/xtf".into());
            text += &format!("# agent {} FOLDER/{0}.cfg\n", domain.name);
            if domain.bears_its_line() {
                text += &format!("# stamped into the image: {}\n", domain.cmdline);
            }
            text += &domain.configuration();
            text.push('\n');
        }
        Ok(text)
    }

    /// Where the domains on `xen` are going to run.
    fn describe(&self, xen: &XenUnderTest) -> Result<String> {
        Ok(match &self.hosts {
            Hosts::Given(None) => "# on this machine\n".to_owned(),
            Hosts::Given(Some(remote)) => format!("# on {}\n", remote.destination),
            Hosts::Booted { qemu, dom0s } => {
                let dom0 @ Dom0 { kernel, initramfs, .. } = &dom0s[xen.name()];
                format!(
                    "# in the dom0 of Xen {}: {}\n# vmlinux is {}\n# initramfs is {}\n# {}\n",
                    xen.name(),
                    xen.bootable()?.path.display(),
                    kernel.display(),
                    initramfs.display(),
                    invocation(qemu, &xen.hypervisor, dom0, "KEY", 0).shell()
                )
            }
        })
    }

    /// Whether the machine below this Xen runs, if that is ours.
    pub fn is_powered(&self, xen: &XenUnderTest) -> bool {
        self.slot(xen).as_ref().is_some_and(|site| site.is_ours() && site.is_alive())
    }

    /// Whether xl still works there. A host that is silent takes a minute to be given up.
    pub fn answers(&self, xen: &XenUnderTest) -> bool {
        let works = |site: &Arc<XenHost>| {
            let listed = site.place.run("xl list");
            site.is_alive() && listed.is_ok_and(|output| output.status.success())
        };
        self.slot(xen).as_ref().is_some_and(works)
    }

    /// Ends the machines that are ours: the next domain gets a fresh one.
    pub fn power_off(&self) {
        for slot in self.sites.values() {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.take_if(|site| site.is_ours());
        }
    }
}

impl Backend for Domains {
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        let site = self.site(boot.xen, stop)?;
        let version = &site.capabilities.version;
        let name = boot.xen.name();
        let (provenance, backend, loader, mode) = match &self.hosts {
            Hosts::Given(_) => (format!("Xen {version} of {name}"), "xl", None, "plain, real"),
            Hosts::Booted { qemu, dom0s } => {
                logs.decision(&format!("dom0: {}", dom0s[name].provenance))?;
                let provenance = boot.xen.bootable()?.provenance.clone();
                let kvm = qemu.kvm == Kvm::Always;
                let loader = Some(boot.xen.hypervisor.loader);
                (provenance, "qemu-xl", loader, if kvm { "plain, kvm" } else { "plain, tcg" })
            }
        };
        logs.decision(&format!("Xen: {provenance}\nxl info: Xen {version}"))?;
        let start = match site.capabilities.lacks(boot.environment) {
            Some(why) => Err(why),
            None => {
                let domain = self.domain(boot, &site)?;
                logs.decision(&domain.configuration())?;
                let times = boot.tests.iter().map(|test| (limits.test)(test.name()) + limits.boot);
                let limit = times.sum::<Duration>() + limits.boot + SLACK;
                let run = AgentRun::new(site, &domain, limit);
                let carrier: Box<dyn ConsoleProcess> = Box::new(run);
                Ok((carrier, judge_of(boot)))
            }
        };
        Ok(Prepared { provenance, backend, loader, mode, note: None, start })
    }

    fn sweep(&self) -> Vec<String> {
        let mut left = Vec::new();
        for slot in self.sites.values() {
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
