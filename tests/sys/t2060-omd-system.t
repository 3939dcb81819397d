#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# System mode: one omd for all users; who may what, and as whom jobs run.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/sys/omd.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root: omd becomes the users"

A=47111
B=47112
chmod 755 "$TRASH"
mkdir -m 777 "$TRASH/work"
as() { # as UID COMMAND...
	setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all -- "${@:2}"
}
as_api() { # as_api UID METHOD PATH [BODY]
	as "$1" curl -s --fail-with-body -m 120 --unix-socket "$SOCK" -X "$2" ${4+--data-binary} ${4+"$4"} "http://omd$3"
}
as_code() {
	as "$1" curl -s -m 120 -o /dev/null -w '%{http_code}' --unix-socket "$SOCK" -X "$2" ${4+--data-binary} ${4+"$4"} "http://omd$3"
}
cd "$TRASH/work" || exit 99
SECRET=of-root omd_start --system --socket "$SOCK"
ok "omd --system starts"
is "$(stat -c %a "$SOCK")" 666 "everybody may connect"
is "$(stat -c %a "$OM_HOME")" 711 "the spool lets users pass, and no more"
is "$(stat -c %a "$OM_HOME/omd.db")" 600 "the database is root's"

a=$(as_api $A POST /v1/jobs "$(spec 'id -u; id -g; id -G; umask; cat /proc/$PPID/environ 2>&1; while [ ! -e go ]; do sleep 0.05; done' '"umask":18')" | json 'd["ids"][0]')
ok "a user submits"
wait_for '[ "$(state "$a")" = running ] && [ -s "om-$a.out" ]'
ok "his job runs"
is "$(stat -c %u "$OM_HOME/jobs/$a")" $A "its folder is his"
is "$(stat -c %a "$OM_HOME/jobs/$a")" 700 "... and private"
is "$(stat -c %u "om-$a.out")" $A "so is its output"
! grep -qa of-root "om-$a.out"
ok "nothing of root's environment reaches it"
keeper=$(awk -v i=":$(stat -c %i "$OM_HOME/jobs/$a/keeper.lock")\$" '$6 ~ i { print $5; exit }' /proc/locks)
is "$(awk '/^Uid/ { print $2, $3, $4 }' "/proc/$keeper/status")" "$A $A $A" "its keeper is the user"
is "$(awk '/^CapEff|^CapPrm/ { print $2 }' "/proc/$keeper/status" | tr '\n' ' ')" "0000000000000000 0000000000000000 " "... without rights of root"

is "$(as_code $B DELETE "/v1/jobs/$a")" 403 "another user may not cancel it"
is "$(as_code $B POST "/v1/jobs/$a/hold")" 403 "... nor hold it"
is "$(as_code $B POST "/v1/jobs/$a/signal" '{"signal":9}')" 403 "... nor send it a signal"
is "$(as_code $B GET "/v1/jobs/$a")" 403 "... nor see its description"
is "$(as_code $B POST "/v1/jobs/$a/checkpoint")" 403 "... nor checkpoint it"
is "$(as_code $B GET "/v1/jobs/$a/checkpoints")" 403 "... nor list its checkpoints"
is "$(as_code $B GET "/v1/jobs/$a/checkpoints/1/export")" 403 "... nor export one"
is "$(as_code $B POST "/v1/jobs/$a/restore" '{}')" 403 "... nor restore it"
is "$(as_code $B POST /v1/drain '{}')" 403 "... nor drain the node"
is "$(as_code $B POST /v1/shutdown '{}')" 403 "... nor end omd"
is "$(as_api $B GET /v1/jobs | json '[j["id"] for j in d["jobs"]]')" "[\"$a\"]" "but he sees that it is there"
is "$(as_api $B GET /v1/jobs | json '"spec" in d["jobs"][0]')" false "... without its environment"
touch go
is "$(as_api $A GET "/v1/jobs/$a/wait?timeout=100" | json 'd["state"]')" done "its owner waits for it"
is "$(head -n 4 "om-$a.out" | tr '\n' ' ')" "$A $A $A 0022 " "it ran as the user, with his group and umask"

# a job of an array that waits belongs to its owner too
r=$(as_api $A POST /v1/jobs "$(spec true '"hold":true,"array":{"indices":"1-3"}')" | json 'd["ids"][0]')
is "$(as_code $B DELETE "/v1/jobs/${r}_2")" 403 "nor may he take an element out of a waiting array"
is "$(job "$r" 'd["array"]["left"]')" 3 "... none is out of it"
is "$(api_code DELETE "/v1/jobs/$r")" 200 "root may cancel every job"

# a hostile user: what he puts into his folder leads nobody astray
b=$(as_api $B POST /v1/jobs "$(spec 'echo begin >>leg; sleep 1000')" | json 'd["ids"][0]')
wait_for '[ -s leg ]'
echo precious >"$TRASH/precious"
chmod 644 "$TRASH/precious"
d=$OM_HOME/jobs/$b
as $B sh -c "cd '$d' && rm -f spec.json script keeper.log && ln -s '$TRASH/precious' spec.json && ln -s '$TRASH/precious' script && ln -s '$TRASH/precious' keeper.log"
ok "a user replaces files of his job's folder by links"
keeper=$(awk -v i=":$(stat -c %i "$d/keeper.lock")\$" '$6 ~ i { print $5; exit }' /proc/locks)
kill -9 "$keeper"
wait_for '[ "$(job "$b" "d[\"restarts\"]")" = 1 ] && [ "$(state "$b")" = running ]'
ok "the job is restarted"
is "$(cat "$TRASH/precious")" precious "what the links led to is as it was"
is "$(stat -c %u "$TRASH/precious")" 0 "... and whose it was"
keeper=$(awk -v i=":$(stat -c %i "$d/keeper.lock")\$" '$6 ~ i { print $5; exit }' /proc/locks)
as $B sh -c "cd '$d' && printf '{\"ev\":\"exited\",\"status\":0,\"why\":\"exit\",\"leg\":1,\"cpu_ns\":1e99}' >exit.json"
kill -9 "$keeper"
wait_for '[ "$(job "$b" "d[\"restarts\"]")" = 2 ] && [ "$(state "$b")" = running ] || [ "$(state "$b")" = done ]'
ok "a wrong exit.json harms nobody but its owner"
api DELETE "/v1/jobs/$b" >/dev/null
like "$(ended "$b")" 'cancelled|done' "the job ends"
api GET /v1/status >/dev/null
ok "omd serves"
api POST /v1/shutdown '{"jobs":"kill"}' >/dev/null
wait "$OMD_PID"
is $? 0 "shutdown"
done_testing
