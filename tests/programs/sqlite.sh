# SPDX-License-Identifier: GPL-2.0-or-later
# sqlite3 fills a database in many transactions: a journal file is made and removed for each.
set -eu
{
	echo 'PRAGMA synchronous=NORMAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c INTEGER); CREATE INDEX i ON t(c, b);'
	turn=0
	while [ $turn -lt 60 ]; do
		echo "BEGIN; WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1500)"
		echo "INSERT INTO t(b, c) SELECT hex(x * 7919 + $turn), (x * 104729 + $turn * 31) % 5003 FROM n; COMMIT;"
		echo "DELETE FROM t WHERE c % 17 = $((turn % 17)) AND a % 3 = 0;"
		echo "SELECT $turn, count(*), sum(c), max(b) FROM t;"
		turn=$((turn + 1))
	done
	echo "PRAGMA integrity_check;"
} | sqlite3 test.db
sqlite3 test.db 'SELECT count(*), total(c) FROM t'
sqlite3 test.db .dump | sha256sum
rm -f test.db
