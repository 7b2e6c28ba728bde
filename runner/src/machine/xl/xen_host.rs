//! A Xen host that is ready for domains, and the agent that runs one there.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::capabilities::Capabilities;
use super::dom0::machine::RunningDom0;
use super::domain::Domain;
use super::host_shell::HostShell;
use crate::base::exit::{Error, Result};
use crate::base::process::ChildGuard;
use crate::base::shell::{self, quote};
use crate::machine::boot::{ConsoleProcess, describe};

/// Runs a domain, where xl is.
const AGENT: &str = include_str!("agent.sh");

/// Time for xl to destroy a domain, under emulation and load too; longer than the agent tries.
const PATIENCE: Duration = Duration::from_secs(180);

/// See the module.
pub struct XenHost {
    /// Where.
    pub place: HostShell,
    /// What it can run.
    pub capabilities: Capabilities,
    /// The image's path there.
    pub image: String,
    agent: String,
    /// The machine under it, if that is ours.
    machine: Option<RunningDom0>,
}

impl XenHost {
    /// Brings the agent and `image` to `place`, which is on `machine` if that is ours.
    pub fn open(place: HostShell, machine: Option<RunningDom0>, image: &[u8]) -> Result<XenHost> {
        let output = place.run("xl info")?;
        let info = String::from_utf8_lossy(&output.stdout);
        let capabilities = Capabilities::parse(&info).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            let here = place.destination().unwrap_or("this machine");
            Error::Tool(format!(
                "`xl info` fails on {here}: {}\n--backend xl needs a Xen host and root on it; \
                 without one, use --backend qemu-xl",
                said.trim()
            ))
        })?;
        let agent = place.put("agent", AGENT.as_bytes())?;
        let image = place.put("xtf", image)?;
        Ok(XenHost { place, capabilities, image, agent, machine })
    }

    /// Whether domains can still run here.
    pub fn is_alive(&self) -> bool {
        self.machine.as_ref().is_none_or(RunningDom0::is_alive)
    }

    /// Whether it vanishes with the runner, and all domains with it.
    pub fn is_ours(&self) -> bool {
        self.machine.is_some()
    }
}

/// The agent at work on a domain.
pub struct AgentRun {
    site: Arc<XenHost>,
    /// The whole line for the shell there.
    line: String,
    /// What the machine's console had said before.
    mark: usize,
}

impl AgentRun {
    /// The agent on `domain`, for at most `limit`.
    ///
    /// The configuration travels with the command: through ssh, each errand takes its time.
    pub fn new(site: Arc<XenHost>, domain: &Domain, limit: Duration) -> AgentRun {
        let file = format!("{}/{}.cfg", site.place.folder(), domain.name);
        let line = format!(
            "printf %s {} >{file} && exec sh {} {} {file} {}",
            quote(&domain.configuration()),
            quote(&site.agent),
            quote(&domain.name),
            limit.as_secs(),
            file = quote(&file),
        );
        let mark = site.machine.as_ref().map_or(0, RunningDom0::mark);
        AgentRun { site, line, mark }
    }
}

impl ConsoleProcess for AgentRun {
    fn name(&self) -> &str {
        "xl"
    }

    fn shell(&self) -> String {
        shell::line(self.site.place.words(&self.line))
    }

    fn start(&self, _: &Path, stderr: File) -> io::Result<ChildGuard> {
        let mut command = self.site.place.command(&self.line);
        command.stdout(Stdio::piped()).stderr(stderr);
        ChildGuard::spawn_tidy(&mut command, PATIENCE)
    }

    fn grace(&self) -> Duration {
        PATIENCE
    }

    fn failure(&self, status: ExitStatus, complaint: &str) -> (String, bool) {
        match status.code() {
            Some(1..=3) => (complaint.replace("agent: ", ""), false),
            _ => (format!("the connection to xl ended ({}): {complaint}", describe(status)), true),
        }
    }

    fn last_words(&self, clean: bool) -> Vec<u8> {
        match &self.site.machine {
            Some(machine) if !clean => machine.xen_since(self.mark),
            _ => Vec::new(),
        }
    }
}
