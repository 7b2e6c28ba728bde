//! What a trap finds, and the code that stores it.
//!
//! Each environment makes its entry stubs by [`trap_stubs!`]: how a trap is returned from differs,
//! the frame is the same. All traps of this guest come from the ring in which it runs, so that the
//! CPU (or Xen) pushes no stack pointer.

use core::fmt;

/// The registers that a trap found, as the entry code stores them.
///
/// Below `vector` is what PUSHAD pushes, from `error` upwards what the CPU (or Xen, for a PV guest)
/// pushed.
#[derive(Clone, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "register names")]
pub struct TrapFrame {
    pub edi: u32,
    pub esi: u32,
    pub ebp: u32,
    /// The stack pointer before PUSHAD: [`WORDS`] below that of the interrupted code.
    pub(super) esp: u32,
    pub ebx: u32,
    pub edx: u32,
    pub ecx: u32,
    pub eax: u32,
    pub vector: u32,
    pub error: u32,
    pub eip: u32,
    pub cs: u32,
    pub eflags: u32,
}

/// Bytes between the stack pointer of the interrupted code and what PUSHAD saves of it.
pub(super) const WORDS: u32 = 5 * 4;

impl TrapFrame {
    /// The exception vector.
    pub fn vector(&self) -> u8 {
        self.vector as u8
    }

    /// The error code; 0 where the vector has none.
    pub fn error(&self) -> u32 {
        self.error
    }

    /// The address of the instruction that was interrupted.
    pub fn instruction(&self) -> usize {
        self.eip as usize
    }

    /// The frame pointer, from which a backtrace starts.
    pub fn frame_pointer(&self) -> u64 {
        self.ebp.into()
    }

    /// Has the interrupted code go on at `fixup`, with two words in the registers of `guarded!`.
    pub(crate) fn go_on_at(&mut self, fixup: usize, [eax, edx]: [usize; 2]) {
        self.eip = fixup as u32;
        (self.eax, self.edx) = (eax as u32, edx as u32);
    }

    /// Lines of registers in a report.
    pub(crate) const LINES: usize = 3;

    /// One of them.
    pub(crate) fn show_line(&self, line: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match line {
            0 => {
                let (cs, esp) = (self.cs as u16, self.esp.wrapping_add(WORDS));
                write!(f, "cs {cs:04x} eflags {:08x} esp {esp:08x}", self.eflags)
            }
            1 => {
                let Self { eax, ebx, ecx, edx, .. } = self;
                write!(f, "eax {eax:08x} ebx {ebx:08x} ecx {ecx:08x} edx {edx:08x}")
            }
            _ => write!(f, "esi {:08x} edi {:08x} ebp {:08x}", self.esi, self.edi, self.ebp),
        }
    }
}

/// The stubs of an environment: one for each vector, and a table of their addresses,
/// `trap_addresses_MODE`.
///
/// `exit` begins with the stack as far as the error code popped, and returns. `further` is what else
/// the environment has. The registers are in this order:
///
/// ```text
/// esp ->  8 registers | vector | error | eip cs eflags
/// ```
macro_rules! trap_stubs {
    (
        mode: $mode:literal, dispatch: $dispatch:path,
        exit: [$($exit:literal),*], further: [$($further:literal),*]
        $(, $name:ident = const $value:expr)* $(,)?
    ) => {
        $crate::trap::vector_stubs! {
            mode: $mode, dispatch: $dispatch, word: (".long", 4),
            entry: [],
            around: [
                "    pushad",
                "    cld",
                // A function expects its arguments on an aligned stack.
                "    mov ebx, esp",
                "    and esp, -16",
                "    sub esp, 12",
                "    push ebx",
                "    call {dispatch}",
                "    mov esp, ebx",
                "    popad",
                "    add esp, 8"
            ],
            exit: [$($exit),*], further: [$($further),*]
            $(, $name = const $value)*
        }
    };
}
pub(crate) use trap_stubs;
