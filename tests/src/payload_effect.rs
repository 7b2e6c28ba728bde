//! # payload-effect
//!
//! What the live patches do that `xtf-runner payload try --expect-extra-version TEXT` hands over:
//! XENVER_extraversion is TEXT while all of them are applied. Before the first APPLY and after the
//! last REVERT it is what it was before the first upload, and not TEXT.
//!
//! This is also the test to copy for what other live patches do.
#![forbid(unsafe_code)]

use alloc::string::String;

use kernel::hypercall::version::{Text, text};
use kernel::payloads;
use kernel::{
    Case, Category, Context, Environment, Need, Outcome, Stop, Test, expect, expect_that,
};
use protocol::payloads::EXTRA_VERSION;
use protocol::programs::PAYLOAD_EFFECT;

/// The test.
pub const TEST: Test = Test {
    name: PAYLOAD_EFFECT,
    title: "Given live patches change XENVER_extraversion, and change it back",
    category: Category::Utility,
    environments: &Environment::DOM0,
    needs: &[Need::Privileged, Need::Livepatch, Need::Payloads],
    default: false,
    cases: &[
        Case::new("before", before),
        Case::new("applied", applied),
        Case::new("reverted", reverted),
    ],
    ..Test::DEFAULT
};

fn before(context: &Context) -> Outcome {
    let (wanted, original) = (wanted()?, extra_version()?);
    context.payloads()?.while_uploaded(|| {
        expect("extra version", &extra_version()?, &original)?;
        expect_that(original != wanted, format_args!("another extra version than {wanted:?}"))
    })
}

fn applied(context: &Context) -> Outcome {
    let wanted = wanted()?;
    context.payloads()?.while_applied(|| expect("extra version", &extra_version()?, &wanted))
}

fn reverted(context: &Context) -> Outcome {
    // Nobody asks for this where no text is expected.
    wanted()?;
    let original = extra_version()?;
    context.payloads()?.while_reverted(|| expect("extra version", &extra_version()?, &original))
}

/// The text that was handed over.
fn wanted() -> Result<String, Stop> {
    let text = payloads::file(EXTRA_VERSION)?;
    let text = text.ok_or_else(|| Stop::skip("no text is expected; see --expect-extra-version"))?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn extra_version() -> Result<String, Stop> {
    text(Text::Extraversion)
        .map_err(|errno| Stop::error(format_args!("XENVER_extraversion answers {errno}")))
}
