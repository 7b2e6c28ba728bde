#!/bin/sh
# Who finds the build-id and the relocations of Debian's xen.efi.
#
# The build-id of xen.efi is in its debug directory, and a relocated start needs its relocations. A
# good engineer expects that any reader of PE finds both in an image that firmwares have started for
# years. Seen on 2026-11-30 with xen-hypervisor-4.17-amd64 4.17.5+72 of Debian 12:
#
# - objdump and llvm-readobj 19.1.7 of Debian 13, the witnesses: a build-id, and 2602 + 62
#   relocations
# - lief 1.0.0 (PyPI): one debug entry of unknown type and size 0, no relocations, and no error
# - pefile 2024.8.26 (PyPI): neither, just two warnings
# - llvm-objcopy 19.1.7 refuses to copy the file; objcopy 2.44 does, and loses nothing of these
# - of the crates, object 0.39.1 finds the build-id; goblin 0.10.7 and pelite 0.10.0 do not
#
# The cause is the image. Its SectionAlignment is 2 MiB, and PE wants each section to begin at a
# multiple of that; .buildid, .reloc and others don't. pefile rounds their addresses down to one,
# and lief up, and so they read the wrong bytes. For the debug directory, lief and llvm-objcopy look
# into the file's padding of .rodata, which in memory would reach into .buildid.
#
# 4.17.7 is the same for lief, pefile and llvm-objcopy. In 4.20.4 lief finds 100000 relocations and
# a debug entry of type 116048128.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs root and apt of
# a Debian, and python3 with pip.

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
    for action in update "$*"; do
        # shellcheck disable=SC2086
        apt-get -qq -o Dir::State="$dir/$suite/apt" -o Dir::State::status="$dir/$suite/apt/status" \
            -o Dir::State::lists="$dir/$suite/apt/lists" -o Dir::Cache="$dir/$suite/apt" \
            -o Dir::Etc::sourcelist="$dir/$suite/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
            -o APT::Sandbox::User=root $action > "$suite/apt/log"
    done
}
install='install -y --no-install-recommends --download-only'
fetch bookworm download xen-hypervisor-4.17-amd64
dpkg-deb -x xen-hypervisor-4.17-amd64_*.deb bookworm
fetch trixie "$install" base-files binutils llvm
for deb in trixie/apt/archives/*.deb; do dpkg-deb -x "$deb" trixie; done
python3 -m pip install -q --root-user-action=ignore --disable-pip-version-check --target python \
    lief==1.0.0 pefile==2024.8.26
cp bookworm/boot/xen-4.17-amd64.efi xen.efi
cp xen.efi trixie

cat > readers.py <<'END'
import lief, pefile
image = pefile.PE("xen.efi")
alignment = image.OPTIONAL_HEADER.SectionAlignment
for section in image.sections:
    if section.VirtualAddress % alignment:
        print(section.Name.rstrip(b"\0").decode(), hex(section.VirtualAddress))
print("pefile: debug directory", hasattr(image, "DIRECTORY_ENTRY_DEBUG"))
print("pefile: relocations", hasattr(image, "DIRECTORY_ENTRY_BASERELOC"))
for warning in image.get_warnings():
    if warning.startswith("Invalid"):
        print("pefile:", warning)
lief.logging.disable()
image = lief.PE.parse("xen.efi")
for entry in image.debug:
    print("lief: debug entry", entry.type, entry.sizeof_data)
print("lief: relocations", len(image.relocations))
END
count() {
    sort | uniq -c | tr -s ' ' | tr '\n' ','
    echo
}
{
    echo "not at a multiple of 2 MiB:"
    PYTHONPATH=python python3 readers.py
    for file in xen.efi copy.efi; do
        chroot trixie objdump -p $file > said
        sed -n 's/.*signature \(.*\) age.*/objdump '$file': build-id \1/p' said
        echo "objdump $file:$(sed -n 's/.*reloc .*offset .*\] //p' said | count)"
        [ -f trixie/copy.efi ] || chroot trixie objcopy xen.efi copy.efi
    done
    chroot trixie llvm-readobj --coff-debug-directory xen.efi | sed -n 's/ *PDBGUID/llvm-readobj/p'
    echo "llvm-readobj:$(chroot trixie llvm-readobj --coff-basereloc xen.efi |
        sed -n 's/ *Type: //p' | count)"
    chroot trixie llvm-objcopy xen.efi llvm.efi 2>&1 || echo "exit $?"
} > now

diff -u --label 'as seen' --label now - now <<'END'
not at a multiple of 2 MiB:
.buildid 0x45a4e8
.data 0x80a000
.bss 0x817000
.reloc 0x94b240
pefile: debug directory False
pefile: relocations False
pefile: Invalid debug information. Can't read data at RVA: 0x45a4e8
pefile: Invalid relocation information. Can't read data at RVA: 0x94b240
lief: debug entry TYPES.UNKNOWN 0
lief: relocations 0
objdump xen.efi: build-id 2148d4060ada67d71fd72bb991f319eb
objdump xen.efi: 20 ABSOLUTE, 2602 DIR64, 62 HIGHLOW,
objdump copy.efi: build-id 2148d4060ada67d71fd72bb991f319eb
objdump copy.efi: 20 ABSOLUTE, 2602 DIR64, 62 HIGHLOW,
llvm-readobj: {2148D406-0ADA-67D7-1FD7-2BB991F319EB}
llvm-readobj: 20 ABSOLUTE, 2602 DIR64, 62 HIGHLOW,
llvm-objcopy: error: 'llvm.efi': debug directory extends past end of section
exit 1
END
echo 'as seen'
