//! # livepatch-width
//!
//! What a 32-bit caller can say to Xen, and what Xen makes of it. The livepatch sysctl has the same
//! structures for callers of both widths: its handles have 64 bits. A caller's registers and all
//! other structures have 32.
//!
//! Where it is: Xen takes the handles of a sysctl as they are (`XEN_GUEST_HANDLE_64`,
//! xen/include/public/arch-x86/xen-x86_32.h). What an upper half means is up to the walk through the
//! caller's page tables (`guest_walk_tables`, xen/arch/x86/mm/guest_walk.c), which are of two or
//! three levels; without paging the address is a physical one (`hap_gva_to_gfn_real_mode`,
//! xen/arch/x86/mm/hap/hap.c). For a PV guest it is one of 64 bits, in the address space that Xen and
//! the guest share (`access_ok`, xen/arch/x86/include/asm/x86_64/uaccess.h); the guest has its first 4 GiB.
//! The hypercall's own argument comes from a register of 32 bits (`hvm_hypercall`,
//! xen/arch/x86/hvm/hypercall.c; for a PV guest `_pv_hypercall`, xen/arch/x86/pv/hypercall.c).
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::buffer::{FILL, Guarded, last_bytes_input};
use kernel::hypercall::symbols;
use kernel::{
    Answer, Case, Context, Environment, Errno, Need, Outcome, Stop, Test, expect, expect_that,
};
use livepatch::abi::{ActionCmd, Call, In, List, ListBuffers, Name, State, Upload};

use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-width",
    title: "What a 32-bit caller can say, and what Xen makes of it",
    environments: &[
        Environment::Hvm32,
        Environment::Hvm32pse,
        Environment::Hvm32pae,
        Environment::Pv32pae,
    ],
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("structure/a_whole_life_works", a_whole_life),
        Case::new("structure/across_4_gib_is_efault", across_the_end),
        Case::new("structure/comes_back_whole", comes_back_whole),
        Case::new("name/high_half_is_left_to_the_walk", high_half_of_the_name),
        Case::new("name/across_4_gib_is_efault", name_across_the_end),
        Case::new("payload/high_half_is_left_to_the_walk", high_half_of_the_payload),
        Case::new("payload/across_4_gib_is_efault", payload_across_the_end),
        Case::new("payload/size_has_64_bits", size_has_64_bits),
        Case::new("list/high_half_is_left_to_the_walk", high_half_of_the_list),
        Case::new("result/is_a_negative_errno", result_is_negative),
        Case::new("result/is_a_count", result_is_a_count),
        Case::new("symbol/addresses_have_64_bits", addresses_have_64_bits),
    ],
    ..Test::DEFAULT
};

const NAME: &[u8] = b"width\0";
/// Upper halves of addresses: the first gigabytes that 32 bits do not reach, one that no CPU has, and
/// one that is Xen's in 64-bit guests.
const HALVES: [u32; 4] = [1, 0x10, 0x8000_0000, 0xffff_8000];

/// What comes of an address with this upper half, where without it the answer is `answer`.
fn with_high_half(context: &Context, half: u32, answer: Answer) -> Answer {
    /// Three levels: Xen takes nine bits for the index into the top level, where the CPU takes two.
    /// Behind the four entries of ours there are none.
    const TAKEN_FOR_AN_INDEX: u32 = 0x7f;
    let ignored = match context.environment {
        // Two levels: no bit of it is an index.
        Environment::Hvm32pse => true,
        Environment::Hvm32pae => half & TAKEN_FOR_AN_INDEX == 0,
        // PV: an address of Xen's own, under which the guest has nothing. No levels: the address is a
        // physical one, and no memory is there.
        _ => false,
    };
    if ignored { answer } else { Errno::EFAULT.into() }
}

/// What comes of a list into memory that has this upper half. Of a PV guest's arrays Xen first asks
/// whether they end below the middle of the 64-bit address space.
fn listed_with_high_half(context: &Context, half: u32) -> Answer {
    const BEYOND_THE_MIDDLE: u32 = 0xffff_8000;
    let refused = !context.environment.is_hvm() && half & BEYOND_THE_MIDDLE != 0;
    if refused { Errno::EINVAL.into() } else { with_high_half(context, half, Answer(1)) }
}

fn a_whole_life(context: &Context) -> Outcome {
    let loaded = support::load_marker(context, "-width")?;
    loaded.must_be(State::Checked, Answer::SUCCESS)?;
    support::apply(&loaded)?;
    support::reads("-width")?;
    support::revert(&loaded)?;
    support::unload(context, &loaded)
}

fn across_the_end(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let call = Call::list(livepatch.version, List::EMPTY);
    livepatch.perform_in_the_last_bytes(&call).must_be(Errno::EFAULT)
}

/// Xen writes all of the structure back, and in it what GET tells.
fn comes_back_whole(context: &Context) -> Outcome {
    let _loaded = support::load_marker(context, "-width")?;
    let livepatch = context.livepatch();
    let reply = livepatch.perform(&Call::get(livepatch.version, Name::new(b"-width\0")));
    reply.answer.must_be(Answer::SUCCESS)?;
    expect("state", State::from(reply.after.status().state), State::Checked)
}

fn get(context: &Context, ptr: In<'_>) -> Answer {
    let livepatch = context.livepatch();
    let name = Name { ptr, ..Name::new(NAME) };
    livepatch.call(&Call::get(livepatch.version, name))
}

fn high_half_of_the_name(context: &Context) -> Outcome {
    let name = Guarded::from_bytes(NAME)?;
    get(context, name.input()).must_be(Errno::ENOENT)?;
    for half in HALVES {
        let answer = get(context, name.input_with_high_half(half));
        let expected = with_high_half(context, half, Errno::ENOENT.into());
        answer.must_be(expected).map_err(|stop| stop.at(format_args!("{half:#x}")))?;
    }
    Ok(())
}

fn name_across_the_end(context: &Context) -> Outcome {
    get(context, last_bytes_input(NAME.len() / 2)).must_be(Errno::EFAULT)
}

fn upload(context: &Context, size: u64, payload: In<'_>) -> Answer {
    let livepatch = context.livepatch();
    let upload = Upload { name: Name::new(NAME), size, payload };
    let answer = livepatch.call(&Call::upload(livepatch.version, upload));
    if answer == Answer::SUCCESS {
        let _ = livepatch.action(NAME, ActionCmd::Unload);
    }
    answer
}

fn high_half_of_the_payload(context: &Context) -> Outcome {
    let file = support::marker(context, "-width")?.to_bytes();
    let memory = Guarded::from_bytes(&file)?;
    let size = file.len() as u64;
    upload(context, size, memory.input()).must_be(Answer::SUCCESS)?;
    for half in HALVES {
        let answer = upload(context, size, memory.input_with_high_half(half));
        let expected = with_high_half(context, half, Answer::SUCCESS);
        answer.must_be(expected).map_err(|stop| stop.at(format_args!("{half:#x}")))?;
    }
    Ok(())
}

fn payload_across_the_end(context: &Context) -> Outcome {
    upload(context, 4096, last_bytes_input(64)).must_be(Errno::EFAULT)
}

/// A size whose lower half alone would do.
fn size_has_64_bits(context: &Context) -> Outcome {
    let file = support::marker(context, "-width")?.to_bytes();
    let memory = Guarded::from_bytes(&file)?;
    upload(context, 1 << 32 | file.len() as u64, memory.input()).must_be(Errno::EINVAL)
}

fn high_half_of_the_list(context: &Context) -> Outcome {
    let _loaded = support::load_marker(context, "-width")?;
    let livepatch = context.livepatch();
    for half in HALVES {
        let at = |stop: Stop| stop.at(format_args!("{half:#x}"));
        let mut status = Guarded::new(8)?;
        let mut buffers = ListBuffers::new(1, 64, 0);
        let list = List { status: status.output_with_high_half(half), ..buffers.list(0, 1) };
        let answer = livepatch.call(&Call::list(livepatch.version, list));
        answer.must_be(listed_with_high_half(context, half)).map_err(at)?;
        let written = status.bytes().iter().any(|&byte| byte != FILL);
        expect("a status is there", written, answer == Answer(1)).map_err(at)?;
    }
    Ok(())
}

/// The result's register has 32 bits, of which the highest says that it is an errno.
fn result_is_negative(context: &Context) -> Outcome {
    let answer = context.livepatch().action(NAME, ActionCmd::Apply);
    expect("the result", answer.0, -2)
}

fn result_is_a_count(context: &Context) -> Outcome {
    let _loaded = support::load_marker(context, "-width")?;
    let livepatch = context.livepatch();
    let mut buffers = ListBuffers::new(1, 64, 0);
    let answer = livepatch.call(&Call::list(livepatch.version, buffers.list(0, 1)));
    expect("the result", answer.0, 1)
}

/// `XENPF_get_symbol` has a narrow handle and a wide address in one structure.
fn addresses_have_64_bits(_context: &Context) -> Outcome {
    let first: Vec<_> = symbols::symbols().take(8).collect();
    expect("symbols", first.len(), 8)?;
    for symbol in first {
        let symbol = symbol.map_err(|errno| Stop::failure(format_args!("answers {errno}")))?;
        expect_that(
            symbol.address >> 32 >= 0xffff_82d0 && !symbol.name.is_empty(),
            format_args!("an address of Xen's, not {:#x} of '{}'", symbol.address, symbol.name),
        )?;
    }
    Ok(())
}
