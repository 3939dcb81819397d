# SPDX-License-Identifier: GPL-2.0-or-later
# numpy with its threads: whole numbers in floating point, so that the order of additions does not matter.
import hashlib
import sys

sys.path.pop(0)  # this file has the module's name
import numpy as np

rng = np.random.default_rng(7)
a = rng.integers(0, 3, (600, 600)).astype(np.float64)
b = rng.integers(0, 3, (600, 600)).astype(np.float64)
digest = hashlib.sha256()
for turn in range(18):
    c = a @ b % 1021
    u = np.sort(rng.integers(0, 1 << 40, 100000))
    a = np.roll(c, turn, axis=0) % 5
    digest.update(c.tobytes())
    digest.update(u.tobytes())
    print(turn, int(c.sum()), int(u[-1]), flush=True)
print(digest.hexdigest())
