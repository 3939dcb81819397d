#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The keeper alone: a job starts in its namespaces, runs, is signalled, cancelled, lost; its end is reported and durable.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
PATH=$OM_BUILD/tests/tool:$PATH
job() { # job DIR FIELDS: a job folder with this spec
	mkdir -p "$1" && printf '{"id":"17","chdir":"%s","env":{"PATH":"/usr/bin:/bin","T":"%s"},%s}' "$PWD/$1" "$PWD/$1" "$2" >"$1/spec.json"
}
field() { # field FILE EVENT NAME: the last such event's field
	grep "\"ev\":\"$2\"" "$1" | tail -n 1 | sed -n "s/.*\"$3\":\"\{0,1\}\([^,}\"]*\).*/\1/p"
}
# the process this test's job wrote down, as seen from inside: gone everywhere?
gone() { ! grep -qzaE "^T=$1\$" /proc/[0-9]*/environ 2>/dev/null; }

job a '"argv":["sh","-c","echo $OM_JOB_ID,$OM_ARRAY_INDEX,$OM_RESTART_COUNT,$$,$PPID; echo e >&2; exit 3"],"array_index":5,"leg":2,"name":"x/y","stdout":"o.%j.%a.%n.%%","umask":63'
omkeep a wait:exited '{"op":"hello"}' wait:hello '{"op":"ack"}' exit >a/log
is $? 0 "a job runs and the keeper leaves"
is "$(cat a/o.17.5.x_y.%)" "17,5,2,2,1
e" "environment, pids, name patterns, one file for both outputs"
is "$(stat -c %a a/o.17.5.x_y.%)" 600 "umask"
is "$(field a/log exited status)" 768 "the root's status is reported"
is "$(field a/log hello state)" ended "hello tells the end again"
like "$(cat a/exit.json)" '"status":768,"why":"exit"' "exit.json"
[ ! -e a/keeper.sock ]; ok "the socket is removed"

job nf '"argv":["no-such-program"]'
omkeep nf wait:exited '{"op":"ack"}' exit >nf/log
is "$(field nf/log exited status)" 32512 "a program that is not there: 127"
like "$(cat nf/log)" "no-such-program': command not found" "and said so"
job nd '"argv":["true"],"chdir":"/"'
sed -i 's#"chdir":"[^"]*",#"chdir":"/nonexistent",#; s#,"chdir":"/"##' nd/spec.json
omkeep nd wait:exited '{"op":"ack"}' exit >nd/log
is "$(field nd/log exited status)" 32256 "a folder that is not there: 126"
like "$(cat nd/log)" "/nonexistent'" "and said so"
job bad '"argv":[]'
omkeep bad wait:lost '{"op":"ack"}' exit >bad/log
like "$(cat bad/log)" "\"reason\":\"spec.json: 'argv' must be .*\"temporary\":false" "a spec that is none is a lost job with a reason"

job sc '"script":"echo $0 $#; cat","args":["1","2 3"],"stdin":"in","stdout":"out","stderr":"err"'
printf 'echo $0 $# >&2; cat' >sc/script; chmod 700 sc/script; echo input >sc/in
omkeep sc wait:exited '{"op":"ack"}' exit >sc/log
is "$(cat sc/out sc/err)" "input
$PWD/sc/script 2" "a script without #! is /bin/sh's; its files"
printf '#!/bin/bash\nset -o pipefail; exit 4' >sc/script
omkeep sc wait:exited '{"op":"ack"}' exit >sc/log
is "$(field sc/log exited status)" 1024 "a script with its own interpreter"

# the whole tree is the job
job d '"argv":["sh","-c","(setsid sh -c \"until [ -e go ]; do sleep 0.02; done; echo late >late\" >/dev/null 2>&1 &) ; exit 5"]'
omkeep d wait:started '{"op":"hello"}' wait:hello close exit >d/log & p=$!
wait_for '[ -e d/keeper.sock ]'
rc_is 10 "a second keeper is refused" omkeep d exit
(cd d && omkeep . connect '{"op":"hello"}' wait:hello >log2)
ok "a later omd finds the keeper"
is "$(field d/log2 hello state)" running "a job whose root has ended runs as long as a descendant does"
[ ! -e d/exit.json ]; ok "no end yet"
touch d/go
wait $p
is "$(cat d/late)" late "the descendant ran to its end"
like "$(cat d/exit.json)" '"status":1280' "without omd the keeper leaves, the end is in exit.json"

# signals, cancel
job s '"argv":["sh","-c","trap \"echo usr1; touch u1\" USR1; trap \"echo term; exit 9\" TERM; touch ready; while :; do sleep 0.02; done"],"stderr":"err"'
omkeep s wait:started "until:$PWD/s/ready" '{"op":"signal","signal":10}' "until:$PWD/s/u1" '{"op":"signal","signal":0}' wait:error \
	'{"op":"nonsense"}' wait:error '{"op":"cancel","grace":60,"why":"timeout"}' wait:exited '{"op":"ack"}' exit >s/log
is "$? $(tr '\n' ' ' <s/om-17.out)$(field s/log exited status) $(field s/log exited why)" "0 usr1 term 2304 timeout" "signal; cancel lets it end by itself"
job k '"argv":["sh","-c","trap \"\" TERM; sh -c \"trap : TERM; touch ready; while :; do sleep 0.02; done\" & while :; do sleep 0.02; done"]'
omkeep k wait:started "until:$PWD/k/ready" '{"op":"cancel","grace":0,"why":"cancelled"}' wait:exited '{"op":"ack"}' exit >k/log
is "$(field k/log exited status) $(field k/log exited why)" "9 cancelled" "cancel ends what ignores SIGTERM"
wait_for "gone '$PWD/k'"; ok "nothing is left"

# deaths
job kk '"argv":["sh","-c","touch ready; while :; do sleep 0.02; done"]'
omkeep kk wait:started "until:$PWD/kk/ready" kill exit >kk/log
is $? 98 "the keeper is killed"
wait_for "gone '$PWD/kk'"; ok "its tree dies with it"
[ ! -e kk/exit.json ]; ok "and there is no exit.json"
rm -f kk/ready
omkeep kk wait:started "until:$PWD/kk/ready" '{"op":"cancel","grace":60,"why":"cancelled"}' wait:exited '{"op":"ack"}' exit >kk/log
is "$(field kk/log exited status)" 15 "another keeper takes the job over"
job ik '"argv":["sh","-c","touch ready; while :; do sleep 0.02; done"]'
omkeep ik wait:started "until:$PWD/ik/ready" wait:lost '{"op":"ack"}' exit >ik/log & p=$!
wait_for '[ -e ik/ready ]'
kill -9 "$(cut -d' ' -f1 ik/keeper.lock)"
wait $p
like "$(cat ik/log)" '"ev":"lost","reason":"[^"]+","temporary":true' "an init that is killed is a lost job"
job ki '"argv":["sh","-c","kill -9 1; kill -TERM 1; echo alive"]'
omkeep ki wait:exited '{"op":"ack"}' exit >ki/log
is "$(cat ki/om-17.out)" alive "a job cannot kill its init"

# faults
job f '"argv":["true"]'
OM_FAULT=keeper_start omkeep f wait:lost close exit >f/log
like "$(cat f/log)" 'Input/output error' "fault keeper_start is a lost job"
OM_FAULT=keeper_bind omkeep f wait:lost close exit >f/log
like "$(cat f/log)" 'keeper.sock: Input/output error' "fault keeper_bind too"
OM_FAULT=keeper_exit omkeep f wait:exited close exit >f/log
is "$? $(field f/exit.json exited status)" "0 0" "exit.json that cannot be written is written later"
rm f/exit.json
OM_FAULT=keeper_exit:1:kill omkeep f exit >f/log
is "$? $(ls f/exit.json 2>/dev/null)" "98 " "killed before exit.json"
done_testing
