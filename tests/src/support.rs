//! What several suites share: harmless payloads, and how their effect is seen.
#![forbid(unsafe_code)]

use alloc::string::String;

use kernel::hypercall::version::{Text, text};
use kernel::{Context, Stop};
use livepatch::payload::{Function, Payload, Target, code};

/// What a payload for the running Xen has to name.
///
/// # Errors
/// A [`Stop::Error`] where Xen has no build-id to name.
pub fn target(context: &Context) -> Result<Target, Stop> {
    let id = context.xen.build_id.as_ref();
    let id = id.map_err(|errno| Stop::error(format_args!("Xen tells no build-id: {errno}")))?;
    Ok(Target::new(context.livepatch().revision, id.clone()))
}

/// A payload that makes Xen's extra version read `marker`; its build-id is `marker` as well.
///
/// # Errors
/// As for [`target`].
pub fn marker(context: &Context, marker: &str) -> Result<Payload, Stop> {
    let function = Function::named("xen_extra_version", code::return_str(marker));
    Ok(Payload::new(&target(context)?, marker).function(function))
}

/// Xen's extra version as it reads now.
///
/// # Errors
/// A [`Stop::Error`] when Xen refuses to tell.
pub fn extra_version() -> Result<String, Stop> {
    text(Text::Extraversion)
        .map_err(|errno| Stop::error(format_args!("XENVER_extraversion answers {errno}")))
}
