#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# omjob list, show, verify, export, import, prune.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
PATH=$OM_BUILD/tests/tool:$PATH
mkdir -p a/w
printf '{"id":"17","argv":["bash","-c","exec 5>>five; echo x >&5; touch ../ready; for i in $(seq 100); do echo $i; sleep 0.01; done"],"chdir":"%s","env":{"PATH":"/usr/bin:/bin"},"stdout":"out","leg":0,"restore":null}' "$PWD/a/w" >a/spec.json
cd a || exit 99
is "$(omjob list)" '{"checkpoints":[],"ok":true}' "no store: an empty list"
rc_is 1 "show of nothing" omjob show 1
like "$(cat "$TRASH/out")" '"ok":false,"reason":"this job has no checkpoints"' "said so"
omkeep . wait:started "until:$PWD/ready" '{"op":"checkpoint"}' wait:checkpoint '{"op":"checkpoint"}' wait:checkpoint kill exit >log
like "$(omjob list)" '^\{"checkpoints":\[\{"n":1,"time_ns":[0-9]+,"bytes":[0-9]+,"stored":[0-9]+,"blocks":[0-9]+\},\{"n":2,' "list" || note "$(cat log keeper.log)"
rc_is 0 "show" omjob show 2
like "$(cat "$TRASH/out")" '"root":null' "it tells that the root runs"
like "$(cat "$TRASH/out")" '"pid":2,"ppid":1.*"name":"bash"' "and which processes"
rc_is 0 "verify" omjob verify 2
is "$(tail -n 1 "$TRASH/out")" '{"ok":true}' "ok"
like "$(head -n 1 "$TRASH/out")" '^\{"progress":[0-9.]+\}$' "with progress"
(cd w && md5sum ./*) >before
rc_is 0 "verify --trial" omjob verify 2 --trial
is "$(tail -n 1 "$TRASH/out")" '{"ok":true}' "ok"
(cd w && md5sum ./*) | diff before -; ok "a trial touches no file"
omjob export 2 >../image 3>../lines; ok "export"
is "$(tail -n 1 ../lines)" '{"ok":true}' "ok"
mkdir ../b && cp -r w ../w.kept && cd ../b || exit 99
rc_is 0 "import" omjob import <../image
like "$(cat "$TRASH/out")" '"n":1,"spec":\{"id":"17",.*"ok":true' "with the spec that travelled along"
sed 's/"restore":null/"restore":1/' ../a/spec.json >spec.json
omkeep . wait:started wait:exited '{"op":"ack"}' exit >log
is "$? $(tail -n 1 ../a/w/out)" "0 100" "the imported one goes on to its end" || note "$(cat log keeper.log)"
is "$(cat ../a/w/out)" "$(seq 100)" "with all its output"
mkdir ../c && cd ../c || exit 99
head -c 3000 ../image | omjob import >out 2>&1
is "$? $(grep -c '"ok":false,"reason"' out)" "1 1" "a cut image is refused"
is "$(omjob list)" '{"checkpoints":[],"ok":true}' "and leaves nothing"
cd ../a || exit 99
rc_is 0 "prune" omjob prune 1
is "$(cat "$TRASH/out")" '{"dropped":[1],"ok":true}' "says what it dropped"
rc_is 1 "the only good one is kept" omjob prune 2
like "$(cat "$TRASH/out")" '"ok":false,"reason":".*only good one' "and said"
for f in ckpt/pack-*; do
	printf '\xff\xff\xff' | dd of="$f" bs=1 seek=$(($(stat -c %s "$f") / 2)) conv=notrunc 2>/dev/null
done
rc_is 1 "verify of a damaged one" omjob verify 2
like "$(tail -n 1 "$TRASH/out")" '"ok":false,"reason":".*block' "names the block"
sed -i 's/"restore":null/"restore":2/' spec.json
omkeep . wait:lost close exit >log
like "$(cat log)" '"reason":"checkpoint 2 cannot be restored: .*","temporary":false' "a damaged one is not restored" || note "$(cat log keeper.log)"
rc_is 2 "usage" omjob verify
rc_is 2 "usage of an unknown verb" omjob frobnicate
done_testing
