#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The journal of closed files: whatever a job did to files is undone when it starts again, wherever anything was killed.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
PATH=$OM_BUILD/tests/tool:$PATH
job() { # job DIR SCRIPT [FIELDS]: a job folder; its script works in DIR/w
	mkdir -p "$1/w"
	printf '#!/bin/bash\n%s\n' "$2" >"$1/script"
	chmod 700 "$1/script"
	printf '{"id":"17","script":"","chdir":"%s","env":{"PATH":"/usr/bin:/bin"},"stdout":"../out"%s}' "$PWD/$1/w" "${3:-}" >"$1/spec.json"
}
nothing='{"id":"17","argv":["true"],"chdir":"/","env":{},"stdout":"/dev/null"}'
state() { # all of DIR/w: names, kinds, modes, times (not of folders), links, contents
	(cd "$1/w" && find . \( -type d -printf '%p %y %m\n' \) -o -printf '%p %y %m %T@ %l\n' | sort; find . -type f -exec md5sum {} + | sort)
}
seed=${OM_TEST_SEED:-$RANDOM}
RANDOM=$seed

everything='
echo more >>append; echo x >new; echo y >>new
mkdir d && echo f >d/f && mv d e && mv e/f e/g && rmdir olddir && mv dir dir2 && echo in >dir2/inside && rm dir2/file
sed -i s/k/K/ edited
rm gone; ln -s target link; ln -sf other oldlink; ln hard hard2 && echo hhh >>hard2
for i in 1 2 3 4; do echo $i >tmp; mv tmp final; done
echo short >trunc; truncate -s 3 cut; truncate -s 100 longer
exec 5<>inplace; echo zz >&5; exec 5>&-
chmod 600 mode; mkfifo ff; rm oldfifo
mv a b; mv c a; echo a2 >a
cp -p edited copy; rm -f copy
ln -s ../w/through lk; echo via >>lk; rm through
python3 - <<"P" || exit 1
import ctypes, os, socket, sys
os.rename("sw1", "sw0"); os.rename("sw2", "sw1"); os.rename("sw0", "sw2")
s = socket.socket(socket.AF_UNIX); s.bind("sock")
fd = os.open("held", os.O_WRONLY | os.O_APPEND); os.write(fd, b"xx"); os.ftruncate(fd, 1); os.close(fd)
fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600); os.write(fd, b"t"); ctypes.CDLL(None).linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"fromtmp", 0x400) == 0 or sys.exit("linkat")
os.chdir("dir2"); open("../relative", "a").write("r")
P
echo end >/dev/stderr
touch ../ready
until [ -e ../go ]; do sleep 0.02; done'
before='cd w; for f in append edited gone final trunc cut longer inplace hard a c through sw1 sw2 held relative; do echo "$f k 0123456789" >$f; done
mkdir olddir dir; echo df >dir/file; chmod 2750 olddir; ln -s target oldlink; mkfifo oldfifo; touch -d 2001-01-01 mode trunc gone; chmod 640 mode; chmod 755 edited'
job a "$everything" ',"stderr":"../err"'
(cd a && eval "$before")
state a >a/before
omkeep a wait:started "until:$PWD/a/ready" kill exit >a/log
is $? 98 "a job that did everything to files is killed (seed $seed)" || note "$(cat a/err)"
[ "$(cat a/before)" != "$(state a)" ]; ok "its changes are there"
echo "$nothing" >a/nothing; cp a/spec.json a/spec; cp a/nothing a/spec.json
omkeep a wait:exited close exit >a/log
state a | diff a/before - >a/diff; ok "another start puts everything back" || note "$(cat a/diff)"
is "$(ls a/undo 2>/dev/null)" "" "the journal is gone"

# killed while it is undone, at each record in turn
n=0
while :; do
	n=$((n + 7))
	cp a/spec a/spec.json; rm -f a/ready
	omkeep a wait:started "until:$PWD/a/ready" kill exit >a/log
	cp a/nothing a/spec.json
	OM_FAULT=undo_apply:$n:kill omkeep a close exit >a/log
	[ $? = 98 ] || break
	OM_FAULT=undo_apply:1:kill omkeep a close exit >a/log
	OM_FAULT=undo_apply:2:kill omkeep a close exit >a/log
	omkeep a wait:exited close exit >a/log
	state a | diff a/before - >a/diff || { note "killed at $n: $(cat a/diff)"; break; }
done
[ $n -gt 28 ] && [ ! -s a/diff ]; ok "killed in the middle of it and done again, the same (up to record $n)"

# a loop, killed at random moments, ends with the same files
loop='for i in $(seq 400); do echo $i >>log; [ $((i % 10)) != 0 ] || { echo $i >tmp; mv tmp done.$((i % 3)); sed -i "s/^$i\$/$i!/" log; }; [ $((i % 50)) != 0 ] || { rm -rf d; mkdir d; touch d/$i; }; done; cat log done.* >sum; ls d >>sum'
job b "$loop"; echo first >b/w/log
omkeep b wait:exited close exit >b/log
state b | sed 's/ [0-9.]* $//' >b/want
job c "$loop"; echo first >c/w/log
kills=0
for _ in $(seq 12); do
	omkeep c wait:started "until:$PWD/c/w/log" close exit >c/log 2>&1 &
	p=$!
	sleep 0.0$((RANDOM % 9 + 1))
	k=$(sed 's/.*"pid"://; s/,.*//' <<<"$(omkeep c connect '{"op":"hello"}' wait:hello 2>/dev/null | grep hello)")
	[ -z "$k" ] || { kill -9 "$k" && kills=$((kills + 1)); }
	wait $p
	[ ! -e c/exit.json ] || break
done
[ -e c/exit.json ] || omkeep c wait:exited close exit >c/log
state c | sed 's/ [0-9.]* $//' | diff b/want - >c/diff; ok "killed $kills times in the middle of its work, the same files at the end" || note "seed $seed: $(cat c/diff)"

# what cannot be undone is said, by name, before anything is changed
job l 'exec 5<>big; echo x >&5; touch ../ready; until [ -e ../go ]; do sleep 0.02; done'
head -c 100000 /dev/zero >l/w/big
OM_UNDO_COPY_MAX=1000 omkeep l wait:started "until:$PWD/l/ready" kill exit >l/log
rm l/ready; state l >l/before
omkeep l wait:lost close exit >l/log
like "$(cat l/log)" "\"reason\":\"'$PWD/l/w/big' cannot be brought back: it has 97.7 KiB.*\"temporary\":false" "a file too large to be copied is named"
state l | diff l/before -; ok "and nothing was changed"
job e 'echo x >>f; touch ../ready; until [ -e ../go ]; do sleep 0.02; done'
echo f >e/w/f
OM_FAULT=undo_record:1:ENOSPC omkeep e wait:started "until:$PWD/e/ready" kill exit >e/log
is "$(cat e/w/f)" "f
x" "a journal that cannot be written does not stop the job"
omkeep e wait:lost close exit >e/log
like "$(cat e/log)" 'journal could not be written' "but it cannot go back"
job r 'echo x >>f; touch ../ready; until [ -e ../go ]; do sleep 0.02; done'
echo f >r/w/f
OM_FAULT=undo_record:1:kill omkeep r close exit >r/log
is "$? $(cat r/w/f)" "98 f" "killed before the record: the change has not happened"
job o 'echo x >>f; touch ../ready; until [ -e ../go ]; do sleep 0.02; done' ',"files":"open"'
omkeep o wait:started "until:$PWD/o/ready" kill exit >o/log
[ ! -e o/undo ] && [ -e o/w/f ]; ok "files:open keeps no journal"
done_testing
