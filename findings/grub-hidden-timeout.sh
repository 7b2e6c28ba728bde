#!/bin/sh
# How long Debian's GRUB waits before it boots, with `timeout=0` in grub.cfg.
#
# The manual has GRUB boot at once for 0, and 1 is to wait for one second. A good engineer expects
# that of every style and input. Seen on 2026-11-29 with GRUB 2.06 of Debian 12 and 2.12 of Debian
# 13, started by a BIOS:
#
# - with the style `hidden` or `countdown` and `serial` among the inputs, 0 waits for 3 seconds;
#   1 with `hidden` and `serial` waits for one
# - without a style, or with the console as the only input, 0 does not wait
#
# `hidden` with 2.06 started by UEFI is the same. The cause in 2.06 is Debian's quick-boot.patch: it
# takes 3 for 0 where an input can't tell whether Shift is held. GRUB polls the port all the while.
#
# GRUB reads the ACPI timer when it reads grub.cfg and when it boots the entry. QEMU 7.2 of Debian
# 12 derives that timer from the instructions executed, so the host's speed does not matter.
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
fetch bookworm base-files grub-common grub-pc-bin qemu-system-x86 seabios
fetch trixie base-files grub-common grub-pc-bin

# wait_of SUITE TIMEOUT INPUT STYLE: boots GRUB of that suite, and says how long it waited.
wait_of() {
    mkdir -p boot/grub
    cat > boot/grub/grub.cfg <<END
serial
terminal_output --append serial
timeout=$2
terminal_input $3
${4:+timeout_style=$4}
inl -v ticks 0x608
echo "<\$ticks>"
menuentry one {
    inl -v ticks 0x608
    echo "<\$ticks>"
    outb 0xf4 0
}
END
    tar -cf boot.tar boot
    modules=$1/usr/lib/grub/i386-pc
    run "$1" grub-mkimage -O i386-pc -d "$modules" -p '(memdisk)/boot/grub' -m boot.tar \
        -o core.img memdisk tar normal biosdisk serial terminal echo iorw
    cat "$modules/boot.img" core.img > disk.img
    truncate -s 1M disk.img
    rm -f serial
    # The guest's way out makes the exit status odd.
    QEMU_MODULE_DIR=bookworm/usr/lib/x86_64-linux-gnu/qemu \
        run bookworm qemu-system-x86_64 -L bookworm/usr/share/seabios -L bookworm/usr/share/qemu \
        -nodefaults -display none -m 64 -icount shift=7,sleep=off -serial file:serial \
        -drive file=disk.img,format=raw -device isa-debug-exit,iobase=0xf4 || true
    what="$1, timeout=$2, ${4:-no style}, $3"
    # shellcheck disable=SC2046
    set -- $(grep -ao '<[0-9a-f]*>' serial | tr -d '<>')
    # The timer has 24 bits and a frequency of 3579545 Hz.
    echo "$what: $((((0x$2 - 0x$1 & 0xffffff) + 1789772) / 3579545)) s"
}
for suite in bookworm trixie; do
    for style in '' countdown hidden; do
        for input in console serial 'console serial'; do
            wait_of "$suite" 0 "$input" "$style"
        done
    done
    wait_of "$suite" 1 serial hidden
done > now

diff -u --label 'as seen' --label now - now <<'END'
bookworm, timeout=0, no style, console: 0 s
bookworm, timeout=0, no style, serial: 0 s
bookworm, timeout=0, no style, console serial: 0 s
bookworm, timeout=0, countdown, console: 0 s
bookworm, timeout=0, countdown, serial: 3 s
bookworm, timeout=0, countdown, console serial: 3 s
bookworm, timeout=0, hidden, console: 0 s
bookworm, timeout=0, hidden, serial: 3 s
bookworm, timeout=0, hidden, console serial: 3 s
bookworm, timeout=1, hidden, serial: 1 s
trixie, timeout=0, no style, console: 0 s
trixie, timeout=0, no style, serial: 0 s
trixie, timeout=0, no style, console serial: 0 s
trixie, timeout=0, countdown, console: 0 s
trixie, timeout=0, countdown, serial: 3 s
trixie, timeout=0, countdown, console serial: 3 s
trixie, timeout=0, hidden, console: 0 s
trixie, timeout=0, hidden, serial: 3 s
trixie, timeout=0, hidden, console serial: 3 s
trixie, timeout=1, hidden, serial: 1 s
END
echo 'as seen'
