//! What a trap finds, and the code that stores it.
//!
//! Each environment makes its entry stubs by [`trap_stubs!`]: what the CPU or Xen has pushed
//! differs in the first instructions and the last ones, the frame between is the same.

use core::fmt;

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

impl TrapFrame {
    /// The exception vector.
    pub fn vector(&self) -> u8 {
        self.vector as u8
    }

    /// The error code; 0 where the vector has none.
    pub fn error(&self) -> u32 {
        self.error as u32
    }

    /// The address of the instruction that was interrupted.
    pub fn instruction(&self) -> usize {
        self.rip as usize
    }

    /// The frame pointer, from which a backtrace starts.
    pub fn frame_pointer(&self) -> u64 {
        self.rbp
    }

    /// Has the interrupted code go on at `fixup`, with two words in the registers of `guarded!`.
    pub(crate) fn go_on_at(&mut self, fixup: usize, [rax, rdx]: [usize; 2]) {
        self.rip = fixup as u64;
        (self.rax, self.rdx) = (rax as u64, rdx as u64);
    }

    /// Lines of registers in a report.
    pub(crate) const LINES: usize = 5;

    /// One of them.
    pub(crate) fn show_line(&self, line: usize, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = self;
        if line == 0 {
            let (cs, ss) = (f.cs as u16, f.ss as u16);
            return write!(
                to,
                "cs {cs:04x} rflags {:08x} ss:rsp {ss:04x}:{:016x}",
                f.rflags, f.rsp
            );
        }
        let named = [
            [("rax", f.rax), ("rbx", f.rbx), ("rcx", f.rcx), ("rdx", f.rdx)],
            [("rsi", f.rsi), ("rdi", f.rdi), ("rbp", f.rbp), ("r8", f.r8)],
            [("r9", f.r9), ("r10", f.r10), ("r11", f.r11), ("r12", f.r12)],
            [("r13", f.r13), ("r14", f.r14), ("r15", f.r15), ("", 0)],
        ];
        let line = named[line - 1].iter().filter(|(name, _)| !name.is_empty());
        for (number, (name, value)) in line.enumerate() {
            let blank = if number == 0 { "" } else { " " };
            write!(to, "{blank}{name:<3} {value:016x}")?;
        }
        Ok(())
    }
}

/// The stubs of an environment: one for each vector, and a table of their addresses,
/// `trap_addresses_MODE`.
///
/// `entry` are instructions that leave on the stack what hardware would have pushed. `exit` begins
/// with the stack as far as the vector popped, and returns. `further` is what else
/// the environment has. The registers are in this order:
///
/// ```text
/// rsp ->  15 registers | vector | error | rip cs rflags rsp ss
/// ```
macro_rules! trap_stubs {
    (
        mode: $mode:literal, dispatch: $dispatch:path,
        entry: [$($entry:literal),*], exit: [$($exit:literal),*], further: [$($further:literal),*]
        $(, $name:ident = const $value:expr)* $(,)?
    ) => {
        $crate::trap::vector_stubs! {
            mode: $mode, dispatch: $dispatch, word: (".quad", 8),
            entry: [$($entry),*],
            around: [
                "    push rdi; push rsi; push rdx; push rcx; push rax; push r8; push r9; push r10",
                "    push r11; push rbx; push rbp; push r12; push r13; push r14; push r15",
                "    cld",
                "    mov rdi, rsp",
                "    call {dispatch}",
                "    pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx; pop r11",
                "    pop r10; pop r9; pop r8; pop rax; pop rcx; pop rdx; pop rsi; pop rdi"
            ],
            exit: [$($exit),*], further: [$($further),*]
            $(, $name = const $value)*
        }
    };
}
pub(crate) use trap_stubs;
