//! The differences between two runs for people: by kind, the worst first, and the sums at the end.

use anstyle::{AnsiColor, Style};

use crate::base::plural::count;
use crate::results::Unit;
use crate::results::compare::{Change, Diff, Kind, State, short};

/// Column where the lines below a heading begin.
const INDENT: &str = "    ";

/// A kind in words.
pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Regressed => "regressed",
        Kind::Vanished => "vanished",
        Kind::Skipped => "newly skipped",
        Kind::Slower => "slower",
        Kind::Flaky => "newly flaky",
        Kind::Changed => "changed",
        Kind::Fixed => "fixed",
        Kind::Appeared => "appeared",
    }
}

fn style(kind: Kind) -> Style {
    let colour = match kind {
        Kind::Regressed | Kind::Vanished | Kind::Skipped => AnsiColor::Red,
        Kind::Slower | Kind::Flaky | Kind::Changed => AnsiColor::Yellow,
        Kind::Fixed => AnsiColor::Green,
        Kind::Appeared => AnsiColor::Cyan,
    };
    colour.on_default().bold()
}

/// What is compared, as far as it is not the same: Xens, and the image.
pub(super) fn subjects(diff: &Diff) -> Vec<String> {
    let mut lines = Vec::new();
    for pair in diff.xens.iter().filter(|pair| !pair.is_the_same()) {
        lines.push(format!("{} is compared with {}", pair.new.told(), pair.old.told()));
        if pair.is_told_by_build_id_alone() {
            let why = "a development version: only the build-ids tell them apart";
            lines.push(format!("{INDENT}{why}"));
        }
    }
    let (old, new) = (&diff.old.image_sha256, &diff.new.image_sha256);
    if old != new && !old.is_empty() && !new.is_empty() {
        let (old, new) = (short(old), short(new));
        lines.push(format!("image sha256 {new} is compared with image sha256 {old}"));
    }
    lines
}

/// The sums: what changed, how many there are now and were, and whether anything regressed.
pub(super) fn sums(diff: &Diff) -> Vec<String> {
    let groups = diff.changes.chunk_by(|a, b| a.kind == b.kind);
    let mut counts: Vec<String> =
        groups.map(|group| format!("{} {}", group.len(), word(group[0].kind))).collect();
    if counts.is_empty() {
        counts.push("no differences".into());
    }
    let both = count(diff.compared, "test");
    let mut lines = vec![format!("{}; {both} in both runs", counts.join(", "))];
    if diff.old.tests != diff.new.tests {
        lines.push(format!("tests: {}; were: {}", diff.new.tests, diff.old.tests));
    }
    if diff.old.cases != diff.new.cases {
        lines.push(format!("cases: {}; were: {}", diff.new.cases, diff.old.cases));
    }
    if diff.unselected > 0 {
        let unselected = count(diff.unselected, "test");
        lines.push(format!("{unselected} of the old run not selected in the new one"));
    }
    for (name, source) in [("old", &diff.old), ("new", &diff.new)] {
        if !source.complete {
            lines.push(format!("the {name} run is partial"));
        }
    }
    let regressions = diff.changes.iter().filter(|change| change.regression).count();
    lines.push(match regressions {
        0 => "nothing regressed".into(),
        some => count(some, "regression"),
    });
    lines
}

/// All of `diff`, with at most `most` lines of each kind.
pub fn told(diff: &Diff, most: usize) -> String {
    let mut text = String::new();
    let mut push = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let subjects = subjects(diff);
    subjects.iter().for_each(|line| push(line));
    if !subjects.is_empty() {
        push("");
    }
    for group in diff.changes.chunk_by(|a, b| a.kind == b.kind) {
        let (word, style) = (word(group[0].kind), style(group[0].kind));
        push(&format!("{style}{word}{style:#}"));
        for change in group.iter().take(most) {
            push(&format!("{INDENT}{}: {}", place(change), happened(change)));
        }
        if group.len() > most {
            push(&format!("{INDENT}and {} more", group.len() - most));
        }
        push("");
    }
    sums(diff).iter().for_each(|line| push(line));
    text
}

/// Where a change is.
pub(super) fn place(change: &Change) -> String {
    let Unit { xen, environment, test } = &change.unit;
    let place = format!("{xen} {:<5} {test}", environment.name());
    change.case.as_ref().map_or(place.clone(), |case| format!("{place} {case}"))
}

/// What a change is.
pub(super) fn happened(change: &Change) -> String {
    let because = |state: &State| match state.why.as_str() {
        "" => String::new(),
        why => format!(" ({why})"),
    };
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if change.kind == Kind::Slower => {
            let factor = new.elapsed_s / old.elapsed_s.max(1e-6);
            format!("{:.3} s, was {:.3} s ({factor:.1}x)", new.elapsed_s, old.elapsed_s)
        }
        (Some(old), Some(new)) if old.word == new.word => {
            format!("{}, {}; was: {}", new.word, new.why, old.why)
        }
        (Some(old), Some(new)) => {
            let why = if new.status.is_bad() || new.why != old.why {
                because(new)
            } else {
                String::new()
            };
            let was = if new.status.is_bad() { String::new() } else { because(old) };
            format!("{}{was} -> {}{why}", old.word, new.word)
        }
        (Some(old), None) => format!("was {}{}", old.word, because(old)),
        (None, Some(new)) => format!("{}{}", new.word, because(new)),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::base::status::Status;
    use crate::results::compare::{Times, compare};
    use crate::results::{Document, Test, VerdictKind, sample};

    fn test_of<'d>(document: &'d mut Document, xen: &str, name: &str) -> &'d mut Test {
        let mut tests = document.tests.iter_mut();
        tests.find(|test| test.unit.xen == xen && test.unit.test == name).unwrap()
    }

    #[test]
    fn every_kind_is_told() {
        let old = sample::whole();
        let mut new = old.clone();
        let elf = &mut test_of(&mut new, "4.17", "elf").last;
        elf.status = Status::Failure;
        elf.cases[0].verdict = VerdictKind::Failure;
        elf.cases[0].diagnostics = vec!["expected EINVAL, got success".into()];
        elf.cases[1].verdict = VerdictKind::Skip;
        elf.cases[1].why = Some("too late".into());
        elf.cases[2].name = "hooks/renamed".into();
        test_of(&mut new, "4.17", "list").last.cases[2].why = Some("doc-17: otherwise".into());
        test_of(&mut new, "4.17", "tool").last.status = Status::Success;
        test_of(&mut new, "4.17", "trap").last.cases[1].why = Some("the guest died".into());
        test_of(&mut new, "4.20", "list").last.cases[2].elapsed_s *= 2.5;
        test_of(&mut new, "4.20", "trap").flaky = true;
        new.tests.retain(|test| test.unit.test != "soak" || test.unit.xen == "4.17");
        let times = Times { factor: 2.0, floor: 1.0, regress: false };
        let mut diff = compare(old, &new, &[], times).unwrap();
        assert!(diff.regressed);
        expect![[r#"
            regressed
                4.17 pv64  elf: SUCCESS -> FAILURE
                4.17 pv64  elf sections/none: SUCCESS -> FAILURE (expected EINVAL, got success)

            vanished
                4.17 pv64  elf hooks: was SUCCESS
                4.20 pv64  soak: was SUCCESS

            newly skipped
                4.17 pv64  elf sections/some: SUCCESS -> SKIP (too late)

            slower
                4.20 pv64  list list/later: 30.863 s, was 12.345 s (2.5x)

            newly flaky
                4.20 pv64  trap: SUCCESS -> FLAKY

            changed
                4.17 pv64  list list/later: DEVIATION, doc-17: otherwise; was: doc-16: expected EINVAL, got success
                4.17 pv64  trap after: CRASH, the guest died; was: the guest died: TRAP unexpected trap #PF at 0x101000

            fixed
                4.17 pv64  tool: ERROR -> SUCCESS

            appeared
                4.17 pv64  elf hooks/renamed: SUCCESS

            2 regressed, 2 vanished, 1 newly skipped, 1 slower, 1 newly flaky, 2 changed, 1 fixed, 1 appeared; 23 tests in both runs
            tests: 15 passed, 5 failed, 3 skipped; were: 16 passed, 5 failed, 3 skipped
            cases: 20 passed, 3 failed, 2 in error, 4 skipped, 3 deviations, 3 crashed or timed out, 4 known, 1 not run; were: 24 passed, 2 failed, 2 in error, 3 skipped, 3 deviations, 3 crashed or timed out, 4 known, 1 not run
            5 regressions
        "#]].assert_eq(&anstream::adapter::strip_str(&told(&diff, usize::MAX)).to_string());
        for kind in [Kind::Regressed, Kind::Vanished, Kind::Skipped] {
            diff.changes.retain(|change| change.kind != kind);
        }
        assert!(diff.changes.iter().all(|change| !change.regression), "{:?}", diff.changes);
    }
}
