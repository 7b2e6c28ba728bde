#!/bin/sh
# What `#[used]` of Rust does to the header of the object.
#
# A payload in Rust needs #[used] on the table that Xen reads, since nothing refers to it. The
# reference of Rust says that the attribute keeps the variable in the object and leaves the linker
# free to drop it, and gcc's attribute "used" does that. So a good engineer expects an ordinary
# allocated section in an ordinary object. Seen on 2026-11-28 with rustc 1.95.0:
#
# - the section has SHF_GNU_RETAIN, which needs the OSABI GNU (3), and the object says so. Xen
#   refuses every OSABI but 0 and 9: EOPNOTSUPP
# - ld, objcopy and strip of binutils 2.40 of Debian 12 keep both, objcopy even where it is told
#   which flags the section shall have
#
# gcc 12 of Debian 12, and rustc without #[used], are the witnesses.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs rustc 1.95.0
# by way of rustup, gcc and binutils.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat > without.rs <<'END'
#![no_std]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".livepatch.funcs")]
pub static TABLE: [u64; 8] = [0; 8];
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
END
sed 's/^pub static/#[used]\n&/' without.rs > used.rs
for name in without used; do
    rustc +1.95.0 --edition 2024 --crate-type lib --emit obj -C panic=abort "$name.rs" -o "$name.o"
done
echo '__attribute__((used, section(".livepatch.funcs"))) static const long table[8];' > gcc.c
gcc -c gcc.c -o gcc.o
ld -r used.o -o linked.o
strip --strip-debug linked.o -o stripped.o
objcopy --set-section-flags .livepatch.funcs=alloc,readonly,data linked.o flags.o

for name in gcc without used linked stripped flags; do
    osabi=$(od -An -tu1 -j7 -N1 $name.o | tr -d ' ')
    # Behind the name and the type: address, offset, size, size of an entry, flags.
    flags=$(readelf -SW $name.o | sed -n 's/.*livepatch.funcs *PROGBITS *//p' | tr -s ' ' |
        cut -d' ' -f5)
    echo "$name: OSABI $osabi, flags $flags"
done > now

diff -u --label 'as seen' --label now - now <<'END'
gcc: OSABI 0, flags A
without: OSABI 0, flags A
used: OSABI 3, flags AR
linked: OSABI 3, flags AR
stripped: OSABI 3, flags AR
flags: OSABI 3, flags AR
END
echo 'as seen'
