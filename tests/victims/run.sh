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
		ok)
			echo "ok $tap_n - $label$v"
			printf '%s' "${text#ok}" | sed '/^$/d; s/^/# /'
			[ "$text" = ok ] || echo ;;
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

# ---- victims under the checkpoint engine (omtree) ----
victim_seconds=${VICTIM_SECONDS:-60}	# a step that takes longer has failed

victim_program() { # NAME: sets prog and args
	prog=victim
	[ "$1" = "${1%.static}" ] || prog=victim-static
	name=${1%.static}
}
# Start "omtree run|restore" for run ID in the background: sets pid.
tree_run() { # ID NAME
	victim_program "$2"
	victim_env "$1"
	omtree run "$TRASH/j.$1" -- "$OM_BUILD/tests/bin/$prog" "$name" >"$TRASH/v.$1.out" 2>"$TRASH/v.$1.err" &
	pid=$!
}
# The victim is ready, and omtree has written down who it is.
tree_ready() { # ID PID
	local n=0
	victim_ready "$1" "$2" || return 1
	while [ ! -s "$TRASH/j.$1/pid" ] && kill -0 "$2" 2>/dev/null && [ $n -lt 3000 ]; do
		n=$((n + 1))
		sleep 0.02
	done
	[ -s "$TRASH/j.$1/pid" ]
}
tree_restore() { # ID [N]
	victim_env "$1"
	omtree restore "$TRASH/j.$1" ${2:+"$2"} >>"$TRASH/v.$1.out" 2>"$TRASH/v.$1.err" &
	pid=$!
}
tree_dump() { # ID [OPTION...]
	local id=$1
	shift
	# the victim may be ready before omtree has written down who it is
	wait_for "[ -e '$TRASH/j.$id/pid' ]" "$victim_seconds"
	timeout -k 1 "$victim_seconds" omtree dump "$@" "$TRASH/j.$id" >"$TRASH/v.$id.dump" 2>&1
}
tree_kill() { # ID PID: ends the tree, and waits for omtree run
	local init
	init=$(cat "$TRASH/j.$1/pid" 2>/dev/null) && kill -9 "$init" 2>/dev/null
	[ -n "$init" ] || kill -9 "$2" 2>/dev/null
	wait "$2" 2>/dev/null
}
# The verdict of run ID, whose omtree is PID: waits for it, or for omtree's end, or for the deadline.
tree_verdict() { # ID PID
	local until=$((SECONDS + victim_seconds))
	while kill -0 "$2" 2>/dev/null && [ $SECONDS -lt $until ]; do sleep 0.02; done
	if kill -0 "$2" 2>/dev/null; then
		echo "no end in $victim_seconds s: $(cat "$TRASH/v.$1.out")"
		tree_kill "$1" "$2"
		kill -9 "$2" 2>/dev/null
	else
		wait "$2"
		rc=$?
		head -n 1 "$TRASH/v.$1.out" | grep . || echo "omtree ended with $rc, no verdict: $(cat "$TRASH/v.$1.err")"
	fi
}
tree_done() { # ID: remove what it left
	rm -rf "$TRASH/j.$1" "$TRASH/v.$1."*
}
# The common frame: SERIES is a function called with ID NAME PID when the victim is ready; it returns 0 with pid set to the omtree to be asked, or
# says what went wrong.
victim_series() { # SERIES NAME
	local id="$1.$2" out refused pid
	tree_run "$id" "$2"
	if ! tree_ready "$id" "$pid"; then
		out=$(tree_verdict "$id" "$pid")
		case $out in
		skip*) echo "skip ${out#*: }" ;;
		*) echo "before the checkpoint: $out" ;;
		esac
		return
	fi
	"$1" "$id" "$2" || { tree_kill "$id" "$pid"; return; }
	[ -e "$TRASH/v.$id.go" ] || victim_go "$id"
	out=$(tree_verdict "$id" "$pid")
	if [ "$out" = "ok ${2%.static}" ]; then
		echo ok
		tree_done "$id"
	else
		echo "$out"
		cat "$TRASH/v.$id.err" "$TRASH/v.$id.dump" 2>/dev/null
	fi
}
