#!/bin/sh
# What `objcopy --update-section` does to the relocations of the section.
#
# The table .livepatch.funcs of a payload is written to a file and put back as it was. The manual of
# binutils says that this replaces the contents of the section. A good engineer expects the object
# that it has been; who sees a danger may expect a warning. Seen on 2026-11-29:
#
# - GNU objcopy 2.44 of Debian 13 (2.40 of Debian 12 and 2.47.50 of sid too) drops every relocation
#   of the section. The header of its .rela section stays, with the size 0. It says nothing and ends
#   with 0. All pointers of the table are null now, and nothing refers to the new function
# - the same objcopy keeps them without --update-section, also with --set-section-alignment
# - llvm-objcopy 19.1.7 of Debian 13, the witness, keeps them
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs root and apt of
# a Debian.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Debian 13 on apt's own mirror, in a private root; nothing is installed.
mkdir -p apt/lists/partial apt/archives/partial root/dev
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] $mirror trixie main" > apt/sources
: > apt/status
apt() {
    apt-get -qq -o Dir::State="$dir/apt" -o Dir::State::status="$dir/apt/status" \
        -o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt" \
        -o Dir::Etc::sourcelist="$dir/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Sandbox::User=root "$@"
}
apt update
apt install -y --no-install-recommends --download-only base-files dash diffutils grep binutils \
    llvm > apt/log
for deb in apt/archives/*.deb; do dpkg-deb -x "$deb" root; done

cat > root/update <<'END'
set -eu
as -o payload.o <<'END_OF_CODE'
.section .text.fixed,"ax"
fixed: ret
.section .rodata.str,"aMS",@progbits,1
name: .string "xen_minor_version"
.section .livepatch.funcs,"a"
.quad name, fixed, 0
.long 1, 16
.byte 2
.zero 71
.section .note.GNU-stack,"",@progbits
END_OF_CODE
objcopy --dump-section .livepatch.funcs=table payload.o copy.o

for objcopy in objcopy llvm-objcopy; do
    for how in '' '--set-section-alignment .livepatch.funcs=16' \
        '--update-section .livepatch.funcs=table'; do
        echo "$objcopy${how:+ $how}"
        # shellcheck disable=SC2086
        "$objcopy" $how payload.o result.o
        readelf -SW result.o | while read -r line; do
            # shellcheck disable=SC2086
            set -- ${line#*]}
            case ${1-} in .rela.livepatch.funcs) echo "  $1, size 0x$5" ;; esac
        done
        readelf -rW result.o | grep -o 'R_X86_64_64.*' || echo '  no relocations'
        objcopy --dump-section .livepatch.funcs=after result.o copy.o
        cmp table after
    done
done 2>&1
END
chroot root sh /update | tr -s ' ' | sed 's/^R_/ &/' > now

diff -u --label 'as seen' --label now - now <<'END'
objcopy
 .rela.livepatch.funcs, size 0x000030
 R_X86_64_64 0000000000000000 .rodata.str + 0
 R_X86_64_64 0000000000000000 .text.fixed + 0
objcopy --set-section-alignment .livepatch.funcs=16
 .rela.livepatch.funcs, size 0x000030
 R_X86_64_64 0000000000000000 .rodata.str + 0
 R_X86_64_64 0000000000000000 .text.fixed + 0
objcopy --update-section .livepatch.funcs=table
 .rela.livepatch.funcs, size 0x000000
 no relocations
llvm-objcopy
 .rela.livepatch.funcs, size 0x000030
 R_X86_64_64 0000000000000000 .rodata.str + 0
 R_X86_64_64 0000000000000000 .text.fixed + 0
llvm-objcopy --set-section-alignment .livepatch.funcs=16
 .rela.livepatch.funcs, size 0x000030
 R_X86_64_64 0000000000000000 .rodata.str + 0
 R_X86_64_64 0000000000000000 .text.fixed + 0
llvm-objcopy --update-section .livepatch.funcs=table
 .rela.livepatch.funcs, size 0x000030
 R_X86_64_64 0000000000000000 .rodata.str + 0
 R_X86_64_64 0000000000000000 .text.fixed + 0
END
echo 'as seen'
