#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobs through the daemon: hold, cancel, signals, arrays, dependencies, limits; the daemon restarted and killed under them.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/sys/omd.sh"

omd_start
ok "omd starts"

# ---- hold, release, cancel ----
id=$(submit 'echo x' '"hold":true')
is "$(state "$id")" held "a job submitted with hold is held"
is "$(api POST "/v1/jobs/$id/release" | json 'd["state"]')" waiting "released it waits"
is "$(ended "$id")" done "... and runs"
id=$(submit true '"hold":true')
is "$(api DELETE "/v1/jobs/$id" | json 'd["state"]')" cancelled "a held job is cancelled at once"
is "$(api_code POST "/v1/jobs/$id/release")" 409 "... and cannot be released any more"
id=$(submit 'trap "echo got term >term; exit 7" TERM; echo >ready; while :; do sleep 0.1; done')
wait_for '[ -e ready ]'
api DELETE "/v1/jobs/$id" >/dev/null
is "$(ended "$id")" cancelled "a running job is cancelled"
is "$(cat term)" "got term" "... by SIGTERM first"
rm -f ready
id=$(submit 'trap "echo usr1 >sig; exit 0" USR1; echo >ready; while :; do sleep 0.1; done')
wait_for '[ -e ready ]'
api POST "/v1/jobs/$id/signal" '{"signal":10}' >/dev/null
is "$(ended "$id")" done "a signal reaches the job"
is "$(cat sig)" usr1 "... the right one"
rm -f ready

# ---- time ----
id=$(submit 'exec sleep 1000' '"time_limit":1')
is "$(ended "$id")" timeout "the time limit ends a job"
id=$(submit true '"begin":4000000000')
is "$(state "$id")" waiting "a begin time in the future"
like "$(job "$id" 'd["reason"]')" 'begin' "... is the reason it waits"
api DELETE "/v1/jobs/$id" >/dev/null
is "$(state "$id")" cancelled "... and it can be cancelled"

# ---- dependencies ----
a=$(submit 'exit 0' '"hold":true')
b=$(submit 'exit 0' '"depends":[{"type":"afterok","job":"'"$a"'"}]')
c=$(submit 'exit 0' '"depends":[{"type":"afternotok","job":"'"$a"'"}]')
is "$(state "$b")" waiting "a dependent job waits"
like "$(job "$b" 'd["reason"]')" "$a" "... for the right one"
api POST "/v1/jobs/$a/release" >/dev/null
is "$(ended "$b")" done "afterok runs when it is done"
is "$(ended "$c")" cancelled "afternotok never can"
like "$(job "$c" 'd["reason"]')" "dependency" "... and the reason is said"

# ---- arrays ----
id=$(submit 'echo $OM_ARRAY_INDEX >>idx; [ $OM_ARRAY_INDEX != 3 ]' '"array":{"indices":"1-5"}')
is "$(ended "$id")" failed "an array with one bad element has failed"
is "$(sort idx | tr '\n' ' ')" "1 2 3 4 5 " "each element has run once"
is "$(state "${id}_3")" failed "the bad element"
is "$(state "${id}_4")" done "a good one"
is "$(job "$id" '[d["array"][k] for k in ("left","elements","ended","bad")]')" "[0, 5, 5, 1]" "the array counts them"
id=$(submit 'exec sleep 1000' '"array":{"indices":"0-99","cap":1}')
wait_for '[ "$(state "${id}_0")" = running ]'
is "$(state "${id}_7")" waiting "an element that waits in its array is a job too"
api DELETE "/v1/jobs/${id}_7" >/dev/null
is "$(state "${id}_7")" cancelled "... and can be cancelled by itself"
is "$(job "$id" 'd["array"]["left"]')" 98 "... which the array knows"
api DELETE "/v1/jobs/$id" >/dev/null
is "$(ended "$id")" cancelled "an array is cancelled as a whole"
is "$(state "${id}_0")" cancelled "... with the element that ran"

# ---- omd is restarted under running jobs ----
id=$(submit 'i=0; while [ $i -lt 30 ]; do echo $i >>long; i=$((i+1)); sleep 0.1; done')
q=$(submit true '"hold":true')
wait_for '[ -s long ]'
omd_stop KILL
[ -s long ]
ok "omd is killed while a job runs"
omd_start
ok "a new omd starts"
is "$(state "$id")" running "the job still runs"
is "$(state "$q")" held "the held one is there"
is "$(ended "$id")" done "it ends well"
is "$(tr '\n' ' ' <long)" "$(seq 0 29 | tr '\n' ' ')" "... and has run once"
is "$(job "$id" 'd["restarts"]')" 0 "... without a restart"

# the job ends while there is no omd
rm -f ready
id=$(submit 'echo >ready; sleep 0.3; echo end >after; exit 5')
wait_for '[ -e ready ]'
omd_stop KILL
wait_for '[ -e after ] && [ -e "$OM_HOME/jobs/'"$id"'/exit.json" ]'
omd_start
is "$(ended "$id")" failed "a job that ended without omd"
is "$(job "$id" 'd["exit"]["code"]')" 5 "... has its exit code"

# the keeper is killed: from the beginning again
id=$(submit 'echo begin >>lost; while [ ! -e go ]; do sleep 0.05; done')
wait_for '[ -s lost ]'
pkill_keeper() { # the process that holds the job's keeper.lock, by its number in /proc/locks
	local ino
	ino=$(stat -c %i "$OM_HOME/jobs/$1/keeper.lock")
	kill -9 "$(awk -v i=":$ino\$" '$6 ~ i { print $5; exit }' /proc/locks)"
}
pkill_keeper "$id"
wait_for '[ "$(job "$id" "d[\"restarts\"]")" = 1 ] && [ "$(state "$id")" = running ]'
ok "a job whose keeper was killed is restarted"
touch go
is "$(ended "$id")" done "... and ends well"
id=$(submit 'echo begin >>never; sleep 1000' '"restart":"never"')
wait_for '[ -s never ]'
pkill_keeper "$id"
is "$(ended "$id")" lost "restart never: it is lost"
like "$(job "$id" 'd["reason"]')" 'keeper' "... and the reason is said"

# killed at any moment while jobs come and go: each one runs, and once
rm -f many
n=0
ids=()
for round in 1 2 3 4 5; do
	for k in 1 2 3 4 5 6; do
		n=$((n + 1))
		ids+=("$(submit "echo $n >>many")")
	done
	omd_stop KILL
	omd_start
done
bad=0
for i in "${ids[@]}"; do [ "$(ended "$i")" = done ] || bad=$((bad + 1)); done
is "$bad" 0 "30 jobs through five kills of omd: all done"
is "$(sort -nu many | wc -l)" 30 "... all have run"

# ---- shutdown ----
id=$(submit 'echo >kready; exec sleep 1000')
wait_for '[ -e kready ]'
api POST /v1/shutdown '{"jobs":"kill"}' >/dev/null
wait "$OMD_PID"
is $? 0 "shutdown ends omd"
omd_start
is "$(state "$id")" cancelled "shutdown with kill has cancelled the job"
omd_stop
done_testing
