#!/bin/sh
# What decoders make of UDB, the byte d6, which is BUG, WARN and ASSERT of Xen since 4.22.
#
# The valid 64-bit code is  d6  48 89 c3  c3, that is  udb; mov %rax,%rbx; ret. Seen on 2026-11-28:
#
# - binutils 2.47 (Debian's sid, not pinned: it keeps no old versions) is right, and the witness:
#     0: udb    1: mov %rax,%rbx    4: ret
# - the crate iced-x86 1.22.0 calls UDB invalid, which one that does not know it may, but takes two
#   bytes for it. The mov loses its prefix, and what is left is valid and says something else:
#     0: INVALID, 2 bytes    2: Mov_rm32_r32, 2 bytes    4: Retnq, 1 byte
# - capstone 5.0.9 from PyPI does not know UDB either and stops, as documented for what it can't
#   decode: of this code it gives nothing, and no error
#
# Ends with 0 while that is so, with 1 and the difference when one of them has changed. What we do
# about it: runner/src/xen/symbols/code.rs. Needs apt of a Debian, cargo, and python3 with pip.

set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
printf '\326\110\211\303\303' > code

# expect WHO FILE: the file says what is on standard input.
expect() {
    diff -u --label "$1, as seen" --label "$1, now" - "$2" || changed=yes
}
changed=

# Debian's sid on apt's own mirror, in a private root; nothing is installed.
mkdir -p apt/lists/partial apt/archives/partial
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" > apt/sources
: > apt/status
apt() {
    apt-get -qq -o Dir::State="$dir/apt" -o Dir::State::status="$dir/apt/status" \
        -o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt" \
        -o Dir::Etc::sourcelist="$dir/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Sandbox::User=root "$@"
}
apt update
apt download binutils-x86-64-linux-gnu libbinutils libsframe3 libc6 zlib1g libzstd1 libjansson4
for deb in *.deb; do dpkg-deb -x "$deb" sid; done
lib=sid/usr/lib/x86_64-linux-gnu
"$lib/ld-linux-x86-64.so.2" --library-path "$lib" sid/usr/bin/x86_64-linux-gnu-objdump \
    -D -b binary -m i386:x86-64 --no-show-raw-insn code | grep -E '^ +[0-9a-f]+:' |
    tr -s ' \t' ' ' > objdump
expect 'objdump of sid' objdump <<'END'
 0: udb
 1: mov %rax,%rbx
 4: ret
END

mkdir iced
cat > iced/Cargo.toml <<'END'
[package]
name = "iced"
edition = "2024"
[dependencies]
iced-x86 = { version = "=1.22.0", default-features = false, features = ["std", "decoder"] }
[[bin]]
name = "iced"
path = "main.rs"
END
cat > iced/main.rs <<'END'
fn main() {
    let code = std::fs::read("code").unwrap();
    for instruction in &mut iced_x86::Decoder::new(64, &code, 0) {
        println!("{} {} {:?}", instruction.ip(), instruction.len(), instruction.code());
    }
}
END
CARGO_TARGET_DIR="$dir/target" cargo run -q --manifest-path iced/Cargo.toml > iced.out
expect 'iced-x86 1.22.0' iced.out <<'END'
0 2 INVALID
2 2 Mov_rm32_r32
4 1 Retnq
END

python3 -m pip install -q --root-user-action=ignore --disable-pip-version-check --target python capstone==5.0.9
PYTHONPATH=python python3 - > capstone.out <<'END'
import capstone
decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
for instruction in decoder.disasm(open("code", "rb").read(), 0):
    print(instruction.address, instruction.size, instruction.mnemonic)
END
expect 'capstone 5.0.9' capstone.out < /dev/null

if [ -n "$changed" ]; then exit 1; fi
echo 'as seen'
