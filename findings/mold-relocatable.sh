#!/bin/sh
# What `mold -r` makes of a payload.
#
# The object has one function, which calls a hidden function of another file, and no unwind
# tables. A good engineer expects of `-r --build-id=sha1` what GNU ld makes: mold says that it is
# compatible, its help names both options, and it says nothing and exits with 0. Seen on 2026-11-28
# with mold 2.37.1 of Debian 13 (3.0.0 of sid too, 1.10.1 of Debian 12 but for the second):
#
# - it writes no build-id; in a final link it does. Xen refuses a payload without one
# - it writes an .eh_frame of four zero bytes, which is allocated, so Xen would load it
# - the undefined hidden function has become one of default visibility
#
# GNU ld 2.44 of Debian 13 is the witness.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs root and apt
# of a Debian.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Debian 13 on apt's own mirror, in a private root; nothing is installed.
mkdir -p apt/lists/partial apt/archives/partial root
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
apt install -y --no-install-recommends --download-only base-files dash grep binutils mold > apt/log
for deb in apt/archives/*.deb; do dpkg-deb -x "$deb" root; done

cat > root/link <<'END'
set -eu
as -o one.o <<'END_OF_CODE'
.globl one
.hidden one, other
one:
    call other
    ret
.section .note.GNU-stack,"",@progbits
END_OF_CODE
printf '.globl other\nother: ret\n.section .note.GNU-stack,"",@progbits\n' | as -o other.o

# Name, type, size and flags of the sections in question, and the undefined symbol.
say() {
    echo "$1"
    readelf -SW "$2" | while read -r line; do
        # shellcheck disable=SC2086
        set -- ${line#*]}
        case ${1-} in .note.gnu.build-id | .eh_frame) echo "  $1 $2 $5 $7" ;; esac
    done
    readelf -sW "$2" | while read -r _ _ _ _ bind visibility section name; do
        case $section$name in UND?*) echo "  $name $bind $visibility $section" ;; esac
    done
}
for linker in ld mold; do
    "$linker" -r --build-id=sha1 -o payload one.o
    say "$linker -r" payload
done
mold --build-id=sha1 -e one -o program one.o other.o
echo "mold: $(readelf -SW program | grep -c 'note.gnu.build-id')"
END
chroot root sh /link > now

diff -u --label 'as seen' --label now - now <<'END'
ld -r
  .note.gnu.build-id NOTE 000024 A
  other GLOBAL HIDDEN UND
mold -r
  .eh_frame PROGBITS 000004 A
  other GLOBAL DEFAULT UND
mold: 1
END
echo 'as seen'
