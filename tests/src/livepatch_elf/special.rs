//! Sections that change how the rest is linked, or what Xen does with it: `.bug_frames.*`,
//! `.altinstructions`, `.ex_table`, `.modinfo`; all in `prepare_payload`.

use kernel::xen::Change;
use kernel::{Case, Context, Errno, Outcome, Stop};
use livepatch::payload::wire::{R_X86_64_PC32, SHF_ALLOC, SHT_PROGBITS};
use livepatch::payload::{Area, Chunk, Data, Elf, Function, Hook, HookBody, Payload, Section};

use super::claims::{EINVAL, MARK, base, each, file_accepted, file_refused, file_shows};
use super::probe::{self, YES};
use crate::support::{Bytes, NO_FEATURE, alternative, target};

const ALT: Area = Area::loaded(".altinstructions", 0, 1);
const REPLACEMENTS: Area = Area::loaded(".altinstr_replacement", 0, 1);

pub(super) const CASES: &[Case] = &[
    Case::new("bug_frames/of_whole_frames_are_accepted", |c| {
        each(BUG_FRAMES, |name| each([0, 8, 16], |size| sized(c, name, size, None)))
    }),
    Case::new("bug_frames/of_other_sizes_are_einval", |c| {
        each(BUG_FRAMES, |name| each([1, 4, 7, 9, 12], |size| sized(c, name, size, Some(EINVAL))))
    }),
    Case::new("bug_frames/of_an_unknown_kind_are_ignored", |c| {
        each([".bug_frames.4", ".bug_frames.9", ".bug_frames"], |name| sized(c, name, 7, None))
    }),
    Case::new("ex_table/of_whole_entries_is_accepted", |c| {
        each([8, 16, 80], |size| sized(c, ".ex_table", size, None))
    }),
    Case::new("ex_table/empty_is_accepted_since_7597fabca7", |c| {
        let errno = (!c.xen.has(Change::EmptyExTable)).then_some(EINVAL);
        sized(c, ".ex_table", 0, errno)
    }),
    Case::new("ex_table/of_other_sizes_is_einval", |c| {
        each([1, 4, 7, 9, 12], |size| sized(c, ".ex_table", size, Some(EINVAL)))
    }),
    Case::new("ex_table/is_sorted", sorted),
    Case::new("modinfo/of_text_is_accepted", |c| {
        c.needs(Change::Modinfo)?;
        each([&b"\0"[..], b"key=value\0", b"a=b\0c=d\0", b"\0\0\0", b"\xFF\x80\n\0"], |text| {
            modinfo(c, text, None)
        })
    }),
    Case::new("modinfo/without_nul_at_the_end_is_einval", |c| {
        c.needs(Change::Modinfo)?;
        each([&b"k"[..], b"key=value", b"key=value\0x", b"\0\xFF"], |text| {
            modinfo(c, text, Some(EINVAL))
        })
    }),
    // Alternatives, whose replacement is put in place while the payload is uploaded.
    Case::new("alternatives/empty_are_accepted", |c| sized(c, ".altinstructions", 0, None)),
    Case::new("alternatives/size_other_than_of_whole_ones_is_einval", |c| {
        each([1, 7, 11, 13, 15, 27], |size| sized(c, ".altinstructions", size, Some(EINVAL)))?;
        // But for its last byte, the alternative is a correct one.
        let mut elf = Alternative::UNUSED.payload(c)?;
        elf.section_mut(".altinstructions").shdr.sh_size -= 1;
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("alternatives/for_a_feature_that_is_there_are_used", |c| {
        file_shows(c, "-new", &Alternative::USED.payload(c)?.to_bytes())
    }),
    Case::new("alternatives/for_a_feature_that_is_missing_are_not_used", |c| {
        file_shows(c, "-old", &Alternative::UNUSED.payload(c)?.to_bytes())
    }),
    Case::new("alternatives/all_of_them_are_looked_at", all_alternatives),
    Case::new("alternatives/original_at_the_end_of_the_code_is_accepted", |c| {
        let last = Alternative { orig: i64::from(CODE) - 7, ..Alternative::UNUSED };
        file_accepted(c, &last.payload(c)?.to_bytes())
    }),
    Case::new("alternatives/original_1_byte_beyond_the_code_is_einval", |c| {
        Alternative { orig: i64::from(CODE) - 6, ..Alternative::UNUSED }.outside(c)
    }),
    Case::new("alternatives/original_before_the_code_is_einval", |c| {
        Alternative { orig: -1, ..Alternative::UNUSED }.outside(c)
    }),
    Case::new("alternatives/original_as_long_as_the_code_is_accepted", |c| {
        let whole = Alternative { orig_len: CODE, ..Alternative::UNUSED };
        file_accepted(c, &whole.payload(c)?.to_bytes())
    }),
    Case::new("alternatives/original_longer_than_the_code_is_einval", |c| {
        Alternative { orig_len: CODE + 1, ..Alternative::UNUSED }.outside(c)
    }),
    Case::new("alternatives/original_in_constants_is_einval", |c| {
        let elf = Alternative::UNUSED.of(c, "constant", "replacement")?;
        outside(c, &elf.to_bytes())
    }),
    Case::new("alternatives/replacement_of_0_bytes_is_accepted", |c| {
        each([0, i64::from(ROOM)], |repl| {
            let none = Alternative { repl, repl_len: 0, ..Alternative::UNUSED };
            file_accepted(c, &none.payload(c)?.to_bytes())
        })
    }),
    Case::new("alternatives/replacement_at_the_end_of_its_section_is_accepted", |c| {
        let last = Alternative { repl: i64::from(ROOM) - 7, ..Alternative::UNUSED };
        file_accepted(c, &last.payload(c)?.to_bytes())
    }),
    Case::new("alternatives/replacement_1_byte_beyond_its_section_is_einval", |c| {
        Alternative { repl: i64::from(ROOM) - 6, ..Alternative::UNUSED }.outside(c)
    }),
    Case::new("alternatives/replacement_before_its_section_is_einval", |c| {
        Alternative { repl: -1, ..Alternative::UNUSED }.outside(c)
    }),
    Case::new("alternatives/replacement_longer_than_its_section_is_einval", |c| {
        Alternative { repl_len: ROOM + 1, orig_len: ROOM + 1, ..Alternative::UNUSED }.outside(c)
    }),
    Case::new("alternatives/replacement_in_constants_is_einval", |c| {
        let elf = Alternative::UNUSED.of(c, "original", "constant")?;
        outside(c, &elf.to_bytes())
    }),
    Case::new("alternatives/replacement_in_the_code_is_einval", |c| {
        let elf = Alternative::UNUSED.of(c, "original", "original")?;
        outside(c, &elf.to_bytes())
    }),
    Case::new("alternatives/without_a_section_of_replacements_are_einval", |c| {
        let mut elf = Alternative::UNUSED.payload(c)?;
        elf.section_mut(".altinstr_replacement").name = ".replacement".into();
        elf.relayout();
        outside(c, &elf.to_bytes())
    }),
    Case::new("alternatives/without_any_code_are_einval", without_code),
    Case::new("alternatives/do_not_end_the_checks", |c| {
        c.needs(Change::Modinfo)?;
        let mut elf = Alternative::USED.payload(c)?;
        // What lacks its NUL is looked at later.
        let text = Data::Bytes(b"key".to_vec());
        elf.push(Section::new(".modinfo", SHT_PROGBITS, SHF_ALLOC, 1, text));
        file_refused(c, EINVAL, &elf.to_bytes())
    }),
    Case::new("alternatives/replacement_longer_by_the_padding_is_accepted", |c| {
        c.needs(Change::AlternativePadding)?;
        let padded = Alternative { repl_len: 8, pad_len: 1, ..Alternative::UNUSED };
        file_accepted(c, &padded.payload(c)?.to_bytes())
    }),
    Case::new("alternatives/original_of_254_bytes_is_accepted", |c| {
        c.needs(Change::AlternativePadding)?;
        let longest = Alternative { pad_len: 254 - 7, ..Alternative::UNUSED };
        file_accepted(c, &longest.payload(c)?.to_bytes())
    }),
];

const BUG_FRAMES: [&str; 4] = [".bug_frames.0", ".bug_frames.1", ".bug_frames.2", ".bug_frames.3"];

/// What becomes of the base payload with an additional section.
fn with_section(c: &Context, name: &str, bytes: &[u8], errno: Option<Errno>) -> Outcome {
    let mut elf = base(c)?.elf();
    elf.push(Section::new(name, SHT_PROGBITS, SHF_ALLOC, 8, Data::Bytes(bytes.to_vec())));
    match errno {
        Some(errno) => file_refused(c, errno, &elf.to_bytes()),
        None => file_accepted(c, &elf.to_bytes()),
    }
}

/// What becomes of it with so many zeroes in that section.
fn sized(c: &Context, name: &str, size: usize, errno: Option<Errno>) -> Outcome {
    with_section(c, name, &alloc::vec![0; size], errno)
}

fn modinfo(c: &Context, text: &[u8], errno: Option<Errno>) -> Outcome {
    with_section(c, ".modinfo", text, errno)
}

/// The entries of an exception table end up in the order of the addresses that may fault, each
/// with the address to go on at; both are stored as distances from their own place.
fn sorted(c: &Context) -> Outcome {
    let entry = |faults: &str, goes_on: &str| {
        Chunk::new([0; 8]).reloc(0, R_X86_64_PC32, faults, 0).reloc(4, R_X86_64_PC32, goes_on, 0)
    };
    let check = [(0, "first"), (4, "after_first"), (8, "second"), (12, "after_second")]
        .into_iter()
        .fold(probe::no_difference(), |check, (offset, label)| {
            check.then(probe::add_difference("table", offset, label))
        });
    let payload = Payload::new(&target(c)?, MARK)
        .text("first", [0x90])
        .text("second", [0x90])
        .text("after_second", [0x90])
        .text("after_first", [0x90])
        .function(Function::named("xen_extra_version", probe::yes_if_zero(check)))
        .section(
            Area::loaded(".ex_table", 0, 4),
            "table",
            entry("second", "after_second").then(entry("first", "after_first")),
        );
    file_shows(c, YES, &payload.to_bytes())
}

/// Bytes of the code that alternatives are for, and of their replacements.
const CODE: u8 = 18;
const ROOM: u8 = 16;

/// A feature that Xen requires: long mode.
const LONG_MODE: u16 = 2 * 32 + 29;

/// One `struct alt_instr`: some bytes of code and what to put in their place.
#[derive(Clone, Copy)]
struct Alternative {
    /// Where in the code.
    orig: i64,
    /// Where among the replacements.
    repl: i64,
    /// If the CPU has this feature.
    cpuid: u16,
    orig_len: u8,
    repl_len: u8,
    /// Bytes behind the original that may be overwritten as well.
    pad_len: u8,
}

impl Alternative {
    /// The original's first instruction loads another text.
    const USED: Self =
        Self { orig: 0, repl: 0, cpuid: LONG_MODE, orig_len: 7, repl_len: 7, pad_len: 0 };
    /// It would, on another CPU: nothing is written.
    const UNUSED: Self = Self { cpuid: NO_FEATURE, ..Self::USED };

    /// As it is in the section, for code and replacements with these labels.
    fn chunk(&self, c: &Context, original: &str, replacement: &str) -> Chunk {
        let original = Bytes { at: (original, self.orig), length: self.orig_len };
        let replacement = Bytes { at: (replacement, self.repl), length: self.repl_len };
        alternative(c, original, replacement, self.cpuid, self.pad_len)
    }

    /// A payload with code, replacements, a constant, and this alternative for the labels.
    fn of(&self, c: &Context, original: &str, replacement: &str) -> Result<Elf, Stop> {
        Ok(subject(c)?.section(ALT, "alternative", self.chunk(c, original, replacement)).elf())
    }

    fn payload(&self, c: &Context) -> Result<Elf, Stop> {
        self.of(c, "original", "replacement")
    }

    /// It leads out of where it has to be.
    fn outside(&self, c: &Context) -> Outcome {
        outside(c, &self.payload(c)?.to_bytes())
    }
}

/// A payload for alternatives to change.
fn subject(c: &Context) -> Result<Payload, Stop> {
    let mut code = alloc::vec![0x48, 0x8D, 0x05, 1, 0, 0, 0, 0xC3]; // lea rax, [rip + old]; ret
    code.extend(b"-old\0-new\0");
    let mut replacement = alloc::vec![0x48, 0x8D, 0x05, 6, 0, 0, 0]; // lea rax, [rip + new]
    replacement.resize(ROOM.into(), 0x90);
    let function = Function::named("xen_extra_version", Chunk::new(code)).label("original");
    Ok(Payload::new(&target(c)?, MARK)
        .function(function)
        .section(REPLACEMENTS, "replacement", replacement)
        .rodata("constant", [0x90; ROOM as usize]))
}

/// What leads out of the payload's code or replacements is noticed since e74360e4ba.
fn outside(c: &Context, file: &[u8]) -> Outcome {
    if c.xen.has(Change::AlternativePlaces) {
        return file_refused(c, EINVAL, file);
    }
    file_accepted(c, file)
}

fn all_alternatives(c: &Context) -> Outcome {
    let beyond = Alternative { repl: -1, ..Alternative::UNUSED };
    let pair = |first: Alternative, second: Alternative| {
        let both = first.chunk(c, "original", "replacement");
        both.then(second.chunk(c, "original", "replacement"))
    };
    for both in [pair(Alternative::UNUSED, beyond), pair(beyond, Alternative::UNUSED)] {
        outside(c, &subject(c)?.section(ALT, "alternatives", both).to_bytes())?;
    }
    let used = pair(Alternative::UNUSED, Alternative::USED);
    file_shows(c, "-new", &subject(c)?.section(ALT, "alternatives", used).to_bytes())
}

fn without_code(c: &Context) -> Outcome {
    c.needs(Change::HooksAlone)?;
    let payload = Payload::new(&target(c)?, MARK)
        .hook(Hook::PostApply, HookBody::Null)
        .rodata("constant", [0x90; ROOM as usize])
        .section(REPLACEMENTS, "replacement", [0x90; ROOM as usize])
        .section(ALT, "alternative", Alternative::UNUSED.chunk(c, "constant", "replacement"));
    outside(c, &payload.to_bytes())
}
