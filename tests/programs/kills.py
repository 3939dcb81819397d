# SPDX-License-Identifier: GPL-2.0-or-later
"""kills.py KILLS SEED: jobs with a checkpoint every second run while omd, keepers, inits and dump workers are killed at random moments.
Afterwards every job that was accepted has ended well, and printed and left in its files what an undisturbed run does.  Speaks TAP lines without
numbers ("ok - text"), for t2900-kills.t; works in the current directory."""
import filecmp
import json
import os
import random
import signal
import subprocess
import sys
import time

PROGRAMS = os.path.join(os.environ["OM_SRC"], "tests/programs")
VICTIM = os.path.join(os.environ["OM_BUILD"], "tests/bin/victim")
HOME = os.environ["OM_HOME"]
KINDS = {
    "sh": ["/bin/sh", PROGRAMS + "/steps.sh"],
    "perl": ["/usr/bin/perl", PROGRAMS + "/steps.pl"],
    "python": ["/usr/bin/python3", PROGRAMS + "/steps.py"],
    "pipeline": [VICTIM, "tree-pipeline", "--rounds", "40"],
    "threads": [VICTIM, "tree-threads", "--rounds", "40"],
    "memory": [VICTIM, "mem-dirty", "--rounds", "40"],
    "file": [VICTIM, "file-append", "--rounds", "40"],
}
AT_ONCE = 4          # jobs in the queue that have not ended
PATIENCE = 5         # kills of one job without a new checkpoint between
ENDED = ("done", "failed", "cancelled", "timeout", "lost")
DEADLINE_S = 240


def say(text):
    print("# " + text, flush=True)


def run(*argv, cwd=None):
    return subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def text_of(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def children(pid):
    return [int(p) for p in text_of("/proc/%d/task/%d/children" % (pid, pid)).split()]


def ns_pid(pid):
    """All its numbers, the innermost last."""
    for line in text_of("/proc/%d/status" % pid).splitlines():
        if line.startswith("NSpid:"):
            return line.split()[1:]
    return []


class Daemon:
    def __init__(self):
        self.p = None
        self.starts = 0

    def up(self):
        if self.p is None or self.p.poll() is not None:
            self.p = subprocess.Popen([os.environ["OM_BUILD"] + "/bin/omd", "--user"], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=open("omd.log", "a"))
            self.starts += 1

    def answers(self):
        end = time.time() + 60
        while time.time() < end:
            self.up()
            if run("omctl", "status").returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit("not ok - omd does not come up again")


class Queue:
    """What was accepted, and what is known of it."""

    def __init__(self, rng):
        self.rng = rng
        self.kind = {}            # id -> kind
        self.since = {}           # id -> kills since its newest checkpoint
        self.newest = {}
        self.n = 0

    def folder(self, n):
        return os.path.abspath("run/%d" % n)

    def submit(self):
        kind = self.rng.choice(sorted(KINDS))
        self.n += 1
        folder = self.folder(self.n)
        os.makedirs(folder)
        r = run("omsub", "-J", kind, "-o", "out", "--checkpoint", "1s", "--", *KINDS[kind], cwd=folder)
        if r.returncode == 0:
            self.kind[r.stdout.strip()] = (kind, folder)

    def jobs(self):
        r = run("omq", "-a", "--json")
        if r.returncode != 0:
            return []
        rows = [j for j in json.loads(r.stdout)["jobs"] if j["id"] in self.kind]
        for j in rows:
            newest = (j.get("checkpoint") or {}).get("n")
            if newest != self.newest.get(j["id"]):
                self.newest[j["id"]] = newest
                self.since[j["id"]] = 0
        return rows

    def running(self):
        return [j["id"] for j in self.jobs() if j["state"] not in ENDED]

    def keepers(self):
        """pid -> job id, of all keepers of this queue"""
        found = {}
        for name in os.listdir("/proc"):
            if not name.isdigit() or text_of("/proc/%s/comm" % name) != "omjob\n":
                continue
            try:
                cwd = os.readlink("/proc/%s/cwd" % name)
            except OSError:
                continue
            words = text_of("/proc/%s/cmdline" % name).split("\0")
            if os.path.dirname(cwd) == HOME + "/jobs" and "keep" in words and int(name) not in sum((children(k) for k in found), []):
                found[int(name)] = os.path.basename(cwd)
        kids = set(sum((children(k) for k in found), []))
        return {k: v for k, v in found.items() if k not in kids}

    def target(self, what):
        """A pid to kill, and whose."""
        keepers = [(k, j) for k, j in self.keepers().items() if self.since.get(j, 0) < PATIENCE]
        self.rng.shuffle(keepers)
        for keeper, job in keepers:
            if what == "keeper":
                return keeper, job
            for kid in children(keeper):
                inside = ns_pid(kid)
                if inside and (what == "init") == (len(inside) > 1 and inside[-1] == "1"):
                    return kid, job
        return None, None


def reference(kind):
    folder = os.path.abspath("ref/" + kind)
    os.makedirs(folder)
    with open(folder + "/out", "w") as out:
        env = dict(os.environ)
        r = subprocess.run(KINDS[kind], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, timeout=120)
    if r.returncode != 0:
        raise SystemExit("not ok - the reference run of %s: %s" % (kind, text_of(folder + "/out")))


def differences(a, b):
    c = filecmp.dircmp(a, b, ignore=[])
    same, other, odd = filecmp.cmpfiles(a, b, c.common_files, shallow=False)
    return ["only undisturbed: " + n for n in c.left_only] + ["only here: " + n for n in c.right_only] + ["differs: " + n for n in other + odd]


def kill_for_a_while(rng, omd, queue, kills):
    done = {"omd": 0, "keeper": 0, "init": 0, "worker": 0}
    end = time.time() + DEADLINE_S
    while sum(done.values()) < kills and time.time() < end:
        if len(queue.running()) < AT_ONCE:
            queue.submit()
        time.sleep(rng.random() ** 2 * 0.8)
        what = rng.choice(["omd", "keeper", "keeper", "init", "init", "worker"])
        pid, job = (omd.p.pid, None) if what == "omd" else queue.target(what)
        if what == "worker" and pid is None:      # none there just now: wait a little for the next checkpoint
            until = time.time() + 1.2
            while pid is None and time.time() < until:
                pid, job = queue.target(what)
        if pid is None:
            continue
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        done[what] += 1
        if job:
            queue.since[job] = queue.since.get(job, 0) + 1
        if what == "omd":
            omd.p.wait()
            if rng.random() < 0.5:
                time.sleep(rng.random() * 0.5)
            omd.answers()
    return done


def main():
    kills, seed = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    for kind in sorted(KINDS):
        reference(kind)
    omd, queue = Daemon(), Queue(rng)
    omd.answers()
    done = kill_for_a_while(rng, omd, queue, kills)
    say("killed: " + ", ".join("%s %d" % i for i in done.items()) + "; omd started %d times; %d jobs accepted" % (omd.starts, len(queue.kind)))
    print("%s - %d random kills" % ("ok" if sum(done.values()) >= kills else "not ok", sum(done.values())))
    omd.answers()
    end, left = time.time() + DEADLINE_S, list(queue.kind)
    while left and time.time() < end:
        time.sleep(0.3)
        omd.up()
        left = queue.running()
    rows = {j["id"]: j for j in queue.jobs()}
    bad = 0
    for job, (kind, folder) in queue.kind.items():
        row = rows.get(job)
        wrong = ["it is not there any more"] if row is None else [] if row["state"] == "done" else ["it is %s: %s" % (row["state"], row.get("reason"))]
        wrong += differences("ref/" + kind, folder) if row and row["state"] == "done" else []
        if wrong:
            bad += 1
            say("job %s (%s, %s restarts): %s" % (job, kind, row and row["restarts"], "; ".join(wrong)))
            for line in text_of("%s/jobs/%s/keeper.log" % (HOME, job)).splitlines()[-12:]:
                say("   " + line)
            if os.environ.get("OM_KEEP"):
                say("   kept in " + folder)
    print("%s - every accepted job (%d) has ended with the output of an undisturbed run" % ("not ok" if bad else "ok", len(queue.kind)))
    say("%d restarts" % sum(r["restarts"] or 0 for r in rows.values()))
    run("omctl", "shutdown", "--kill")
    try:
        omd.p.wait(60)
    except subprocess.TimeoutExpired:
        print("not ok - omd ends when it is told to")
        omd.p.kill()


main()
