# SPDX-License-Identifier: GPL-2.0-or-later
# xz with two threads, and back.
set -eu
awk 'BEGIN { x = 1; for (i = 0; i < 700000; i++) { x = (x * 69069 + 1) % 4294967296; printf "%x %d\n", x % 65536, i % 977 } }' >data
xz -T2 -5 --block-size=1MiB -k data
xz -dc data.xz | cmp - data
sha256sum data.xz
