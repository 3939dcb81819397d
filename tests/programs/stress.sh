# SPDX-License-Identifier: GPL-2.0-or-later
# stress-ng checks itself: only whether it found fault is printed.  Arguments: class, operations, workers
set -u
if stress-ng --temp-path . --verify --quiet "--$1" "$3" "--$1-ops" "$2" >stress.log 2>&1 && ! grep -qi 'fail' stress.log; then
	echo "$1: no fault"
else
	echo "$1: fault"
	cat stress.log
fi
rm -f stress.log
