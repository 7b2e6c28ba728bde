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

/// The file of Xen that was booted, and what the guest is told of the one it runs on.
#[test]
fn xens_build_id_is_that_of_its_file() {
    let ids = |shown: &str, demanded: Option<&str>| {
        let mut judge = Judge::new("PV 64bit", three()).demand_build_id(demanded);
        let console = GOOD.replacen("1..3", &format!("# build-id: {shown}\n1..3"), 1);
        judge.feed(console.as_bytes(), Duration::from_millis(1), |_| {});
        let judgement = judge.finish(End::Exited, Duration::from_millis(2), |_| {});
        report(&judgement, "example").reasons.join("; ")
    };
    for (shown, demanded) in [("c0ffee", Some("c0ffee")), ("c0ffee", None), ("EPERM", Some("c0"))] {
        assert_eq!(ids(shown, demanded), "");
    }
    let why = ids("c0ffee", Some("decade"));
    assert!(why.contains("with the build-id c0ffee, but that of its file is decade"), "{why}");
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
fn a_xen_that_ignores_its_command_line() {
    let (status, reasons) = demand("(XEN) Command line: ");
    assert_eq!(status, Status::Error);
    assert!(
        reasons.contains("`a=1 b` was requested (a Xen with CONFIG_CMDLINE_OVERRIDE=y ignores")
    );
}

/// What comes of three complaints that are not about the demanded `a=1 no-b c=7`, and of three that
/// are.
#[test]
fn complaints_about_built_in_options_are_notes() {
    let complaints = |lines: &[&str]| {
        let mut judge = Judge::new("PV 64bit", three()).demand_options("a=1 no-b c=7");
        let lines: String = lines.iter().map(|line| format!("# xen refuses: {line}\n")).collect();
        let shown = "# xen command line: a=1 no-b c=7";
        let console = GOOD.replacen("\n1..3", &format!("\n{shown}\n{lines}1..3"), 1);
        let mut notes = Vec::new();
        judge.feed(console.as_bytes(), Duration::from_millis(1), |event| {
            if let Event::Sights(sights) = event {
                notes = sights.notes;
            }
        });
        let judgement = judge.finish(End::Exited, Duration::from_millis(2), |_| {});
        (report(&judgement, "example").reasons.clone(), notes)
    };
    let (reasons, notes) = complaints(&[
        "parameter \"gone\" unknown!",
        "parameter \"a\" has invalid value \"2\", rc=-22!",
        "parameter \"b\" unknown!",
    ]);
    assert_eq!((reasons.as_slice(), notes.len()), (&[][..], 3), "{notes:?}");
    let note = "Xen refuses an option that it was built with (CONFIG_CMDLINE): parameter \"gone\"";
    assert!(notes[0].starts_with(note), "{notes:?}");
    let (reasons, notes) = complaints(&[
        "parameter \"c\" unknown!",
        "parameter \"a\" has invalid value \"1\", rc=-22!",
        "parameter \"no-b\" has invalid value \"no\", rc=-22!",
    ]);
    assert_eq!((reasons.len(), notes.len()), (3, 0), "{reasons:?}");
}

#[test]
fn a_console_without_a_word_is_told_as_that() {
    let told = |options: &str, said: &str, end| {
        let mut judge = Judge::new("PV 64bit", three()).demand_options(options);
        judge.feed(said.as_bytes(), Duration::from_millis(1), |_| {});
        let judgement = judge.finish(end, Duration::from_millis(2), |_| {});
        let report = report(&judgement, "example");
        (report.status, report.reasons.join("; "))
    };
    let end = |said: &str, end| told("console=com1", said, end);
    let late = || End::TimedOut("no test began within 60 s".into());
    let (status, why) = end("", late());
    assert_eq!(status, Status::Timeout);
    assert!(why.contains("within 60 s; not a word came from Xen"), "{why}");
    let (status, why) = end("", End::Exited);
    assert_eq!(status, Status::Error);
    assert!(why.contains("CONFIG_CMDLINE_OVERRIDE=y"), "{why}");
    for finish in [late(), End::Exited] {
        let (_, why) = end("(XEN) Command line: console=com1\n", finish);
        assert!(!why.contains("not a word"), "{why}");
    }
    let (_, why) = told("console=com1 console=vga a", "", End::Exited);
    assert!(why.contains("`console=vga` in its command line takes its console away"), "{why}");
    let (_, why) = told("console=vga console=com1,vga a", "", End::Exited);
    assert!(why.contains("CONFIG_CMDLINE_OVERRIDE=y"), "{why}");
}

/// However the console comes, in lines or as a whole, its last result line is no silence.
#[test]
fn what_follows_a_result_at_once_is_no_silence() {
    let half = &GOOD[..GOOD.find("  # expected EINVAL").unwrap()];
    let dump = "(XEN) RIP:    e008:[<ffff82d04020d0b4>] livepatch_op+0x1a4/0x1810\n";
    let shown = "(XEN) Command line: console=com1\n";
    for (last, why) in [("", "without a message from Xen"), (dump, "register dump is cut off")] {
        let mut judge = Judge::new("PV 64bit", three()).demand_options("console=com1");
        let console = [shown, half, last].concat();
        judge.feed(console.as_bytes(), Duration::from_millis(1), |_| {});
        let judgement = judge.finish(End::Exited, Duration::from_millis(2), |_| {});
        let args = report(&judgement, "args");
        assert_eq!(args.status, Status::Crash, "{args:?}");
        assert!(args.told()[0].contains(why), "{args:?}");
    }
}

#[test]
fn options_that_xen_refuses_are_errors_in_its_words() {
    let refusal = "# xen refuses: parameter \"b\" unknown!";
    let (status, reasons) = demand(&format!("(XEN) Command line: a=1 b\n{refusal}"));
    assert_eq!(status, Status::Error);
    assert_eq!(reasons, "Xen refuses an option of its command line: parameter \"b\" unknown!");
}
