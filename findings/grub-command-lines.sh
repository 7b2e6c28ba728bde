#!/bin/sh
# What GRUB makes of quotes, backslashes and blanks in a kernel's command line.
#
# The script language of grub.cfg takes away one layer of quotes, as a shell does. The manual of
# 2.06 says of `linux`, `multiboot` and `module` that the line is passed on verbatim. A good
# engineer expects the words with a blank between them, or the line as written. The kernel gets
# neither. Seen on 2026-11-29 with GRUB 2.06 of Debian 12 and 2.12 of Debian 13, started by a BIOS:
#
# - GRUB puts a backslash before a backslash and before a quote of either kind. None of three ways
#   to write a double quote avoids that
# - it puts a word with a blank into double quotes
#
# That holds for `multiboot`, `multiboot2`, their modules, and `linux`. So a kernel has to undo both
# before it has the words of grub.cfg.
#
# The kernels print what they got; QEMU 7.2 of Debian 12 runs them.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs apt of a
# Debian on x86-64; no root.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# fetch SUITE PACKAGE...: from apt's own mirror into the folder SUITE; nothing is installed.
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
fetch() {
    suite=$1
    shift
    mkdir -p "$suite/apt/lists/partial" "$suite/apt/archives/partial"
    echo "deb [signed-by=$key] $mirror $suite main" > "$suite/apt/sources"
    : > "$suite/apt/status"
    install='install -y --no-install-recommends --download-only'
    for action in update "$install $*"; do
        # shellcheck disable=SC2086
        apt-get -qq -o Dir::State="$dir/$suite/apt" -o Dir::State::status="$dir/$suite/apt/status" \
            -o Dir::State::lists="$dir/$suite/apt/lists" -o Dir::Cache="$dir/$suite/apt" \
            -o Dir::Etc::sourcelist="$dir/$suite/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
            -o APT::Sandbox::User=root $action > "$suite/apt/log"
    done
    for deb in "$suite"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$suite"; done
}
# run SUITE PROGRAM ARGUMENT...: the program with the libraries of its suite, unless it hangs.
run() {
    libraries=$(find "$1" -type d -path '*lib/x86_64-linux-gnu' | tr '\n' :)
    loader=$(find "$1" -name ld-linux-x86-64.so.2 | head -n 1)
    program=$1/usr/bin/$2
    shift 2
    timeout 600 "$loader" --library-path "$libraries" "$program" "$@"
}
fetch bookworm base-files binutils grub-common grub-pc-bin qemu-system-x86 seabios
fetch trixie base-files grub-common grub-pc-bin

# A kernel for multiboot 1 and 2, which prints its command line and that of its module.
cat > kernel.s <<'END'
.long 0x1badb002, 0, -0x1badb002
.balign 8
.long 0xe85250d6, 0, 24, -0xe85250d6 - 24, 0, 8
.globl _start
_start:
    cmp $0x36d76289, %eax
    je tags
    mov 16(%ebx), %esi
    call say
    mov 24(%ebx), %esi
    mov 8(%esi), %esi
    call say
    jmp end
tags:
    add $8, %ebx
tag:
    lea 8(%ebx), %esi
    cmpl $1, (%ebx)
    je string
    lea 16(%ebx), %esi
    cmpl $3, (%ebx)
    jne next
string:
    call say
next:
    mov 4(%ebx), %eax
    lea 7(%ebx, %eax), %ebx
    and $-8, %ebx
    cmpl $0, (%ebx)
    jne tag
    jmp end
.include "say.s"
END
# The same for Linux's protocol: a boot sector, a sector of setup, and code at 1 MiB.
cat > linux.s <<'END'
.org 0x1f1
.byte 1
.org 0x1fe
.word 0xaa55, 0
.ascii "HdrS"
.word 0x204
.org 0x211
.byte 1
.org 0x214
.long 0x100000
.org 0x400
.globl _start
_start:
    mov 0x228(%esi), %esi
    call say
    jmp end
.include "say.s"
.org 0x800
END
cat > say.s <<'END'
say:
    lodsb
    out %al, $0xe9
    test %al, %al
    jnz say
    ret
end:
    mov $0xf4, %edx
    out %al, %dx
    hlt
END
mkdir -p boot/grub
for kernel in kernel linux; do
    run bookworm as --32 -o $kernel.o $kernel.s
done
run bookworm ld -m elf_i386 -Ttext 0x100000 -o boot/kernel kernel.o
run bookworm ld -m elf_i386 -Ttext 0 --oformat binary -o boot/linux linux.o

# boot SUITE COMMAND...: boots with GRUB of that suite by these commands, prints what came.
boot() {
    suite=$1
    shift
    printf '%s\n' "$@" boot > boot/grub/grub.cfg
    tar -cf boot.tar boot
    modules=$suite/usr/lib/grub/i386-pc
    run "$suite" grub-mkimage -O i386-pc -d "$modules" -p '(memdisk)/boot/grub' -m boot.tar \
        -o core.img memdisk tar normal biosdisk multiboot multiboot2 linux boot
    cat "$modules/boot.img" core.img > disk.img
    truncate -s 1M disk.img
    rm -f printed
    # The guest's way out makes the exit status odd.
    QEMU_MODULE_DIR=bookworm/usr/lib/x86_64-linux-gnu/qemu \
        run bookworm qemu-system-x86_64 -L bookworm/usr/share/seabios -L bookworm/usr/share/qemu \
        -nodefaults -display none -m 64 -chardev file,id=printed,path=printed \
        -device isa-debugcon,chardev=printed -drive file=disk.img,format=raw \
        -device isa-debug-exit,iobase=0xf4 || true
    echo "$suite ${1%% *}"
    tr '\0' '\n' < printed
}
words="plain 'two words' 'back\\slash' \"it's\""
double="'a\"b' a\\\"b \"a\\\"b\" 'c=\"d e\"'"
for suite in bookworm trixie; do
    boot "$suite" "multiboot /boot/kernel $words" "module /boot/kernel $double"
    boot "$suite" "multiboot2 /boot/kernel $words" "module2 /boot/kernel $double"
    boot "$suite" "linux /boot/linux $words $double"
done > now

diff -u --label 'as seen' --label now - now <<'END'
bookworm multiboot
plain "two words" back\\slash it\'s
a\"b a\"b a\"b "c=\"d e\""
bookworm multiboot2
plain "two words" back\\slash it\'s
a\"b a\"b a\"b "c=\"d e\""
bookworm linux
BOOT_IMAGE=/boot/linux plain "two words" back\\slash it\'s a\"b a\"b a\"b "c=\"d e\""
trixie multiboot
plain "two words" back\\slash it\'s
a\"b a\"b a\"b "c=\"d e\""
trixie multiboot2
plain "two words" back\\slash it\'s
a\"b a\"b a\"b "c=\"d e\""
trixie linux
BOOT_IMAGE=/boot/linux plain "two words" back\\slash it\'s a\"b a\"b a\"b "c=\"d e\""
END
echo 'as seen'
