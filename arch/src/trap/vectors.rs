//! The exception vectors.

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

/// The stubs of an environment, whatever the width: one for each vector, and a table of their
/// addresses, `trap_addresses_MODE`.
///
/// `word` is the directive for an address and its size. `entry` begins a stub; `around` has the frame
/// made, the dispatcher called and the registers back; `exit` and `further` follow, as the frame's
/// module says.
macro_rules! vector_stubs {
    (
        mode: $mode:literal, dispatch: $dispatch:path, word: ($word:literal, $size:literal),
        entry: [$($entry:literal),*], around: [$($around:literal),*],
        exit: [$($exit:literal),*], further: [$($further:literal),*]
        $(, $name:ident = const $value:expr)* $(,)?
    ) => {
        core::arch::global_asm!(
            ".pushsection .text",
            concat!("trap_common_", $mode, ":"),
            $($around,)*
            $($exit,)*
            //
            concat!(".macro TRAP_STUB_", $mode, " vec"),
            concat!("trap_", $mode, "_\\vec:"),
            $($entry,)*
            ".if (({with_error_code} >> \\vec) & 1) == 0",
            "    push 0",
            ".endif",
            "    push \\vec",
            concat!("    jmp trap_common_", $mode),
            ".endm",
            concat!(".macro TRAP_ADDRESS_", $mode, " vec"),
            concat!("    ", $word, " trap_", $mode, "_\\vec"),
            ".endm",
            ".altmacro",
            ".set vec, 0",
            ".rept {vectors}",
            concat!("    TRAP_STUB_", $mode, " %vec"),
            "    .set vec, vec + 1",
            ".endr",
            $($further,)*
            ".popsection",
            //
            ".pushsection .rodata, \"a\", @progbits",
            concat!(".balign ", $size),
            concat!(".global trap_addresses_", $mode),
            concat!("trap_addresses_", $mode, ":"),
            ".set vec, 0",
            ".rept {vectors}",
            concat!("    TRAP_ADDRESS_", $mode, " %vec"),
            "    .set vec, vec + 1",
            ".endr",
            ".noaltmacro",
            ".popsection",
            vectors = const $crate::trap::VECTORS,
            with_error_code = const $crate::trap::WITH_ERROR_CODE,
            dispatch = sym $dispatch,
            $($name = const $value,)*
        );
    };
}
pub(crate) use vector_stubs;
