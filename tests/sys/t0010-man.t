#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Man pages: well-formed, and each says the options that its command has, no more and no less.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"

commands="omsub omq omdel omhold omrelease omsig omwait omctl omckpt"

help_options() { # the options at the beginning of lines: -x and --word
	"$1" --help | grep -E '^ +-' | sed -E 's/^ +//; s/  .*//' | grep -oE '(^|[ ,])--?[A-Za-z][a-z-]*' | tr -d ' ,' | sort -u
}
man_options() { # .It Fl x , -word Ar ...
	grep '^\.It Fl ' "$OM_SRC/man/$1.1" | sed 's/^\.It //; s/ Ar .*//' | tr ' ' '\n' |
		sed -n 's/^-\([a-z][a-z-]*\)$/--\1/p; s/^\([A-Za-z]\)$/-\1/p' | sort -u
}

if command -v mandoc >/dev/null; then
	is "$(mandoc -Tlint -Wwarning "$OM_SRC"/man/*.[1-8] 2>&1)" "" "mandoc finds nothing to complain about"
else
	note "no mandoc here"
fi
for c in $commands; do
	is "$(help_options "$c")" "$(man_options "$c")" "$c: --help and the man page name the same options"
	is "$("$c" --version | grep -c "^$c (openmosix) [0-9]")" 1 "$c --version"
	for s in 'EXIT STATUS' FILES EXAMPLES SECURITY; do
		grep -q "^\.Sh $s" "$OM_SRC/man/$c.1"
		ok "$c: the page has $s"
	done
	is "$("$c" --help | awk 'length > 130')" "" "$c: --help has no overlong lines"
done
# every option of a job can be a YAML key: the page of the format points to them
for x in '#OM' '#SBATCH' '#PBS' YAML; do
	grep -q "$x" "$OM_SRC/man/openmosix-job.5"
	ok "openmosix-job(5) has $x"
done
bash -n "$OM_SRC/omsub/completion.bash"
ok "completion is valid bash"
out=$(bash -c '. "$OM_SRC/omsub/completion.bash"; COMP_WORDS=(omsub --no-); COMP_CWORD=1; _om omsub --no- omsub; echo "${COMPREPLY[*]}"')
is "$out" "--no-env --no-requeue" "completion of options"
out=$(bash -c '. "$OM_SRC/omsub/completion.bash"; COMP_WORDS=(omckpt ""); COMP_CWORD=1; _om omckpt "re" omckpt; echo "${COMPREPLY[*]}"')
is "$out" "restore" "completion of verbs"
done_testing
