#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Checkpoint, suspend, kill -9, restore at the keeper: the output is that of an undisturbed run, whatever was killed when.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
PATH=$OM_BUILD/tests/tool:$PATH
seed=${OM_TEST_SEED:-$RANDOM}
RANDOM=$seed
job() { # job DIR SCRIPT [FIELDS]
	mkdir -p "$1/w"
	printf '#!/bin/bash\n%s\n' "$2" >"$1/script"
	chmod 700 "$1/script"
	printf '{"id":"17","script":"","chdir":"%s","env":{"PATH":"/usr/bin:/bin"},"stdout":"out","leg":0,"restore":null%s}' "$PWD/$1/w" "${3:-}" >"$1/spec.json"
}
from() { # from DIR N|null: the next start is from there
	sed -i "s/\"restore\":[a-z0-9]*/\"restore\":$2/; s/\"leg\":[0-9]*/\"leg\":$((++leg))/" "$1/spec.json"
}
leg=0
newest() { # the newest checkpoint of DIR or null
	local n
	n=$(find "$1/ckpt" -name 'ckpt-????????' -printf '%f\n' 2>/dev/null | sort | tail -n 1)
	if [ -n "$n" ]; then echo $((16#${n#ckpt-})); else echo null; fi
}
files() { (cd "$1/w" && find . -type f -exec md5sum {} + | sort -k 2); }
keeper_pid() { sed -n 's/.*"pid":\([0-9]*\).*/\1/p' <<<"$(omkeep "$1" connect '{"op":"hello"}' wait:hello 2>/dev/null | grep '"hello"')"; }

work='exec 7>>seven
for i in $(seq 300); do
	echo $i; echo $i >>append; echo $i >&7
	[ $((i % 10)) != 0 ] || { echo $i >tmp; mv tmp final; sed -i "1s/.*/$i/" inplace; rm -f old; mkdir -p d/$i; mv d/$i d/last.$i; }
	[ $i != 5 ] || : >../ready
done
ls d >>append'
prepare() { echo first >"$1/w/append"; echo first >"$1/w/inplace"; echo o >"$1/w/old"; }

job ref "$work"; prepare ref
omkeep ref wait:exited '{"op":"ack"}' exit >ref/log
ok "an undisturbed run"
files ref >want

job a "$work"; prepare a
omkeep a wait:started "until:$PWD/a/ready" '{"op":"checkpoint","ref":"r1"}' wait:checkpoint '{"op":"checkpoint","ref":"r2"}' wait:checkpoint kill exit >a/log
is $? 98 "two checkpoints, then the keeper is killed"
like "$(grep '"ref":"r1"' a/log)" '"n":1,"ok":true' "the first" || note "$(cat a/log a/keeper.log)"
like "$(grep '"ref":"r2"' a/log)" '"n":2,"ok":true' "the second"
from a 2
omkeep a wait:started wait:exited '{"op":"ack"}' exit >a/log
like "$(cat a/log)" '"ev":"started".*"restored":2' "restored" || note "$(cat a/log a/keeper.log)"
like "$(cat a/log)" '"status":0,.*"why":"exit"' "ran to its end"
files a | diff want - >a/diff; ok "the same files as undisturbed" || note "$(cat a/diff)"

job s "$work"; prepare s
omkeep s wait:started "until:$PWD/s/ready" '{"op":"suspend","ref":"s"}' wait:suspended '{"op":"hello"}' wait:hello '{"op":"ack"}' exit >s/log
is $? 0 "suspended, the keeper leaves" || note "$(cat s/log s/keeper.log)"
like "$(tail -n 1 s/log)" '"ev":"hello".*"n":1,.*"state":"ended"' "hello of a suspended job"
cp -r s/w s/w.then
from s 1
omkeep s wait:started wait:exited '{"op":"ack"}' exit >s/log
files s | diff want - >s/diff; ok "and goes on to the same end" || note "$(cat s/diff s/log s/keeper.log)"

# random: checkpoints and kills of keeper, init, worker
long=${work/300/1500}
job rr "$long"; prepare rr
omkeep rr wait:exited '{"op":"ack"}' exit >rr/log
files rr >want.long
job r "$long"; prepare r
kills=0
for round in $(seq "${OM_TEST_ROUNDS:-15}"); do
	omkeep r wait:started '{"op":"checkpoint"}' wait:checkpoint '{"op":"checkpoint"}' wait:checkpoint '{"op":"checkpoint"}' wait:checkpoint close exit >>r/log 2>&1 &
	p=$!
	sleep 0.$((RANDOM % 2))$((RANDOM % 10))$((RANDOM % 10))
	k=$(keeper_pid r)
	if [ -n "$k" ]; then
		case $((RANDOM % 3)) in
		0) v=$k ;;
		1) v=$(cut -d' ' -f1 r/keeper.lock) ;;
		2) v=$(tr ' ' '\n' <"/proc/$k/task/$k/children" 2>/dev/null | grep -v "^$(cut -d' ' -f1 r/keeper.lock)\$" | head -n 1) ;;
		esac
		kill -9 "${v:-$k}" 2>/dev/null && kills=$((kills + 1))	# no worker just now: the keeper
		wait $p
		kill -9 "$k" 2>/dev/null	# a worker that had nothing of the job in its hands: it went on
	fi
	wait $p
	[ ! -e r/exit.json ] || break
	from r "$(newest r)"
done
[ -e r/exit.json ] || omkeep r wait:started wait:exited '{"op":"ack"}' exit >>r/log
files r | diff want.long - >r/diff
ok "killed $kills times at random in $round rounds: the same files" || note "seed $seed: $(cat r/diff; tail -n 40 r/log; tail -n 40 r/keeper.log)"
like "$(cat r/exit.json)" '"status":0' "ended well"

# a root that has ended: its status is remembered over the restore
job e '(until [ -e go ]; do sleep 0.02; done; echo end >end) & echo >../ready; exit 5'
omkeep e wait:started "until:$PWD/e/ready" '{"op":"checkpoint"}' wait:checkpoint kill exit >e/log
from e "$(newest e)"
touch e/w/go
omkeep e wait:started wait:exited '{"op":"ack"}' exit >>e/log
like "$(tail -n 1 e/log)" '"status":1280' "the status of a root that ended before the checkpoint" || note "$(cat e/log e/keeper.log)"

# going back to an older one, and to the beginning
job o "$work"; prepare o
omkeep o wait:started "until:$PWD/o/ready" '{"op":"checkpoint"}' wait:checkpoint '{"op":"checkpoint"}' wait:checkpoint \
	'{"op":"checkpoint"}' wait:checkpoint '{"op":"prune","drop":[2]}' wait:pruned kill exit >o/log
like "$(tail -n 1 o/log)" '"dropped":\[2\]' "pruned"
from o 1
omkeep o wait:started '{"op":"hello"}' wait:hello wait:exited '{"op":"ack"}' exit >o/log
like "$(grep '"hello"' o/log)" '"checkpoints":\[\{[^}]*"n":1,[^}]*\}\]' "newer checkpoints are no more after going back"
files o | diff want - >o/diff; ok "gone back two checkpoints: the same files" || note "$(cat o/diff o/log o/keeper.log)"
from o null
omkeep o wait:started wait:exited '{"op":"ack"}' exit >o/log
is "$(newest o)" null "a job that begins anew has no checkpoints"
files o | diff want - >o/diff; ok "and the same files at its end" || note "$(cat o/diff o/log o/keeper.log)"

# the journal of what lies before the oldest checkpoint becomes one, and still leads back to the beginning
job m "$work"; prepare m
cks=()
for _ in 1 2 3 4 5 6; do cks+=('{"op":"checkpoint"}' wait:checkpoint); done
omkeep m wait:started "until:$PWD/m/ready" "${cks[@]}" '{"op":"prune","drop":[1,2]}' wait:pruned '{"op":"prune","drop":[3,4,5]}' wait:pruned kill exit >m/log
is "$(newest m) $(ls m/ckpt | grep -c ckpt-)" "6 1" "five of six checkpoints are dropped" || note "$(cat m/log)"
[ "$(find m/undo -name '*.log' | wc -l)" -le 2 ]; ok "their epochs are one" || note "$(ls m/undo)"
from m 6
omkeep m wait:started wait:exited '{"op":"ack"}' exit >m/log
files m | diff want - >m/diff; ok "restored from the one that is left" || note "$(cat m/diff m/log m/keeper.log)"
job n "$work"; prepare n
omkeep n wait:started "until:$PWD/n/ready" "${cks[@]}" '{"op":"prune","drop":[1,2]}' wait:pruned '{"op":"prune","drop":[3,4,5]}' wait:pruned kill exit >n/log
from n null
omkeep n wait:started wait:exited '{"op":"ack"}' exit >n/log
files n | diff want - >n/diff; ok "begun anew over the merged journal: the same files" || note "$(cat n/diff n/log n/keeper.log)"

# answers
job w "$work"; prepare w
omkeep w wait:started "until:$PWD/w/ready" '{"op":"checkpoint","ref":"1"}' '{"op":"checkpoint","ref":"2"}' '{"op":"prune","drop":[1]}' \
	wait:checkpoint wait:checkpoint wait:pruned '{"op":"prune","drop":[2]}' wait:pruned '{"op":"cancel","grace":0}' wait:exited \
	'{"op":"checkpoint","ref":"late"}' wait:checkpoint '{"op":"ack"}' exit >w/log
is $? 0 "requests made at once are done one after the other" || note "$(cat w/log w/keeper.log)"
like "$(grep '"ref":"late"' w/log)" '"reason":"the job has ended"' "a checkpoint of an ended job is refused"
like "$(grep pruned w/log | tail -n 1)" '"dropped":\[\],.*"reason":".*only good one' "the only good one is kept"
from w 7
omkeep w wait:lost close exit >w/log
like "$(cat w/log)" '"reason":"there is no checkpoint 7","temporary":false' "a checkpoint that is not there"
done_testing
