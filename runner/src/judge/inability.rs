//! Xen's words when it finds at its start that it cannot run the image as dom0: no crash, and no
//! fault of any test.

use super::judgement::{Cause, Judgement};
use super::xen;

/// What Xen says, and what that means.
const KNOWN: &[(&str, &str)] = &[
    (
        "Presently, iommu must be enabled for PVH hardware domain",
        "this Xen can have a PVH dom0 only with an IOMMU, and finds none in this machine",
    ),
    (
        "Neither HAP nor Shadow available for PVH domain",
        "this Xen cannot have a PVH dom0 on this machine: the CPU has no nested paging that it can \
         use, and it was built without CONFIG_SHADOW_PAGING",
    ),
    (
        "Building a PVHv2 Dom0 is not yet supported",
        "this Xen is older than 4.11, the first one that can have a PVH dom0",
    ),
    (
        "Found 32-bit PV kernel, but CONFIG_PV32 missing",
        "this Xen takes no 32-bit PV guest: it was built with CONFIG_PV32=n; one with \
             CONFIG_PV32=y does",
    ),
    (
        "Dom0 failed to switch to compat: -95",
        "this Xen takes no 32-bit PV guest now: pv=no-32 on its command line forbids it, or it uses \
         the CPU's CET or FRED (without: cet=no-shstk,no-ibt fred=no)",
    ),
];

impl Judgement {
    /// Why this Xen cannot run the image here, if that is what ended the boot before any test.
    pub fn inability(&self) -> Option<&'static str> {
        let died = |report: &super::TestReport| !report.began && report.cause == Some(Cause::Xen);
        let words = &self.settled.iter().find(|report| died(report))?.xen_words;
        let means = |(said, meaning): &(&str, &'static str)| {
            words.iter().any(|line| xen::words(line).contains(said)).then_some(*meaning)
        };
        KNOWN.iter().find_map(means)
    }
}
