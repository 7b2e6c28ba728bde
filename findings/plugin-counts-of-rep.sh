#!/bin/sh
# How often QEMU's plugin interface says that one `rep stosb` was executed.
#
# The guest is a multiboot image that runs `rep stosb` once, with 1000 in %ecx. A plugin asks for a
# call for each execution of an instruction and for each of its accesses to memory. A good engineer
# may guess 1 or 1000 or so, but the same for all QEMUs and with and without -icount. The accesses
# are 1000 everywhere. Executions seen on 2026-11-28:
#
# - QEMU 7.2 of Debian 12: 1001, with and without -icount
# - QEMU 10.0 of Debian 13 (11.1.3 of sid too): 1 without -icount, 1001 with it
#
# Under -icount the guest's clock moves by 1001 instructions on both. So instruction counts of one
# QEMU can't be compared with another's, nor those of a deterministic run with a fast one's.
#
# Ends with 0 while that is so, with 1 and the difference when it has changed. Needs root and apt
# of a Debian, gcc and binutils.

set -eu
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

as --32 -o guest.o <<'END'
.align 4
.long 0x1badb002, 0, -0x1badb002
.globl _start
_start:
    cld
    mov $buffer, %edi
    mov $1000, %ecx
    rep stosb
    mov $0xf4, %edx
    out %al, %dx
    hlt
.bss
buffer: .zero 1000
END
ld -m elf_i386 -Ttext 0x100000 -o guest guest.o
rep=$(objdump -d guest | sed -n 's/^ *\([0-9a-f]*\):.*rep stos.*/0x\1/p')

# QEMU 7.2 wants version 1 of the interface, QEMU 10.0 a later one; these functions are the same.
cat > plugin.c <<'END'
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct block;
struct insn;
size_t qemu_plugin_tb_n_insns(const struct block *);
struct insn *qemu_plugin_tb_get_insn(const struct block *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, struct block *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct insn *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct insn *,
                                      void (*)(unsigned, uint32_t, uint64_t, void *), int, int,
                                      void *);
void qemu_plugin_register_atexit_cb(uint64_t, void (*)(uint64_t, void *), void *);

int qemu_plugin_version = VERSION;
static int executions, accesses;

static void executed(unsigned cpu, void *data) { executions++; }
static void accessed(unsigned cpu, uint32_t info, uint64_t address, void *data) { accesses++; }
static void translated(uint64_t id, struct block *block)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(block, i);
        if (qemu_plugin_insn_vaddr(insn) == REP) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, 0, NULL);
            qemu_plugin_register_vcpu_mem_cb(insn, accessed, 0, 3, NULL);
        }
    }
}
static void ended(uint64_t id, void *data)
{
    fprintf(stderr, "%d executions, %d accesses\n", executions, accesses);
}
int qemu_plugin_install(uint64_t id, const void *info, int count, char **arguments)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
END

# run SUITE VERSION: a Debian on apt's own mirror, in a private root; nothing is installed.
mirror=$(apt-get indextargets --format '$(SITE)' | grep -v security | head -n 1)
key=/usr/share/keyrings/debian-archive-keyring.gpg
run() {
    mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial" "$1/root/dev"
    echo "deb [signed-by=$key] $mirror $1 main" > "$1/apt/sources"
    : > "$1/apt/status"
    install='install -y --no-install-recommends --download-only'
    for action in update "$install base-files qemu-system-x86"; do
        # shellcheck disable=SC2086
        apt-get -qq -o Dir::State="$dir/$1/apt" -o Dir::State::status="$dir/$1/apt/status" \
            -o Dir::State::lists="$dir/$1/apt/lists" -o Dir::Cache="$dir/$1/apt" \
            -o Dir::Etc::sourcelist="$dir/$1/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
            -o APT::Sandbox::User=root $action > "$1/apt/log"
    done
    for deb in "$1"/apt/archives/*.deb; do dpkg-deb -x "$deb" "$1/root"; done
    mknod "$1/root/dev/null" c 1 3
    mknod "$1/root/dev/urandom" c 1 9
    gcc -shared -fPIC -DVERSION="$2" -DREP="$rep" plugin.c -o "$1/root/plugin.so"
    cp guest "$1/root"
    for icount in '' '-icount shift=0'; do
        # The guest's way out makes the exit status odd.
        # shellcheck disable=SC2086
        chroot "$1/root" qemu-system-x86_64 -nodefaults -display none -m 64 -no-reboot $icount \
            -device isa-debug-exit,iobase=0xf4 -plugin /plugin.so -kernel guest \
            > out 2>&1 < /dev/null || true
        echo "$1${icount:+ $icount}: $(cat out)"
    done
}
run bookworm 1 > now
run trixie 4 >> now

diff -u --label 'as seen' --label now - now <<'END'
bookworm: 1001 executions, 1000 accesses
bookworm -icount shift=0: 1001 executions, 1000 accesses
trixie: 1 executions, 1000 accesses
trixie -icount shift=0: 1001 executions, 1000 accesses
END
echo 'as seen'
