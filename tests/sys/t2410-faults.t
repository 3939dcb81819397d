#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Chosen victims under every fault point of dump and restore.  A dump that fails leaves the victim running and verifying; a dump worker that is killed
# leaves it running, or dead where its registers were not its own, never wrong; a restore that fails leaves nothing behind, and the next one succeeds.
# Each point must really have been passed (OM_FAULT_LOG).
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/victims/run.sh"

points() { # PREFIX: names of the fault points, from the table in base/fault.h
	sed -nE "s/.*X\(OM_FI_[A-Z_]*, [0-9]+, \"($1[a-z_]*)\"\).*/\1/p" "$OM_SRC/base/fault.h"
}
passed() { # ID POINT
	grep -qx "$2" "$TRASH/f.$1" 2>/dev/null || { echo "the point $2 was never passed"; return 1; }
}
fault_env() { # ID POINT HOW
	export OM_FAULT="$2:1:$3" OM_FAULT_LOG="$TRASH/f.$1"
}

dump_fault() { # VICTIM POINT HOW
	local id="d.$2.$3.$1" out rc pid
	tree_run "$id" "$1"
	tree_ready "$id" "$pid" || { echo "not ready: $(tree_verdict "$id" "$pid")"; return; }
	( fault_env "$id" "$2" "$3"; tree_dump "$id" ) 2>/dev/null
	rc=$?
	if [ "$2" = dump_twin ] && ! passed "$id" "$2" >/dev/null; then
		[ $rc = 0 ] || { echo "dump: $(cat "$TRASH/v.$id.dump")"; tree_kill "$id" "$pid"; return; }
		victim_go "$id"
		out=$(tree_verdict "$id" "$pid")
		[ "$out" = "ok $1" ] && echo ok && echo 'no twin was needed' || echo "$out"
		return
	fi
	passed "$id" "$2" || { tree_kill "$id" "$pid"; return; }
	[ $rc != 0 ] || { echo "the dump succeeded"; tree_kill "$id" "$pid"; return; }
	if [ "$3" = kill ] && ! kill -0 "$pid" 2>/dev/null; then
		# it was killed with the worker: then without a word
		wait "$pid"
		[ ! -s "$TRASH/v.$id.out" ] && echo ok || echo "it died saying: $(cat "$TRASH/v.$id.out")"
		return
	fi
	# what failed must not be in the way of the next one
	if [ "$3" != kill ]; then
		tree_dump "$id" || { echo "the dump after the failed one: $(cat "$TRASH/v.$id.dump")"; tree_kill "$id" "$pid"; return; }
	fi
	victim_go "$id"
	out=$(tree_verdict "$id" "$pid")
	case $out in
	"ok $1") echo ok ;;
	"omtree ended with "*) if [ "$3" = kill ]; then echo ok; else echo "$out"; fi ;;
	*) echo "$out" ;;
	esac
	tree_done "$id"
}
restore_fault() { # VICTIM POINT HOW
	local id="r.$2.$3.$1" out rc pid
	tree_run "$id" "$1"
	tree_ready "$id" "$pid" || { echo "not ready: $(tree_verdict "$id" "$pid")"; return; }
	tree_dump "$id" --stop || { echo "dump: $(cat "$TRASH/v.$id.dump")"; tree_kill "$id" "$pid"; return; }
	wait "$pid"
	victim_env "$id"
	( fault_env "$id" "$2" "$3"; timeout -k 1 "$victim_seconds" omtree restore "$TRASH/j.$id" >"$TRASH/v.$id.out" 2>"$TRASH/v.$id.err" ) 2>/dev/null
	rc=$?
	passed "$id" "$2" || return
	[ $rc != 0 ] && [ $rc != 124 ] || { echo "the restore ended with $rc: $(cat "$TRASH/v.$id.err")"; return; }
	[ ! -s "$TRASH/v.$id.out" ] || { echo "the failed restore ran the victim: $(cat "$TRASH/v.$id.out")"; return; }
	[ "$3" = kill ] || [ -s "$TRASH/v.$id.err" ] || { echo "the restore failed without a word"; return; }
	tree_restore "$id"
	victim_go "$id"
	out=$(tree_verdict "$id" "$pid")
	[ "$out" = "ok $1" ] && echo ok || echo "the second restore: $out"
	tree_done "$id"
}
one() { # KIND:POINT:HOW:VICTIM
	local kind point how v
	IFS=: read -r kind point how v <<<"$1"
	"${kind}_fault" "$v" "$point" "$how"
}

runs=
# each point with a victim of its own, in turn: all pairs would take too long
victims=($(victim_names fault))
n=0
for point in $(points dump_); do
	for how in EIO ENOMEM kill; do
		# only a process that changes much memory all the time has a twin (how fast it is, is the machine's affair)
		v=${victims[n % ${#victims[@]}]}
		[ $point != dump_twin ] || v=mem-dirty
		runs="$runs dump:$point:$how:$v"
		n=$((n + 1))
	done
done
for point in $(points rest_); do
	for how in EIO kill; do
		runs="$runs restore:$point:$how:${victims[n % ${#victims[@]}]}"
		n=$((n + 1))
	done
done
# shellcheck disable=SC2086
victim_each one '' ${FAULTS:-$runs}
is "$(pgrep -c -f "^omtree .*$TRASH")" 0 'no process stays behind'
done_testing
