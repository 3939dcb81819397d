#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon by itself: start, second start, API and its errors, hostile and slow clients.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/sys/omd.sh"

# ---- options ----
rc_is 0 "--version" omd --version
like "$(cat "$TRASH/out")" '^omd \(openmosix\) [0-9]' "--version names the version"
rc_is 0 "--help" omd --help
is "$(grep -E '^ +-' "$TRASH/out" | grep -oE -- '--[a-z-]+' | sort -u)" \
	"$(sed -n 's/^\.It Fl -\([a-z-]*\).*/--\1/p; s/^\.It Fl h , -help/--help/p' "$OM_SRC/man/omd.8" | sort -u)" \
	"--help and the man page name the same options"
rc_is 2 "an unknown option is a usage error" omd --nonsense
rc_is 2 "an argument is a usage error" omd nonsense
rc_is 2 "a wrong time is a usage error" omd --idle-exit x
if [ "$(id -u)" != 0 ]; then rc_is 4 "--system needs root" omd --system; fi

# ---- start ----
export OM_NOTIFY_PAUSE=0
omd_start
ok "omd starts in a new spool"
is "$(stat -c %a "$OM_HOME")" 700 "the spool is private"
is "$(stat -c %a "$SOCK")" 600 "the socket is private"
rc_is 5 "a second omd on the same spool ends with its own code" omd --spool "$OM_HOME"
like "$(cat "$TRASH/err")" "another omd \(process $OMD_PID\) already serves" "... and says who serves it"
rc_is 5 "... also in the background" omd --spool "$OM_HOME" --daemonize
like "$(cat "$TRASH/err")" "already serves" "... and says so"
api GET /v1/status >/dev/null
ok "the first one still answers"
is "$(api GET /v1/status | json 'd["mode"]')" user "status says the mode"

# ---- jobs ----
id=$(submit 'echo out; echo err >&2; exit 3')
is "$(ended "$id")" failed "a job with exit code 3 has failed"
is "$(job "$id" 'd["exit"]["code"]')" 3 "its exit code"
is "$(cat "om-$id.out")" "out
err" "its output file has both streams"
id=$(submit 'kill -9 $$')
is "$(ended "$id")" failed "a job killed by a signal has failed"
is "$(job "$id" 'd["exit"]["signal"]')" 9 "its signal"
id=$(submit true)
is "$(ended "$id")" done "a job with exit code 0 is done"
wait_for '[ ! -e "$OM_HOME/jobs/$id" ]'
ok "its folder goes"
is "$(job "$id" 'd["spec"]["argv"][2]')" true "the description is shown"
like "$(job "$id" '[e["event"] for e in d["events"]]')" '"submit", "start", "started", "exited"' "the log of a job"
id=$(submit 'echo "$0 $*"' '"stdout":"%n-%j.txt","name":"pat"')
is "$(ended "$id")" done "patterns in file names"
[ -e "pat-$id.txt" ]
ok "... are expanded"
id=$(api POST /v1/jobs '{"script":"#!/bin/sh\necho script $1 >s.out\n","args":["arg"],"chdir":"'"$PWD"'","env":{"PATH":"/bin"}}' | json 'd["ids"][0]')
is "$(ended "$id")" done "a script"
is "$(cat s.out)" "script arg" "... gets its arguments"
id=$(submit true '"argv":["/no/such/program"]')
is "$(ended "$id")" failed "a program that is not there"
like "$(job "$id" 'd["reason"]')" 'no/such/program' "... is named"

# ---- lists ----
is "$(api GET /v1/jobs | json 'len(d["jobs"])')" 0 "no job is left"
is "$(api GET '/v1/jobs?all=1' | json 'len(d["jobs"])')" 6 "all of them"
is "$(api GET '/v1/jobs?all=1&limit=2' | json '[len(d["jobs"]),d["more"]]')" '[2, true]' "a page"
is "$(api GET '/v1/jobs?all=1&limit=2&after=4' | json '[j["id"] for j in d["jobs"]]')" '["5", "6"]' "the next page"
is "$(api GET '/v1/jobs?all=1&state=failed' | json 'len(d["jobs"])')" 3 "by state"
is "$(api GET '/v1/jobs?id=1,3&id=4' | json '[j["id"] for j in d["jobs"]]')" '["1", "3", "4"]' "by id"

# ---- errors ----
err_is() { # err_is STATUS TEXT METHOD PATH [BODY]
	local want=$1 text=$2 got
	shift 2
	got=$(api_code "$@")
	is "$got" "$want" "$1 $2 ${3:+$(printf %.60s "$3")}: $want" || cat "$TRASH/out"
	like "$(cat "$TRASH/out")" "$text" "... says $text"
}
err_is 404 'no such resource' GET /v2
err_is 405 'not defined' PUT /v1/jobs '{}'
err_is 404 'there is no job 999' GET /v1/jobs/999
err_is 404 'there is no job 999' DELETE /v1/jobs/999
err_is 400 'no job id' GET /v1/jobs/abc
err_is 400 'not JSON' POST /v1/jobs '{'
err_is 400 'must be a job description' POST /v1/jobs ''
err_is 400 'chdir' POST /v1/jobs '{"argv":["true"],"env":{}}'
err_is 400 'nonsense' POST /v1/jobs '{"argv":["true"],"env":{},"chdir":"/","nonsense":1}'
err_is 400 'job 2 of 2' POST /v1/jobs '{"jobs":[{"argv":["true"],"env":{},"chdir":"/"},{"argv":["true"],"env":{}}]}'
err_is 400 'there is no job 999' POST /v1/jobs '{"argv":["true"],"env":{},"chdir":"/","depends":[{"type":"afterok","job":"999"}]}'
err_is 409 'ended' DELETE "/v1/jobs/$id"
err_is 400 'nonsense' GET '/v1/jobs?nonsense=1'
err_is 400 'signal' POST "/v1/jobs/$id/signal" '{"signal":999}'
err_is 409 'no process' POST "/v1/jobs/$id/signal" '{"signal":10}'
is "$(api GET '/v1/jobs?all=1' | json 'len(d["jobs"])')" 6 "of a request with one wrong job none is made"

# ---- notifications ----
cat >"$TRASH/hook.py" <<'END'
import http.server, sys
n = 0
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global n
        n += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if n > 1:                     # the first one is refused: it must come again
            open("hooked", "ab").write(body + b"\n")
        self.send_response(503 if n == 1 else 204)
        self.end_headers()
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open("port.tmp", "w").write(str(s.server_port))
import os
os.rename("port.tmp", "port")
s.serve_forever()
END
python3 "$TRASH/hook.py" &
hook=$!
wait_for '[ -e port ]'
id=$(submit 'exit 6' '"notify":"http://127.0.0.1:'"$(cat port)"'/x"')
is "$(ended "$id")" failed "a job with a notification"
wait_for 'grep -q "\"state\":\"failed\"" hooked && grep -q "\"state\":\"running\"" hooked'
ok "... its states are told, also when the first try is refused"
kill $hook
id=$(submit true '"notify":"http://127.0.0.1:1/"')
is "$(ended "$id")" done "a server that is not there holds nobody up"

# ---- hostile and slow clients ----
seed=$RANDOM
note "seed $seed"
"$OM_BUILD/tests/tool/omflood" "$SOCK" garbage 10000 $seed >"$TRASH/out" 2>&1
ok "10,000 malformed requests are refused" || sed 's/^/# /' "$TRASH/out"
is "$(api GET '/v1/jobs?all=1' | json 'len(d["jobs"])')" 8 "... and leave nothing"
mkfifo "$TRASH/hold"
"$OM_BUILD/tests/tool/omflood" "$SOCK" idle 200 <"$TRASH/hold" >"$TRASH/idle" 2>&1 &
idle=$!
exec 9>"$TRASH/hold"
wait_for 'grep -q connected "$TRASH/idle"'
ok "200 connections that say nothing"
api GET /v1/status >/dev/null
ok "... keep nobody from being served"
exec 9>&-
wait $idle
head -c 70000000 /dev/zero | tr '\0' ' ' >"$TRASH/big"
is "$(api_code POST /v1/jobs "@$TRASH/big")" 413 "a request that is too large"
rm "$TRASH/big"
like "$(api GET /metrics)" '^openmosix_submissions_total 8$' "metrics count the submissions"
kill -0 $OMD_PID
ok "it is still the same process"

# ---- end ----
omd_stop
is "$OMD_RC" 0 "SIGTERM ends it with 0"
[ ! -e "$SOCK" ]
ok "the socket is gone"
omd --spool "$OM_HOME" --daemonize --idle-exit 1
ok "in the background: answers when the command returns"
api GET /v1/status >/dev/null
ok "... it does"
wait_for '! flock -n "$OM_HOME/omd.lock" false; flock -n "$OM_HOME/omd.lock" true'
ok "--idle-exit ends it"
like "$(cat "$OM_HOME/omd.log")" 'idle for' "... and its log says so"
done_testing
