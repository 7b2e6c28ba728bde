//! The machine with the Linux dom0: Xen under QEMU, and the way in by ssh.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Dom0;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::{ChildGuard, Tool};
use crate::base::signals::StopSignal;
use crate::machine::logs::{XEN_LINK, module_links};
use crate::machine::qemu::{Invocation, Kvm, Qemu};
use crate::machine::xl::host_shell::{HostShell, Remote};
use crate::plan::config::Hypervisor;
use crate::plan::spec::join;
use crate::xen::hypervisor::XenUnderTest;

/// Names of the links in the machine's folder.
const KERNEL_LINK: &str = "vmlinux";
const INITRAMFS_LINK: &str = "initramfs";
/// What the dom0 says of itself on its console.
const READY: &str = "xtf-dom0: ready";
const FAILED: &str = "xtf-dom0: failed: ";
/// From power on to a working toolstack, which takes half a minute, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks at whether the user wants an end.
const BREATH: Duration = Duration::from_millis(100);
/// Between Xen's last words and the reset that it waits five seconds for, after which QEMU leaves.
const DEATH: Duration = Duration::from_secs(30);
/// Memory beside the dom0's, for Xen and domains.
const DOMAINS_MIB: u64 = 512;
/// What the machine is called in the configuration for ssh.
const ALIAS: &str = "xtf-dom0";
/// What QEMU says where somebody else has the port.
const PORT_TAKEN: &str = "host forwarding";
/// Somebody else may have taken the port by the time that QEMU wants it.
const TRIES: usize = 3;
/// Lines of the console that are quoted when it does not come up.
const QUOTED: usize = 12;

/// A running machine, which ends with this value.
pub struct RunningDom0 {
    qemu: ChildGuard,
    console: Arc<Console>,
    reader: Option<JoinHandle<()>>,
    remote: Remote,
    /// The key that lets the runner in.
    keys: Option<HostShell>,
}

/// What came over the serial line so far, and whether that was all.
#[derive(Default)]
struct Console {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// QEMU's command for a dom0 whose user has this public key, with ssh at this port of ours.
pub fn invocation(qemu: &Qemu, xen: &Hypervisor, dom0: &Dom0, key: &str, port: u16) -> Invocation {
    let kvm = matches!(qemu.kvm, Kvm::Always);
    let mut args: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["-no-user-config", "-nodefaults", "-display", "none", "-monitor", "none"]);
    add(&["-serial", "stdio", "-no-reboot", "-machine", "pc"]);
    let memory = dom0.memory_mib;
    let all = (memory + DOMAINS_MIB).to_string();
    add(&["-accel", if kvm { "kvm" } else { "tcg" }, "-m", &all, "-smp", "1"]);
    // The model on which Linux and Xen boot; they do without the two features.
    add(&["-cpu", if kvm { "host" } else { "EPYC,-smap,-monitor" }]);
    let net = format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22");
    add(&["-netdev", &net, "-device", "e1000,netdev=net,romfile="]);
    let own = format!(
        "console=com1 bootscrub=0 loglvl=all guest_loglvl=all dom0_max_vcpus=1 \
         dom0_mem={memory}M,max:{memory}M"
    );
    let xen_cmdline = join([&own, &xen.machine.xen_cmdline, &qemu.xen_cmdline]);
    let linux = format!("console=hvc0 quiet panic=1 nokaslr mitigations=off xtf.key={key}");
    let mut modules = format!("{KERNEL_LINK} {linux},{INITRAMFS_LINK}");
    for (_, link) in module_links(&xen.modules) {
        modules += ",";
        modules += &link;
    }
    add(&["-kernel", XEN_LINK, "-append", &xen_cmdline, "-initrd", &modules]);
    Invocation { program: qemu.binary.clone(), args, xen_cmdline, files: Vec::new() }
}

impl RunningDom0 {
    /// Starts the machine in the new folder `dir` and waits for its toolstack.
    pub fn start(
        qemu: &Qemu,
        xen: &XenUnderTest,
        dom0: &Dom0,
        dir: &Path,
        stop: &StopSignal,
    ) -> Result<RunningDom0> {
        fs::create_dir_all(dir).io("create", dir)?;
        let file = &xen.bootable()?.path;
        let links =
            [(file, XEN_LINK), (&dom0.kernel, KERNEL_LINK), (&dom0.initramfs, INITRAMFS_LINK)];
        let links = links.map(|(target, name)| (target.as_path(), name.to_owned()));
        for (target, name) in links.into_iter().chain(module_links(&xen.hypervisor.modules)) {
            symlink(target, dir.join(&name)).io("create", &dir.join(&name))?;
        }
        let (keys, public) = make_key()?;
        let mut tries = TRIES;
        let mut machine = loop {
            let port = free_port()?;
            let command = invocation(qemu, &xen.hypervisor, dom0, &public, port);
            let machine = RunningDom0::power_on(&command, &keys, port, dir)?;
            tries -= 1;
            match machine.wait_until_ready(dir, stop) {
                Ok(()) => break machine,
                Err(Error::Tool(why)) if tries > 0 && why.contains(PORT_TAKEN) => {}
                Err(e) => return Err(e),
            }
        };
        machine.keys = Some(keys);
        Ok(machine)
    }

    fn power_on(
        invocation: &Invocation,
        keys: &HostShell,
        port: u16,
        dir: &Path,
    ) -> Result<RunningDom0> {
        let create = |name: &str| {
            let path = dir.join(name);
            File::create(&path).io("create", &path)
        };
        writeln!(create("runner.log")?, "cd {} && {}", dir.display(), invocation.shell())
            .io("write", &dir.join("runner.log"))?;
        let (mut log, stderr) = (create("console.log")?, create("qemu.log")?);
        let mut command = Command::new(&invocation.program);
        command.args(&invocation.args).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);

        let console = Arc::new(Console::default());
        let (sender, receiver) = mpsc::channel();
        let heard = Arc::clone(&console);
        // QEMU dies with the thread that starts it: this one stays to the end.
        let reader = thread::spawn(move || {
            let spawned = ChildGuard::spawn(&mut command);
            let stdout = match spawned {
                Ok(mut qemu) => {
                    let stdout = qemu.child().stdout.take();
                    let _ = sender.send(Ok(qemu));
                    stdout
                }
                Err(e) => {
                    let _ = sender.send(Err(e));
                    None
                }
            };
            let mut buffer = [0; 4096];
            let mut stdout = stdout.into_iter();
            if let Some(mut stdout) = stdout.next() {
                while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                    let _ = log.write_all(&buffer[..count]);
                    heard.lock().0.extend_from_slice(&buffer[..count]);
                    heard.changed.notify_all();
                }
            }
            heard.lock().1 = true;
            heard.changed.notify_all();
        });
        let qemu = receiver.recv().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()));
        let qemu = qemu.map_err(|e| {
            Error::Tool(format!("cannot start {}: {e}", invocation.program.display()))
        })?;
        let key = key_of(keys);
        let config = key.with_file_name("config");
        fs::write(&config, ssh_config(port, &key)).io("write", &config)?;
        let remote = Remote::of(ALIAS, Some(&config));
        Ok(RunningDom0 { qemu, console, reader: Some(reader), remote, keys: None })
    }

    fn wait_until_ready(&self, dir: &Path, stop: &StopSignal) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.console.lock();
        let why = loop {
            let text = String::from_utf8_lossy(&state.0);
            if let Some((_, what)) = text.split_once(FAILED) {
                let what = what.lines().next().unwrap_or_default();
                break format!("`{what}` failed in the dom0");
            }
            if text.contains(READY) {
                return Ok(());
            }
            if state.1 {
                let log = dir.join("qemu.log");
                let said = fs::read_to_string(&log).unwrap_or_default();
                let said: Vec<&str> =
                    said.lines().filter(|line| !line.contains("TCG doesn't support")).collect();
                break format!("QEMU ended: {}", said.join("; "));
            }
            if stop.requested().is_some() {
                break "the run was stopped".into();
            }
            if Instant::now() > deadline {
                break format!("no toolstack within {} s of power on", PATIENCE.as_secs());
            }
            let waited = self.console.changed.wait_timeout(state, BREATH);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        let text = String::from_utf8_lossy(&state.0).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(QUOTED)..].join("\n    | ");
        Err(Error::Tool(format!(
            "the Linux dom0 did not start: {why}\n    | {tail}\n  full log: {}",
            dir.join("console.log").display()
        )))
    }

    /// How to get in.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The configuration for ssh by which it is reached.
    pub fn ssh_config(&self) -> Result<String> {
        let path = self.keys.as_ref().map(|keys| key_of(keys).with_file_name("config"));
        let path = path.unwrap_or_default();
        fs::read_to_string(&path).io("read", &path)
    }

    /// Whether QEMU still runs.
    pub fn is_alive(&self) -> bool {
        !self.console.lock().1
    }

    /// How much the serial line has said, for [`RunningDom0::xen_since`].
    pub fn mark(&self) -> usize {
        self.console.lock().0.len()
    }

    /// What Xen has said since then; a Xen that is dying gets the time to finish.
    pub fn xen_since(&self, mark: usize) -> Vec<u8> {
        let said = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes.get(mark..).unwrap_or_default()).into_owned();
            let lines = text.lines().filter(|line| line.starts_with("(XEN)"));
            lines.map(|line| format!("{}\n", line.trim_end())).collect::<String>()
        };
        let deadline = Instant::now() + DEATH;
        let mut state = self.console.lock();
        while !state.1 && said(&state.0).contains("Panic on CPU") && Instant::now() < deadline {
            let waited = self.console.changed.wait_timeout(state, BREATH);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        said(&state.0).into_bytes()
    }
}

impl Drop for RunningDom0 {
    fn drop(&mut self) {
        self.qemu.stop();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A key pair for one machine, and the public one as the word behind `ssh-ed25519`.
fn make_key() -> Result<(HostShell, String)> {
    let place = HostShell::here()?;
    let path = key_of(&place);
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"];
    Tool::new("ssh-keygen")
        .args(arguments)
        .arg(&path)
        .run()
        .map_err(|e| Error::Tool(format!("{e}; install openssh-client")))?;
    let public = path.with_extension("pub");
    let text = fs::read_to_string(&public).io("read", &public)?;
    let word = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
    Ok((place, word))
}

/// Where a private key is.
fn key_of(place: &HostShell) -> PathBuf {
    Path::new(place.folder()).join("key")
}

/// A configuration for ssh that knows the machine as [`ALIAS`], and leaves nothing to the user's.
///
/// The machine makes its own key when it is asked for it first: that nobody else answers is up to
/// the port, which only this machine's users reach.
fn ssh_config(port: u16, key: &Path) -> String {
    format!(
        "Host {ALIAS}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {}\n  \
         IdentitiesOnly yes\n  IdentityAgent none\n  StrictHostKeyChecking no\n  \
         UserKnownHostsFile /dev/null\n  HostKeyAlgorithms ssh-ed25519\n  LogLevel ERROR\n",
        key.display()
    )
}

/// A port that nobody listens on at this moment.
fn free_port() -> Result<u16> {
    let here = Path::new("a port of 127.0.0.1");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).io("find", here)?;
    Ok(listener.local_addr().io("find", here)?.port())
}
