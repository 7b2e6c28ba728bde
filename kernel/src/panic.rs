//! The panic handler: prints the reason, the registers and a backtrace before the domain ends.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use arch::shutdown::Reason;
use arch::trap::{self, TrapFrame};
use protocol::console::{BACKTRACE, DIAGNOSTIC, PANIC, Status, TRAP};

use crate::cmdline::{self, Options};
use crate::println;
use crate::report;
use crate::run::leave;

static FAILING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => fail(
            format_args!(
                "{PANIC}{}:{}:{}: {}",
                place.file(),
                place.line(),
                place.column(),
                info.message()
            ),
            trap::frame_pointer(),
            None,
        ),
        None => fail(format_args!("{PANIC}{}", info.message()), trap::frame_pointer(), None),
    }
}

/// A trap that no exception table entry was waiting for.
#[unsafe(no_mangle)]
fn xtf_unexpected_trap(frame: &TrapFrame) -> ! {
    println!(
        "{DIAGNOSTIC}{TRAP}{} error {:04x} at {:#x}, {}",
        trap::vector_name(frame.vector()),
        frame.error(),
        frame.instruction(),
        trap::Cr2(trap::fault_address()),
    );
    for line in frame.registers() {
        println!("{DIAGNOSTIC}{line}");
    }
    fail(
        format_args!("{PANIC}unexpected trap {}", trap::vector_name(frame.vector())),
        frame.frame_pointer(),
        Some(frame.instruction() as u64),
    )
}

fn fail(what: core::fmt::Arguments<'_>, frame: u64, instruction: Option<u64>) -> ! {
    if FAILING.swap(true, Ordering::Relaxed) {
        // The report itself went wrong. What was printed until now has to do.
        arch::shutdown::shutdown(Reason::Crash);
    }
    println!("{DIAGNOSTIC}{what}");
    println!("{DIAGNOSTIC}{BACKTRACE}{}", Addresses { instruction, frame });
    report::verdict(Status::Error);
    // The command line was parsed once already, but whoever holds the result may be the one
    // who panicked.
    match arch::try_boot() {
        Some(_) => leave(&cmdline::options(|_| {})),
        None => leave(&Options { exit: Reason::Crash, ..Options::DEFAULT }),
    }
}

struct Addresses {
    instruction: Option<u64>,
    frame: u64,
}

impl core::fmt::Display for Addresses {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.instruction
            .into_iter()
            .chain(trap::backtrace(self.frame))
            .try_for_each(|address| write!(f, " {address:#x}"))
    }
}
