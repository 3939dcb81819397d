# SPDX-License-Identifier: GPL-2.0-or-later
# tests/programs/run.sh - for tests that run real programs as jobs, after tests/lib.sh and tests/victims/run.sh.
# Each program runs once by itself (the reference) and once as a job that is checkpointed and killed at random moments; what they
# printed and the files they left must be the same, byte by byte.  OM_SEED repeats a run's moments.
programs=$OM_SRC/tests/programs
seed=${OM_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
note "OM_SEED=$seed"
RANDOM=$((seed % 32768))

random_ms() { # FROM TO
	echo $(($1 + RANDOM * RANDOM % ($2 - $1 + 1)))
}
nap_ms() {
	sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
}
job_field() { # ID FIELD: of omq --json, nothing if null
	omq --json "$1" 2>/dev/null | jq -r ".jobs[0].$2 // empty" 2>/dev/null
}
job_is() { # ID STATE...
	local s
	s=$(job_field "$1" state)
	shift
	case " $* " in *" $s "*) return 0 ;; esac
	return 1
}
job_keeper() { # ID: the pid of its keeper: it stands in the job's folder and is no child of another one
	local p parent
	for p in $(pgrep -x omjob); do
		[ "$(readlink "/proc/$p/cwd" 2>/dev/null)" = "$OM_HOME/jobs/$1" ] || continue
		parent=$(awk '/^PPid:/ { print $2 }' "/proc/$p/status" 2>/dev/null)
		[ "$(cat "/proc/${parent:-0}/comm" 2>/dev/null)" != omjob ] || continue
		tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q ' keep ' || continue
		echo "$p"
		return 0
	done
	return 1
}
job_init() { # ID: the pid of pid 1 of the job, a child of the keeper
	local k c
	k=$(job_keeper "$1") || return 1
	for c in $(cat "/proc/$k/task/$k/children" 2>/dev/null); do
		if awk '/^NSpid:/ { exit !($NF == 1 && NF > 2) }' "/proc/$c/status" 2>/dev/null; then
			echo "$c"
			return 0
		fi
	done
	return 1
}
job_worker() { # ID: the pid of a child of the keeper that is not the job's init
	local k c
	k=$(job_keeper "$1") || return 1
	for c in $(cat "/proc/$k/task/$k/children" 2>/dev/null); do
		awk '/^NSpid:/ { exit !(NF == 2) }' "/proc/$c/status" 2>/dev/null && echo "$c" && return 0
	done
	return 1
}
# What a program is called and how it is started.
program_argv() { # NAME: sets argv
	case $1 in
	python | numpy | multiprocessing) argv=(/usr/bin/python3 "$programs/$1.py") ;;
	perl) argv=(/usr/bin/perl "$programs/perl.pl") ;;
	pipeline) argv=(/bin/bash "$programs/pipeline.sh") ;;
	build | xz | sqlite | openssl) argv=(/bin/sh "$programs/$1.sh") ;;
	node) argv=(/usr/bin/node "$programs/node.js") ;;
	java) argv=(/usr/bin/java -XX:-UsePerfData -cp "$TRASH" Java) ;;
	go) argv=("$TRASH/go-program") ;;
	stress-cpu) argv=(/bin/sh "$programs/stress.sh" cpu 3000 2) ;;
	stress-memory) argv=(/bin/sh "$programs/stress.sh" vm 60000 2) ;;
	stress-pipe) argv=(/bin/sh "$programs/stress.sh" pipe 1200000 2) ;;
	stress-fork) argv=(/bin/sh "$programs/stress.sh" fork 3000 2) ;;
	stress-futex) argv=(/bin/sh "$programs/stress.sh" futex 80000 2) ;;
	stress-timer) argv=(/bin/sh "$programs/stress.sh" timer 60000 2) ;;
	esac
}
program_there() { # NAME: can it run here? else says what is missing
	local need
	program_argv "$1"
	case $1 in
	numpy) /usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo python3-numpy; return 1; } ;;
	build) need='make gcc' ;;
	java) need='javac' ;;
	go) need='go' ;;
	stress-*) need='stress-ng' ;;
	sqlite) need='sqlite3' ;;
	esac
	for need in ${need:-} "${argv[0]}"; do
		command -v "$need" >/dev/null || [ "$need" = "$TRASH/go-program" ] || { echo "$need"; return 1; }
	done
}
program_make() { # NAME: what has to be compiled first
	case $1 in
	java) javac -d "$TRASH" "$programs/Java.java" ;;
	go) GO111MODULE=off GOFLAGS='' GOCACHE="$TRASH/go-cache" GOPATH="$TRASH/go-path" go build -o "$TRASH/go-program" "$programs/golang.go" ;;
	esac
}
fail_text() { # ID TEXT: what goes wrong, with what the daemon knows
	echo "$2"
	omq -l "$1" 2>&1
	tail -n 15 "$OM_HOME/jobs/$1/keeper.log" 2>/dev/null
}
# Moments are chosen in fixed bounds of real time, short against what each program needs on an idle machine (2 to 5 s).
program_kills=2
program() { # NAME: "ok", "skip WHY" or what was wrong
	local name=$1 missing ref="$TRASH/ref/$1" run="$TRASH/run/$1" id n victim rc restarts=0
	missing=$(program_there "$name") || { echo "skip $missing is not here"; return; }
	RANDOM=$(($(printf '%s%s' "$seed" "$name" | cksum | cut -d' ' -f1) % 32768))
	program_argv "$name"
	mkdir -p "$ref" "$run"
	program_make "$name" 2>&1 || { echo "it could not be compiled"; return; }
	(cd "$ref" && "${argv[@]}" </dev/null >out 2>&1) || { echo "the reference run failed"; tail -n 5 "$ref/out"; return; }
	id=$(cd "$run" && omsub -J "$name" -o out --checkpoint off -- "${argv[@]}") || { echo "not accepted"; return; }
	wait_for "job_is $id running done failed lost" || { fail_text "$id" 'it never ran'; return; }
	for n in $(seq $program_kills); do
		nap_ms "$(random_ms 20 500)"
		if ! omckpt now "$id" >"$TRASH/ckpt.$name" 2>&1; then
			job_is "$id" running || break
			fail_text "$id" "checkpoint $n: $(cat "$TRASH/ckpt.$name")"
			return
		fi
		nap_ms "$(random_ms 0 250)"
		if [ $((RANDOM % 2)) = 0 ]; then victim=$(job_keeper "$id"); else victim=$(job_init "$id"); fi
		[ -n "$victim" ] && kill -9 "$victim" 2>/dev/null || break
		restarts=$n
		wait_for "[ \"\$(job_field $id restarts)\" -ge $n ] && job_is $id running done failed lost" ||
			{ fail_text "$id" "it was not started again after kill $n"; return; }
	done
	timeout "$program_seconds" omwait "$id"
	rc=$?
	[ $rc = 0 ] || { fail_text "$id" "it ended with $rc"; diff -r "$ref" "$run" 2>&1 | head -n 5; return; }
	diff -r "$ref" "$run" >"$TRASH/diff.$name" 2>&1 || { fail_text "$id" 'output differs'; head -n 8 "$TRASH/diff.$name" | cut -c1-200; return; }
	# on a machine that stalls it may have ended before the kill: then at least its output was right
	echo ok
	echo "$name: killed $restarts times"
}
program_seconds=120
