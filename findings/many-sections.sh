#!/bin/sh
# What readers of ELF make of an object with more than 65280 sections.
#
# Such an object says 0 in e_shnum and keeps the number in the header of section 0, which the
# generic ABI has had for decades and which -ffunction-sections or a generated payload can need.
# A good engineer expects the number, or an error. Two objects of one-byte sections, below and
# above the border, both without fault for eu-elflint. Seen on 2026-11-28:
#
# - lief 1.0.0 (PyPI) reads the larger one as an object of no sections and no symbols
# - the crates xmas-elf 0.10.0 and elf_rs 0.3.1: no sections, and no error
# - eu-strip 0.192 of Debian 13 (0.196 of sid too) says "illformed file", writes an empty file,
#   and ends with 0
#
# pyelftools 0.33 and the crates elf 0.8.0 and goblin 0.10.7 are right, and the witnesses. All of
# them are right for the smaller object.
#
# Ends with 0 while that is so, with 1 and the difference when one of them has changed. Needs root
# and apt of a Debian, cargo, and python3 with pip.

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
apt install -y --no-install-recommends --download-only base-files binutils elfutils > apt/log
for deb in apt/archives/*.deb; do dpkg-deb -x "$deb" root; done

# object NAME NUMBER: that many sections of our own, and one that refers to the last; as adds a few.
object() {
    {
        seq "$2" | sed 's/.*/.section .rodata.&,"a"\n.byte 1/'
        printf '.section .list,"a"\n.quad .rodata.%s\n' "$2"
    } > "root/$1.s"
    chroot root as "$1.s" -o "$1"
    cp "root/$1" "$1"
}
object fewer 65000
object more 65300

strip() {
    chroot root eu-strip -g -o stripped "$1" 2>&1 && echo 'exit 0'
    if [ -s root/stripped ]; then echo 'a file'; else echo 'an empty file'; fi
    rm root/stripped
}

mkdir readers
cat > readers/Cargo.toml <<'END'
[package]
name = "readers"
edition = "2024"
[dependencies]
elf = "=0.8.0"
elf_rs = "=0.3.1"
goblin = "=0.10.7"
xmas-elf = "=0.10.0"
[[bin]]
name = "readers"
path = "main.rs"
END
cat > readers/main.rs <<'END'
use elf_rs::ElfFile;

fn main() {
    let bytes = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let goblin = goblin::elf::Elf::parse(&bytes).unwrap();
    println!("goblin {}", goblin.section_headers.len());
    let elf = elf::ElfBytes::<elf::endian::LittleEndian>::minimal_parse(&bytes).unwrap();
    println!("elf {}", elf.section_headers().unwrap().len());
    let xmas = xmas_elf::ElfFile::new(&bytes).unwrap();
    println!("xmas-elf {}", xmas.section_iter().count());
    let elf_rs = elf_rs::Elf::from_bytes(&bytes).unwrap();
    println!("elf_rs {}", elf_rs.section_header_iter().count());
}
END
CARGO_TARGET_DIR="$dir/target" cargo build -q --manifest-path readers/Cargo.toml

python3 -m pip install -q --root-user-action=ignore --disable-pip-version-check --target python \
    lief==1.0.0 pyelftools==0.33
cat > readers.py <<'END'
import sys, elftools.elf.elffile, lief
print("pyelftools", elftools.elf.elffile.ELFFile(open(sys.argv[1], "rb")).num_sections())
lief.logging.disable()
print("lief", len(lief.ELF.parse(sys.argv[1]).sections))
END

for object in fewer more; do
    echo "$object"
    chroot root eu-elflint "$object"
    target/debug/readers "$object"
    PYTHONPATH=python python3 readers.py "$object"
    strip "$object"
done > now

diff -u --label 'as seen' --label now - now <<'END'
fewer
No errors
goblin 65009
elf 65009
xmas-elf 65009
elf_rs 65009
pyelftools 65009
lief 65009
exit 0
a file
more
No errors
goblin 65310
elf 65310
xmas-elf 0
elf_rs 0
pyelftools 65310
lief 0
eu-strip: illformed file 'more'
exit 0
an empty file
END
echo 'as seen'
