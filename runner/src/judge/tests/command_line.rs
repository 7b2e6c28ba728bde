//! The command line that Xen was meant to get.

use super::*;

/// What becomes of the first test when Xen shows `shown` and `a=1 b` was demanded.
fn demand(shown: &str) -> (Status, String) {
    let mut judge = Judge::new("PV 64bit", three()).demand_options("a=1  b");
    let console = GOOD.replacen("KTAP version 1", &format!("{shown}\nKTAP version 1"), 1);
    judge.feed(console.as_bytes(), Duration::from_millis(1), |_| {});
    let judgement = judge.finish(End::Exited, Duration::from_millis(2), |_| {});
    let report = report(&judgement, "example");
    (report.status, report.reasons.join("; "))
}

#[test]
fn xens_command_line_is_what_was_demanded() {
    for shown in [
        "(XEN) Command line: a=1 b",
        "(XEN) Command line:  a=1 b ",
        "(XEN) [000000012f4c9f04] Command line: a=1 b",
        "# xen command line: a=1 b",
    ] {
        assert_eq!(demand(shown), (Status::Success, String::new()));
    }
}

#[test]
fn another_command_line_is_an_error_that_quotes_both() {
    for (shown, why) in [
        ("(XEN) Command line: a=1", "`a=1`, but `a=1 b` was requested"),
        ("(XEN) [    0.000000] Command line: a", "`a`, but `a=1 b` was requested"),
        ("# xen command line: a=1b", "`a=1b`, but `a=1 b` was requested"),
        ("(XEN) Command line: a=1 b c", "`a=1 b c`, but `a=1 b` was requested"),
        ("(XEN) Command line: b a=1", "`b a=1`, but `a=1 b` was requested"),
        ("Command line: a=1 b", "did not print its command line; `a=1 b` was requested"),
        ("  # xen command line: a=1 c", "`a=1 c`, but `a=1 b` was requested"),
    ] {
        let (status, reasons) = demand(shown);
        assert_eq!(status, Status::Error, "{shown}");
        assert!(reasons.contains(why), "{shown}: {reasons}");
    }
    // Two ways to show it, one error.
    let (_, reasons) = demand("(XEN) Command line: a\n# xen command line: a");
    assert_eq!(reasons, "Xen's command line is `a`, but `a=1 b` was requested");
}

#[test]
fn options_that_xen_refuses_are_errors_in_its_words() {
    let refusal = "# xen refuses: parameter \"b\" unknown!";
    let (status, reasons) = demand(&format!("(XEN) Command line: a=1 b\n{refusal}"));
    assert_eq!(status, Status::Error);
    assert_eq!(reasons, "Xen refuses an option of its command line: parameter \"b\" unknown!");
}
