#!/bin/sh
# Which hash of Debian's xen.efi makes Secure Boot take it.
#
# Debian doesn't sign xen.efi. Without a key, one puts its Authenticode hash into the firmware's db.
# A good engineer expects that a file has one, that all tools give it, and that the firmware then
# starts the file. Seen on 2026-11-30 with xen-hypervisor-4.17-amd64 4.17.5+72 of Debian 12:
#
# - hash-to-efi-sig-list of efitools 1.9.2 and pesign 116, both of Debian 13, and virt-firmware
#   26.10 (PyPI) give one hash, lief 1.0.0 (PyPI) another. Of the crates, goblin 0.10.7 is with the
#   former, authenticode 0.6.0 with the latter
# - OVMF 2025.02 of Debian 13 refuses xen.efi with the hash of the three, "Access Denied", and
#   starts it with that of lief
#
# The size of xen.efi is no multiple of 8, since the names of its symbols stand at its end. A
# signature would have to begin at a multiple of 8, and the three hash the zero bytes that would
# fill the gap. The firmware hashes the file. 4.17.7 and 4.20.4 are such files too. Once xen.efi is
# signed the zero bytes are there, and all agree. pesign has --nopadding for it.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs root and apt of
# a Debian on x86-64, openssl, and python3 with pip.

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
fetch bookworm base-files qemu-system-x86 xen-hypervisor-4.17-amd64
fetch trixie base-files efitools pesign ovmf
python3 -m pip install -q --root-user-action=ignore --disable-pip-version-check --target python \
    lief==1.0.0 virt-firmware==26.10
export PYTHONPATH=python
cp bookworm/boot/xen-4.17-amd64.efi xen.efi
cp xen.efi trixie

mkdir -p trixie/dev
mknod trixie/dev/urandom c 1 9
efitools=$(chroot trixie hash-to-efi-sig-list xen.efi list | sed -n 's/HASH IS //p')
cat > hash.py <<'END'
import sys, lief, pefile, virt.peutils.pesign
if sys.argv[1] == "lief":
    print(bytes(lief.PE.parse("xen.efi").authentihash(lief.PE.ALGORITHMS.SHA_256)).hex())
else:
    print(virt.peutils.pesign.pe_authenticode_hash(pefile.PE("xen.efi")).hex())
END
lief=$(python3 hash.py lief 2> log)

# name HASH: whose hash it is.
name() {
    case $1 in
        "$efitools") echo 'as efitools' ;;
        "$lief") echo 'as lief' ;;
        *) echo "neither: $1" ;;
    esac
}

# boot HASH: starts xen.efi with that hash in the firmware's db, and says how far it comes.
mkdir -p esp/EFI/BOOT
cp xen.efi esp/EFI/BOOT/BOOTX64.EFI
printf '[global]\ndefault=none\n[none]\nkernel=none\n' > esp/EFI/BOOT/BOOTX64.cfg
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -subj /CN=key 2> log
owner=11111111-2222-3333-4444-555555555555
firmware=trixie/usr/share/OVMF
boot() {
    python3 python/bin/virt-fw-vars -i "$firmware/OVMF_VARS_4M.fd" -o vars --sb \
        --set-pk "$owner" certificate --add-kek "$owner" certificate --add-db-hash "$owner" "$1" \
        2> log
    : > serial
    # The loader of its own suite, since the libraries are not this system's.
    libraries=$(find bookworm -type d -path '*lib/x86_64-linux-gnu' | tr '\n' :)
    loader=$(find bookworm -name ld-linux-x86-64.so.2 | head -n 1)
    QEMU_MODULE_DIR=bookworm/usr/lib/x86_64-linux-gnu/qemu \
        "$loader" --library-path "$libraries" bookworm/usr/bin/qemu-system-x86_64 \
        -L bookworm/usr/share/seabios -L bookworm/usr/share/qemu -M q35,smm=on -cpu max -m 512 \
        -nodefaults -display none -serial file:serial \
        -global driver=cfi.pflash01,property=secure,value=on \
        -drive "if=pflash,unit=0,format=raw,readonly=on,file=$firmware/OVMF_CODE_4M.secboot.fd" \
        -drive if=pflash,unit=1,format=raw,file=vars \
        -drive if=none,id=esp,format=raw,file=fat:rw:esp \
        -device virtio-blk-pci,drive=esp,romfile= 2> log &
    qemu=$!
    end='says nothing for twenty minutes'
    for _ in $(seq 1200); do
        if grep -aq 'EFI loader' serial; then
            end='Xen starts'
            break
        elif grep -aq 'Access Denied' serial; then
            end='access denied'
            break
        fi
        sleep 1
    done
    kill "$qemu"
    wait "$qemu" || true
    echo "$end"
}

{
    echo "size: 8 n + $(($(wc -c < xen.efi) % 8))"
    echo "efitools: $(name "$efitools")"
    for padding in '' --nopadding; do
        hash=$(chroot trixie pesign -h $padding -i xen.efi 2> log | cut -d' ' -f1)
        echo "pesign${padding:+ $padding}: $(name "$hash")"
    done
    echo "virt-firmware: $(name "$(python3 hash.py virt-firmware 2> log)")"
    echo "lief: $(name "$lief")"
    echo "Secure Boot with that of efitools: $(boot "$efitools")"
    echo "Secure Boot with that of lief: $(boot "$lief")"
} > now

diff -u --label 'as seen' --label now - now <<'END'
size: 8 n + 6
efitools: as efitools
pesign: as efitools
pesign --nopadding: as lief
virt-firmware: as efitools
lief: as lief
Secure Boot with that of efitools: access denied
Secure Boot with that of lief: Xen starts
END
echo 'as seen'
