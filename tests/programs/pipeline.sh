# SPDX-License-Identifier: GPL-2.0-or-later
# bash: pipelines with sort, gzip and tee, temporary files, background jobs, command substitution.
set -euo pipefail
export LC_ALL=C
for turn in 1 2 3 4 5 6; do
	awk -v s=$turn 'BEGIN { x = s; for (i = 0; i < 120000; i++) { x = (x * 69069 + 1) % 4294967296; printf "%d %s\n", x % 100000, x } }' |
		tee "raw.$turn" | sort -n -k1,1 -k2,2 -S 2M -T . | tee >(gzip -n >"sorted.$turn.gz") | sha256sum | sed "s/-/turn $turn/"
	wait
	while [ ! -s "sorted.$turn.gz" ] || ! gzip -t "sorted.$turn.gz" 2>/dev/null; do sleep 0.01; done
	echo "lines: $(gzip -dc "sorted.$turn.gz" | wc -l)"
	mv "raw.$turn" "last.raw"
	for word in a b c; do
		(head -n $((turn * 100)) last.raw | sort | md5sum | sed "s/-/$word/") >"bg.$word" &
	done
	wait
	cat bg.a bg.b bg.c
	rm -f bg.a bg.b bg.c
done
