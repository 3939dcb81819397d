#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# omq, omdel, omhold, omrelease, omsig, omwait, omctl against a daemon with jobs in every state.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"

state() { omq --json "$1" | jq -r '.jobs[0].state'; }
start() { # start ARGUMENTS...: a job, once it runs
	local id
	id=$(omsub "$@") && wait_for "[ \"\$(state $id)\" = running ]" && echo "$id"
}

me=$(id -un 2>/dev/null) || me=$(id -u)
held=$(omsub -H -J 'a held one' -- true)
runs=$(start -J runner -- sh -c 'trap "echo got >sig; exit 3" USR1; echo ready >ready; while :; do sleep 0.05; done')
ended=$(omsub -J ended -- false)
omwait "$ended"
is "$?" 1 "omwait: the exit code"
array=$(omsub -H -J arr -a 0-9 -- true)

# omq
out=$(omq)
like "$out" "^ *ID +NAME +USER +STATE +TIME +CPU +CKPT +REASON" "omq: the heading"
like "$out" "^ *$held +a held one +[^ ]+ +held " "a held job"
like "$out" "^ *$runs +runner +[^ ]+ +running " "a running job"
is "$(omq | grep -c "^ *$ended ")" 0 "an ended job is not shown"
like "$(omq -a)" "^ *$ended +ended +[^ ]+ +failed .*exit code 1" "with -a it is, and why"
like "$(omq "$ended")" "^ *$ended +ended" "by its id it is"
is "$(omq --json -s running | jq -r '.jobs[].id')" "$runs" "-s"
is "$(omq --json -s held,failed | jq -r '.jobs[].id' | tr '\n' ' ')" "$held $ended $array " "-s with several"
is "$(omq --json -n runner | jq -r '.jobs[].id')" "$runs" "-n"
is "$(omq --json -n 'a held one' | jq -r '.jobs[].id')" "$held" "-n with blanks"
is "$(omq --json -u "$me" -n runner | jq -r '.jobs[].id')" "$runs" "-u"
is "$(omq --json -u nobody-at-all | jq -r '.jobs | length')" 0 "-u of somebody else"
is "$(omq -u nobody-at-all | wc -l)" 1 "an empty table has its heading"
is "$(omq --json "$held" "$runs" | jq -r '.jobs | length')" 2 "two ids"
rc_is 1 "an unknown id" omq "$held" 99999
is "$(cat err)" "omq: there is no job 99999" "is named"
is "$(grep -c "^ *$held " out)" 1 "and the known one is shown"
rc_is 1 "omq -l of an unknown id" omq -l 99999
out=$(omq -l "$runs")
like "$out" "^ +job: $runs$" "omq -l: the id"
like "$out" "^ +state: running$" "the state"
like "$out" "^ +command: sh -c '" "the command"
is "$(omq -l --json "$runs" | jq -r '.jobs[0].spec.argv[0]')" sh "-l --json has the description"
is "$(omq --json | jq -r '.jobs[0] | has("spec")')" false "a list has not"
(omq -w >watch & echo $! >wpid; wait) 2>/dev/null &
wait_for '[ "$(grep -c "^ *ID" watch)" -ge 2 ]'
ok "omq -w shows again"
kill "$(cat wpid)"
esc=$(omsub -H -J "$(printf 'x\302\233')" -- true 2>/dev/null) || esc=$(omsub -H -- true)
is "$(omq "$esc" | tr -cd '\033\233' | wc -c)" 0 "no control characters reach the terminal"
omdel "$esc"

# paging: more jobs than a page has
for _ in 1 2 3; do printf '{"jobs":['; for _ in $(seq 499); do
	printf '{"argv":["true"],"hold":true,"name":"many","chdir":"/","env":{}},'
done; printf '{"argv":["true"],"hold":true,"name":"many","chdir":"/","env":{}}]}'; done |
	jq -c . | while read -r batch; do curl -sf --unix-socket "$OM_HOME/omd.sock" --data-binary "$batch" http://localhost/v1/jobs >/dev/null || exit; done
ok "1,500 held jobs"
is "$(omq -n many | grep -c ' many ')" 1500 "omq shows them all"
is "$(omq --json -n many | jq -r '.jobs[].id' | sort -u | wc -l)" 1500 "each once"
is "$(omq -n many | grep -c ID)" 1 "under one heading"
omq --json -n many | jq -r '.jobs[:100][].id' | xargs omdel
ok "omdel of 100 ids"
is "$(omq -n many | grep -c ' many ')" 1400 "they are gone"

# omhold, omrelease
rc_is 0 "omrelease" omrelease "$held"
omwait "$held"
ok "a released job runs"
rc_is 1 "omrelease of an ended job" omrelease "$held"
like "$(cat err)" "^omrelease: job $held: " "says which"
rc_is 1 "omhold of an unknown job" omhold 99999
rc_is 1 "omdel of an unknown job" omdel 99999
like "$(cat err)" "^omdel: job 99999: " "says which"
rc_is 1 "omwait for an unknown job" omwait 99999
rc_is 1 "omsig to an unknown job" omsig TERM 99999
later=$(omsub -b +1h -- true)
is "$(state "$later")" waiting "--begin waits"
omhold "$later"
is "$(state "$later")" held "omhold"
omdel "$later" "$array"
ok "omdel of two"
is "$(state "$later").$(state "$array")" cancelled.cancelled "both are cancelled"
rc_is 1 "omdel twice" omdel "$later"
array=$(omsub -H -a 0-3 -- true)
rc_is 0 "omdel of one element" omdel "${array}_2"
omrelease "$array"
wait_for '[ "$(omq -a --json "$array" | jq "[.jobs[] | select(.state == \"done\")] | length")" -ge 3 ]'
ok "the others run"

# omsig, omdel, omwait
wait_for '[ -e ready ]'
rc_is 0 "omsig" omsig sigusr1 "$runs"
omwait -v "$runs" >out
is "$?" 3 "the job has got it"
is "$(cat sig).$(cut -d' ' -f1-3 out)" "got.$runs failed 3" "omwait -v"
rc_is 1 "omsig to a job that does not run" omsig TERM "$runs"
a=$(start -- sleep 1000)
b=$(start -- sleep 1000)
rc_is 1 "omdel goes on after an error" omdel 99999 "$a" "$b"
omwait "$a" "$b"
is "$?" 143 "a job that was cancelled ended by SIGTERM"
is "$(state "$a").$(state "$b")" cancelled.cancelled "both are cancelled"
t=$(omsub -t 1 -- sleep 1000)
omwait "$t"
is "$?.$(state "$t")" 143.timeout "a job that ran out of time"

# omctl
out=$(omctl status)
like "$out" "^ +mode: user$" "omctl status: mode"
like "$out" "^ +draining: no$" "not draining"
omctl drain
ok "omctl drain"
is "$(omctl status --json | jq -r .draining)" true "it drains"
w=$(omsub -- true)
is "$(state "$w")" waiting "nothing is started"
omctl drain --undo
omwait "$w"
ok "omctl drain --undo"
a=$(start -- sleep 1000)
omctl shutdown --kill
ok "omctl shutdown --kill"
[ ! -S "$OM_HOME/omd.sock" ] || ! curl -s --unix-socket "$OM_HOME/omd.sock" http://localhost/v1/status
ok "nobody answers when omctl shutdown has ended"
rc_is 3 "omctl status of nobody" omctl status
done_testing
