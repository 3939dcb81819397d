#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# omsub: every form of a job, what goes along with it, and what comes back.
. "${OM_SRC:-$(dirname "$0")/../..}/tests/lib.sh"

run() { # run OMSUB-ARGUMENTS...: the output of a job that is waited for
	omsub -q --wait --stdout "$TRASH/run.out" "$@" </dev/null || return
	cat "$TRASH/run.out"
}
spec() { # spec ID FILTER: of the description that the daemon has
	omq -l --json "$1" | jq -r ".jobs[0].spec$2"
}

# the private daemon: many at once start one
for i in 1 2 3 4 5 6 7 8; do omsub -- true >"id.$i" 2>"err.$i" & done
wait
is "$(cat err.*)" "" "eight at once that find no daemon: no complaints"
is "$(sort -n id.* | tr '\n' ' ')" "1 2 3 4 5 6 7 8 " "each gets an id of its own"
is "$(omctl status --json | jq -r .mode)" user "it is a private daemon"
omwait 1 2 3 4 5 6 7 8
ok "all end well"

# forms
is "$(run -- echo 'a  b' c)" "a  b c" "a command with arguments"
printf '#!/bin/bash\necho "$BASH_VERSION" "$0" "$@"\n' >j.sh
like "$(run j.sh x 'y z')" '^[0-9.]+\([0-9]\).* x y z$' "a script with an interpreter, and arguments"
printf 'echo plain $# "$1"\n' >plain
is "$(run ./plain 'a b')" "plain 1 a b" "a script without a first line"
is "$(echo 'echo from stdin' | { omsub -q --wait -o in.out - && cat in.out; })" "from stdin" "a script from standard input"
is "$(run /bin/echo elf)" "elf" "a program in machine code"
id=$(omsub -o c.out j.sh)
rm j.sh
omwait "$id"
ok "the script may go when omsub has ended"
cat >job.yaml <<'Y'
name: from-yaml
stdout: yaml-%A-%a.out
array: {indices: 1-2, cap: 1}
env: {WORD: of honour}
args: [x]
script: |
  #!/bin/sh
  echo $OM_ARRAY_INDEX $1 $WORD
Y
id=$(omsub -f job.yaml)
omwait "$id"
ok "a job from YAML"
is "$(cat "yaml-$id-1.out" "yaml-$id-2.out")" "1 x of honour
2 x of honour" "did what it says"
is "$(omq -a --json -n from-yaml | jq -r '.jobs[].state' | sort -u)" done "and has its name"

# what goes along
mkdir 'a folder'
is "$(cd 'a folder' && run -- pwd)" "$TRASH/a folder" "the folder"
is "$(run --chdir 'a folder' -- pwd)" "$TRASH/a folder" "--chdir from here"
is "$(umask 027 && run -- sh -c umask)" 0027 "the umask"
is "$(ulimit -n 123 && run -- sh -c 'ulimit -n')" 123 "resource limits"
is "$(X='a=b
c' run -- sh -c 'echo "$X"')" "a=b
c" "the environment"
is "$(X=1 run --no-env -E Y=2 -- sh -c 'echo "$X.$Y.$PATH"')" ".2./usr/local/bin:/usr/bin:/bin" "--no-env and --env"
is "$(X=1 Y=2 run --no-env -E X -- sh -c 'echo "$X.$Y"')" "1." "--env NAME passes it on"
is "$(X=1 run -E X=3 -- sh -c 'echo "$X"')" 3 "--env wins over the environment"
X=$'\xff' omsub -q --wait -o x.out -- true 2>err
ok "a variable that is not UTF-8 does not stop a job"
like "$(cat err)" "warning: the environment variable X is not UTF-8" "and is named"
rc_is 1 "an argument that is not UTF-8 is refused" omsub -- echo $'\xff'

# files
omsub -q --wait -J nm -o 'o.%j.%n' -e e.out -- sh -c 'echo out; echo err >&2'
is "$(cat o.*.nm e.out)" "out
err" "standard output and error"
echo input >in
is "$(run -i in -- cat)" input "standard input"
is "$(run -- sh -c 'echo a >&2; echo b')" "a
b" "standard error goes where standard output goes"
echo old >app
omsub -q --wait --append -o app -- echo new
is "$(cat app)" "old
new" "--append"
id=$(omsub --wait -- echo default)
is "$(cat "om-$id.out")" default "the default name of the output"

# options in scripts
cat >lines.sh <<'S'
#!/bin/sh
#OM --name=own -E A=om
#OM --nonsense
#SBATCH --job-name=slurm --output=s-%j.out
#SBATCH --mail-type=ALL
#PBS -N pbs
#PBS -l walltime=1:00:00
echo $A
S
id=$(omsub -E A=cli lines.sh 2>err)
omwait "$id"
is "$(cat "s-$id.out")" cli "the command line wins"
is "$(spec "$id" .name).$(spec "$id" .time_limit)" own.3600 "then #OM, then the others"
is "$(cat err)" "omsub: warning: lines.sh:5: --mail-type ignored: no mail is sent; --notify URL posts state changes
omsub: warning: lines.sh:3: #OM: '--nonsense': unknown option" "what has no effect is named with its line"
printf '#!/bin/sh\n#PBS -N x\ncd /; cd $PBS_O_WORKDIR && pwd\n' >p.sh
is "$(run p.sh)" "$TRASH" "PBS_O_WORKDIR"

printf '#!/bin/sh\n#SBATCH -a 3 -o sl-%%A_%%a\necho $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID $SLURM_JOB_ID\n' >s.sh
id=$(omsub --wait s.sh)
is "$(cat "sl-${id}_3")" "$id 3 ${id}_3" "SLURM_ARRAY_TASK_ID and the like"
printf '#!/bin/sh\n#PBS -J 4-5\n#PBS -o p.^array_index^\necho $PBS_ARRAY_INDEX $PBS_JOBID\n' >p.sh
id=$(omsub --wait p.sh)
is "$(cat p.4 p.5)" "4 ${id}_4
5 ${id}_5" "PBS_ARRAY_INDEX and PBS_JOBID"
is "$(OM_ARRAY_INDEX=7 run -- sh -c 'echo "$OM_JOB_ID.$OM_ARRAY_INDEX" | tr -d 0-9')" "." "a job submitted by an element of an array is none"

# every option reaches the daemon
id=$(omsub -H -J all -p -5 -a 1-9:2%3 -b +1h -c 2 -m 100M -t 1:00 --checkpoint 30s --keep 3 --restart only-checkpoint \
	--net reset --files open --notify http://localhost:1/ -- true)
is "$(spec "$id" '|[.priority,.array.indices,.array.cap,.cpus,.memory,.time_limit,.checkpoint,.keep,.restart,.net,.files,.notify]|join(" ")')" \
	"-5 1-9:2 3 2 104857600 60 30 3 only-checkpoint reset open http://localhost:1/" "all options are in the description"
is "$(omq --json "$id" | jq -r '.jobs[0].state')" held "--hold"
omdel "$id"
id=$(omsub --hold -- false)
id2=$(omsub --depend "afternotok:$id" -o dep.out -- echo after)
id3=$(omsub --depend "afterok:$id" -- echo never)
omrelease "$id"
omwait "$id2"
is "$?.$(cat dep.out)" "0.after" "--depend afternotok"
omwait "$id3"
is "$?" 1 "--depend afterok of a job that failed never runs"
rc_is 1 "the daemon's refusal is passed on" omsub --depend afterok:999999 -- true
like "$(cat err)" "^omsub: .*999999" "with its reason"

# what comes back
omsub -q --wait -- sh -c 'exit 7'
is "$?" 7 "--wait: the exit code"
omsub -q --wait -- sh -c 'kill -9 $$'
is "$?" 137 "--wait: a signal"
omsub -q --wait -o a.out --array 0-3 -- sh -c 'exit $OM_ARRAY_INDEX'
is "$?" 3 "--wait: the highest of an array"
is "$(omsub --json -- true | jq -r '.ids | length')" 1 "--json"
is "$(omsub -q -- true)" "" "--quiet"

# lines of shell
printf '%s\n' 'echo one >>l.txt' false '' '# no job' "exit 3 # it's bad" 'true' >lines
omsub -S lines --failed bad -j 2 >out 2>err
is "$?" 1 "-S: a line failed"
is "$(sort bad)" "exit 3 # it's bad
false" "the bad lines are in the file"
is "$(cat out)" "4 jobs, 2 failed" "a summary"
is "$(cat l.txt)" one "they were run by a shell, here"
omsub -q -S <(echo true) --failed none
ok "-S: all went well"
[ -e none ] && [ ! -s none ]
ok "an empty list of failed lines"
for i in 1 2 3 4 5 6; do echo 'mkdir now.$OM_JOB_ID; ls -d now.* | wc -l >>most; rmdir now.$OM_JOB_ID'; done >many
omsub -q -S many -j 1
is "$(sort -u most)" 1 "-j 1: never two at once"

# the daemon is restarted while somebody waits
id=$(omsub -o w.out -- sh -c 'until [ -e go ]; do sleep 0.05; done; exit 5')
omwait "$id" &
w=$!
wait_for '[ "$(omq --json $id | jq -r ".jobs[0].state")" = running ]'
omctl shutdown --leave
ok "omctl shutdown --leave"
rc_is 3 "no daemon any more" omq
omsub -q -- true
ok "omsub starts it again"
touch go
wait $w
is "$?" 5 "omwait has not noticed"
omctl shutdown
ok "omctl shutdown"
done_testing
