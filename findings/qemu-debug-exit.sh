#!/bin/sh
# Where a guest ends that writes to QEMU's isa-debug-exit.
#
# For years the device has ended QEMU within the guest's OUT, with the status 2 * value + 1, and
# test kernels and their runners rely on that. The manual has no word about the device. A good
# engineer expects the same of every QEMU, and of a replay the status of the recorded run. The guest
# writes 5, then 6, and then loops. Seen on 2026-11-29:
#
# - QEMU 7.2 of Debian 12: 11 always, in 50 runs, the witness
# - QEMU 10.0 of Debian 13 and 11.1 of sid only ask for a shutdown, and the guest goes on until QEMU
#   sees that. So it can write 6 too, and the last value wins: 13. Here QEMU has one CPU, and the
#   policy "batch", to make that likely; without them it happens in some runs
# - with -no-shutdown they don't end any more, but wait in the state "paused (shutdown)"
# - QEMU 10.0 ends the replay of a run that ended with 11 with 0, as if all were well; 11.1 with 11
#
# So a guest must stop behind its OUT, and a status 0 of a replay says nothing.
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
            -o APT::Sandbox::User=root $action > "$1/apt/log"
    done
    for deb in "$1"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$1"; done
}

as --32 -o guest.o <<'END'
.align 4
.long 0x1badb002, 0, -0x1badb002
.globl _start
_start:
    mov $0xf4, %edx
    mov $5, %al
    out %al, %dx
    mov $6, %al
    out %al, %dx
    jmp .
END
ld -m elf_i386 -Ttext 0x100000 -o guest guest.o

# qemu SUITE ARGUMENT...: runs the guest on that QEMU.
qemu() {
    libraries=$(find "$1" -type d -path '*lib/x86_64-linux-gnu' | tr '\n' :)
    loader=$(find "$1" -name ld-linux-x86-64.so.2 | head -n 1)
    export QEMU_MODULE_DIR="$1/usr/lib/x86_64-linux-gnu/qemu"
    suite=$1
    shift
    # shellcheck disable=SC2086
    timeout 300 $prefix "$loader" --library-path "$libraries" "$suite/usr/bin/qemu-system-x86_64" \
        -L "$suite/usr/share/seabios" -L "$suite/usr/share/qemu" -nodefaults -display none -m 64 \
        -device isa-debug-exit,iobase=0xf4 -kernel guest "$@" 2> errors
}
# status SUITE ARGUMENT...: the exit status of such a run.
status() {
    qemu "$@" < /dev/null > /dev/null && echo 0 || echo $?
}
# ask: asks the monitor for the state, until QEMU has gone or says that the guest has.
ask() {
    while sleep 1 && echo 'info status'; do
        if grep -aq '(shutdown)' monitor; then echo quit; fi
    done 2> /dev/null
}
prefix=
cpu=$(taskset -pc $$ | sed 's/.*: *//; s/[,-].*//')
for suite in bookworm trixie sid; do
    fetch $suite
    echo "$suite"
    prefix="chrt -b 0 taskset -c $cpu"
    for _ in $(seq 50); do
        code=$(status $suite)
        if [ "$code" != 11 ]; then break; fi
    done
    prefix=
    echo "  one CPU: $code"
    : > monitor
    code=0
    ask | qemu $suite -no-shutdown -monitor stdio > monitor || code=$?
    if grep -aq '(shutdown)' monitor; then code='paused (shutdown)'; fi
    echo "  -no-shutdown: $code"
    for mode in record replay; do
        echo "  $mode: $(status $suite -icount "shift=7,rr=$mode,rrfile=recorded")"
    done
done > now

diff -u --label 'as seen' --label now - now <<'END'
bookworm
  one CPU: 11
  -no-shutdown: 11
  record: 11
  replay: 11
trixie
  one CPU: 13
  -no-shutdown: paused (shutdown)
  record: 11
  replay: 0
sid
  one CPU: 13
  -no-shutdown: paused (shutdown)
  record: 11
  replay: 11
END
echo 'as seen'
