//! Traps: one frame for every environment, and faults that are values.
//!
//! An instruction that may fault by intent is followed by an entry in the section `.ex_table`:
//! the address of the instruction (for a trap, of the next one) and the address to go on at.
//! The dispatcher puts what happened into rax (as `Fault` encodes it) and rdx (the faulting
//! address) and continues there, so the wrapper around the instruction returns a [`Result`].
//!
//! What CR2 says is not believed unseen. QEMU 9.1 and later intercept a MOV from CR2 under emulated
//! SVM where Xen intercepts reads of CR0, and a Xen without 3e6bca616b (4.22; 4.20.4, 4.21.2) answers
//! from its own copy, which is stale. [`probe_fault_addresses`] finds out; where CR2 is wrong, the
//! address of a fault is unknown, and nobody is told a wrong one. CR3, CR4 and CR8 take the same way
//! through QEMU, so nothing in this crate reads them.

use core::arch::{asm, global_asm};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::memory::{NON_CANONICAL, PAGE_SIZE};
use crate::{boot, layout, try_boot, xtf_unexpected_trap};

/// The registers that a trap found, as the entry code stores them.
///
/// Below `vector` is what this crate pushes, from `error` upwards what the CPU (or Xen, for a
/// PV guest, after the stub has popped its extra rcx and r11) pushed.
#[derive(Clone, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "register names")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// The exception vectors that have an entry stub; interrupts are never enabled.
pub const VECTORS: usize = 32;

/// Vectors whose frame carries an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX.
pub const WITH_ERROR_CODE: u32 = {
    let vectors = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
    let mut mask = 0;
    let mut i = 0;
    while i < vectors.len() {
        mask |= 1 << vectors[i];
        i += 1;
    }
    mask
};

// Entry stubs for both environments. A PV stub drops the rcx and r11 that Xen pushes on top
// (they hold the interrupted values), after which the stack looks as it would on hardware:
// stub and environment differ in the first two and the last two instructions only.
//
//                      rsp ->  15 registers | vector | error | rip cs rflags rsp ss
global_asm!(
    ".pushsection .text",
    ".macro TRAP_STUBS mode, exit",
    ".altmacro",
    ".set vec, 0",
    ".rept {vectors}",
    "    TRAP_STUB \\mode, %vec",
    "    .set vec, vec + 1",
    ".endr",
    ".noaltmacro",
    "trap_common_\\mode:",
    "    push rdi; push rsi; push rdx; push rcx; push rax; push r8; push r9; push r10",
    "    push r11; push rbx; push rbp; push r12; push r13; push r14; push r15",
    "    cld",
    "    mov rdi, rsp",
    "    call {dispatch}",
    "    pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; pop r11",
    "    pop r10; pop r9; pop r8; pop rax; pop rcx; pop rdx; pop rsi; pop rdi",
    "    jmp \\exit",
    ".endm",
    //
    ".macro TRAP_STUB mode, vec",
    "trap_\\mode\\()_\\vec:",
    ".ifc \\mode, pv",
    "    pop rcx",
    "    pop r11",
    ".endif",
    ".if (({with_error_code} >> \\vec) & 1) == 0",
    "    push 0",
    ".endif",
    "    push \\vec",
    "    jmp trap_common_\\mode",
    ".endm",
    //
    ".macro TRAP_ADDRESSES mode",
    ".altmacro",
    ".set vec, 0",
    ".rept {vectors}",
    "    TRAP_ADDRESS \\mode, %vec",
    "    .set vec, vec + 1",
    ".endr",
    ".noaltmacro",
    ".endm",
    ".macro TRAP_ADDRESS mode, vec",
    "    .quad trap_\\mode\\()_\\vec",
    ".endm",
    //
    "TRAP_STUBS hvm, trap_exit_hvm",
    "trap_exit_hvm:",
    "    add rsp, 16",
    "    iretq",
    //
    // Ring 3 returns through Xen, which expects a word of flags below the frame:
    // the error code's slot, zeroed.
    "TRAP_STUBS pv, trap_exit_pv",
    ".global trap_pv_event",
    "trap_pv_event:",
    "    pop rcx",
    "    pop r11",
    "    push 0",
    "    push {event}",
    "    jmp trap_common_pv",
    "trap_exit_pv:",
    "    add rsp, 8",
    "    mov qword ptr [rsp], 0",
    "    jmp hypercall_page + {iret} * 32",
    ".popsection",
    //
    ".pushsection .rodata, \"a\", @progbits",
    ".balign 8",
    ".global trap_addresses_hvm",
    "trap_addresses_hvm: TRAP_ADDRESSES hvm",
    ".global trap_addresses_pv",
    "trap_addresses_pv: TRAP_ADDRESSES pv",
    ".popsection",
    vectors = const VECTORS,
    with_error_code = const WITH_ERROR_CODE,
    iret = const crate::hypercall::nr::IRET,
    event = const EVENT,
    dispatch = sym dispatch,
);

/// In place of a vector: Xen's upcall to a PV guest that has an event pending.
const EVENT: u64 = 0x100;

unsafe extern "C" {
    static trap_pv_event: u8;
    pub(crate) safe static trap_addresses_hvm: [u64; VECTORS];
    pub(crate) safe static trap_addresses_pv: [u64; VECTORS];
    static ex_table_start: ExceptionEntry;
    static ex_table_end: ExceptionEntry;
}

/// The interrupt flag, in which Xen keeps a PV guest's event mask (inverted) while it is in a
/// trap.
const RFLAGS_IF: u64 = 1 << 9;

/// One line of `.ex_table`.
#[repr(C)]
struct ExceptionEntry {
    rip: u64,
    fixup: u64,
}

fn exception_table() -> &'static [ExceptionEntry] {
    let start = &raw const ex_table_start;
    let len = (&raw const ex_table_end as usize - start as usize) / size_of::<ExceptionEntry>();
    // SAFETY: the linker script brackets the section with these two symbols; its entries are
    // pairs of 8-byte words by construction of `guarded!`.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// Where Xen shall call when a PV guest has an event pending.
pub(crate) fn event_callback() -> u64 {
    (&raw const trap_pv_event) as u64
}

extern "C" fn dispatch(frame: &mut TrapFrame) {
    if frame.vector == EVENT {
        // Nobody waits for events; the interrupted code goes on with them masked.
        frame.rflags &= !RFLAGS_IF;
        return;
    }
    match exception_table().iter().find(|entry| entry.rip == frame.rip) {
        Some(entry) => {
            let fault = Fault {
                vector: frame.vector as u8,
                error: frame.error as u32,
                address: fault_address(),
            };
            frame.rip = entry.fixup;
            (frame.rax, frame.rdx) = fault.encode();
        }
        None => xtf_unexpected_trap(frame),
    }
}

/// Whether [`probe_fault_addresses`] saw the right addresses.
static FAULT_ADDRESSES_HOLD: AtomicBool = AtomicBool::new(false);

/// Finds out whether the address that comes with a page fault is the one that was accessed, from two
/// reads of the unmapped page 0. Two, because a stale address may be right by chance once.
pub(crate) fn probe_fault_addresses() {
    FAULT_ADDRESSES_HOLD.store(true, Ordering::Relaxed);
    let hold = [0x123, 0xabc]
        .into_iter()
        .all(|address| matches!(read_byte(address), Err(fault) if fault.address == Some(address)));
    FAULT_ADDRESSES_HOLD.store(hold, Ordering::Relaxed);
}

/// Whether the addresses of page faults are known in this run.
pub fn fault_addresses_hold() -> bool {
    FAULT_ADDRESSES_HOLD.load(Ordering::Relaxed)
}

/// The address that the last page fault was about (CR2), where it is known.
pub fn fault_address() -> Option<u64> {
    let address = || match try_boot() {
        Some(boot) if boot.environment.is_hvm() => x86_64::registers::control::Cr2::read_raw(),
        _ => crate::shared_info::pv_cr2(),
    };
    fault_addresses_hold().then(address)
}

/// The x86 name of an exception vector.
pub fn vector_name(vector: u8) -> &'static str {
    const NAMES: [&str; 22] = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#09", "#TS", "#NP", "#SS",
        "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
    ];
    NAMES.get(usize::from(vector)).copied().unwrap_or("#??")
}

/// A fault that the exception table caught.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The exception vector.
    pub vector: u8,
    /// Its error code; 0 for vectors without one.
    pub error: u32,
    /// CR2, where it is known; means something for #PF only.
    pub address: Option<u64>,
}

impl Fault {
    /// In the first word `vector` in bits 0–7, bit 8 set (so that #DE differs from "no fault"), bit 9
    /// where the address is known, `error` above 32; in the second the address.
    fn encode(self) -> (u64, u64) {
        let known = u64::from(self.address.is_some());
        let what = u64::from(self.error) << 32 | known << 9 | 1 << 8 | u64::from(self.vector);
        (what, self.address.unwrap_or(0))
    }

    /// The fault that a guarded instruction left in rax and rdx, if any.
    fn decode(rax: u64, rdx: u64) -> Result<(), Self> {
        if rax == 0 {
            return Ok(());
        }
        let address = (rax & 1 << 9 != 0).then_some(rdx);
        Err(Self { vector: rax as u8, error: (rax >> 32) as u32, address })
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vector, error, address } = self;
        write!(f, "{}[{error:04x}] {}", vector_name(*vector), Cr2(*address))
    }
}

/// What a report says of CR2.
pub struct Cr2(pub Option<u64>);

impl fmt::Display for Cr2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "cr2 {address:#x}"),
            None => f.write_str("address unknown"),
        }
    }
}

/// Runs instructions of which the one at local label 2 may fault and 3 is where to go on, and
/// says whether it did. rax and rdx are the dispatcher's, and zero to begin with.
macro_rules! guarded {
    ($($line:literal),+ ; $($operand:tt)*) => {{
        let (rax, rdx): (u64, u64);
        asm!(
            "xor eax, eax",
            "xor edx, edx",
            $($line,)+
            ".pushsection .ex_table, \"a\"",
            ".quad 2b, 3b",
            ".popsection",
            out("rax") rax,
            out("rdx") rdx,
            $($operand)*
        );
        Fault::decode(rax, rdx)
    }};
}

/// Reads a byte from an arbitrary address.
///
/// # Errors
/// The fault, where the address is not readable.
pub fn read_byte(address: u64) -> Result<u8, Fault> {
    let byte: u64;
    // SAFETY: a read changes nothing; if it faults the exception table takes over. The value
    // of a byte that somebody else owns may be stale, which the caller cannot rely on anyway.
    unsafe {
        guarded!("xor ecx, ecx", "2: mov cl, [rsi]", "3:"; in("rsi") address, out("rcx") byte)
    }?;
    Ok(byte as u8)
}

/// Reads an aligned word from an arbitrary address.
///
/// # Errors
/// The fault, where the address is not readable.
pub fn read_word(address: u64) -> Result<u64, Fault> {
    let word: u64;
    // SAFETY: as for `read_byte`.
    unsafe {
        guarded!("xor ecx, ecx", "2: mov rcx, [rsi]", "3:"; in("rsi") address, out("rcx") word)
    }?;
    Ok(word)
}

/// Writes a byte to an arbitrary address.
///
/// # Errors
/// The fault, where the address is not writable.
///
/// # Safety
/// If the address is writable, nobody else may own that byte.
pub unsafe fn write_byte(address: u64, byte: u8) -> Result<(), Fault> {
    // SAFETY: the caller's promise covers success, the exception table failure.
    unsafe { guarded!("2: mov [rsi], cl", "3:"; in("rsi") address, in("rcx") u64::from(byte)) }
}

/// Faults on purpose, each caught by the exception table: what the self-test is made of.
pub mod provoke {
    use super::*;

    /// UD2.
    pub fn invalid_opcode() -> Result<(), Fault> {
        // SAFETY: faults or does nothing.
        unsafe { guarded!("2: ud2", "3:";) }
    }

    /// INT3: a trap, so the saved address is that of the next instruction.
    pub fn breakpoint() -> Result<(), Fault> {
        // SAFETY: traps and goes on where it would have gone on anyway.
        unsafe { guarded!("int3", "2:", "3:";) }
    }

    /// A division by zero.
    pub fn divide_error() -> Result<(), Fault> {
        // SAFETY: faults before a register is written.
        unsafe { guarded!("xor ecx, ecx", "2: div ecx", "3:"; out("rcx") _) }
    }

    /// A read from a non-canonical address: #GP without a page fault.
    pub fn general_protection() -> Result<(), Fault> {
        read_byte(NON_CANONICAL).map(drop)
    }

    /// Loads a stack pointer into the middle of the guard page, where neither the push nor the
    /// frame of the page fault fits: the CPU escalates to #DF, which has a stack of its own. PVH and HVM only: Xen kills a PV guest whose stack is bad.
    pub fn double_fault() -> Result<(), Fault> {
        assert!(boot().environment.is_hvm(), "a PV guest is never given #DF");
        // SAFETY: the stack pointer is restored at 3, whether or not the push faulted, and
        // nothing in between touches the stack.
        unsafe {
            guarded!(
                "mov rcx, rsp", "mov rsp, rsi", "2: push rsi", "3: mov rsp, rcx";
                in("rsi") layout::stack_guard() + PAGE_SIZE / 2, out("rcx") _
            )
        }
    }

    /// A read from the unmapped page 0 that no exception table entry expects: ends the run.
    pub fn unexpected() {
        // SAFETY: the read faults, and nothing ever continues behind it.
        unsafe { asm!("mov al, [{}]", in(reg) 0u64, out("al") _) };
    }

    /// Faults with an interrupt descriptor table that is empty: the CPU shuts down.
    /// Does not return. PVH and HVM; a PV guest gets the same end from having no handler.
    pub fn triple_fault() -> ! {
        if boot().environment.is_hvm() {
            crate::hvm::forget_descriptor_tables();
        } else {
            crate::pv::forget_trap_table();
        }
        let _ = invalid_opcode();
        unreachable!("a fault without a handler was survived");
    }
}

/// The return addresses that the chain of frame pointers starting at `rbp` leads to.
pub fn backtrace(rbp: u64) -> impl Iterator<Item = u64> {
    let text = layout::text();
    let mut frame = rbp;
    core::iter::from_fn(move || {
        let caller = read_word(frame).ok()?;
        let address = read_word(frame.checked_add(8)?).ok()?;
        // A caller's frame lies above; anything else is a damaged chain.
        if !text.contains(address) || (caller != 0 && caller <= frame) {
            return None;
        }
        frame = caller;
        Some(address)
    })
    .take(32)
}

/// The current frame pointer, from which [`backtrace`] starts.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let rbp;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}
