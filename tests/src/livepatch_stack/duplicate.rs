//! What may exist only once, and what payloads find of each other.

use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop, expect, expect_that};
use livepatch::abi::State;
use livepatch::payload::{Area, Function, Payload, code};

use crate::support::{
    apply, load, load_marker, marker, packed_version, payload, reads, revert, static_of_xen,
    try_upload, unload, version_is,
};

/// Refused with this errno, and nothing has changed.
fn not_loaded(context: &Context, name: &str, payload: &Payload, errno: Errno) -> Outcome {
    let before = context.livepatch().payload_list()?;
    try_upload(context, name, &payload.to_bytes()).must_be(errno)?;
    expect("payloads after the refusal", context.livepatch().payload_list()?, before)
}

/// In every state and place, whatever else about the second one is new.
pub fn name(context: &Context) -> Outcome {
    let _before = load_marker(context, "-0")?;
    let first = load_marker(context, "-a")?;
    let _after = load_marker(context, "-1")?;
    let second = marker(context, "-b")?;
    not_loaded(context, "-a", &second, Errno::EEXIST)?;
    apply(&first)?;
    not_loaded(context, "-a", &second, Errno::EEXIST)?;
    revert(&first)?;
    not_loaded(context, "-a", &second, Errno::EEXIST)?;
    unload(context, &first)?;
    try_upload(context, "-a", &second.to_bytes()).must_be(Answer::SUCCESS)
}

/// Of any of those that are loaded.
pub fn build_id(context: &Context) -> Outcome {
    let _before = load_marker(context, "-0")?;
    let first = load_marker(context, "-a")?;
    let _after = load_marker(context, "-1")?;
    not_loaded(context, "other", &marker(context, "-a")?, Errno::EEXIST)?;
    apply(&first)?;
    not_loaded(context, "other", &marker(context, "-a")?, Errno::EEXIST)?;
    revert(&first)?;
    unload(context, &first)?;
    try_upload(context, "other", &marker(context, "-a")?.to_bytes()).must_be(Answer::SUCCESS)
}

/// A beginning of another's id, a longer one and one that differs at one end are different.
pub fn build_ids_whole(context: &Context) -> Outcome {
    let _first = load_marker(context, "-abc")?;
    for id in ["-", "-ab", "-abc ", "-abd", "+abc"] {
        try_upload(context, "other", &marker(context, id)?.to_bytes())
            .must_be(Answer::SUCCESS)
            .map_err(|stop| stop.at(id))?;
    }
    not_loaded(context, "other", &marker(context, "-abc")?, Errno::EEXIST)
}

fn exporting(context: &Context, id: &str, symbol: &str) -> Result<Payload, Stop> {
    Ok(marker(context, id)?.rodata(symbol, 0x51_u32.to_le_bytes()).export(symbol))
}

pub fn symbol_of_a_payload(context: &Context) -> Outcome {
    context.needs(Change::KnownSymbols)?;
    let first = load(context, "-a", &exporting(context, "-a", "xtf_shared")?)?;
    let second = exporting(context, "-b", "xtf_shared")?;
    not_loaded(context, "-b", &second, Errno::EEXIST)?;
    try_upload(context, "-b", &exporting(context, "-b", "xtf_share")?.to_bytes())
        .must_be(Answer::SUCCESS)?;
    unload(context, &first)?;
    try_upload(context, "-b", &second.to_bytes()).must_be(Answer::SUCCESS)
}

/// Of code as well as of data.
pub fn symbol_of_xen(context: &Context) -> Outcome {
    context.needs(Change::KnownSymbols)?;
    let list = static_of_xen(context, "common/livepatch.c", "payload_list")?;
    for symbol in ["xen_deny"].into_iter().chain(list.as_deref()) {
        not_loaded(context, "-a", &exporting(context, "-a", symbol)?, Errno::EEXIST)?;
    }
    Ok(())
}

/// The symbol of a replacement, wherever among the payload's functions, is nobody's business but
/// the payload's.
fn labelled(context: &Context, id: &str) -> Result<Payload, Stop> {
    let function = Function::named("xen_extra_version", code::return_str(id)).label("xtf_new");
    Ok(payload(context, id)?
        .function(Function::named("xen_changeset", code::return_str("first")))
        .function(function)
        .function(Function::named("xen_deny", code::return_str("last")))
        .export("xtf_new"))
}

pub fn replacements(context: &Context) -> Outcome {
    let a = load(context, "-a", &labelled(context, "-a")?)?;
    let b = load(context, "-b", &labelled(context, "-b")?.depends("-a"))?;
    apply(&a)?;
    reads("-a")?;
    apply(&b)?;
    reads("-b")
}

/// Names that assemblers make up (`.L...`) may occur twice where linkers merge what they name, and
/// only there.
pub fn made_up_symbols(context: &Context) -> Outcome {
    context.needs(Change::KnownSymbols)?;
    const SHF_MERGE: u64 = 0x10;
    let exporting = |id: &str, flags: u64, symbol: &str| {
        let area = Area::loaded(".rodata.xtf", flags, 1);
        marker(context, id).map(|p| p.section(area, symbol, [1, 2, 3]).export(symbol))
    };
    for (flags, symbol, errno) in [
        (SHF_MERGE, ".Lxtf", None),
        (SHF_MERGE, "Lxtf", Some(Errno::EEXIST)),
        (SHF_MERGE, ".xtf", Some(Errno::EEXIST)),
        (0, ".Lxtf", Some(Errno::EEXIST)),
    ] {
        let _first = load(context, "-a", &exporting("-a", flags, symbol)?)?;
        try_upload(context, "-b", &exporting("-b", flags, symbol)?.to_bytes())
            .must_be(errno.map_or(Answer::SUCCESS, Answer::from))
            .map_err(|stop| stop.at(symbol))?;
    }
    Ok(())
}

/// Neither the name nor the id nor the symbols of one that was refused are taken.
pub fn refused_leaves_nothing(context: &Context) -> Outcome {
    context.needs(Change::KnownSymbols)?;
    let first = load(context, "-a", &exporting(context, "-a", "xtf_one")?)?;
    // Refused for the second of its symbols, when the first one is in the table already.
    let both = exporting(context, "-b", "xtf_two")?.rodata("xtf_one", [0; 4]).export("xtf_one");
    not_loaded(context, "-b", &both, Errno::EEXIST)?;
    let user = using(context, "xtf_two")?;
    not_loaded(context, "-u", &user, Errno::ENOENT)?;
    unload(context, &first)?;
    let _both = load(context, "-b", &both)?;
    try_upload(context, "-u", &user.to_bytes()).must_be(Answer::SUCCESS)
}

/// A payload that refers to a symbol of another one.
fn using(context: &Context, symbol: &str) -> Result<Payload, Stop> {
    let function = Function::named("xen_minor_version", code::return_u32_at(symbol));
    Ok(payload(context, "using")?
        .function(function)
        .function(Function::named("xen_major_version", code::return_u32(0))))
}

/// Being loaded is enough; the payload that it belongs to need not be applied.
pub fn found_when_loaded(context: &Context) -> Outcome {
    let library = load(context, "-a", &exporting(context, "-a", "xtf_found")?)?;
    let user = load(context, "-u", &using(context, "xtf_found")?)?;
    library.must_be(State::Checked, Answer::SUCCESS)?;
    apply(&user)?;
    version_is("value of the other payload's symbol", 0x51)?;
    revert(&user)
}

pub fn gone_when_unloaded(context: &Context) -> Outcome {
    let user = using(context, "xtf_found")?;
    not_loaded(context, "-u", &user, Errno::ENOENT)?;
    let library = load(context, "-a", &exporting(context, "-a", "xtf_found")?)?;
    try_upload(context, "-u", &user.to_bytes()).must_be(Answer::SUCCESS)?;
    unload(context, &library)?;
    not_loaded(context, "-u", &user, Errno::ENOENT)
}

pub fn of_a_replacement(context: &Context) -> Outcome {
    let _a = load(context, "-a", &labelled(context, "-a")?)?;
    not_loaded(context, "-u", &using(context, "xtf_new")?, Errno::ENOENT)
}

/// A payload may go although another one holds an address in it, which is all that is used here.
pub fn dangling(context: &Context) -> Outcome {
    let library = load(context, "-a", &exporting(context, "-a", "xtf_dangling")?)?;
    let address = payload(context, "address")?
        .function(Function::named("xen_minor_version", code::return_address("xtf_dangling")))
        .function(Function::named("xen_major_version", code::return_u32(0)));
    let user = load(context, "-u", &address)?;
    apply(&user)?;
    let there = packed_version();
    expect_that(there != 0, "an address")?;
    revert(&user)?;
    unload(context, &library)?;
    apply(&user)?;
    version_is("the same address", there)?;
    revert(&user)
}
