# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of the commands of openMosix for bash.  Options come from --help, so they are always those of the installed command.

_om_options() { # of command $1
	local IFS=$' \t\n'
	"$1" --help 2>/dev/null | sed -n 's/^ *\(-[A-Za-z], *\)\{0,1\}\(--[a-z][a-z-]*\).*/\2/p'
}

_om_ids() { # of the jobs that have not ended; with -a: of all
	omq "$@" 2>/dev/null | sed -n 's/^ *\([0-9][0-9_]*\) .*/\1/p'
}

_om() {
	local cmd=${1##*/} cur=${2:-} prev=${3:-} words=""
	COMPREPLY=()
	case $prev in
	--checkpoint) words="off auto 30s 5m" ;;
	--restart) words="checkpoint only-checkpoint never" ;;
	--net) words="refuse reset" ;;
	--files) words="all open" ;;
	--depend | -d) [ "$cmd" = omsub ] && words="afterok: afterany: afternotok:" ;;
	--state | -s) [ "$cmd" = omq ] && words="held waiting starting running suspended ending done failed cancelled timeout lost" ;;
	--user | -u) [ "$cmd" = omq ] && { mapfile -t COMPREPLY < <(compgen -u -- "$cur"); return; } ;;
	--chdir | -D) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--socket | --file | --shell-lines | --failed | --stdin | --stdout | --stderr | -f | -S | -i | -o | -e)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	if [ -z "$words" ]; then
		case $cmd:$cur in
		*:-*) words=$(_om_options "$1") ;;
		omsub:*)
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
			;;
		omctl:*) words="status drain shutdown" ;;
		omckpt:*)
			case " ${COMP_WORDS[*]} " in
			*" import "* | *" export "*" "[0-9]*" "*)
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
				return
				;;
			*" now "*) words=$(_om_ids -s running) ;;
			*" list "* | *" show "* | *" verify "* | *" restore "* | *" export "* | *" prune "*) words=$(_om_ids -a) ;;
			*) words="now list show verify restore export import prune" ;;
			esac
			;;
		omsig:*)
			if [ "$COMP_CWORD" = 1 ]; then
				words=$(omsig --list | awk '{ print $2 }')
			else
				words=$(_om_ids -s running)
			fi
			;;
		omq:* | omwait:*) words=$(_om_ids -a) ;;
		omrelease:*) words=$(_om_ids -s held,suspended) ;;
		*) words=$(_om_ids) ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -o filenames -F _om omsub
complete -F _om omq omdel omhold omrelease omsig omwait omctl omckpt
