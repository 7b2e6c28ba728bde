//! The Xen underneath: which release it is, and what of it this domain can reach.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use livepatch::abi::{Call, Held, LIVEPATCH_FIRST_UNKNOWN, Revision, SysctlVersion};
use livepatch::change::{Findings, Release};
use protocol::change::Statement;

pub use livepatch::change::Change;

use crate::hypercall::{console_ring, physinfo, sysctl, version};
use crate::{Answer, Errno};

/// What livepatching looks like from this domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LivepatchSupport {
    /// The sysctl works; structures are those of this interface version.
    Available(SysctlVersion),
    /// Xen has the interface version but refuses this domain: EPERM for all but the control domain,
    /// EACCES where a security module denies it.
    Denied(SysctlVersion, Errno),
    /// Xen was built without livepatching or without sysctls.
    NotBuilt,
    /// No interface version that we know is accepted.
    UnknownVersion,
}

/// What was found out about the Xen underneath.
#[derive(Clone, Debug)]
pub struct Xen {
    /// Which release it calls itself. What it does is another question: [`Xen::has`].
    pub release: Release,
    /// What follows major and minor version, such as `.7`.
    pub extraversion: String,
    /// The source revision that Xen says it was built from.
    pub changeset: String,
    /// The kinds of guest that it supports.
    pub capabilities: String,
    /// The build-id that payloads name; an error where Xen has none or keeps it to itself.
    pub build_id: Result<Vec<u8>, Errno>,
    /// What livepatching looks like from here.
    pub livepatch: LivepatchSupport,
    /// Which changes it has, and why we think so.
    pub findings: Findings,
}

impl Xen {
    /// Asks Xen.
    pub fn detect() -> Self {
        let (major, minor) = version::version();
        let text = |which| version::text(which).unwrap_or_default();
        let extraversion = text(version::Text::Extraversion);
        let release = Release::parse(major, minor, &extraversion);
        Self {
            release,
            findings: Findings::of(release),
            extraversion,
            changeset: text(version::Text::Changeset),
            capabilities: text(version::Text::Capabilities),
            build_id: version::build_id(),
            livepatch: probe_livepatch(),
        }
    }

    /// Whether it has a change to Xen: as observed at the start, else as stated on the command
    /// line, else by its release.
    pub fn has(&self, change: Change) -> bool {
        self.findings.has(change)
    }

    /// Takes in what the command line states: words `+name` and `-name`, separated by commas.
    ///
    /// # Errors
    /// The first word that states nothing.
    pub(crate) fn state(&mut self, words: &str) -> Result<(), String> {
        for word in words.split(',') {
            let statement = Statement::parse(word);
            let known = statement.and_then(|said| Some((Change::named(said.name)?, said.present)));
            let (change, present) = known.ok_or_else(|| format!("there is no change '{word}'"))?;
            self.findings.state(change, present);
        }
        Ok(())
    }

    /// What belongs into every report about it.
    pub fn notes(&self) -> Vec<String> {
        let name = format!("{}.{}{}", self.release.major, self.release.minor, self.extraversion);
        let mut notes = differences(&name, &self.findings);
        match self.livepatch {
            LivepatchSupport::Available(version) if !is_known(version) => notes.push(format!(
                "nobody knows sysctl interface version {version}: the layout of {} is a guess",
                SysctlVersion::NEWEST_KNOWN
            )),
            LivepatchSupport::Denied(version, errno) if errno != Errno::EPERM => {
                notes.push(format!(
                    "a security module denies the livepatch sysctl ({errno}); the interface \
                     version is {version}"
                ));
            }
            _ => {}
        }
        notes
    }
}

/// Where a Xen that calls itself `name` does not do what its release, or what is stated about it,
/// would have it do.
fn differences(name: &str, findings: &Findings) -> Vec<String> {
    let mut notes = Vec::new();
    for entry in Change::TABLE {
        let change = entry.change;
        let Some(present) = findings.observed(change) else { continue };
        if present == findings.expects(change) {
            continue;
        }
        notes.push(match (present, findings.stated(change)) {
            (true, None) => format!("{name} behaves as since {change}: backported"),
            (false, None) => format!("{name} behaves as before {change}, which its release has"),
            (true, Some(_)) => format!("{name} has {change}, though it is stated not to"),
            (false, Some(_)) => format!("{name} lacks {change}, though it is stated to have it"),
        });
    }
    notes
}

/// Whether the layout that goes with an interface version is certain.
fn is_known(version: SysctlVersion) -> bool {
    Revision::for_version(version).is_none_or(|layout| layout.known)
}

/// How far past the newest known interface version to look, and how far before the first one
/// that had livepatching: a Xen outside is reported as unknown.
const PROBED: core::ops::RangeInclusive<u32> = 0x08..=0x40;

/// A wrong interface version is answered with EACCES, and nothing is done for a sub-op that does
/// not exist: so stepping through the versions finds the right one. A security module (FLASK)
/// denies with EACCES, too. Then another sysctl tells the version, unless that one is denied as
/// well.
fn probe_livepatch() -> LivepatchSupport {
    let all = || {
        let others = PROBED.filter(|version| !SysctlVersion::KNOWN.contains(version));
        SysctlVersion::KNOWN.rev().chain(others).map(SysctlVersion)
    };
    for version in all() {
        match bare(version, LIVEPATCH_FIRST_UNKNOWN) {
            Err(Errno::EACCES) => {}
            Err(Errno::ENOSYS) => return LivepatchSupport::NotBuilt,
            Err(Errno::EPERM) => return LivepatchSupport::Denied(version, Errno::EPERM),
            _ if Revision::for_version(version).is_none() => return LivepatchSupport::NotBuilt,
            _ => return LivepatchSupport::Available(version),
        }
    }
    let accepted = |version: &SysctlVersion| physinfo::physinfo(*version) != Err(Errno::EACCES);
    all().find(accepted).map_or(LivepatchSupport::UnknownVersion, |version| {
        LivepatchSupport::Denied(version, Errno::EACCES)
    })
}

/// The oldest part of Xen's words; its command line was read before anything else.
const FIRST_WORDS: usize = 2048;

/// What Xen makes of its own command line.
#[derive(Clone, Debug, Default)]
pub struct CommandLine {
    /// The line, as Xen keeps it.
    pub text: String,
    /// Options in it that Xen does not know, or whose values it refuses, in its words. It says so
    /// before it has a serial port, so that nobody else reads it.
    pub complaints: Vec<String>,
}

impl CommandLine {
    /// Asks Xen, which tells only the control domain.
    pub fn read(xen: &Xen) -> Self {
        let text = version::text(version::Text::CommandLine).unwrap_or_default();
        let complaints = match xen.livepatch {
            LivepatchSupport::Available(version) => console_ring::read(version, FIRST_WORDS)
                .map_or(Vec::new(), |said| complaints(&said)),
            _ => Vec::new(),
        };
        Self { text, complaints }
    }
}

/// The lines that `parse_params` (xen/common/kernel.c) prints.
fn complaints(said: &str) -> Vec<String> {
    let complaint = |line: &str| {
        let text = &line[line.find("parameter \"")?..];
        let is_one = text.contains("\" unknown!") || text.contains("\" has invalid value \"");
        is_one.then(|| text.trim_end().into())
    };
    said.lines().filter_map(complaint).collect()
}

fn bare(version: SysctlVersion, sub_op: u32) -> Result<u64, Errno> {
    // Without a layout there is no livepatch sub-op that could write anything.
    let revision = Revision::for_version(version).map_or(Revision::V1, |layout| layout.revision);
    let mut call = Call::bare(version, sub_op).encode(revision);
    sysctl::sysctl(&mut call, version, Held::default()).map_or(Err(Errno::EINVAL), Answer::result)
}
