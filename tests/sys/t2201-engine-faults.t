#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# t2201: a dump that fails at any point leaves the job as it was; a restore that fails leaves no process behind.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/victims/run.sh"

victim_env v
start() { rm -rf job v.v.* && rm -f "$VICTIM_READY" "$VICTIM_GO"; omtree run job -- victim "$1" >out 2>err & victim_ready v $!; }
verdict() { # NAME: after an undisturbed end
	victim_go v
	wait "$keeper"
	is "$(head -n 1 out)" "ok $1" "$2"
}
ours() { grep -lza "^VICTIM_READY=$VICTIM_READY\$" /proc/[0-9]*/environ 2>/dev/null | xargs -r -n 1 dirname | xargs -r -I{} sh -c 'readlink {}/exe' | grep -c '/victim$'; }

victim=tree-threads
start $victim
keeper=$!
for p in dump_seize dump_inject dump_task dump_files dump_pages dump_meta dump_resume; do
	OM_FAULT_LOG=$TRASH/log OM_FAULT=$p rc_is 1 "fault at $p: said" omtree dump job
	grep -q "^$p" log
	ok "... and it was passed"
done
rc_is 0 'then a checkpoint succeeds' omtree dump job
verdict $victim 'the job did not notice'

start $victim
keeper=$!
for p in dump_seize dump_pages dump_meta; do
	OM_FAULT=$p:1:kill rc_is 137 "the worker is killed at $p" omtree dump job
	rm -rf job/[0-9]*
done
rc_is 0 'then a checkpoint succeeds' omtree dump job
verdict $victim 'the job did not notice'

start mem-dirty
keeper=$!
OM_FAULT_LOG=$TRASH/log2 OM_FAULT=dump_twin omtree dump job >/dev/null 2>err2
rm -rf job/[0-9]*
rc_is 0 'and after one at dump_twin' omtree dump job
verdict mem-dirty 'the job did not notice'

# while a task's registers are not its own it dies with the worker
start $victim
keeper=$!
OM_FAULT=dump_task:2:kill rc_is 137 'the worker is killed while the job is altered' omtree dump job
wait "$keeper"
is $? 137 'the job ends'
is "$(ours)" 0 'nothing of it is left'

start $victim
keeper=$!
rc_is 0 'checkpoint' omtree dump --stop job
wait "$keeper"
for p in rest_read rest_namespace rest_fork rest_files rest_pages rest_resume; do
	for how in EIO kill; do
		[ $how = EIO ] && want=1 || want=137
		# pid 1 of a namespace cannot kill itself
		[ $how = kill ] && case $p in rest_fork | rest_files) continue ;; esac
		OM_FAULT=$p:1:$how rc_is $want "restore, $how at $p" timeout 60 omtree restore job
		wait_for '[ "$(ours)" = 0 ]'
		ok '... leaves nothing behind'
	done
done
rc_is 0 'a trial' omtree restore --trial job
omtree restore job >>out 2>err &
keeper=$!
verdict $victim 'the restored job verifies itself'
done_testing
