#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The victims undisturbed: whoever fails here says nothing about checkpoints.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/victims/run.sh"
victim_jobs=6

is "$(victim_names | sort)" "$(victim --list | sort)" 'the list names every victim'

alone() {
	local v=$1 out
	victim_env "$v"
	unshare_ipc victim "$v" >"$TRASH/v.$v.out" 2>&1 &
	victim_ready "$v" $! && victim_go "$v"
	wait $!
	out=$(victim_verdict "$v" "$v")
	case $out in
	"ok $v") echo ok ;;
	skip*) echo "skip ${out#*: }" ;;
	*) echo "$out" ;;
	esac
}
# System V objects with a fixed key: two runs at once on one machine must not meet
unshare_ipc() {
	if [ "$(id -u)" = 0 ]; then unshare -i "$@"; else unshare -ri "$@"; fi
}
# shellcheck disable=SC2046 # names are words
victim_each alone '' $(victim_names)
[ "$tap_bad" = 0 ]
ok 'all verify themselves'
done_testing
