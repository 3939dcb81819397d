#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# watchdog: 600
# Debian's stock kernel 6.1, booted in QEMU on this machine's user land: victims are checkpointed three times and restored there.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
kernel=
for k in /boot/vmlinuz-6.1.*-amd64; do
	case $k in *-rt-amd64) ;; *) [ -r "$k" ] && kernel=$k ;; esac
done
[ -n "$kernel" ] || skip_all 'cannot here: no Debian kernel 6.1 in /boot (linux-image-amd64)'
for p in qemu-system-x86_64 cpio busybox; do
	command -v $p >/dev/null || skip_all "cannot here: no $p"
done
mkdir share
bash "$OM_SRC/tests/kernel/boot.sh" "$kernel" "$TRASH/share" 500 \
	"cd /run; uname -r; OM_SRC='$OM_SRC' OM_BUILD='$OM_BUILD' VICTIM_FLAG=old VICTIM_SERIES=thrice VICTIM_SECONDS=60 bash '$OM_SRC/tests/sys/t2400-victims.t'"
like "$(head -n 1 share/output 2>/dev/null)" '^6\.1\.' 'the kernel came up' || { tail -n 20 share/console | sed 's/^/# /'; done_testing; }
while IFS= read -r line; do
	case $line in
	'ok '*'# SKIP'* | 'not ok '*'# TODO'*)
		tap_n=$((tap_n + 1))
		printf '%s\n' "$line" | sed -E "s/^((not )?ok) [0-9]+/\1 $tap_n/" ;;
	'ok '* | 'not ok '*)
		[ "${line%% *}" = ok ]
		ok "${line#*- }" ;;
	*) printf '# %s\n' "${line#\# }" ;;
	esac
done < <(tail -n +2 share/output)
is "$(cat share/status 2>/dev/null)" 0 'all of it was run there'
done_testing
