//! `.alt_call_sites`: calls through a pointer that become direct ones while the payload is uploaded
//! (d2fd5f0fcd, Xen 4.21). Before, nobody looks into the section.

use kernel::xen::Change;
use kernel::{Case, Context, Errno, Outcome, Stop};
use livepatch::payload::wire::R_X86_64_PC32;
use livepatch::payload::{Area, Chunk, Function, Hook, HookBody, Payload, code};

use super::claims::{EINVAL, MARK, each, file_accepted, file_refused, file_shows};
use super::probe::{self, YES};
use crate::support::target;

/// A place in an entry is 4 bytes, relative to themselves.
const SITES: Area = Area::loaded(".alt_call_sites", 0, 4);

pub(super) const CASES: &[Case] = &[
    Case::new("alt_call_sites/empty_is_accepted", |c| {
        file_accepted(c, &subject(c)?.section(SITES, "sites", []).to_bytes())
    }),
    Case::new("alt_call_sites/size_other_than_of_whole_sites_is_einval_since_d2fd5f0fcd", |c| {
        each([1, 3, 5], |size| {
            judge(c, &subject(c)?.section(SITES, "sites", alloc::vec![0; size]), EINVAL)
        })
    }),
    Case::new("alt_call_sites/a_call_goes_where_the_pointer_says", |c| {
        file_shows(c, "-called", &with_sites(c, [("site", 0)])?.to_bytes())
    }),
    // CS-prefixed, to be as long as before.
    Case::new("alt_call_sites/a_call_is_made_direct", |c| {
        becomes(c, Chunk::address_of("callee"), [0x2e, 0xe8])
    }),
    Case::new("alt_call_sites/a_call_of_nothing_becomes_invalid", |c| {
        becomes(c, Chunk::new([0; 8]), [0x0f, 0x0b])
    }),
    Case::new("alt_call_sites/another_instruction_is_einval", |c| {
        // Its second byte, then its first one, is not that of such a call.
        each(["other_call", "other"], |place| judge(c, &with_sites(c, [(place, 0)])?, EINVAL))
    }),
    Case::new("alt_call_sites/at_the_end_of_the_code_is_accepted", |c| {
        file_accepted(c, &with_sites(c, [("last", 0)])?.to_bytes())
    }),
    Case::new("alt_call_sites/1_byte_beyond_the_code_is_einval", |c| {
        judge(c, &with_sites(c, [("last", 1)])?, EINVAL)
    }),
    Case::new("alt_call_sites/before_the_code_is_einval", |c| {
        judge(c, &with_sites(c, [("first", -1)])?, EINVAL)
    }),
    Case::new("alt_call_sites/in_constants_is_einval", |c| {
        judge(c, &with_sites(c, [("constant", 0)])?, EINVAL)
    }),
    Case::new("alt_call_sites/all_of_them_are_looked_at", |c| {
        each([[("site", 0), ("constant", 0)], [("constant", 0), ("site", 0)]], |sites| {
            judge(c, &with_sites(c, sites)?, EINVAL)
        })?;
        each([[("site", 0), ("other", 0)], [("other", 0), ("site", 0)]], |sites| {
            judge(c, &with_sites(c, sites)?, EINVAL)
        })
    }),
    Case::new("alt_call_sites/without_any_code_are_einval", without_code),
    Case::new("alt_call_sites/do_not_end_the_checks", |c| {
        c.needs(Change::Modinfo)?;
        let patch = with_sites(c, [("site", 0)])?;
        // What lacks its NUL is looked at later.
        let area = Area::loaded(".modinfo", 0, 1);
        file_refused(c, EINVAL, &patch.section(area, "modinfo", *b"key").to_bytes())
    }),
];

/// `call [rip+pointer]`.
fn call(pointer: &str) -> Chunk {
    Chunk::new([0xff, 0x15, 0, 0, 0, 0]).reloc(2, R_X86_64_PC32, pointer, -4)
}

/// A payload with calls through pointers. The code lies in the order of the lines, and nothing behind
/// the last one.
fn subject(c: &Context) -> Result<Payload, Stop> {
    Ok(Payload::new(&target(c)?, MARK)
        .text("first", code::nops(16))
        .function(
            Function::named("xen_extra_version", call("pointer").then(code::ret())).label("site"),
        )
        .text("callee", code::endbr64().then(code::return_str("-called")))
        .text("other_call", Chunk::new([0xff, 0x16]).then(code::nops(6)))
        .text("other", Chunk::new([0xfe, 0x15]).then(code::nops(6)))
        .text("last", call("pointer"))
        .rodata("pointer", Chunk::address_of("callee"))
        .rodata("constant", [0xff, 0x15, 0, 0, 0, 0, 0, 0]))
}

fn with_sites<const COUNT: usize>(
    c: &Context,
    sites: [(&str, i64); COUNT],
) -> Result<Payload, Stop> {
    let site = |sites: Chunk, (label, offset)| {
        sites.then(Chunk::new([0; 4]).reloc(0, R_X86_64_PC32, label, offset))
    };
    Ok(subject(c)?.section(SITES, "sites", sites.into_iter().fold(Chunk::new([]), site)))
}

/// Refused since the section is looked at.
fn judge(c: &Context, payload: &Payload, errno: Errno) -> Outcome {
    if c.xen.has(Change::AlternativeCalls) {
        return file_refused(c, errno, &payload.to_bytes());
    }
    file_accepted(c, &payload.to_bytes())
}

/// Passes if a call through `pointer` begins with these bytes after the upload.
fn becomes(c: &Context, pointer: Chunk, begin: [u8; 2]) -> Outcome {
    c.needs(Change::AlternativeCalls)?;
    // cmp word ptr [rip+site], begin
    let looks = Chunk::new([0x66, 0x81, 0x3d, 0, 0, 0, 0, begin[0], begin[1]]).reloc(
        3,
        R_X86_64_PC32,
        "site",
        -6,
    );
    let payload = Payload::new(&target(c)?, MARK)
        .text("site", call("pointer").then(code::ret()))
        .text("callee", code::endbr64().then(code::ret()))
        .rodata("pointer", pointer)
        .function(Function::named("xen_extra_version", probe::yes_if_zero(looks)))
        .section(SITES, "sites", Chunk::new([0; 4]).reloc(0, R_X86_64_PC32, "site", 0));
    file_shows(c, YES, &payload.to_bytes())
}

fn without_code(c: &Context) -> Outcome {
    c.needs(Change::HooksAlone)?;
    let payload = Payload::new(&target(c)?, MARK)
        .hook(Hook::PostApply, HookBody::Null)
        .rodata("constant", [0xff, 0x15, 0, 0, 0, 0, 0, 0])
        .section(SITES, "sites", Chunk::new([0; 4]).reloc(0, R_X86_64_PC32, "constant", 0));
    judge(c, &payload, EINVAL)
}
