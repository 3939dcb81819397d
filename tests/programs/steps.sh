# SPDX-License-Identifier: GPL-2.0-or-later
# Small steps for the kill test: a file appended to by name, temporary files that come and go, children in the background.
n=0
while [ $n -lt 120 ]; do
	echo "step $n" >>log
	echo $n >tmp.$n
	(sleep 0.01; echo "child $n" >>children) &
	wait
	[ $n -lt 3 ] || rm tmp.$((n - 3))
	[ $((n % 10)) != 0 ] || { sort -r log >sorted && mv sorted last; }
	n=$((n + 1))
done
cat log children last | cksum
