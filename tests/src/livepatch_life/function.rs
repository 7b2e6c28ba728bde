//! Functions replaced: found in every way, replaced by everything.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::hypercall::sched::sleep_until;
use kernel::hypercall::symbols::{self, symbols};
use kernel::hypercall::version::Text;
use kernel::xen::Change;
use kernel::{Answer, Context, Outcome, Stop, expect, expect_that};
use livepatch::abi::State;
use livepatch::payload::wire::R_X86_64_PC32;
use livepatch::payload::{Chunk, Function, Old, Payload, Replacement, code};

use crate::support::{
    self, apply, extra_version, load, packed_version, payload, read_text, reads, revert, unload,
    version_is,
};

/// What `xen_deny` returns in every build.
pub const DENIED: &str = "<denied>";

/// The whole life of a payload with one function: its effect is seen, and is gone afterwards.
fn lives(context: &Context, payload: &Payload, extra: &str) -> Outcome {
    let original = extra_version()?;
    expect_that(original != extra, "an extra version unlike the payload's")?;
    let loaded = load(context, "life", payload)?;
    loaded.must_be(State::Checked, Answer::SUCCESS)?;
    reads(&original)?;
    apply(&loaded)?;
    reads(extra)?;
    revert(&loaded)?;
    reads(&original)?;
    unload(context, &loaded)?;
    reads(&original)
}

/// Xen looks up the function's name, because the address is 0.
pub fn by_name(context: &Context) -> Outcome {
    lives(context, &support::marker(context, "-by-name")?, "-by-name")
}

/// The address is stated; the name is not needed.
pub fn by_address(context: &Context) -> Outcome {
    let address = symbols::find("xen_extra_version")?.address;
    let function = Function::at(address, code::return_str("-by-address"));
    lives(context, &payload(context, "id")?.function(function), "-by-address")
}

/// The address is a relocation against an undefined symbol.
pub fn by_undefined_symbol(context: &Context) -> Outcome {
    let function = Function::symbol("xen_extra_version", code::return_str("-by-symbol"));
    lives(context, &payload(context, "id")?.function(function), "-by-symbol")
}

/// `do_poll` is static in a file whose name changed between releases. Its result is that of
/// SCHEDOP_poll.
pub fn static_by_file_and_name(context: &Context) -> Outcome {
    const PATCHED: i64 = 0x7e57;
    // 0 would mean for ever.
    const PAST: u64 = 1;
    let name = static_name("#do_poll")?;
    sleep_until(PAST).must_be(Answer::SUCCESS)?;
    let function = Function::named(&name, code::return_u32(PATCHED as u32));
    let loaded = load(context, "static", &payload(context, "id")?.function(function))?;
    apply(&loaded)?;
    sleep_until(PAST).must_be(PATCHED)?;
    revert(&loaded)?;
    sleep_until(PAST).must_be(Answer::SUCCESS)
}

/// The full name of Xen's static that ends so.
fn static_name(end: &str) -> Result<String, Stop> {
    let mut names = symbols().map_while(Result::ok).map(|symbol| symbol.name);
    names.find(|name| name.ends_with(end)).ok_or_else(|| {
        Stop::skip(format_args!("the compiler left no function '*{end}' in this Xen"))
    })
}

/// A payload's exported function is found by its name like one of Xen's.
pub fn of_another_payload(context: &Context) -> Outcome {
    let below = payload(context, "below")?
        .text("xtf_answer", code::return_u32(0x42))
        .export("xtf_answer")
        .function(Function::named("xen_minor_version", code::jump("xtf_answer")))
        .function(Function::named("xen_major_version", code::return_u32(0)));
    let below = load(context, "below", &below)?;
    let above = payload(context, "above")?
        .depends("below")
        .function(Function::named("xtf_answer", code::return_u32(0x43)));
    let above = load(context, "above", &above)?;
    apply(&below)?;
    version_is("before", 0x42)?;
    apply(&above)?;
    version_is("patched", 0x43)?;
    revert(&above)?;
    version_is("after", 0x42)
}

/// Each of the three is seen, and each is put back.
pub fn three_in_one_payload(context: &Context) -> Outcome {
    let seen = || Ok((extra_version()?, packed_version() & 0xffff, read_text(Text::Changeset)?));
    let original: (String, u32, String) = seen()?;
    let patch = payload(context, "three")?
        .function(Function::named("xen_extra_version", code::return_str("-one")))
        .function(Function::named("xen_minor_version", code::return_u32(0x222)))
        .function(Function::named("xen_changeset", code::return_str("three")));
    let loaded = load(context, "three", &patch)?;
    apply(&loaded)?;
    expect("patched", seen()?, (String::from("-one"), 0x222, String::from("three")))?;
    revert(&loaded)?;
    expect("reverted", seen()?, original)
}

/// So many functions that their state does not fit a page of Xen's heap by chance: forty
/// functions of one payload are each replaced by another, and the sum over all is seen.
pub fn forty_in_one_payload(context: &Context) -> Outcome {
    const COUNT: usize = 40;
    let labels: Vec<_> = (0..COUNT).map(|n| format!("xtf_part_{n}")).collect();
    // Each part adds to ecx, which the caller of all returns.
    let add = |value: u8| Chunk::new([0x8d, 0x49, value]).then(code::nops(8)).then(code::ret());
    let mut sum = Chunk::new([0x31, 0xc9]); // xor ecx, ecx
    let mut below = payload(context, "below")?;
    let mut above = payload(context, "above")?.depends("below");
    for label in &labels {
        sum = sum.then(code::call(label));
        below = below.text(label, add(1)).export(label);
        above = above.function(Function::named(label, add(3)));
    }
    sum = sum.then(Chunk::new([0x89, 0xc8])).then(code::ret()); // mov eax, ecx
    let below = below
        .function(Function::named("xen_minor_version", sum))
        .function(Function::named("xen_major_version", code::return_u32(0)));
    let below = load(context, "below", &below)?;
    let above = load(context, "above", &above)?;
    apply(&below)?;
    version_is("originals", COUNT as u32)?;
    apply(&above)?;
    version_is("all replaced", 3 * COUNT as u32)?;
    revert(&above)?;
    version_is("all put back", COUNT as u32)
}

/// The replacement is a symbol of Xen: no code in the payload.
pub fn by_a_function_of_xen(context: &Context) -> Outcome {
    let deny = Replacement::Symbol("xen_deny".into());
    let function = Function::named("xen_extra_version", deny);
    lives(context, &payload(context, "id")?.function(function), DENIED)
}

/// Both addresses are stated: no symbol, no relocation, no code.
pub fn by_an_address_in_xen(context: &Context) -> Outcome {
    let deny = Replacement::Jump(symbols::find("xen_deny")?.address);
    let function = Function::at(symbols::find("xen_extra_version")?.address, deny);
    lives(context, &payload(context, "id")?.function(function), DENIED)
}

/// The replacement is a function that another payload exports.
pub fn by_another_payloads(context: &Context) -> Outcome {
    let library = payload(context, "library")?
        .text("xtf_extra", code::return_str("-library"))
        .export("xtf_extra")
        .function(Function::named("xen_minor_version", code::return_u32(1)));
    let _library = load(context, "library", &library)?;
    let function = Function::named("xen_extra_version", Replacement::Symbol("xtf_extra".into()));
    lives(context, &payload(context, "id")?.function(function), "-library")
}

/// Without variables of its own a payload may come and go.
pub fn applied_again(context: &Context) -> Outcome {
    let original = extra_version()?;
    let loaded = support::load_marker(context, "-again")?;
    for _ in 0..3 {
        apply(&loaded)?;
        reads("-again")?;
        revert(&loaded)?;
        reads(&original)?;
    }
    Ok(())
}

/// A function that begins with `head`, returns 1, and has room for a jump.
fn guarded_function(head: Chunk) -> Chunk {
    head.then(code::return_u32(1)).then(code::nops(8))
}

/// A payload whose function `xtf_guarded` begins with these 4 bytes and is what XENVER_version
/// returns.
fn guarded(context: &Context, head: Chunk) -> Result<Payload, Stop> {
    Ok(payload(context, "below")?
        .text("xtf_guarded", guarded_function(head))
        .export("xtf_guarded")
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", code::jump("xtf_guarded"))))
}

/// Replaces `xtf_guarded` and sees where the jump went: the first 4 bytes must be as they were.
fn jump_goes_behind(context: &Context, head: Chunk, first_byte: u8) -> Outcome {
    let below = load(context, "below", &guarded(context, head)?)?;
    let patch = payload(context, "above")?
        .depends("below")
        .function(Function::named("xtf_guarded", code::return_u32(2)));
    let above = load(context, "above", &patch)?;
    // Without touching the function, reads where the jump is: its first byte as the result.
    let probe = payload(context, "probe")?.depends("above").function(Function::named(
        "xen_minor_version",
        // movzx eax, byte ptr [rip+xtf_guarded]; ret
        Chunk::new([0x0f, 0xb6, 0x05, 0, 0, 0, 0, 0xc3]).reloc(3, R_X86_64_PC32, "xtf_guarded", -4),
    ));
    let probe = load(context, "probe", &probe)?;
    apply(&below)?;
    version_is("original", 1)?;
    apply(&above)?;
    version_is("replaced", 2)?;
    apply(&probe)?;
    version_is("first byte", first_byte.into())?;
    revert(&probe)?;
    revert(&above)?;
    version_is("original again", 1)
}

const JUMP: u8 = 0xe9;
const ENDBR_FIRST: u8 = 0xf3;
const POISON_FIRST: u8 = 0x66;

/// An ENDBR64 stays the first instruction.
pub fn behind_an_endbr(context: &Context) -> Outcome {
    let first = if context.xen.has(Change::EndbrJump) { ENDBR_FIRST } else { JUMP };
    jump_goes_behind(context, code::endbr64(), first)
}

/// So does what Xen makes of an ENDBR64 that nobody needs: a NOP of its length (89a24719b6).
pub fn behind_a_poisoned_endbr(context: &Context) -> Outcome {
    let first = if context.xen.has(Change::EndbrPoison) { POISON_FIRST } else { JUMP };
    // nopw (%rcx): the one NOP of this length that no compiler emits.
    jump_goes_behind(context, Chunk::new([0x66, 0x0f, 0x1f, 0x01]), first)
}

/// Where the jump went is remembered per function.
pub fn mixed_endbr(context: &Context) -> Outcome {
    // Two functions; the result is the first one's plus 16 times the second one's.
    let both = code::call("xtf_second")
        .then(Chunk::new([0xc1, 0xe0, 4, 0x89, 0xc1])) // shl eax, 4; mov ecx, eax
        .then(code::call("xtf_guarded"))
        .then(Chunk::new([0x01, 0xc8])) // add eax, ecx
        .then(code::ret());
    let below = payload(context, "below")?
        .text("xtf_guarded", guarded_function(code::endbr64()))
        .export("xtf_guarded")
        .text("xtf_second", code::return_u32(1).then(code::nops(12)))
        .export("xtf_second")
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", both));
    let below = load(context, "below", &below)?;
    let above = payload(context, "above")?
        .depends("below")
        .function(Function::named("xtf_guarded", code::return_u32(2)))
        .function(Function {
            old: Old::Symbol("xtf_second".into()),
            ..Function::named("xtf_second", code::return_u32(3))
        });
    let above = load(context, "above", &above)?;
    apply(&below)?;
    version_is("originals", 0x11)?;
    apply(&above)?;
    version_is("replaced", 0x32)?;
    revert(&above)?;
    version_is("originals again", 0x11)
}
