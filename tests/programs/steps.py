# SPDX-License-Identifier: GPL-2.0-or-later
# Small steps for the kill test: a file written in place, a database in many transactions.
import os
import sqlite3
import time

fd = os.open("inplace", os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(fd, 65536)
db = sqlite3.connect("steps.db")
db.execute("PRAGMA synchronous=OFF")
db.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, v INTEGER)")
x = 1
for n in range(150):
    x = (x * 69069 + 1) % (1 << 32)
    at = x % 8000 * 8
    old = int.from_bytes(os.pread(fd, 8, at), "little")
    os.pwrite(fd, (old * 3 + n).to_bytes(8, "little"), at)
    with db:
        db.execute("INSERT INTO t VALUES(?, ?)", (n, x))
        db.execute("UPDATE t SET v = v + 1 WHERE n % 7 = ?", (n % 7,))
    if n % 25 == 0:
        print(n, db.execute("SELECT count(*), sum(v) FROM t").fetchone(), flush=True)
    time.sleep(0.012)
print(db.execute("SELECT count(*), sum(v) FROM t").fetchone())
db.close()
os.close(fd)
