//! The Xen underneath: which release it is, and what of it this domain can reach.

use alloc::string::String;
use alloc::vec::Vec;

use livepatch::abi::{Call, Held, LIVEPATCH_FIRST_UNKNOWN, Revision, SysctlVersion};

pub use livepatch::release::{Release, point_release, release};

use crate::hypercall::{console_ring, sysctl, version};
use crate::{Answer, Errno};

/// What livepatching looks like from this domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LivepatchSupport {
    /// The sysctl works; structures are those of this interface version.
    Available(SysctlVersion),
    /// Xen has the interface version but refuses this domain.
    Denied(SysctlVersion, Errno),
    /// Xen was built without livepatching or without sysctls.
    NotBuilt,
    /// No interface version that we know is accepted.
    UnknownVersion,
}

/// What was found out about the Xen underneath.
#[derive(Clone, Debug)]
pub struct Xen {
    /// Which release it is.
    pub release: Release,
    /// What follows them, such as `.7`.
    pub extraversion: String,
    /// The source revision that Xen says it was built from.
    pub changeset: String,
    /// The kinds of guest that it supports.
    pub capabilities: String,
    /// The build-id that payloads name; an error where Xen has none or keeps it to itself.
    pub build_id: Result<Vec<u8>, Errno>,
    /// What livepatching looks like from here.
    pub livepatch: LivepatchSupport,
}

impl Xen {
    /// Asks Xen.
    pub fn detect() -> Self {
        let (major, minor) = version::version();
        let text = |which| version::text(which).unwrap_or_default();
        let extraversion = text(version::Text::Extraversion);
        Self {
            release: Release::parse(major, minor, &extraversion),
            extraversion,
            changeset: text(version::Text::Changeset),
            capabilities: text(version::Text::Capabilities),
            build_id: version::build_id(),
            livepatch: probe_livepatch(),
        }
    }
}

/// How far past the newest known interface version to look, and how far before the first one
/// that had livepatching: a Xen outside is reported as unknown.
const PROBED: core::ops::RangeInclusive<u32> = 0x08..=0x40;

/// Only a wrong interface version is answered with EACCES by a Xen without a security policy,
/// and nothing is done for a sub-op that does not exist: so stepping through the versions finds
/// the right one. Under FLASK, which denies with EACCES too, none is found.
fn probe_livepatch() -> LivepatchSupport {
    let known = SysctlVersion::KNOWN;
    let others = PROBED.filter(|version| !SysctlVersion::KNOWN.contains(version));
    for version in known.rev().chain(others).map(SysctlVersion) {
        match bare(version, LIVEPATCH_FIRST_UNKNOWN) {
            Err(Errno::EACCES) => {}
            Err(Errno::ENOSYS) => return LivepatchSupport::NotBuilt,
            Err(Errno::EPERM) => return LivepatchSupport::Denied(version, Errno::EPERM),
            _ if Revision::for_version(version).is_none() => return LivepatchSupport::NotBuilt,
            _ => return LivepatchSupport::Available(version),
        }
    }
    LivepatchSupport::UnknownVersion
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
