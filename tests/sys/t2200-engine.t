#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# t2200: one process is checkpointed, killed, restored by the engine alone (omtree), several times over.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"

cat >count.sh <<'END'
i=0
while [ $i -lt 300 ]; do echo "$i"; i=$((i + 1)); [ -e fast ] || sleep 0.01; done
echo "end $$ $PPID"
END
cat >count.py <<'END'
import os, time
for i in range(300):
    print(i, flush=True)
    if not os.path.exists("fast"): time.sleep(0.01)
print("end", os.getpid(), os.getppid(), flush=True)
END
wanted() { seq 0 299; echo "end 2 1"; }

carried() { # NAME COMMAND...: three checkpoints with a kill after each
	local name=$1 n
	shift
	rm -f fast
	omtree run "$name" -- "$@" >"$name.out" 2>"$name.err" &
	wait_for "[ -s $name.out ]"
	ok "$name: runs"
	for n in 1 2 3; do
		wait_for "[ \$(wc -l <$name.out) -ge $((n * 10)) ]"
		rc_is 0 "$name: checkpoint $n" omtree dump --stop "$name" || return
		wait $!
		is $? 137 "$name: killed"
		omtree restore "$name" >>"$name.out" 2>>"$name.err" &
		wait_for "[ -e $name/pid ]" || return
	done
	touch fast
	wait $!
	is $? 0 "$name: ends well"
	is "$(cat "$name.out")" "$(wanted)" "$name: output is that of an undisturbed run" || cat "$name.err"
}
carried py python3 count.py
carried sh bash count.sh
done_testing
