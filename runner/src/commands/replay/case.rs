//! A program as a case for a suite, in Rust.

use std::fmt::Write as _;

use livepatch::program::Program;

use super::verdict::{Replayed, Verdict};

/// The case. Its answers are what the model says: those that came, and for the step that went
/// otherwise the one that should have come.
pub fn rust(program: &Program, replayed: &Replayed) -> String {
    let mut text = String::from("fn found(context: &Context) -> Outcome {\n");
    let _ = writeln!(text, "    // {}", replayed.verdict.summary());
    text += "    program::answers(\n        context,\n        &[\n";
    for (index, step) in program.steps.iter().enumerate() {
        let answer = match replayed.answers.get(index) {
            Some(answer) => literal(answer),
            None => expected(&replayed.verdict),
        };
        let _ = writeln!(text, "            ({:?}, {answer}),", step.to_string());
    }
    text += "        ],\n    )\n}\n";
    text
}

/// What a divergence says should have come; a crash has no answer but that Xen lives.
fn expected(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Divergence { what, how } if what == "answer" => {
            let expected = how.strip_prefix("expected ").and_then(|rest| rest.split_once(','));
            expected.map_or_else(|| "Answer::SUCCESS".into(), |(answer, _)| literal(answer))
        }
        _ => "Answer::SUCCESS".into(),
    }
}

/// An answer as the guest prints it, in Rust.
fn literal(answer: &str) -> String {
    match answer.trim() {
        "success" => "Answer::SUCCESS".into(),
        number if number.parse::<i64>().is_ok() => format!("Answer({number})"),
        errno => format!("Answer::from(Errno::{errno})"),
    }
}

#[cfg(test)]
mod tests {
    use livepatch::program::parse;

    use super::*;

    #[test]
    fn answers_are_literal() {
        let program = parse("upload \"p\" id=0 func=extra\nlist nr=2\nget \"q\"\n").unwrap();
        let how = "expected ENOENT, got success".into();
        let replayed = Replayed {
            verdict: Verdict::Divergence { what: "answer".into(), how },
            begun: 3,
            answers: vec!["success".into(), "1".into()],
            lost: None,
        };
        assert_eq!(
            rust(&program, &replayed),
            r#"fn found(context: &Context) -> Outcome {
    // divergence: answer: expected ENOENT, got success
    program::answers(
        context,
        &[
            ("upload \"p\" id=0 func=extra", Answer::SUCCESS),
            ("list nr=2", Answer(1)),
            ("get \"q\"", Answer::from(Errno::ENOENT)),
        ],
    )
}
"#
        );
    }
}
