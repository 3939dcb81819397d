# SPDX-License-Identifier: GPL-2.0-or-later
# openssl: chains of encryption and digests.
set -eu
key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
awk 'BEGIN { for (i = 0; i < 300000; i++) print i * 7 }' >stage
turn=0
while [ $turn -lt 60 ]; do
	openssl enc -aes-256-ctr -K $key -iv "$(printf %032x $turn)" -in stage | openssl enc -chacha20 -K $key -iv "$(printf %032x $((turn + 7)))" >next
	openssl dgst -sha512 -r next | cut -c1-64
	openssl dgst -sha3-256 -r next >>digests
	mv next stage
	turn=$((turn + 1))
done
