#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# t2202: an image whose vdso is another one than this kernel's: its functions lead to this kernel's, also after a second checkpoint.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/victims/run.sh"

# another byte behind the code, in the image of checkpoint $1
other_vdso() {
	python3 - "$1" <<'END'
import json, struct, sys
d = sys.argv[1]
v = json.load(open(d + "/meta"))["vdso"]
i = open(d + "/index", "rb").read()
off, size, _ = struct.unpack_from("<QII", i, v["block"] * 16)
f = open(d + "/blocks", "r+b")
f.seek(off + size - 1)
b = f.read(1)
f.seek(off + size - 1)
f.write(bytes([b[0] ^ 1]))
END
}

for v in cpu-vdso clock-monotonic; do
	victim_env $v
	omtree run $v -- victim $v >$v.out 2>$v.err &
	victim_ready $v $!
	rc_is 0 "$v: checkpoint" omtree dump --stop $v
	wait $!
	other_vdso $v/1
	ok 'another vdso in the image'
	omtree restore $v >>$v.out 2>>$v.err &
	wait_for "[ -e $v/pid ]" || cat $v.err
	rc_is 0 "$v: checkpoint of what was restored" omtree dump --stop $v
	wait $!
	other_vdso $v/2
	ok 'again another one'
	omtree restore $v >>$v.out 2>>$v.err &
	victim_go $v
	wait $!
	is "$(grep -E '^(ok|bad)' $v.out)" "ok $v" "$v: its calls into the vdso work" || cat $v.err
done
done_testing
