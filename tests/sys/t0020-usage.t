#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Wrong arguments end with 2 and a message, no daemon with 3; no daemon is needed for either.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"

usage() { # usage TEXT COMMAND...: ends with 2, says TEXT and where help is
	local text=$1
	shift
	"$@" >"$TRASH/out" 2>"$TRASH/err" </dev/null
	is "$?" 2 "$*: exit code 2"
	like "$(cat "$TRASH/err")" "$text" "$*: says why"
	like "$(tail -n 1 "$TRASH/err")" "^Try '$1 --help'\.$" "$*: says where help is"
	is "$(cat "$TRASH/out")" "" "$*: nothing on standard output"
}
for c in omsub omq omdel omhold omrelease omsig omwait omctl omckpt; do
	usage "$c: .*nonsense" "$c" --nonsense
	usage "$c: .*socket" "$c" --socket
done
for c in omdel omhold omrelease omwait; do
	usage "at least one id" $c
	usage "'x' is not a job id" $c 1 x
	usage "'../status' is not a job id" $c ../status
	usage "'1_' is not a job id" $c 1_
done
usage "is not a job id" omq 1 x
usage "'asleep' is no state" omq -s asleep
usage "which signal" omsig
usage "at least one id" omsig TERM
usage "'NOSUCH' is no signal" omsig NOSUCH 1
usage "'99' is no signal" omsig 99 1
usage "status, drain or shutdown" omctl
usage "'start' is not" omctl start
usage "too much" omctl status now
usage "belongs to drain" omctl --undo status
usage "belongs to shutdown" omctl drain --kill
usage "exclude each other" omctl shutdown --kill --leave
usage "now, list" omckpt
usage "'make' is not" omckpt make 1
usage "needs a job" omckpt now
usage "needs JOB.*and FILE" omckpt export 1
usage "needs a file" omckpt import
usage "'1@0' is not JOB" omckpt show 1@0
usage "'1@' is not JOB" omckpt verify 1@
usage "'1@x' is not JOB" omckpt restore 1@x
usage "too many" omckpt list 1 2
usage "belongs to verify" omckpt --trial list 1
usage "--keep: '0'" omckpt prune --keep 0 1
usage "either" omckpt prune --keep 2 1@3
usage "what is to run" omsub
usage "which command" omsub --
usage "nothing may stand behind" omsub -f x.yaml y
usage "exclude each other" omsub -f x.yaml -S y
usage "belongs to -S" omsub --failed x -- true
usage "belongs to -S" omsub -j 2 -- true
usage "-Z: unknown option" omsub -Z x
usage "--cpus: '0'" omsub --cpus 0 -- true
usage "--depend: 'after:1'" omsub --depend after:1 -- true
usage "--memory: 'much'" omsub -m much -- true

# what cannot be submitted is found before any daemon is asked or started
is "$(omsub nosuch.sh 2>&1; echo $?)" "omsub: there is no script 'nosuch.sh' here (a command goes behind two dashes: omsub -- nosuch.sh ...)
1" "a script that is not there"
rc_is 1 "a script without end is refused" omsub /dev/zero
like "$(cat err)" "longer than 16 MiB" "and named so"
mkdir folder
is "$(omsub ./folder 2>&1)" "omsub: './folder' is a folder" "a folder"
: >empty
is "$(omsub ./empty 2>&1)" "omsub: './empty' is empty" "an empty script"
printf '#!/bin/sh\n\0\n' >zero
like "$(omsub ./zero 2>&1)" "neither a script nor a program" "zero bytes"
printf '#!/bin/sh\n# \xe4\n' >latin
like "$(omsub ./latin 2>&1)" "latin:2: not UTF-8" "Latin-1 is refused with its line"
printf '#!/bin/sh\n#OM --cpus many\n' >badom
is "$(omsub badom 2>&1)" "omsub: badom: line 2: #OM: --cpus: 'many' is no number from 1 to 65536" "a bad value on a #OM line"
printf 'command: [a]\nname: &x y\n' >bad.yaml
is "$(omsub -f bad.yaml 2>&1)" "omsub: bad.yaml: line 2: anchors (&name) are not allowed here" "an anchor in YAML"
rc_is 1 "YAML without end" omsub -f /dev/zero
rc_is 1 "a list of lines with a zero byte" omsub -S zero
printf 'a\033[2J\n' >esc
omsub -S esc 2>err
is "$(tr -cd '\033' <err)" "" "no escape sequence gets through"
[ ! -e "$OM_HOME" ]
ok "no daemon was started for any of these"

# nobody there
for c in "omq" "omq -l 1" "omdel 1" "omhold 1" "omrelease 1" "omsig TERM 1" "omctl status" "omckpt list 1" "omckpt now 1" "omckpt export 1@1 x"; do
	rc_is 3 "$c without a daemon" $c
	like "$(cat err)" "^${c%% *}: .*no daemon answers at '$OM_HOME/omd.sock'" "$c says so"
done
rc_is 3 "--socket of nobody" omsub --socket "$TRASH/nobody" -- true
OM_SOCKET=$TRASH/nobody rc_is 3 "OM_SOCKET of nobody" omsub -- true
[ ! -e x ] && [ -z "$(find . -name '*.part*')" ]
ok "a failed export leaves nothing"
long=$TRASH/$(printf 'x%.0s' {1..120})
rc_is 1 "a socket with too long a name" omq --socket "$long"
like "$(cat err)" "longer than a socket address" "is said to be so"
omq --help >/dev/full 2>err
is "$?" 1 "a full disk is not success"
omsig --list | grep -q '^10 USR1$'
ok "omsig --list"
done_testing
