#!/bin/sh
# Which build-id a payload has that `ld -r --build-id` makes from an older payload.
#
# The payload "old" is linked with --build-id. Then it is linked again with one more object, again
# with -r and --build-id. A good engineer expects one build-id in the result, the new one: so do
# final links of GNU ld, which drop the notes of their input, and so does lld. Seen on 2026-11-28:
#
# - GNU ld 2.44 of Debian 13 (2.40 and gold of Debian 12 and 2.47.50 of sid too) keeps the note of
#   its input beside its own, and the order of the input decides which one is first:
#     ld -r --build-id=sha1 old fix: old, new
#     ld -r --build-id=sha1 fix old: new, old
# - lld 19.1.7 of Debian 13 (21.1.8 of sid too), the witness: new, whatever the order
#
# Who reads one note, as Xen does, reads the first. To Xen the relinked payload is the old one,
# which it refuses while the old one is loaded.
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
apt install -y --no-install-recommends --download-only base-files dash sed binutils lld > apt/log
for deb in apt/archives/*.deb; do dpkg-deb -x "$deb" root; done

cat > root/relink <<'END'
set -eu
printf '.globl one\none: ret\n.section .note.GNU-stack,"",@progbits\n' | as -o one.o
printf '.globl two\ntwo: nop\nret\n.section .note.GNU-stack,"",@progbits\n' | as -o fix.o

build_ids() {
    readelf -nW "$1" | sed -n 's/.*Build ID: //p'
}

# link LINKER ARGUMENT...: says whether the build-ids of the result are old or new.
link() {
    "$@" --build-id=sha1 -e one -o linked.o
    printf '%s:' "$*"
    for id in $(build_ids linked.o); do
        if [ "$id" = "$old" ]; then printf ' old'; else printf ' new'; fi
    done
    echo
}

for linker in ld ld.lld; do
    "$linker" -r --build-id=sha1 -o old.o one.o
    old=$(build_ids old.o)
    link "$linker" -r old.o fix.o
    link "$linker" -r fix.o old.o
    link "$linker" old.o fix.o
done
END
chroot root sh /relink > now

diff -u --label 'as seen' --label now - now <<'END'
ld -r old.o fix.o: old new
ld -r fix.o old.o: new old
ld old.o fix.o: new
ld.lld -r old.o fix.o: new
ld.lld -r fix.o old.o: new
ld.lld old.o fix.o: new
END
echo 'as seen'
