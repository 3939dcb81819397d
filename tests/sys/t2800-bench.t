#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# bench/run works: one cheap figure (its value is not judged here).
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
out=$(BENCH_DIR=$TRASH BENCH_RUNS=1 bash "$OM_SRC/bench/run" submit_array_10000 2>"$TRASH/err")
like "$out" '^submit_array_10000 [0-9.e-]+ s at-most_0.3 (ok|short)$' 'a figure is one line' || sed 's/^/# /' "$TRASH/err"
rc_is 1 'an unknown figure is refused' bash "$OM_SRC/bench/run" no_such_figure
done_testing
