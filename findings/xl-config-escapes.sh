#!/bin/sh
# What Xen's reader of xl.cfg makes of a character that is written by its number.
#
# Its lexer knows \n, \t, \" and the like in a string, and \x with hexadecimal digits and \ with
# octal ones; xl.cfg(5) says nothing about any of them. A good engineer expects of \x41 and \101 an
# A, or an error for both. Seen on 2026-11-29 with libxlutil of Xen 4.17 of Debian 12 and 4.20 of
# Debian 13:
#
# - \101 is taken, and nothing stands in its place: "a\101b" is "ab". So it is with \128, which is
#   no octal number. \7 is an error
# - \x is an error with whatever digits: "invalid digit after backslash hexnumerical character
#   escape"
# - \t and \" are what they should be
#
# The cause is in xlu__cfgl_dequote: the number is read with base 10, its value is never stored, and
# for \x the pointer moves one character too far.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs root and apt of
# a Debian.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# fetch SUITE PACKAGE...: a Debian on apt's own mirror, in a private root; nothing is installed.
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
fetch() {
    suite=$1
    shift
    mkdir -p "$suite/apt/lists/partial" "$suite/apt/archives/partial" "$suite/root"
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
    for deb in "$suite"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$suite/root"; done
    cp read.py "$suite/root"
}

# Reads strings as xl does, and prints what each has become.
cat > read.py <<'END'
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.xlu_cfg_init.restype = ctypes.c_void_p
errors = ctypes.c_void_p.in_dll(ctypes.CDLL("libc.so.6"), "stdout")
for string in r"a\tb a\"b a\101b a\128b a\7b a\x41b a\x4b".split():
    config = ctypes.c_void_p(library.xlu_cfg_init(errors, b"xl.cfg"))
    text = f'name = "{string}"\n'.encode()
    print(string, end=": ", flush=True)
    if library.xlu_cfg_readdata(config, text, len(text)) == 0:
        value = ctypes.c_char_p()
        library.xlu_cfg_get_string(config, b"name", ctypes.byref(value), 0)
        print(value.value.decode().replace("\t", "<tab>"))
    ctypes.CDLL(None).fflush(None)
END
for xen in bookworm:4.17 trixie:4.20; do
    suite=${xen%:*}
    fetch "$suite" base-files "libxenmisc${xen#*:}" python3
    echo "$xen"
    chroot "$suite/root" python3 read.py "libxlutil.so.${xen#*:}" |
        sed "s/ [^ ]* config parsing error near .*': / error: /"
done > now

diff -u --label 'as seen' --label now - now <<'END'
bookworm:4.17
a\tb: a<tab>b
a\"b: a"b
a\101b: ab
a\128b: ab
a\7b: error: invalid digit after backslash octalnumerical character escape in quoted string
a\x41b: error: invalid digit after backslash hexnumerical character escape in quoted string
a\x4b: error: invalid digit after backslash hexnumerical character escape in quoted string
trixie:4.20
a\tb: a<tab>b
a\"b: a"b
a\101b: ab
a\128b: ab
a\7b: error: invalid digit after backslash octalnumerical character escape in quoted string
a\x41b: error: invalid digit after backslash hexnumerical character escape in quoted string
a\x4b: error: invalid digit after backslash hexnumerical character escape in quoted string
END
echo 'as seen'
