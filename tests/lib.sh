# SPDX-License-Identifier: GPL-2.0-or-later
# tests/lib.sh - what the system tests share; each begins with:  . "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"
# Speaks TAP.  Every test has a private home, spool and socket under $TRASH and leaves nothing behind.
set -u
OM_SRC=$(cd "${OM_SRC:-$(dirname "$0")/../..}" && pwd)
OM_BUILD=${OM_BUILD:-$OM_SRC}
export OM_SRC OM_BUILD
TRASH=$(mktemp -d "${TMPDIR:-/tmp}/om-test.XXXXXX")
export TRASH OM_HOME="$TRASH/home" OM_LIBEXEC="$OM_BUILD/bin" HOME="${OM_TEST_USER:+$HOME}"
HOME=${HOME:-$TRASH}
export HOME
# all programs of ours in one folder of links, as an installed system has them (and no source folder in PATH)
if [ ! -d "$OM_BUILD/bin" ]; then echo "1..0 # SKIP no $OM_BUILD/bin: run make"; exit 99; fi
PATH=$OM_BUILD/bin:$OM_BUILD/tests/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset OM_SOCKET
tap_n=0
tap_bad=0
ok() { # ok NAME: what ran just before has succeeded
	local rc=$?
	tap_n=$((tap_n + 1))
	if [ $rc = 0 ]; then echo "ok $tap_n - $1"; else echo "not ok $tap_n - $1"; tap_bad=$((tap_bad + 1)); fi
	return $rc
}
is() { # is GOT WANTED NAME
	tap_n=$((tap_n + 1))
	if [ "$1" = "$2" ]; then
		echo "ok $tap_n - $3"
	else
		echo "not ok $tap_n - $3"
		printf '%s\n' "got:      $1" "expected: $2" | sed 's/^/# /'
		tap_bad=$((tap_bad + 1))
		return 1
	fi
}
like() { # like TEXT EXTENDED-REGEX NAME
	tap_n=$((tap_n + 1))
	if printf '%s\n' "$1" | grep -Eq -- "$2"; then
		echo "ok $tap_n - $3"
	else
		echo "not ok $tap_n - $3"
		printf '%s\n' "got:   $1" "no match for: $2" | sed 's/^/# /'
		tap_bad=$((tap_bad + 1))
		return 1
	fi
}
rc_is() { # rc_is WANTED NAME COMMAND...: output in $TRASH/out and $TRASH/err
	local want=$1 name=$2 rc
	shift 2
	"$@" >"$TRASH/out" 2>"$TRASH/err"
	rc=$?
	is "$rc" "$want" "$name" || sed 's/^/# /' "$TRASH/err"
}
note() { printf '%s\n' "$*" | sed 's/^/# /'; }
wait_for() { # wait_for 'COMMAND' [SECONDS=60]: polls until it succeeds
	local until=$((SECONDS + ${2:-60}))
	while ! eval "$1" >/dev/null 2>&1; do
		[ $SECONDS -lt $until ] || { note "waited ${2:-60} s in vain for: $1"; return 1; }
		sleep 0.05
	done
}
skip_all() { trap - EXIT; cleanup; echo "1..0 # SKIP $*"; exit 0; }
cleanup() {
	local p e
	if [ -S "$OM_HOME/omd.sock" ]; then omctl shutdown --kill >/dev/null 2>&1; fi
	# nothing of this test outlives it: all its processes carry its TRASH in their environment
	for e in /proc/[0-9]*/environ; do
		if grep -qza "^TRASH=$TRASH\$" "$e" 2>/dev/null; then
			p=${e%/environ}
			p=${p#/proc/}
			[ "$p" = $$ ] || [ "$p" = "${BASHPID:-$$}" ] || kill -9 "$p" 2>/dev/null
		fi
	done
	cd / && rm -rf "$TRASH"
}
done_testing() {
	trap - EXIT
	cleanup
	echo "1..$tap_n"
	[ $tap_bad = 0 ]
	exit
}
trap 'cleanup; echo "not ok $((tap_n + 1)) - the test came to its end"; echo "1..$((tap_n + 1))"' EXIT
cd "$TRASH" || exit 99
