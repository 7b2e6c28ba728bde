#!/bin/sh
# What is left of the functions of a tracefile that lcov 2 has merged.
#
# The tracefiles of two runs have three functions in the records FN and FNDA; two start on the same
# line, as those that a macro makes do, and one of these was never called. `lcov --add-tracefile`
# is the usual way to merge runs. A good engineer expects of a merge the same functions in the same
# records, FNF:3 and FNH:2. Seen on 2026-11-28 with lcov 2.0-1 of Debian 13 (2.5.0 of sid too):
#
# - the functions come out in the records FNL and FNA, and no FN and FNDA at all
# - the two functions of the line count as one that was called: FNF:2 and FNH:2. So everything is
#   covered, while the same lcov says "66.7% (2 of 3 functions)" of the same file
# - lcov_cobertura 2.1.1 (PyPI) finds no function in it, and ends with 0
# - so does lcov 1.16 of Debian 12: "no data found"
# - the crate lcov 0.8.2 refuses it: unknown record
#
# All three read the tracefiles as they were before the merge.
#
# Ends with 0 while that is so, with 1 and the difference when one of them has changed. Needs root
# and apt of a Debian, cargo, and python3 with pip.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# Debian 13 on apt's own mirror, in a private root, with the lcov of Debian 12 beside its own;
# nothing is installed.
mkdir -p apt/lists/partial apt/archives/partial root old
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in trixie bookworm; do
    echo "deb [signed-by=$key] $mirror $suite main"
done > apt/sources
: > apt/status
apt() {
    apt-get -qq -o Dir::State="$dir/apt" -o Dir::State::status="$dir/apt/status" \
        -o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt" \
        -o Dir::Etc::sourcelist="$dir/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Sandbox::User=root "$@"
}
apt update
apt install -y --no-install-recommends --download-only base-files dash coreutils perl lcov > apt/log
for deb in apt/archives/*.deb; do dpkg-deb -x "$deb" root; done
apt download lcov=1.16-1
dpkg-deb -x lcov_1.16-1_all.deb root/old

printf 'int a;\nint b;\nint c;\n' > root/code.c
cat > root/one.info <<'END'
TN:
SF:code.c
FN:1,called
FN:1,never_called
FN:3,other
FNDA:5,called
FNDA:0,never_called
FNDA:2,other
FNF:3
FNH:2
DA:1,5
DA:2,0
DA:3,2
LF:3
LH:2
end_of_record
END
cp root/one.info root/two.info
chroot root lcov --add-tracefile one.info --add-tracefile two.info --output-file merged.info \
    > lcov.log 2>&1

python3 -m pip install -q --root-user-action=ignore --disable-pip-version-check --target python \
    lcov_cobertura==2.1.1
mkdir reader
cat > reader/Cargo.toml <<'END'
[package]
name = "reader"
edition = "2024"
[dependencies]
lcov = "=0.8.2"
[[bin]]
name = "reader"
path = "main.rs"
END
cat > reader/main.rs <<'END'
fn main() {
    match lcov::Report::from_file(std::env::args().nth(1).unwrap()) {
        Ok(report) => {
            let sections = report.sections.values();
            println!("{}", sections.map(|section| section.functions.len()).sum::<usize>());
        }
        Err(error) => println!("{error}"),
    }
}
END
CARGO_TARGET_DIR="$dir/target" cargo build -q --manifest-path reader/Cargo.toml

functions() {
    sed -n 's/^ *functions[.]*: //p'
}
for file in one merged; do
    echo "$file"
    grep '^FN' "root/$file.info"
    echo "lcov 2.0: $(chroot root lcov --summary $file.info 2> lcov.log | functions)"
    echo "lcov 1.16: $(chroot root old/usr/bin/lcov --summary $file.info 2>&1 | functions)"
    PYTHONPATH=python python3 python/bin/lcov_cobertura root/$file.info -o $file.xml
    echo "lcov_cobertura: $(grep -c '<method ' $file.xml)"
    echo "crate lcov: $(target/debug/reader root/$file.info)"
done > now

diff -u --label 'as seen' --label now - now <<'END'
one
FN:1,called
FN:1,never_called
FN:3,other
FNDA:5,called
FNDA:0,never_called
FNDA:2,other
FNF:3
FNH:2
lcov 2.0: 66.7% (2 of 3 functions)
lcov 1.16: 66.7% (2 of 3 functions)
lcov_cobertura: 3
crate lcov: 3
merged
FNL:0,1,2
FNA:0,10,called
FNA:0,0,never_called
FNL:1,3,3
FNA:1,4,other
FNF:2
FNH:2
lcov 2.0: 66.7% (2 of 3 functions)
lcov 1.16: no data found
lcov_cobertura: 0
crate lcov: failed to read record: invalid record syntax at line 3: unknown record
END
echo 'as seen'
