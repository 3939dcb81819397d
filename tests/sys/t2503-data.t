#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# sqlite3 and openssl as jobs, checkpointed and killed at random moments.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
. "$OM_SRC/tests/victims/run.sh"
. "$OM_SRC/tests/programs/run.sh"
victim_each program '' sqlite openssl
done_testing
