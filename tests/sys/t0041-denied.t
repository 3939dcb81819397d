#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The system's daemon and its users: what is not theirs is denied, with exit code 4.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root: a daemon for several users"

A=47111
B=47112
chmod 755 "$TRASH"
mkdir -m 777 work
cd work || exit 99
as() { setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all -- env -u OM_HOME "${@:2}"; }
denied() { # denied NAME COMMAND...: as the other user
	rc_is 4 "$1 is denied" as $B "${@:2}"
	like "$(cat "$TRASH/err")" "^$2: .*" "$1: a message"
}
# a daemon of the system, but in this test's own folder
export OM_SOCKET=$TRASH/system.sock
omd --system --spool "$OM_HOME" --socket "$OM_SOCKET" --daemonize
ok "a daemon for all"
id=$(as $A omsub -E SECRET=of-A -- sh -c 'until [ -e go ]; do sleep 0.05; done')
ok "a user submits"
wait_for "[ \"\$(omq --json $id | jq -r '.jobs[0].state')\" = running ]"
ok "his job runs"
denied omdel omdel "$id"
denied omhold omhold "$id"
denied omrelease omrelease "$id"
denied omsig omsig KILL "$id"
denied omwait omwait "$id"
denied "omckpt now" omckpt now "$id"
denied "omckpt list" omckpt list "$id"
denied "omckpt show" omckpt show "$id@1"
denied "omckpt verify" omckpt verify "$id@1"
denied "omckpt restore" omckpt restore "$id"
denied "omckpt export" omckpt export "$id@1" x
denied "omckpt prune" omckpt prune "$id"
denied "omctl drain" omctl drain
denied "omctl shutdown" omctl shutdown
[ -z "$(ls -d x* 2>/dev/null)" ]
ok "nothing was exported"
is "$(as $B omq --json | jq -r '.jobs[].id')" "$id" "omq shows the job to others"
rc_is 0 "omq -l, too" as $B omq -l "$id"
is "$(grep -c 'of-A\|sh -c' "$TRASH/out")" 0 "without its command and environment"
as $B omctl status >/dev/null
ok "everybody may see the state"
rc_is 0 "root may see" omq -l "$id"
omsig CONT "$id"
ok "root may do what he wants"
touch go
as $A omwait "$id"
ok "the owner waits for it"
# a private daemon is its user's own
chmod 700 "$OM_HOME"
rc_is 4 "a socket that may not be opened" as $B omq --socket "$OM_HOME/omd.sock"
omctl shutdown --kill
ok "root may end it"
done_testing
