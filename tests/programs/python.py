# SPDX-License-Identifier: GPL-2.0-or-later
# Plain python3: integers, dictionaries, text, digests, a log that is flushed line by line.
import hashlib
import sys
import time

digest = hashlib.sha256()
log = open("log.txt", "w")
words = {}
for turn in range(90):
    sieve = bytearray([1]) * 120000
    for i in range(2, 347):
        if sieve[i]:
            sieve[i * i::i] = bytes(len(range(i * i, len(sieve), i)))
    primes = [i for i in range(2, len(sieve)) if sieve[i]]
    for p in primes[turn::90]:
        words.setdefault(p % 997, []).append(str(p * turn))
    text = ",".join(w for k in sorted(words) for w in words[k])
    digest.update(text.encode())
    log.write("turn %d: %d primes, %s\n" % (turn, len(primes), digest.hexdigest()))
    log.flush()
    time.sleep(0.02)
print(digest.hexdigest(), len(words))
sys.exit(0)
