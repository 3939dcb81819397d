# SPDX-License-Identifier: GPL-2.0-or-later
# multiprocessing: a pool of workers, pipes, semaphores, a lock and a shared value.
import hashlib
import sys

sys.path.pop(0)  # this file has the module's name
import multiprocessing as mp

total = None


def work(n):
    d = hashlib.sha256(str(n).encode())
    for _ in range(6000):
        d = hashlib.sha256(d.digest())
    with total.get_lock():
        total.value += n
    return n, d.hexdigest()


def start(value):
    global total
    total = value


if __name__ == "__main__":
    value = mp.Value("q", 0)
    with mp.Pool(3, start, (value,)) as pool:
        for n, text in pool.imap(work, range(1200), chunksize=4):
            if n % 20 == 0:
                print(n, text, flush=True)
    print(value.value)
