#!/bin/sh
# What QEMU's emulation does to the top level of PAE page tables.
#
# Under PAE the four entries of the top level have no accessed bit: Intel's manual has bits 5 to 8
# among the reserved ones, and AMD's says that they must be zero. A good engineer expects that the
# entries stay as the guest has written them. The guest here maps the first two gigabytes, turns PAE paging
# on, reads one byte in the second gigabyte, and prints its first three entries' low bytes. Seen on
# 2026-11-30 with QEMU 7.2 of Debian 12, 10.0 of Debian 13 and 11.1 of sid, by TCG:
#
# - the entry of each gigabyte that was used has bit 5 set: 21 where the guest wrote 01
# - an entry that was not used stays 01
#
# Who walks such tables himself, as a hypervisor does for its guest under nested virtualisation, finds
# a reserved bit there that no processor would have set.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs apt of a Debian
# on x86-64 and binutils; no root. Sid is not pinned: it keeps no old versions.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# fetch SUITE: its QEMU from apt's own mirror into the folder SUITE; nothing is installed.
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
fetch() {
    mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial"
    echo "deb [signed-by=$key] $mirror $1 main" > "$1/apt/sources"
    : > "$1/apt/status"
    install='install -y --no-install-recommends --download-only'
    for action in update "$install base-files qemu-system-x86 seabios"; do
        # shellcheck disable=SC2086
        apt-get -qq -o Dir::State="$dir/$1/apt" -o Dir::State::status="$dir/$1/apt/status" \
            -o Dir::State::lists="$dir/$1/apt/lists" -o Dir::Cache="$dir/$1/apt" \
            -o Dir::Etc::sourcelist="$dir/$1/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
            -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root $action > "$1/apt/log"
    done
    for deb in "$1"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$1"; done
}

as --32 -o guest.o <<'END'
.align 4
.long 0x1badb002, 0, -0x1badb002
.globl _start
_start:
    mov $stack, %esp
    # Two gigabytes show the first 2 MiB of memory; a third one does too, and is not used.
    mov $directory + 1, %eax
    mov %eax, top
    mov %eax, top + 8
    mov %eax, top + 16
    movl $0x83, directory
    mov $0x20, %eax
    mov %eax, %cr4
    mov $top, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    mov 0x40100000, %al
    mov $top, %esi
    mov $3, %ecx
next:
    mov (%esi), %al
    shr $4, %al
    call digit
    mov (%esi), %al
    and $15, %al
    call digit
    mov $' ', %al
    call put
    add $8, %esi
    loop next
    # No handler for a trap, and none for the fault of that: the machine is reset.
    lidt none
    int3
digit:
    add $'0', %al
put:
    mov $0x3f8, %edx
    out %al, %dx
    ret
none: .word 0
    .long 0
.bss
.align 4096
top: .zero 4096
directory: .zero 4096
    .zero 256
stack:
END
ld -m elf_i386 -Ttext 0x100000 -o guest guest.o 2> /dev/null

for suite in bookworm trixie sid; do
    fetch $suite
    libraries=$(find $suite -type d -path '*lib/x86_64-linux-gnu' | tr '\n' :)
    loader=$(find $suite -name ld-linux-x86-64.so.2 | head -n 1)
    QEMU_MODULE_DIR="$suite/usr/lib/x86_64-linux-gnu/qemu" \
        timeout 300 "$loader" --library-path "$libraries" "$suite/usr/bin/qemu-system-x86_64" \
        -L "$suite/usr/share/seabios" -L "$suite/usr/share/qemu" -accel tcg -nodefaults \
        -display none -m 64 -no-reboot -serial file:serial -kernel guest < /dev/null 2> errors
    echo "$suite: $(cat serial)"
done > now

diff -u --label 'as seen' --label now - now <<'END'
bookworm: 21 21 01 
trixie: 21 21 01 
sid: 21 21 01 
END
echo 'as seen'
