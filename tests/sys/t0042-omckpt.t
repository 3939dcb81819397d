#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# omckpt: every verb on a job that counts, and what comes out of the files afterwards.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"

state() { omq --json "$1" | jq -r '.jobs[0].state'; }
# counts into its output until told to stop, then proves that no number is missing
cat >count.sh <<'S'
#!/bin/bash
n=0
until [ -e go ]; do
	n=$((n + 1))
	echo $n
	sleep 0.02
done
exit 9
S
counted() { awk '$1 != NR { exit 1 } END { exit NR < 3 }' "$1"; }
lines() { wc -l <"$1"; }

id=$(omsub --checkpoint off --keep 5 -o c.out count.sh)
wait_for '[ "$(lines c.out)" -ge 3 ]'
ok "a job counts"
rc_is 1 "no checkpoint yet" omckpt show "$id"
is "$(cat err)" "omckpt: job $id has no checkpoint" "is said"
rc_is 0 "omckpt now" omckpt now "$id"
like "$(cat out)" "^job $id checkpoint 1: job stopped for [0-9.]+ ms, .* stored, [0-9]+ processes$" "says how long the job stood"
is "$(omckpt now --json "$id" | jq -r .n)" 2 "--json"
is "$(omckpt list --json "$id" | jq -r '.checkpoints[].n' | tr '\n' ' ')" "1 2 " "omckpt list --json"
like "$(omckpt list "$id")" "^ *2 +20[0-9-]+ [0-9:]+ .*B" "omckpt list"
[ "$(omckpt show "$id" | wc -l)" -gt 3 ]
ok "omckpt show"
is "$(omckpt verify "$id@1")" "job $id checkpoint 1 is good" "omckpt verify"
is "$(omckpt verify --trial "$id")" "job $id checkpoint 2 is good" "omckpt verify --trial"
rc_is 1 "one that is not there" omckpt show "$id@99"
rc_is 0 "omckpt export" omckpt export "$id" c.img
is "$(stat -c %a c.img)" 600 "the image is private"
omckpt export "$id@2" - >c2.img
ok "export to standard output"
n=$(lines c.out) # read by what wait_for evaluates
: "$n"
wait_for '[ "$(lines c.out)" -gt "$n" ]'
ok "the job goes on"

# the job is lost
omdel "$id"
omwait "$id"
is "$(state "$id")" cancelled "the job is cancelled"
is "$(omckpt restore "$id@2")" "$id" "omckpt restore"
is "$(state "$id")" running "it runs again"
n=$(lines c.out)
: "$n"
wait_for '[ "$(lines c.out)" -gt "$((n + 2))" ]'
ok "it counts"
touch go
omwait "$id"
is "$?" 9 "and ends as it should"
counted c.out
ok "no number is missing or twice"
rm go

# as another one, and from a file
new=$(omckpt restore --as-new "$id@2")
ok "omckpt restore --as-new"
[ "$new" != "$id" ]
ok "has an id of its own"
is "$(state "$new")" running "and runs"
touch go
omwait "$new"
is "$?" 9 "to its end"
rm go
imp=$(omckpt import c.img)
ok "omckpt import"
is "$(state "$imp")" held "the job is held"
rc_is 0 "restore of the imported one" omckpt restore "$imp"
touch go
omwait "$imp"
is "$?" 9 "it runs to its end"
counted c.out
ok "no number is missing or twice"
head -c 1000 c.img >cut.img
rc_is 1 "an image that is cut" omckpt import cut.img
like "$(cat err)" "^omckpt: import 'cut.img': " "is refused with a reason"
rc_is 1 "no image at all" omckpt import count.sh
is "$(cat err)" "omckpt: 'count.sh' is not a checkpoint that omckpt export wrote" "is refused"
{ cat c.img; echo; } >more.img
rc_is 1 "more behind an image, through a pipe" sh -c 'cat more.img | omckpt import -'
rc_is 1 "an image without end" omckpt import /dev/zero

# prune
omckpt prune --keep 1 "$id"
ok "omckpt prune --keep"
is "$(omckpt list --json "$id" | jq -r '.checkpoints | length')" 1 "one is left"
last=$(omckpt list --json "$id" | jq -r '.checkpoints[0].n')
rc_is 1 "the only good one is not removed" omckpt prune "$id@$last"
rc_is 1 "omckpt now of a job that does not run" omckpt now "$id"
rc_is 1 "omckpt now of an unknown job" omckpt now 99999
done_testing
