#!/bin/sh
# What a breakpoint does to a guest's time under QEMU's `-icount sleep=off`.
#
# With `-icount`, a guest's time is the number of its instructions, and `sleep=off` lets time go on to the
# next timer at once when all CPUs sleep. A good engineer expects that a guest which never sleeps does not
# notice that a debugger stops it for a moment: it executes no instruction meanwhile. The guest here reads
# the time stamp counter in two instructions that follow each other, with interrupts off, and prints how
# many microseconds passed in between. Seen on 2026-11-30 with QEMU 7.2 of Debian 12, 10.0 of Debian 13 and
# 11.1 of sid:
#
# - with `sleep=off` and a breakpoint at the second instruction: 50 ms. QEMU takes the stopped CPU for one
#   that sleeps, and goes on to the next tick of the PC's timer (PIT)
# - without a debugger: 0; with it, and `sleep=on` or no `-icount`: less than a millisecond
#
# So a boot that is the same each time goes another way as soon as a debugger stops in it.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs apt of a Debian
# on x86-64, binutils and python3; no root. Sid is not pinned: it keeps no old versions.

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
.globl _start, second
_start:
    mov $stack, %esp
    rdtsc
    mov %eax, %ebx
second:
    rdtsc
    sub %ebx, %eax
    # A tick of the counter is a nanosecond.
    xor %edx, %edx
    mov $1000, %ecx
    div %ecx
    mov $10, %ecx
    xor %esi, %esi
split:
    xor %edx, %edx
    div %ecx
    push %edx
    inc %esi
    test %eax, %eax
    jnz split
print:
    pop %eax
    add $'0', %eax
    mov $0x3f8, %edx
    out %al, %dx
    dec %esi
    jnz print
    # No handler for a trap, and none for the fault of that: the machine is reset.
    lidt none
    int3
none: .word 0
    .long 0
.bss
    .zero 256
stack:
END
ld -m elf_i386 -Ttext 0x100000 -o guest guest.o 2> /dev/null
second=$(nm guest | sed -n 's/^0*\([0-9a-f]*\) . second$/\1/p')

cat > debugger.py <<'END'
import socket, sys, time
# Stops at an address once, and goes on without the breakpoint; gdb's remote protocol.
connection = socket.socket(socket.AF_UNIX)
for _ in range(600):
    try:
        connection.connect(sys.argv[1])
        break
    except OSError:
        time.sleep(0.1)
def ask(text):
    connection.sendall(f"${text}#{sum(text.encode()) % 256:02x}".encode())
    answer = b""
    while b"#" not in answer[:-2]:
        answer += connection.recv(4096)
    connection.sendall(b"+")
    return answer
place = f"{sys.argv[2]},1"
ask("?")
ask("Z1," + place)
ask("c")
time.sleep(0.2)
ask("z1," + place)
connection.sendall(b"$D#44")
time.sleep(1)
END

# boot SUITE OPTIONS WITH-DEBUGGER: whether the time in between is that of a tick
boot() {
    libraries=$(find "$1" -type d -path '*lib/x86_64-linux-gnu' | tr '\n' :)
    loader=$(find "$1" -name ld-linux-x86-64.so.2 | head -n 1)
    rm -f socket serial
    stopped=
    if [ "$3" = yes ]; then
        stopped="-S -chardev socket,id=gdb,path=socket,server=on,wait=off -gdb chardev:gdb"
        python3 debugger.py socket "$second" &
    fi
    # shellcheck disable=SC2086
    QEMU_MODULE_DIR="$1/usr/lib/x86_64-linux-gnu/qemu" \
        timeout 300 "$loader" --library-path "$libraries" "$1/usr/bin/qemu-system-x86_64" \
        -L "$1/usr/share/seabios" -L "$1/usr/share/qemu" -accel tcg $2 $stopped \
        -nodefaults -display none -m 64 -no-reboot -serial file:serial -kernel guest \
        < /dev/null 2> errors
    wait
    if [ "$(cat serial)" -ge 10000 ]; then echo tick; else echo none; fi
}

count='-icount shift=0,sleep'
for suite in bookworm trixie sid; do
    fetch $suite
    echo "$suite: $(boot $suite '' yes) $(boot $suite "$count=on" yes)" \
        "$(boot $suite "$count=off" no) $(boot $suite "$count=off" yes)"
done > now

diff -u --label 'as seen' --label now - now <<'END'
bookworm: none none none tick
trixie: none none none tick
sid: none none none tick
END
echo 'as seen'
