#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the daemon does when its spool fails: a damaged database, a folder it may not write, a full disk.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/sys/omd.sh"

# ---- refused at the start, with a text that helps ----
start_fails() { # start_fails TEXT NAME
	rc_is 1 "$2: omd does not start" omd --spool "$OM_HOME"
	like "$(cat "$TRASH/err")" "$1" "... and says why"
}
omd_start
id=$(submit 'exit 4')
is "$(ended "$id")" failed "a job"
omd_stop
cp "$OM_HOME/omd.db" "$TRASH/good.db"
printf 'this is no database, but a text of some length' >"$OM_HOME/omd.db"
rm -f "$OM_HOME"/omd.db-*
start_fails 'damaged|not a|no job database' "a text instead of the database"
like "$(cat "$OM_HOME/omd.db")" "this is no database" "... and leaves it as it is"
head -c 9000 "$TRASH/good.db" >"$OM_HOME/omd.db"
start_fails 'damaged' "a database that was cut"
cp "$TRASH/good.db" "$OM_HOME/omd.db"
omd_start
ok "with the good one it starts"
is "$(job "$id" 'd["exit"]["code"]')" 4 "... and knows the job"
omd_stop
if [ "$(id -u)" != 0 ]; then
	chmod 500 "$OM_HOME"
	mkdir "$TRASH/ro"
	chmod 500 "$TRASH/ro"
	rc_is 1 "a folder that cannot be written" omd --spool "$TRASH/ro/spool"
	like "$(cat "$TRASH/err")" 'Permission denied' "... is said"
	chmod 700 "$OM_HOME" "$TRASH/ro"
	rc_is 1 "a folder of another user" omd --spool /
	like "$(cat "$TRASH/err")" 'another user|Permission' "... is said"
fi
long=$(printf '%0120d' 0)
rc_is 1 "a name too long for a socket" omd --spool "$TRASH/$long"
like "$(cat "$TRASH/err")" 'more than 107 bytes' "... is said"

# ---- commits fail while it runs: OM_FAULT makes one of them fail as a full disk does ----
rm -rf "$OM_HOME"
OM_FAULT=db_commit:3:ENOSPC omd_start
first=$(submit true '"hold":true')
second=$(submit true '"hold":true')
is "$(api_code POST /v1/jobs "$(spec true '"hold":true')")" 507 "a submission that cannot be made durable is refused"
like "$(cat "$TRASH/out")" 'No space left' "... and the reason is said"
is "$(api GET /v1/jobs | json '[j["id"] for j in d["jobs"]]')" "[\"$first\", \"$second\"]" "... it is not there"
third=$(submit true)
is "$(ended "$third")" done "when there is room again jobs are taken and run"
omd_stop
for nth in 2 3 4; do
	rm -rf "$OM_HOME"
	OM_FAULT=db_commit:$nth:ENOSPC omd_start
	id=$(submit 'echo once >>once'"$nth")
	is "$(ended "$id")" done "a job whose commit $nth fails once is done nevertheless"
	omd_stop
done

# ---- a real full disk ----
if [ "$(id -u)" = 0 ] && mkdir "$TRASH/small" && mount -t tmpfs -o size=1m tmpfs "$TRASH/small" 2>/dev/null; then
	OM_HOME=$TRASH/small/spool
	SOCK=$OM_HOME/omd.sock
	omd_start
	ok "omd on a small disk"
	id=$(submit 'while [ ! -e go2 ]; do sleep 0.05; done')
	wait_for '[ "$(state "$id")" = running ]'
	head -c 2000000 /dev/zero >"$TRASH/small/full" 2>/dev/null
	code=201
	for i in $(seq 300); do
		code=$(api_code POST /v1/jobs "$(spec true '"hold":true')")
		[ "$code" = 201 ] || break
	done
	is "$code" 507 "the disk is full: submissions are refused"
	api GET /v1/status >/dev/null
	ok "... and omd goes on"
	touch go2
	rm "$TRASH/small/full"
	is "$(ended "$id")" done "with room again the running job's end is recorded"
	omd_stop
	umount "$TRASH/small"
fi
done_testing
