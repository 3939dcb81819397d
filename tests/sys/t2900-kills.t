#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# watchdog: 700
# A hundred random kills of omd, keepers, inits and dump workers: nothing is lost, nothing is written twice.  OM_SEED repeats the choices (not the moments).
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
seed=${OM_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
# the ordinary user is the main case; root gets the smaller half of the time
kills=$([ "$(id -u)" = 0 ] && echo 50 || echo 100)
note "OM_SEED=$seed"
while IFS= read -r line; do
	case $line in
	'ok - '* | 'not ok - '*)
		[ "${line%% *}" = ok ]
		ok "${line#*ok - }" ;;
	*) printf '%s\n' "$line" ;;
	esac
done < <(/usr/bin/python3 "$OM_SRC/tests/programs/kills.py" "${OM_KILLS:-$kills}" "$seed" 2>&1)
is "$tap_n" 2 'the test came to its end'
done_testing
