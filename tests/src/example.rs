//! # example
//!
//! The smallest useful test, and what `xtf-runner new` makes others after. Its two cases ask Xen
//! for its version, first by itself, then as text.
#![forbid(unsafe_code)]

use kernel::hypercall::version::{Text, text};
use kernel::{Case, Category, Outcome, Test, expect, expect_that};

/// The test.
pub const TEST: Test = Test {
    name: "example",
    title: "A test to copy: Xen tells its version",
    category: Category::Utility,
    cases: &[
        Case::new("version/major_is_4", |context| {
            expect("major version", context.xen.release.major, 4)
        }),
        Case::new("version/extraversion_is_text", |_| extraversion_is_text()),
    ],
    ..Test::DEFAULT
};

fn extraversion_is_text() -> Outcome {
    let extraversion = text(Text::Extraversion).unwrap_or_default();
    expect_that(
        extraversion.starts_with(['.', '-']),
        format_args!("what follows 4.NN, such as .7 or -rc; it is {extraversion:?}"),
    )
}
