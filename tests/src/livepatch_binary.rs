//! # livepatch-binary
//!
//! What differs between Xen as an ELF file and as an EFI application, each difference as
//! docs/uefi.md states it: both are seen on the running Xen, independently, and must agree about
//! which of the two it is.
//!
//! Where it is: the build-id is found by `xen_build_init` (xen/common/version.c); the names of
//! symbols are made when Xen is linked (xen/tools/symbols.c, from what `nm` prints).
#![forbid(unsafe_code)]

use alloc::format;
use alloc::string::String;

use kernel::hypercall::symbols::symbols;
use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect};
use livepatch::binary::{Binary, CUT, LEFT};
use livepatch::payload::Chunk;

use crate::support::{marker, target, try_upload};

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-binary",
    title: "What differs between xen.gz and xen.efi",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("build_id/has_20_bytes_in_an_elf_file_and_16_in_an_efi_application", build_id),
        Case::new("statics/paths_of_15_to_18_characters_are_cut_in_an_efi_application", paths),
        Case::new("statics/a_payload_finds_the_name_as_it_is_spelled", found_as_spelled),
    ],
    ..Test::DEFAULT
};

/// The paths and the names of Xen's static symbols.
fn statics() -> impl Iterator<Item = Result<(String, String), Stop>> {
    symbols().filter_map(|symbol| match symbol {
        Ok(symbol) => {
            let (path, name) = symbol.name.split_once('#')?;
            Some(Ok((path.into(), name.into())))
        }
        Err(errno) => Some(Err(Stop::error(format_args!("XENPF_get_symbol answers {errno}")))),
    })
}

/// What the names of static symbols tell.
fn told_by_statics() -> Result<Binary, Stop> {
    for symbol in statics() {
        if let Some(binary) = Binary::of_path(&symbol?.0) {
            return Ok(binary);
        }
    }
    Err(Stop::failure("no static symbol is spelled as either of the two has it"))
}

fn build_id(context: &Context) -> Outcome {
    let binary = told_by_statics()?;
    let length = target(context)?.xen_build_id.len();
    expect("bytes of the build-id, by what static symbols tell", length, binary.build_id_len())
}

/// All of them: one that is spelled otherwise is a failure.
fn paths(context: &Context) -> Outcome {
    let length = target(context)?.xen_build_id.len();
    let both = [Binary::Elf, Binary::Efi];
    let told = both.into_iter().find(|binary| binary.build_id_len() == length);
    let told = told.ok_or_else(|| {
        Stop::failure(format_args!(
            "a build-id of {length} bytes is neither an ELF file's nor an EFI application's"
        ))
    })?;
    let mut longer = 0;
    for symbol in statics() {
        let (path, name) = symbol?;
        if Binary::of_path(&path).is_some_and(|binary| binary != told) {
            return Err(Stop::failure(format_args!(
                "{path}#{name} in a Xen whose build-id is that of {told:?}"
            )));
        }
        // The source files' names have endings: what has none was cut.
        if !path.contains('.') && path.len() != LEFT {
            return Err(Stop::failure(format_args!("{path}#{name} is cut in another way")));
        }
        longer += u32::from(path.len() > *CUT.end());
    }
    if longer == 0 {
        return Err(Stop::error("no static symbol of a file with a longer path"));
    }
    Ok(())
}

/// Before 81ecb38b83 the name has no path that could be cut.
fn found_as_spelled(context: &Context) -> Outcome {
    context.needs(Change::SymbolPaths)?;
    let own = told_by_statics()?;
    for binary in [Binary::Elf, Binary::Efi] {
        let name = format!("{}#payload_list", binary.path("common/livepatch.c"));
        let payload = marker(context, "-static")?.rodata("pointer", Chunk::address_of(&name));
        let answer = try_upload(context, "static", &payload.to_bytes());
        let expected = if binary == own { Answer::SUCCESS } else { Answer::from(Errno::ENOENT) };
        expect(&name, answer, expected)?;
    }
    Ok(())
}
