#!/bin/sh
# agent NAME CFG SECONDS: runs the domain NAME of the file CFG once, where xl is.
#
# Standard output is the domain's console, standard error what there is to say about it.
# The domain lives no longer than standard input stays open, than SECONDS, or than this script.
#
# Exit status: 0 the domain ended by itself; 1 it was stopped; 2 it could not be created or
# started; 3 it could not be destroyed.
#
# Plain POSIX, for dash and busybox: it also runs where there is little else.
set -u

name=$1 cfg=$2 seconds=$3
dir=$(mktemp -d) || exit 2
status=0
stopped=

say() { echo "agent: $*" >&2; }

# What xl says each time where there is no xl.conf, and on success.
boring='^Failed to read config file: /etc/xen/xl.conf\|^Parsing config from '
words() { grep -v "$boring" "$dir/said" >&2; }

# The state column of the domain; nothing when it is gone.
state() { xl list "$name" 2>/dev/null | { read -r _; read -r _ _ _ _ state _; echo "$state"; }; }

stop() { [ -n "$stopped" ] || { stopped=$1; say "stopping $name: $1"; }; }

# watch SIGNAL COMMAND...: sends the signal here when the command is over, unless it is told off by
# SIGTERM. For the background only: with a subshell of its own it would be two processes, of which
# the caller knows the one that does nothing.
watch() {
    trap exit TERM
    : >"$dir/watching.$1"
    signal=$1
    shift
    # A background job reads /dev/null unless told otherwise.
    exec 3<&0
    "$@" <&3 3<&- &
    trap 'kill $!; exit' TERM
    exec 3<&-
    wait $!
    kill -"$signal" $$
}

# unwatch SIGNAL PID: tells a watcher off. One that has not begun yet would lose the signal.
unwatch() {
    until [ -e "$dir/watching.$1" ]; do sleep 0.05; done
    kill "$2" 2>/dev/null
}

trap 'stop "standard input was closed"' USR1
trap 'stop "no end within $seconds s"' USR2
trap 'stop "by a signal"' INT TERM HUP
gone=
trap 'gone=1' ALRM
# Whoever reads may be gone: no reason to leave a domain behind.
trap '' PIPE

exec 3<&0
watch USR1 cat <&3 >/dev/null 2>&1 &
reader=$!
watch USR2 sleep "$seconds" >/dev/null 2>&1 &
clock=$!
exec 3<&-

# Without its background process (-e), xl leaves a domain that ended in place, so that nothing of
# what its console still holds gets lost.
xl create -p -e "$cfg" >"$dir/said" 2>&1 &
# Signals interrupt `wait`: then it has to be asked again.
until wait $!; do kill -0 $! 2>/dev/null || { status=2; break; }; done
words
[ $status = 0 ] || say "cannot create $name"
created=$status

console=
if [ $status = 0 ] && [ -z "$stopped" ]; then
    # A console whose input ends leaves; this one's never does.
    mkfifo "$dir/input" "$dir/output"
    # What came is known here, too.
    : >"$dir/heard"
    tee "$dir/heard" <"$dir/output" 2>/dev/null &
    listener=$!
    watch ALRM xl console -t pv "$name" <>"$dir/input" >"$dir/output" 2>"$dir/console" &
    console=$!
    xl unpause "$name" >"$dir/said" 2>&1 || { words; say "cannot unpause $name"; status=2; }
fi

looks=3
while [ $status = 0 ] && [ -z "$stopped" ]; do
    if [ -n "$gone" ]; then
        grep -v "$boring" "$dir/console" >&2
        say "the console of $name closed"
        status=2
        break
    fi
    case $(state) in
    '' | *d*)
        # xl may also just have failed to list it.
        xl domid "$name" >/dev/null 2>&1 || { say "$name no longer exists"; break; }
        ;;
    *c*) say "$name crashed"; break ;;
    *s*)
        say "$name ended"
        # It owes a last line.
        looks=8
        break
        ;;
    esac
    sleep 0.2
done
# What the daemon has read from a domain that ended is on its way here: up to the guest's last line,
# or, where none comes, until nothing has come for some looks in a row.
complete() { grep -q '^Test result: ' "$dir/heard" && [ -z "$(tail -c 1 "$dir/heard")" ]; }
quiet=0 before=
while [ -n "$console" ] && [ -z "$stopped" ] && [ $quiet -lt $looks ] && ! complete 2>/dev/null; do
    sleep 0.2
    now=$(wc -c <"$dir/heard")
    if [ "$now" = "$before" ]; then quiet=$((quiet + 1)); else quiet=0 before=$now; fi
done
[ -z "$stopped" ] || status=1

id=$(xl domid "$name" 2>/dev/null)
if [ "$created" = 0 ] || [ -n "$id" ]; then
    xl destroy "$name" >"$dir/said" 2>&1
    tries=25
    while xl list "$name" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { words; say "cannot destroy $name"; status=3; break; }
        sleep 0.4
    done
    [ $status != 1 ] || say "$name was destroyed"
fi
if [ -n "$console" ]; then
    unwatch ALRM "$console"
    wait $console $listener 2>/dev/null
fi
# Xen's own words, from the first one about this domain on; not those of every creation.
if [ -n "$id" ]; then
    xl dmesg 2>/dev/null | grep '^(XEN)' | grep -v 'HVM[ d0-9v]* \(save\|restore\): ' |
        sed -n "/[^0-9A-Za-z]\(d\|[Dd]om\|[Dd]omain \)$id\([^0-9]\|\$\)/,\$p" | tail -n 100
fi

unwatch USR1 "$reader"
unwatch USR2 "$clock"
wait
# With the image that was made for this domain alone, if one was.
rm -rf "$dir" "$cfg" "${cfg%.cfg}.image"
exit $status
