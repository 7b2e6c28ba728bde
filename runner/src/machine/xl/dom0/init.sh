#!/bin/busybox sh
# The first process of the Linux dom0: brings up what xl needs, and a way in for the runner.
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
exec </dev/console >/dev/console 2>&1

# The runner waits for this prefix, and for `ready` or `failed` behind it.
say() { echo "xtf-dom0: $*"; }
need() { "$@" || say "failed: $*"; }

while read -r module; do
    need insmod "/modules/$module.ko"
done </modules/order
need mount -t xenfs xenfs /proc/xen

need ifconfig lo 127.0.0.1 up
need ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up

need xenstored --pid-file /run/xenstored.pid
need xen-init-dom0
need xenconsoled --pid-file=/run/xenconsoled.pid

# Who may come in is said on the kernel's command line, so that no key is in this archive.
for word in $(cat /proc/cmdline); do
    case $word in
    xtf.key=*) echo "ssh-ed25519 ${word#xtf.key=}" >/root/.ssh/authorized_keys ;;
    esac
done
need dropbear -R -s -p 22

say ready
while :; do sleep 1000; done
