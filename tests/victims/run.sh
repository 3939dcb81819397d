# SPDX-License-Identifier: GPL-2.0-or-later
# tests/victims/run.sh - for tests that run victims, after tests/lib.sh.  A victim's files are $TRASH/v.ID.*; ID is one run of one victim.

victim_names() { # [FLAG]: names in the list, all or those with the flag
	sed 's/#.*//' "$OM_SRC/tests/victims/list" | awk -v f="${1:-}" '
		NF { for (i = f == "" ? 1 : 2; i <= NF; i++) if (f == "" || $i == f) { print $1; break } }'
}
victim_flag() { # NAME FLAG: has it
	sed 's/#.*//' "$OM_SRC/tests/victims/list" | awk -v n="$1" -v f="$2" '$1 == n { for (i = 2; i <= NF; i++) if ($i == f) r = 1 } END { exit !r }'
}
victim_todo() { # NAME: why it is allowed to fail here, or nothing (a space is written as _)
	sed 's/#.*//' "$OM_SRC/tests/victims/list" | awk -v n="$1" -v user="$([ "$(id -u)" = 0 ] || echo 1)" '
		$1 == n { for (i = 2; i <= NF; i++) if ($i ~ /^todo=/ || (user && $i ~ /^todo-user=/)) { sub(/^[^=]*=/, "", $i); gsub(/_/, " ", $i); print $i; exit } }'
}
victim_env() { # ID: what a victim wants in its environment
	export VICTIM_READY="$TRASH/v.$1.ready" VICTIM_GO="$TRASH/v.$1.go"
}
victim_ready() { # ID [PID]: wait until it is ready; false if it ended before
	local n=0
	while [ ! -e "$TRASH/v.$1.ready" ]; do
		if [ -s "$TRASH/v.$1.out" ] || { [ -n "${2:-}" ] && ! kill -0 "$2" 2>/dev/null; }; then
			[ -e "$TRASH/v.$1.ready" ] && return 0
			return 1
		fi
		n=$((n + 1))
		[ $n -lt 1200 ] || return 1
		sleep 0.05
	done
}
victim_go() { # ID [TEXT]: it may verify now
	echo "${2:-}" >"$TRASH/v.$1.go.tmp" && mv "$TRASH/v.$1.go.tmp" "$TRASH/v.$1.go"
}
victim_verdict() { # ID NAME: what it said, "ok NAME" if all is well; waits for it
	local n=0
	until [ -s "$TRASH/v.$1.out" ] && grep -Eq '^(ok|bad|skip) ' "$TRASH/v.$1.out"; do
		n=$((n + 1))
		if [ $n -ge 1200 ]; then
			echo "no verdict in 60 s: $(cat "$TRASH/v.$1.out" 2>/dev/null)"
			return
		fi
		sleep 0.05
	done
	head -n 1 "$TRASH/v.$1.out"
}
# Run @fn NAME for every name given, at most $victim_jobs at a time; @fn prints "ok", "skip WHY" or anything else as failure.
# Results come as TAP, in order.
victim_jobs=2
victim_each() { # FN LABEL NAME...
	local fn=$1 label=$2 v running=0 first text todo
	shift 2
	for v in "$@"; do
		( trap - EXIT; "$fn" "$v" >"$TRASH/r.$fn.$v" 2>&1 ) &
		running=$((running + 1))
		if [ $running -ge $victim_jobs ]; then
			wait -n
			running=$((running - 1))
		fi
	done
	wait
	for v in "$@"; do
		text=$(cat "$TRASH/r.$fn.$v")
		first=${text%%$'\n'*}
		todo=$(victim_todo "$v")
		tap_n=$((tap_n + 1))
		case $first in
		ok) echo "ok $tap_n - $label$v" ;;
		"skip "*) echo "ok $tap_n - $label$v # SKIP cannot here: ${first#skip }" ;;
		*)
			if [ -n "$todo" ]; then
				echo "not ok $tap_n - $label$v # TODO $todo"
			else
				echo "not ok $tap_n - $label$v"
				tap_bad=$((tap_bad + 1))
			fi
			printf '%s\n' "$text" | sed 's/^/# /'
			;;
		esac
	done
}
