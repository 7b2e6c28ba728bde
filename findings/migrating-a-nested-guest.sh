#!/bin/sh
# What becomes of a machine that QEMU saves while its CPU runs a nested guest, by TCG.
#
# QEMU can save a machine into a file by migration, and go on from that file in another process. It says
# that a save is complete, or why a machine cannot be saved. A good engineer expects that what was saved
# can be loaded by the same QEMU with the same options. The guest here switches SVM on, and either spins by
# itself, or enters a guest of its own (VMRUN) that spins. Seen on 2026-11-30 with QEMU 7.2 of Debian 12,
# 10.0 of Debian 13 and 11.1 of sid, by TCG:
#
# - either way the save is complete
# - what spins by itself is loaded, and runs
# - while the nested guest runs, what was saved is refused: `vCPU set in guest-mode inconsistent with
#   migrated kernel nested state`. No kernel has a part in it: there is no KVM
#
# So whether a saved machine with a hypervisor in it can be used depends on the moment of the save.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs apt of a Debian
# on x86-64, binutils and python3; no root. Sid is not pinned: it keeps no old versions.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# fetch SUITE: its QEMU from apt's own mirror into the folder SUITE; nothing is installed.
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
fetch() {
    mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial"
    echo "deb [signed-by=$key] $mirror $1 main" > "$1/apt/sources"
    : > "$1/apt/status"
    install='install -y --no-install-recommends --download-only'
    for action in update "$install base-files qemu-system-x86 seabios"; do
        # shellcheck disable=SC2086
        apt-get -qq -o Dir::State="$dir/$1/apt" -o Dir::State::status="$dir/$1/apt/status" \
            -o Dir::State::lists="$dir/$1/apt/lists" -o Dir::Cache="$dir/$1/apt" \
            -o Dir::Etc::sourcelist="$dir/$1/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
            -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root $action > "$1/apt/log"
    done
    for deb in "$1"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$1"; done
}

# It puts out a letter to say that it spins: S by itself, and N as a nested guest.
cat > guest.s <<'END'
.align 4
.long 0x1badb002, 0, -0x1badb002
.globl _start
_start:
    # EFER.SVME, and where the processor keeps the host's state.
    mov $0xc0000080, %ecx
    rdmsr
    or $0x1000, %eax
    wrmsr
    mov $0xc0010117, %ecx
    mov $host, %eax
    xor %edx, %edx
    wrmsr
    .if NESTED
    mov $vmcb, %edi
    # VMRUN is intercepted, as it has to be; address space 1.
    movl $1, 0x10(%edi)
    movl $1, 0x58(%edi)
    # Flat segments: ES, CS, SS, DS.
    movl $0x0c930010, 0x400(%edi)
    movl $0x0c9b0008, 0x410(%edi)
    movl $0x0c930010, 0x420(%edi)
    movl $0x0c930010, 0x430(%edi)
    movl $-1, 0x404(%edi)
    movl $-1, 0x414(%edi)
    movl $-1, 0x424(%edi)
    movl $-1, 0x434(%edi)
    # EFER, CR0, DR7, DR6, RFLAGS, RIP.
    movl $0x1000, 0x4d0(%edi)
    mov %cr0, %eax
    mov %eax, 0x558(%edi)
    movl $0x400, 0x560(%edi)
    movl $0xffff0ff0, 0x568(%edi)
    movl $2, 0x570(%edi)
    movl $nested, 0x578(%edi)
    mov %edi, %eax
    vmrun
    .endif
    mov $'S', %al
    jmp spins
nested:
    mov $'N', %al
spins:
    mov $0x3f8, %edx
    out %al, %dx
    jmp .
.bss
.align 4096
host: .zero 4096
vmcb: .zero 4096
END
for nested in 0 1; do
    as --32 --defsym NESTED=$nested -o guest.o guest.s
    ld -m elf_i386 -Ttext 0x100000 -o "guest$nested" guest.o 2> /dev/null
done

cat > driver.py <<'END'
import json, os, socket, subprocess, sys, time
# Saves the machine that spins, and goes on from what was saved. Prints what became of both.
qemu = sys.argv[1:]
def start(more):
    if os.path.exists("qmp"):
        os.remove("qmp")
    options = ["-qmp", "unix:qmp,server=on,wait=off"] + more
    process = subprocess.Popen(qemu + options, stdin=subprocess.DEVNULL, stderr=open("errors", "w"))
    return process
def connect(process):
    while process.poll() is None:
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect("qmp")
            lines = connection.makefile("rw")
            lines.readline()
            ask(lines, "qmp_capabilities")
            return lines
        except (OSError, ValueError):
            time.sleep(0.1)
def ask(lines, command, **arguments):
    lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    lines.flush()
    while True:
        answer = json.loads(lines.readline())
        if "return" in answer or "error" in answer:
            return answer.get("return", answer.get("error"))
process = start([])
lines = connect(process)
while not os.path.exists("serial") or not open("serial").read():
    time.sleep(0.1)
ask(lines, "migrate", uri="exec:cat > state")
while (saved := ask(lines, "query-migrate")["status"]) not in ("completed", "failed"):
    time.sleep(0.1)
time.sleep(1)
ask(lines, "quit")
process.wait()
letter = open("serial").read()
process = start(["-incoming", "exec:cat state"])
lines = connect(process)
loaded = "inmigrate"
while loaded == "inmigrate":
    time.sleep(0.1)
    try:
        loaded = ask(lines, "query-status")["status"]
    except (OSError, ValueError, AttributeError):
        loaded = "refused"
if lines and loaded != "refused":
    ask(lines, "quit")
process.wait()
why = "inconsistent with migrated kernel nested state" in open("errors").read()
print(letter, saved, loaded, *(["as inconsistent"] if why else []))
END

# machine SUITE NESTED: what becomes of it
machine() {
    libraries=$(find "$1" -type d -path '*lib/x86_64-linux-gnu' | tr '\n' :)
    loader=$(find "$1" -name ld-linux-x86-64.so.2 | head -n 1)
    rm -f serial state
    QEMU_MODULE_DIR="$1/usr/lib/x86_64-linux-gnu/qemu" \
        timeout 600 python3 driver.py "$loader" --library-path "$libraries" \
        "$1/usr/bin/qemu-system-x86_64" -L "$1/usr/share/seabios" -L "$1/usr/share/qemu" -accel tcg \
        -cpu qemu64,+svm -nodefaults -display none -m 64 -serial file:serial -kernel "guest$2"
}

for suite in bookworm trixie sid; do
    fetch $suite
    for nested in 0 1; do
        echo "$suite: $(machine $suite $nested)"
    done
done > now

diff -u --label 'as seen' --label now - now <<'END'
bookworm: S completed running
bookworm: N completed refused as inconsistent
trixie: S completed running
trixie: N completed refused as inconsistent
sid: S completed running
sid: N completed refused as inconsistent
END
echo 'as seen'
