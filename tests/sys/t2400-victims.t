#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# watchdog: 900
# Every victim under the checkpoint engine.  Three series: one checkpoint, killed and restored; three checkpoints, one built upon the other, killed and
# restored from the last; one checkpoint and the original goes on.  And those that must be refused.
# VICTIMS="NAME..." runs only these; VICTIM_FLAG=FLAG those with the flag.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/victims/run.sh"

refused_names() { sed 's/#.*//' "$OM_SRC/tests/victims/list" | awk '/ refuse=/ { print $1 }'; }
plain=$(victim_names "${VICTIM_FLAG:-}" | grep -vxF "$(refused_names)")
plain="$plain $(victim_names static | sed 's/$/.static/')"
[ -z "${VICTIM_FLAG:-}" ] || plain=$(victim_names "$VICTIM_FLAG")
plain=${VICTIMS:-$plain}

outage() { # ID NAME: the clock victims are told how long they were away at least
	victim_flag "$2" away || return 0
	sleep 1.5
	victim_go "$1" 1400
}
# A job may go on writing to its files after the checkpoint; putting them back is omjob's, not the engine's: then stop at once.
stop_option() { ! victim_flag "$1" stop || echo --stop; }

once() {
	# shellcheck disable=SC2046
	tree_dump "$1" $(stop_option "$2") || { echo "dump: $(cat "$TRASH/v.$1.dump")"; return 1; }
	tree_kill "$1" "$pid"
	outage "$1" "$2"
	tree_restore "$1"
}
thrice() {
	local n
	for n in 1 2 3; do
		# shellcheck disable=SC2046
		tree_dump "$1" $([ $n = 1 ] || echo --base) $([ $n != 3 ] || stop_option "$2") ||
			{ echo "dump $n: $(cat "$TRASH/v.$1.dump")"; return 1; }
	done
	tree_kill "$1" "$pid"
	tree_restore "$1"
}
goes_on() {
	tree_dump "$1" || { echo "dump: $(cat "$TRASH/v.$1.dump")"; return 1; }
}
refused() {
	local word rc
	word=$(sed 's/#.*//' "$OM_SRC/tests/victims/list" | sed -nE "s/^$2 .*refuse=([^ ]+).*/\1/p")
	tree_dump "$1"
	rc=$?
	[ $rc = 3 ] || { echo "dump ended with $rc, not 3: $(cat "$TRASH/v.$1.dump")"; return 1; }
	grep -qiE "$word" "$TRASH/v.$1.dump" || { echo "the refusal does not say '$word': $(cat "$TRASH/v.$1.dump")"; return 1; }
}
series_once() { victim_series once "$1"; }
series_thrice() { victim_series thrice "$1"; }
series_goes_on() { victim_series goes_on "$1"; }
series_refused() { victim_series refused "$1"; }

# shellcheck disable=SC2086 # names are words
for series in ${VICTIM_SERIES:-once thrice goes_on}; do
	victim_each "series_$series" "$series: " $plain
done
# shellcheck disable=SC2046
[ -n "${VICTIM_FLAG:-}${VICTIMS:-}" ] || victim_each series_refused 'refused: ' $(refused_names)
done_testing
