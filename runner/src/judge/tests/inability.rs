//! Ends that say what Xen cannot do.

use super::*;

fn inability(console: &str) -> Option<&'static str> {
    judge(console).inability()
}

const PANIC: &str = "(XEN) *** Building a PVH Dom0 ***\n(XEN) \n(XEN) ****************\n\
                     (XEN) Panic on CPU 0:\n(XEN) WHY\n(XEN) ****************\n(XEN) \n\
                     (XEN) Reboot in five seconds...\n";

#[test]
fn a_dom0_that_xen_cannot_build_is_no_crash() {
    let no_iommu = PANIC.replace("WHY", "Presently, iommu must be enabled for PVH hardware domain");
    assert!(inability(&no_iommu).unwrap().contains("only with an IOMMU"));
    // The reason stands before the panic, which says little.
    let no_paging = PANIC.replace("WHY", "Error creating d0: -95");
    assert_eq!(inability(&no_paging), None);
    let before = "(XEN) [    0.1] Neither HAP nor Shadow available for PVH domain\n";
    assert!(inability(&format!("{before}{no_paging}")).unwrap().contains("no nested paging"));
}

#[test]
fn a_32_bit_pv_dom0_that_xen_does_not_take_is_no_crash() {
    let panic = PANIC.replace("PVH", "PV").replace("WHY", "Could not construct d0");
    for (said, meant) in [
        ("Found 32-bit PV kernel, but CONFIG_PV32 missing", "CONFIG_PV32=n"),
        ("Dom0 failed to switch to compat: -95", "pv=no-32"),
    ] {
        let why = inability(&format!("(XEN) {said}\n{panic}")).unwrap();
        assert!(why.contains("takes no 32-bit PV guest") && why.contains(meant), "{why}");
    }
    // Without memory for it, say.
    let other = format!("(XEN) Dom0 failed to switch to compat: -12\n{panic}");
    assert_eq!(inability(&other), None);
}

#[test]
fn a_crash_in_a_test_stays_one() {
    let panic = PANIC.replace("WHY", "Presently, iommu must be enabled for PVH hardware domain");
    assert!(inability(&panic).is_some());
    let begun = GOOD.split_inclusive("Subtest: example\r\n").next().unwrap();
    assert_eq!(inability(&format!("{begun}{panic}")), None);
}
