/* SPDX-License-Identifier: GPL-2.0-or-later */
/* User mode: vfork, as nothing is as cheap.  System mode: fork.  A child that has become the user can be stopped by him, and a
 * vfork parent stands still as long as its child does; so there the child must have memory of its own. */
#include "omd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/paths.h"
#include "base/proc.h"
#include "base/str.h"
#include "omd/omd.h"

extern char **environ;

enum { FD_SAFE = 16, GROUPS_MAX = 65536 };
static const uint64_t USER_NS = 60 * 1000000000ULL;

/* everything the child needs, ready before the fork: a vfork child must not allocate */
struct plan {
	const struct omd_spawn *s;
	char path[PATH_MAX];
	char **env;
	int fds[4];			/* all >= FD_SAFE, or -1 */
	bool become;
	const gid_t *groups;		/* of the cache */
	int n_groups;
	struct rlimit nofile;
	pid_t parent;
};

static int become_user(const struct plan *p)
{
	if (setgroups((size_t)p->n_groups, p->groups) < 0 || setresgid(p->s->gid, p->s->gid, p->s->gid) < 0 ||
	    setresuid(p->s->uid, p->s->uid, p->s->uid) < 0)
		return -errno;
	return 0;
}

static void __attribute__((noreturn)) child(const struct plan *p)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	int log;

	for (int i = 1; i < 32; i++)	/* only SIGPIPE differs, but one that we forget would be inherited by every job */
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &dfl, NULL);
	setsid();
	setrlimit(RLIMIT_NOFILE, &p->nofile);
	if (p->become && become_user(p) < 0)
		_exit(OMD_SPAWN_E_USER);
	if (!p->s->stay) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != p->parent)
			_exit(OMD_SPAWN_E_EXEC);
	}
	if (p->s->dirfd >= 0 ? fchdir(p->s->dirfd) < 0 : chdir("/") < 0)
		_exit(OMD_SPAWN_E_FOLDER);
	for (int i = 0; i < 4; i++)
		if (p->fds[i] >= 0 && dup2(p->fds[i], i) < 0)
			_exit(OMD_SPAWN_E_FDS);
	if (p->s->log) {		/* as the user, so a link that he put there leads to nothing he could not write himself */
		log = open(p->s->log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
		if (log >= 0)
			dup2(log, 2);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(p->path, (char *const *)(uintptr_t)p->s->argv, p->env);
	_exit(OMD_SPAWN_E_EXEC);
}

static pid_t __attribute__((noinline)) start(const struct plan *p)
{
	pid_t pid = p->become ? fork() : vfork();

	if (pid == 0)
		child(p);
	return pid;
}

/* In system mode nothing of the administrator's environment reaches a user's process. */
static int make_env(struct omd *omd, struct plan *p)
{
	static const char *const keep[] = { "PATH=", "LANG=", "LC_", "TZ=", "OM_" };
	size_t n = 0, k = 0;

	if (!omd->system) {
		p->env = environ;
		return 0;
	}
	while (environ[n])
		n++;
	p->env = calloc(n + 1, sizeof(*p->env));
	if (!p->env)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < OM_ARRAY_SIZE(keep); j++)
			if (om_str_starts(environ[i], keep[j])) {
				p->env[k++] = environ[i];
				break;
			}
	return 0;
}

static int make_fds(struct omd *omd, struct plan *p)
{
	for (int i = 0; i < 4; i++) {
		int fd = p->s->fds[i] >= 0 ? p->s->fds[i] : i < 3 ? omd->null_fd : -1;

		if (fd < 0)
			continue;
		p->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, FD_SAFE);	/* so that no dup2() runs over another's source */
		if (p->fds[i] < 0)
			return -errno;
	}
	return 0;
}

static int plan_make(struct omd *omd, struct plan *p, struct om_err *err)
{
	int r = 0;

	if (p->s->program[0] == '/')
		r = om_str_copy(p->path, sizeof(p->path), p->s->program);
	else if (strcmp(p->s->program, "omjob") == 0 && omd->omjob[0])
		memcpy(p->path, omd->omjob, sizeof(p->path));
	else
		r = om_path_program(p->path, sizeof(p->path), p->s->program);

	if (r < 0)
		return om_err_sys(err, r, "find the program %s", p->s->program);
	p->nofile = omd->nofile;
	p->parent = getpid();
	r = make_env(omd, p);
	if (r < 0)
		return om_err_set(err, r, "out of memory");
	if (omd->system) {
		p->become = true;
		r = omd_user_groups(omd, p->s->uid, p->s->gid, &p->groups, &p->n_groups, err);
		if (r < 0)
			return r;
	}
	r = make_fds(omd, p);
	return r < 0 ? om_err_sys(err, r, "descriptors for %s", p->s->program) : 0;
}

static void plan_done(struct plan *p)
{
	for (int i = 0; i < 4; i++)
		om_fd_close(p->fds[i]);
	if (p->env != environ)
		free(p->env);
}

int omd_spawn(struct omd *omd, const struct omd_spawn *s, int *ret, pid_t *ret_pid, struct om_err *err)
{
	struct plan p = { .s = s, .fds = { -1, -1, -1, -1 } };
	sigset_t all, old;
	int r = om_fault(OM_FI_OMD_SPAWN), fd = -1;
	pid_t pid = -1;

	if (r < 0)
		return om_err_sys(err, r, "start %s", s->program);
	r = plan_make(omd, &p, err);
	if (r >= 0) {
		/* no handler of ours may run in the child */
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, &old);
		pid = start(&p);
		r = pid < 0 ? -errno : 0;
		sigprocmask(SIG_SETMASK, &old, NULL);
		if (r < 0)
			om_err_sys(err, r, "start %s", s->program);
	}
	plan_done(&p);
	if (r < 0)
		return r;
	fd = om_pidfd_open(pid);
	if (fd < 0) {			/* no descriptor left: a child we cannot hold must not stay */
		kill(pid, SIGKILL);	/* our own unreaped child: the number is right */
		waitpid(pid, NULL, 0);
		return om_err_sys(err, fd, "pidfd of %s", s->program);
	}
	*ret = fd;
	*ret_pid = pid;
	return 0;
}

const char *omd_spawn_failure(int status)
{
	if (!WIFEXITED(status))
		return NULL;
	switch (WEXITSTATUS(status)) {
	case OMD_SPAWN_E_USER: return "could not become the job's user";
	case OMD_SPAWN_E_FOLDER: return "could not enter the job's folder";
	case OMD_SPAWN_E_FDS: return "could not set up its descriptors";
	case OMD_SPAWN_E_EXEC: return "could not be executed";
	default: return NULL;
	}
}

/* ---- users ---- */

/* The place of @uid in the cache, emptied if it is of another user or too old. */
static struct omd_user *cached(struct omd *omd, uid_t uid)
{
	struct omd_user *u = &omd->users[uid % OM_ARRAY_SIZE(omd->users)];
	uint64_t now = om_clock_mono_ns();

	if (u->until_ns > now && u->uid == uid)
		return u;
	free(u->groups);
	*u = (struct omd_user){ .until_ns = now + USER_NS, .uid = uid };
	return u;
}

const char *omd_user_name(struct omd *omd, uid_t uid)
{
	struct omd_user *u = cached(omd, uid);
	char buf[16384];
	struct passwd pw, *p = NULL;

	if (u->name[0])
		return u->name;
	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &p) != 0 || !p || om_str_copy(u->name, sizeof(u->name), p->pw_name) < 0 ||
	    !om_str_is_text(u->name, false))
		snprintf(u->name, sizeof(u->name), "%u", uid);
	return u->name;
}

void omd_user_forget(struct omd *omd)
{
	for (size_t i = 0; i < OM_ARRAY_SIZE(omd->users); i++)
		free(omd->users[i].groups);
	memset(omd->users, 0, sizeof(omd->users));
}

/* Heap array of the groups of @uid by the name service. */
static int look_up_groups(uid_t uid, gid_t gid, gid_t **ret, int *ret_n, struct om_err *err)
{
	char buf[16384];
	struct passwd pw, *p = NULL;
	om_autofree gid_t *g = NULL;
	int n = 64, want;

	if (getpwuid_r(uid, &pw, buf, sizeof(buf), &p) != 0)
		return om_err_set(err, -EAGAIN, "user %u cannot be looked up now", uid);
	for (;;) {
		free(g);
		g = calloc((size_t)n, sizeof(*g));
		if (!g)
			return om_err_set(err, -ENOMEM, "out of memory");
		if (!p) {		/* a uid without a name: its own group only */
			g[0] = gid;
			n = 1;
			break;
		}
		want = n;
		if (getgrouplist(p->pw_name, gid, g, &want) >= 0) {
			n = want;
			break;
		}
		if (n >= GROUPS_MAX)
			return om_err_set(err, -E2BIG, "user %s has too many groups", p->pw_name);
		n *= 4;
	}
	*ret = om_steal(g);
	*ret_n = n;
	return 0;
}

/* Our own, which every child of the user mode has anyway. */
static int own_groups(gid_t **ret, int *ret_n, struct om_err *err)
{
	int n = getgroups(0, NULL);
	gid_t *g = n < 0 ? NULL : calloc((size_t)n + 1, sizeof(*g));

	if (!g || (n = getgroups(n, g)) < 0) {
		free(g);
		return om_err_sys(err, -errno, "own groups");
	}
	*ret = g;
	*ret_n = n;
	return 0;
}

int omd_user_groups(struct omd *omd, uid_t uid, gid_t gid, const gid_t **ret, int *ret_n, struct om_err *err)
{
	struct omd_user *u = cached(omd, uid);
	int r = 0;

	if (!u->groups || u->gid != gid) {
		free(u->groups);
		u->groups = NULL;
		r = omd->system ? look_up_groups(uid, gid, &u->groups, &u->n_groups, err) : own_groups(&u->groups, &u->n_groups, err);
	}
	if (r < 0)
		return r;
	u->gid = gid;
	*ret = u->groups;
	*ret_n = u->n_groups;
	return 0;
}
