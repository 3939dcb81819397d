# SPDX-License-Identifier: GPL-2.0-or-later
# tests/sys/omd.sh - what the tests of the daemon share: an omd of their own, asked by curl.  Read after tests/lib.sh.
SOCK=$OM_HOME/omd.sock
OMD_PID=
omd_start() { # omd_start [OPTION...]: in the background of this shell; returns when it serves, or has ended
	omd --spool "$OM_HOME" "$@" 2>>"$TRASH/omd.log" &
	OMD_PID=$!
	wait_for 'api GET /v1/status >/dev/null || ! kill -0 $OMD_PID' && kill -0 $OMD_PID
}
omd_stop() { # omd_stop [SIGNAL]
	kill -"${1:-TERM}" "$OMD_PID" && wait "$OMD_PID" 2>/dev/null
	OMD_RC=$?
	OMD_PID=
}
api() { # api METHOD PATH [BODY]: prints the answer; fails when there is none or it is an error
	curl -s --fail-with-body -m 120 --unix-socket "$SOCK" -X "$1" ${3+--data-binary} ${3+"$3"} "http://omd$2"
}
api_code() { # the same, prints the status only
	curl -s -m 120 -o "$TRASH/out" -w '%{http_code}' --unix-socket "$SOCK" -X "$1" ${3+--data-binary} ${3+"$3"} "http://omd$2"
}
json() { # json EXPRESSION: of standard input, in Python: d is the value
	python3 -c 'import json,sys
d=json.load(sys.stdin)
v=eval(sys.argv[1])
print(v if isinstance(v,str) else json.dumps(v))' "$1"
}
spec() { # spec SHELL-COMMAND [MORE-FIELDS]: a job description
	python3 -c 'import json,sys,os
d={"argv":["/bin/sh","-c",sys.argv[1]],"chdir":os.getcwd(),"env":{"PATH":"/usr/bin:/bin","TRASH":os.environ["TRASH"]}}
d.update(json.loads("{"+sys.argv[2]+"}"))
print(json.dumps(d))' "$1" "${2:-}"
}
submit() { # submit SHELL-COMMAND [MORE-FIELDS]: prints the id
	api POST /v1/jobs "$(spec "$@")" | json 'd["ids"][0]'
}
job() { # job ID EXPRESSION
	api GET "/v1/jobs/$1" | json "$2"
}
state() { job "$1" 'd["state"]'; }
ended() { # ended ID: waits for it, prints its state
	api GET "/v1/jobs/$1/wait?timeout=100" | json 'd["state"]'
}
