#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Checkpoints through the daemon: on request and by time, hold, drain, shutdown, restart after a loss, what cannot be carried, and everything that is
# done with a checkpoint: list, show, verify, export, import, restore, prune.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/sys/omd.sh"
COUNT='i=0; while [ $i -lt $N ]; do echo $i; i=$((i+1)); [ $i -lt 20 ] || [ -e $GO ] || sleep 0.05; done'
counter() { # counter GO-FILE [FIELDS]: counts to 400 into its output, slowly until GO-FILE is there
	submit "N=400; GO=$PWD/$1; $COUNT" "${2:-\"checkpoint\":\"off\"}"
}
running() { wait_for '[ "$(state "'"$1"'")" = running ]'; }
lines() { # lines ID N: its output has so many lines
	wait_for '[ "$(wc -l <om-'"$1"'.out)" -ge '"$2"' ]'
}
same() { # same ID: its output is that of an undisturbed run
	cmp "om-$1.out" <(seq 0 399)
}
kill_keeper() {
	kill -9 "$(awk -v i=":$(stat -c %i "$OM_HOME/jobs/$1/keeper.lock")\$" '$6 ~ i { print $5; exit }' /proc/locks)"
}
omd_start
ok "omd starts"

# ---- on request, hold, loss ----
id=$(counter go1)
is "$(api_code POST "/v1/jobs/$(submit true '"hold":true')/checkpoint")" 409 "a job that does not run cannot be checkpointed"
running "$id"
lines "$id" 25
is "$(api POST "/v1/jobs/$id/checkpoint" | json 'd["n"]')" 1 "the first checkpoint"
is "$(api POST "/v1/jobs/$id/checkpoint" | json 'd["n"]')" 2 "the second"
is "$(job "$id" 'd["checkpoint"]["n"]')" 2 "the job shows the newest"
is "$(api POST "/v1/jobs/$id/hold" | json 'd["state"]')" suspended "hold: it is suspended when the answer comes"
n=$(wc -l <"om-$id.out")
is "$(api POST "/v1/jobs/$id/release" | json 'd["state"]')" waiting "release"
running "$id"
lines "$id" $((n + 5))
kill_keeper "$id"
wait_for '[ "$(job "$id" "d[\"restarts\"]")" = 2 ]'
ok "its keeper is killed: it is restarted"
running "$id"
is "$(job "$id" 'd["reason"]')" "restored from checkpoint 3" "... from the newest checkpoint"
touch go1
is "$(ended "$id")" done "it ends well"
same "$id"
ok "... and its output is that of an undisturbed run"

# ---- drain, shutdown, SIGTERM ----
id=$(counter go2)
lines "$id" 25
is "$(api POST /v1/drain '{}' | json 'd["draining"]')" true "drain"
wait_for '[ "$(state "$id")" = waiting ]'
ok "the running job goes back into the queue"
like "$(job "$id" 'd["reason"]')" drain "... and the reason is said"
is "$(api GET /v1/status | json 'd["draining"]')" true "the status says so"
api POST /v1/drain '{"undo":true}' >/dev/null
running "$id"
ok "drain --undo: it runs again"
api POST /v1/shutdown '{}' >/dev/null
wait "$OMD_PID"
is $? 0 "shutdown suspends the job and ends omd"
omd_start
running "$id"
ok "the next omd goes on with it"
lines "$id" 30
omd_stop TERM
is "$OMD_RC" 0 "so does SIGTERM"
omd_start
running "$id"
touch go2
is "$(ended "$id")" done "it ends well"
is "$(job "$id" 'd["restarts"]')" 3 "... after three restarts"
same "$id"
ok "... and its output is that of an undisturbed run"

# ---- by time; retention ----
id=$(counter go3 '"checkpoint":1,"keep":1')
wait_for '[ "$(job "$id" "(d[\"checkpoint\"] or {}).get(\"n\",0)")" -ge 3 ]'
ok "checkpoints are made by time"
wait_for '[ "$(api GET /v1/jobs/$id/checkpoints | json "len(d[\"checkpoints\"])")" = 1 ]'
ok "... and old ones go"
omd_stop KILL
omd_start
is "$(state "$id")" running "omd is killed and started"
n=$(job "$id" 'd["checkpoint"]["n"]')
wait_for '[ "$(job "$id" "d[\"checkpoint\"][\"n\"]")" -gt '"$n"' ]'
ok "... and goes on making them"
touch go3
is "$(ended "$id")" done "it ends well"
same "$id"
ok "... with the right output"

# ---- what cannot be carried ----
id=$(submit 'exec python3 -c "import socket,sys,time
s=socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
open(\"connected\",\"w\")
time.sleep(1000)" '"$SOCK" '"checkpoint":"off"')
wait_for '[ -e connected ]'
is "$(api_code POST "/v1/jobs/$id/checkpoint")" 409 "a connection to somebody outside"
like "$(json 'd["error"]' <"$TRASH/out")" '"object": ".*(socket|fd)' "... is named"
like "$(job "$id" 'd["checkpoint_refused"]["reason"]')" . "... also in the job"
is "$(api_code POST "/v1/jobs/$id/hold")" 409 "so it cannot be suspended"
is "$(state "$id")" running "... and runs on"
api DELETE "/v1/jobs/$id" >/dev/null

# ---- the time limit counts all legs ----
id=$(submit 'while :; do sleep 0.05; done' '"time_limit":3,"checkpoint":"off"')
running "$id"
wait_for '[ "$(job "$id" "d[\"elapsed\"] > 1")" = true ]'
api POST "/v1/jobs/$id/hold" >/dev/null
api POST "/v1/jobs/$id/release" >/dev/null
is "$(ended "$id")" timeout "the time limit ends a job that was suspended in between"
like "$(job "$id" 'd["elapsed"] < 20')" true "... after what was left of it"

# ---- working with checkpoints ----
id=$(counter go4)
lines "$id" 25
api POST "/v1/jobs/$id/checkpoint" >/dev/null
lines "$id" 30
api POST "/v1/jobs/$id/checkpoint" >/dev/null
is "$(api GET "/v1/jobs/$id/checkpoints" | json '[c["n"] for c in d["checkpoints"]]')" "[1, 2]" "list"
is "$(api GET "/v1/jobs/$id/checkpoints/1" | json 'd["n"]')" 1 "show"
is "$(api_code GET "/v1/jobs/$id/checkpoints/9")" 404 "show one that is not there"
is "$(api POST "/v1/jobs/$id/checkpoints/2/verify?trial=0" | tail -n 1 | json 'd["ok"]')" true "verify"
is "$(api POST "/v1/jobs/$id/checkpoints/2/verify?trial=1" | tail -n 1 | json 'd["ok"]')" true "verify with a trial"
api GET "/v1/jobs/$id/checkpoints/2/export" >"$TRASH/image"
ok "export"
is "$(api_code GET "/v1/jobs/$id/checkpoints/9/export")" 409 "export one that is not there"
is "$(api_code POST "/v1/jobs/$id/restore" '{}')" 409 "a running job is not restored"
api DELETE "/v1/jobs/$id" >/dev/null
is "$(ended "$id")" cancelled "the job is cancelled"
is "$(api GET "/v1/jobs/$id/checkpoints" | json 'len(d["checkpoints"])')" 2 "its checkpoints stay"
is "$(api_code POST "/v1/jobs/$id/restore" '{"n":9}')" 404 "restore from one that is not there"
is "$(api_code POST "/v1/jobs/$id/restore" '{"N":1}')" 400 "restore with a wrong field"
is "$(api POST "/v1/jobs/$id/restore" '{"n":1}' | json 'd["state"]')" running "restore a cancelled job from the first"
is "$(job "$id" 'd["reason"]')" "restored from checkpoint 1" "... it says so"
is "$(api GET "/v1/jobs/$id/checkpoints" | json '[c["n"] for c in d["checkpoints"]]')" "[1]" "newer checkpoints are no more"
touch go4
is "$(ended "$id")" done "it ends well"
same "$id"
ok "... with the right output"
is "$(api_code DELETE "/v1/jobs/$id/checkpoints/1")" 409 "the only good checkpoint is not removed"

new=$(api POST /v1/import "@$TRASH/image" | json 'd["id"]')
ok "import"
is "$(state "$new")" held "the imported job is held"
is "$(api GET "/v1/jobs/$new/checkpoints" | json 'len(d["checkpoints"])')" 1 "... with its checkpoint"
rm go4 "om-$id.out"
head -n 1000 /dev/null >"om-$id.out"
head -c 3000 "$TRASH/image" >"$TRASH/cut"
is "$(api_code POST /v1/import "@$TRASH/cut")" 409 "an image that was cut is refused"
head -c 5000000 /dev/urandom >"$TRASH/noise"
is "$(api_code POST /v1/import "@$TRASH/noise")" 409 "noise is refused"
is "$(api_code POST /v1/import "@$TRASH/image")" 201 "a good one after it is taken"
api DELETE "/v1/jobs/$(api GET /v1/jobs?state=held | json 'd["jobs"][-1]["id"]')" >/dev/null
head -c 200000000 /dev/zero | curl -s -m 120 --unix-socket "$SOCK" -X POST -T - http://omd/v1/import >/dev/null
isnt0=$?
[ $isnt0 != 0 ]
ok "an endless body is not swallowed to its end (curl says $isnt0)"
wait_for '! ls -d "$OM_HOME"/jobs/.import-*'
ok "... and leaves nothing"
api DELETE "/v1/jobs/$new" >/dev/null

id=$(counter go5)
lines "$id" 25
api POST "/v1/jobs/$id/checkpoint" >/dev/null
lines "$id" 30
api DELETE "/v1/jobs/$id" >/dev/null
is "$(ended "$id")" cancelled "another job"
new=$(api POST "/v1/jobs/$id/restore" '{"as_new":true}' | json 'd["id"]')
ok "restore as a new job"
[ "$new" != "$id" ]
ok "... with another id"
is "$(state "$id")" cancelled "... the old one is as it was"
touch go5
is "$(ended "$new")" done "it ends well"
same "$id"
ok "... having written where the old one did"
omd_stop
done_testing
