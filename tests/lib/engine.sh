# Sourced by the engine's tests: an engine of its own, and words to speak of it.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
failed=0 POOL=8 PORT=18473
# another run of the same tests on this host needs names, a network and ids of its own
PREFIX=${JAIL_PREFIX:-bjt} NETWORK=${JAIL_NETWORK:-10.251.0.0/16} UIDS=${JAIL_UIDS:-1500000000}
MIRROR=${MIRROR:-http://$(sed -n 's,^URIs:[[:space:]]*http://\([^/]*\).*,\1,p' /etc/apt/sources.list.d/*.sources | head -n 1)/debian}
find_program() {
    local d
    for d in "$BUILD" "$root/build" "$root/build-engine"; do
        [ -n "$d" ] && find "$d/src/main" "$d/bin" -type f -name "$1" -perm -u+x 2>/dev/null | head -n 1 | grep . && return
    done
}
find_template() {
    local d
    for d in "$BELLJAR_STATE" "$root/build/check/state" /var/lib/belljar; do
        [ -n "$d" ] && [ -d "$d/templates/base/rootfs" ] && readlink -f "$d/templates/base/rootfs" && return
    done
}
ENGINE=$(find_program belljar-engine) AGENT=$(find_program belljar-agent) DRIVE=$(find_program engine-drive)
TEMPLATE=${TEMPLATE:-$(find_template)}

name() { current=$1; }
passes() { if [ "$1" = 0 ]; then echo "ok $current"; else echo "FAIL $current"; failed=1; fi; }
is() { if [ "$1" = "$2" ]; then echo "ok $current"; else printf 'FAIL %s\n  got:  %q\n  want: %q\n' "$current" "$1" "$2"; failed=1; fi; }

engine_state() { STATE=$1; }
engine_start() {
    "$ENGINE" --state "$STATE" --agent "$AGENT" --network "$NETWORK" --prefix "$PREFIX" --uid-base "$UIDS" \
        --slots 200 --pool $POOL --disk-mb 64 "$@" >>"$STATE/engine.log" 2>&1 &
    engine=$!
    for _ in $(seq 100); do
        drive hello >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    cat "$STATE/engine.log"
    return 1
}
engine_again() { timeout 5 "$ENGINE" --state "$STATE" --agent "$AGENT" --network "$NETWORK" --prefix "$PREFIX" >/dev/null 2>&1; }
engine_kill() { kill -9 "$engine"; wait "$engine" 2>/dev/null; }
engine_stop() { kill "${1:--TERM}" "$engine"; wait "$engine" 2>/dev/null; }
engine_remove() {
    engine_stop -QUIT # with all sandboxes and all that the host got for them
    rm -rf "$STATE"
    find /sys/fs/cgroup -maxdepth 2 -type d -name "belljar-$PREFIX" -exec rmdir {} + 2>/dev/null
}
drive() { "$DRIVE" "$STATE/run/engine.sock" "$@"; }
pid_of() { sed -n 's/^pid=//p' "$STATE/run/s/$1/record"; }
address_of() { nsenter -t "$(pid_of "$1")" -n ip -4 -o addr show eth0 | sed 's/.*inet \([0-9.]*\).*/\1/'; }
until_true() { for _ in $(seq 600); do "$@" && return 0; sleep 0.05; done; return 1; }
inside() { timeout 30 python3 "$root/tests/lib/agent-exec" "$STATE/run/s/$1/envd.sock" user "$2"; }
inside_root() { timeout 30 python3 "$root/tests/lib/agent-exec" "$STATE/run/s/$1/envd.sock" root "$2"; }
groups_left() { find /sys/fs/cgroup -mindepth 3 -maxdepth 3 -path "*/belljar-$PREFIX/[0-9]*" -printf '%f\n' | sort -u | wc -l; }
links_left() { ip -o link | grep -c " ${PREFIX}v[0-9]"; }
loops_left() { losetup -n -O BACK-FILE -a | grep -c "^$STATE/"; }
# the dead that wait for a pid 1 that does not reap are not ours
agents() { ps -eo uid=,stat= | awk -v from="$UIDS" '$2 !~ /Z/ && $1 >= from && $1 < from + 200 * 65536' | wc -l; }
