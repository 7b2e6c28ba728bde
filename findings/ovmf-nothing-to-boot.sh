#!/bin/sh
# What Debian's OVMF does when it finds nothing to boot.
#
# The package has the same name, files and options in each release, and so a good engineer expects
# that an update changes nothing about where a machine without a system ends. Seen on 2026-11-29, with
# a disk of zeroes and fresh variables:
#
# - ovmf 2022.11 of Debian 12 and 2025.02 of Debian 13 start the UEFI shell that is built in, which
#   would run a startup.nsh
# - ovmf 2026.08 of forky has no shell to start; it says that no bootable option or device was found,
#   and waits for a key, for ever
#
# What watches a serial console for the shell's prompt, or relies on startup.nsh, waits in vain.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs apt of a
# Debian on x86-64; no root. Forky is not pinned: a later version is a change.

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
            -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root $action > "$suite/apt/log"
    done
    for deb in "$suite"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$suite"; done
}
fetch bookworm base-files ovmf qemu-system-x86
fetch trixie ovmf
fetch forky ovmf

# end_of SUITE: boots its firmware with a disk of zeroes, until it says where it has ended.
end_of() {
    version=$(basename "$1"/apt/archives/ovmf_*.deb _all.deb)
    firmware=$1/usr/share/OVMF
    cp "$firmware/OVMF_VARS_4M.fd" vars
    truncate -s 8M disk
    rm -f serial
    : > serial
    # The loader of its own suite, since the libraries are not this system's.
    libraries=$(find bookworm -type d -path '*lib/x86_64-linux-gnu' | tr '\n' :)
    loader=$(find bookworm -name ld-linux-x86-64.so.2 | head -n 1)
    QEMU_MODULE_DIR=bookworm/usr/lib/x86_64-linux-gnu/qemu \
        "$loader" --library-path "$libraries" bookworm/usr/bin/qemu-system-x86_64 \
        -L bookworm/usr/share/seabios -L bookworm/usr/share/qemu -M q35 -m 256 -nodefaults \
        -display none -serial file:serial \
        -drive "if=pflash,unit=0,format=raw,readonly=on,file=$firmware/OVMF_CODE_4M.fd" \
        -drive if=pflash,unit=1,format=raw,file=vars \
        -drive if=none,id=disk,format=raw,readonly=on,file=disk \
        -device virtio-blk-pci,drive=disk,romfile= &
    qemu=$!
    end='says nothing of it for ten minutes'
    for _ in $(seq 600); do
        if grep -aq 'Press any key to enter' serial; then
            end='waits for a key'
            break
        elif grep -aq 'Shell> ' serial; then
            end='starts its shell'
            break
        fi
        sleep 1
    done
    kill "$qemu"
    wait "$qemu" || true
    echo "$version: $end"
}
for suite in bookworm trixie forky; do end_of "$suite"; done > now

diff -u --label 'as seen' --label now - now <<'END'
ovmf_2022.11-6+deb12u2: starts its shell
ovmf_2025.02-8+deb13u1: starts its shell
ovmf_2026.08+ds-2: waits for a key
END
echo 'as seen'
