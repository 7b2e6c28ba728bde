#!/bin/sh
# What TAP consumers make of a test whose name holds a static symbol of Xen.
#
# Xen's names for static symbols have a '#': common/livepatch.c#payload_list. TAP 13 knows two
# directives after a '#', SKIP and TODO; TAP 14 wants white space before it. So a good engineer
# expects of `not ok 2 - common/livepatch.c#skip_list` a failure, and of the rest its whole name,
# as perl's TAP::Parser and npm's tap-parser 18.3.4 read it. Seen on 2026-11-28, from PyPI:
#
# - tap.py 3.2.1 cuts the name at the '#', takes every word that begins with "skip" for SKIP, and
#   so counts the failure as skipped: its program `tappy` ends with 0 and "OK (skipped=1)"
# - python-subunit 1.4.6 (tap2subunit) does not see a passed test with such a name at all, and
#   reports it as failed: "test missing from TAP output"
#
# Ends with 0 while that is so, with 1 and the difference when one of them has changed. Needs
# python3 with pip, and Debian's perl.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat > results.tap <<'END'
TAP version 13
1..2
ok 1 - read common/livepatch.c#payload_list
not ok 2 - common/livepatch.c#skip_list
END
changed=

# expect WHO FILE: the file says what is on standard input.
expect() {
    diff -u --label "$1, as seen" --label "$1, now" - "$2" || changed=yes
}

perl -MTAP::Parser -e '
    my $parser = TAP::Parser->new({ source => "results.tap" });
    while (my $line = $parser->next) {
        print join("|", $line->is_ok ? "ok" : "not ok", $line->description, $line->directive), "\n"
            if $line->is_test;
    }' > perl.out
expect TAP::Parser perl.out <<'END'
ok|- read common/livepatch.c#payload_list|
not ok|- common/livepatch.c#skip_list|
END

python3 -m pip install -q --root-user-action=ignore --disable-pip-version-check --target python \
    tap.py==3.2.1 python-subunit==1.4.6 testtools==2.9.1 iso8601==2.1.0
export PYTHONPATH=python
python3 - <<'END' | grep '|' > tap.out
import tap.parser
for line in tap.parser.Parser().parse_file("results.tap"):
    if line.category == "test":
        print("ok" if line.ok else "not ok", line.description, "skip" if line.skip else "", sep="|")
END
expect 'tap.py 3.2.1' tap.out <<'END'
ok|- read common/livepatch.c|
not ok|- common/livepatch.c|skip
END
{ python/bin/tappy results.tap 2>&1 && echo 'exit 0'; } | tail -n 2 > tappy.out
expect 'tappy 3.2.1' tappy.out <<'END'
OK (skipped=1)
exit 0
END

head -n 3 results.tap | sed s/1..2/1..1/ | python/bin/tap2subunit > results.subunit
python3 - > subunit.out <<'END'
import subunit, testtools
class Results(testtools.StreamResult):
    def status(self, test_id=None, test_status=None, file_name=None, file_bytes=None, **_):
        if test_status not in (None, "exists"):
            print(test_id, test_status)
        if file_name == "tap meta":
            print(bytes(file_bytes).decode())
subunit.ByteStreamToStreamResult(open("results.subunit", "rb")).run(Results())
END
expect 'python-subunit 1.4.6' subunit.out <<'END'
test 1 fail
test missing from TAP output
END

if [ -n "$changed" ]; then exit 1; fi
echo 'as seen'
