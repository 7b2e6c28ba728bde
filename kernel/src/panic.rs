//! The end of a run that went wrong: never a silent one.

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
        trap::vector_name(frame.vector as u8),
        frame.error,
        frame.rip,
        trap::Cr2(trap::fault_address()),
    );
    let f = frame;
    println!(
        "# cs {:04x} rflags {:08x} ss:rsp {:04x}:{:016x}",
        f.cs as u16, f.rflags, f.ss as u16, f.rsp
    );
    println!("# rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", f.rax, f.rbx, f.rcx, f.rdx);
    println!("# rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}", f.rsi, f.rdi, f.rbp, f.r8);
    println!("# r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}", f.r9, f.r10, f.r11, f.r12);
    println!("# r13 {:016x} r14 {:016x} r15 {:016x}", f.r13, f.r14, f.r15);
    fail(
        format_args!("{PANIC}unexpected trap {}", trap::vector_name(frame.vector as u8)),
        frame.rbp,
        Some(frame.rip),
    )
}

fn fail(what: core::fmt::Arguments<'_>, rbp: u64, rip: Option<u64>) -> ! {
    if FAILING.swap(true, Ordering::Relaxed) {
        // The report itself went wrong. What was printed until now has to do.
        arch::shutdown::shutdown(Reason::Crash);
    }
    println!("{DIAGNOSTIC}{what}");
    println!("{DIAGNOSTIC}{BACKTRACE}{}", Addresses { rip, rbp });
    report::verdict(Status::Error);
    // The command line was parsed once already, but whoever holds the result may be the one
    // who panicked.
    match arch::try_boot() {
        Some(_) => leave(&cmdline::options(|_| {})),
        None => leave(&Options { exit: Reason::Crash, ..Options::DEFAULT }),
    }
}

struct Addresses {
    rip: Option<u64>,
    rbp: u64,
}

impl core::fmt::Display for Addresses {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.rip
            .into_iter()
            .chain(trap::backtrace(self.rbp))
            .try_for_each(|address| write!(f, " {address:#x}"))
    }
}
