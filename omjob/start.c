/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omjob/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "omjob/init.h"
#include "omjob/report.h"
#include "omjob/spec.h"

enum { EXIT_NOT_FOUND = 127, EXIT_CANNOT = 126 };	/* as a shell */

static void signals_reset(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			(void)sigaction(s, &sa, NULL);	/* the C library's own two say EINVAL: they are default already */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A hard limit above ours cannot be had: then ours. */
static void limits_set(const struct omj_spec *spec)
{
	for (int i = 0; i < (int)RLIMIT_NLIMITS; i++) {
		struct rlimit want = spec->rlimit[i].lim, have;

		if (!spec->rlimit[i].set || setrlimit((__rlimit_resource_t)i, &want) == 0 ||
		    getrlimit((__rlimit_resource_t)i, &have) < 0)
			continue;
		if (want.rlim_max > have.rlim_max)
			want.rlim_max = have.rlim_max;
		if (want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
		(void)setrlimit((__rlimit_resource_t)i, &want);
	}
}

/* Scripts written for other systems find their ids under the names they know; omsub has marked such a job with the first name of a row. */
static int env_foreign(const char *id, const char *index)
{
	static const struct { const char *mark, *job, *array_job, *array_index; } known[] = {
		{ "SLURM_SUBMIT_DIR", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID" },
		{ "PBS_O_WORKDIR", "PBS_JOBID", NULL, "PBS_ARRAY_INDEX" },
		{ "PBS_O_WORKDIR", "PBS_JOBID", NULL, "PBS_ARRAYID" },
	};
	char whole[24];
	int r = 0;

	snprintf(whole, sizeof(whole), "%.*s", (int)strcspn(id, "_"), id);
	for (size_t i = 0; i < OM_ARRAY_SIZE(known) && r == 0; i++) {
		if (!getenv(known[i].mark))
			continue;
		r = setenv(known[i].job, id, 1);
		if (r == 0 && index && known[i].array_job)
			r = setenv(known[i].array_job, whole, 1);
		if (r == 0 && index)
			r = setenv(known[i].array_index, index, 1);
	}
	return r;
}

static int env_set(const struct omj_spec *spec)
{
	char num[24];
	int r;

	environ = spec->env;
	r = setenv("OM_JOB_ID", spec->id, 1);
	snprintf(num, sizeof(num), "%u", spec->leg);
	r = r ? r : setenv("OM_RESTART_COUNT", num, 1);
	if (spec->array_index < 0)
		return r ? r : env_foreign(spec->id, NULL);
	snprintf(num, sizeof(num), "%lld", (long long)spec->array_index);
	r = r ? r : setenv("OM_ARRAY_INDEX", num, 1);
	return r ? r : env_foreign(spec->id, num);
}

/* Open @pattern (NULL: @def) as descriptor @as. */
static int file_open(const struct omj_spec *spec, const char *pattern, const char *def, int flags, int as,
		     struct om_err *err)
{
	om_autofree char *path = NULL;
	int r = omj_pattern_expand(pattern ? pattern : def, spec, &path, err), fd;

	if (r < 0)
		return r;
	fd = open(path, flags | O_NOCTTY, 0666);
	if (fd < 0)
		return om_err_sys(err, -errno, "cannot open '%s' as standard %s", path,
				  as == 0 ? "input" : as == 1 ? "output" : "error");
	if (fd != as) {
		r = dup2(fd, as) < 0 ? -errno : 0;
		close(fd);
	}
	return r;
}

static int files_open(const struct omj_spec *spec, struct om_err *err)
{
	int out = O_WRONLY | O_CREAT | (spec->append ? O_APPEND : O_TRUNC);
	int r = file_open(spec, spec->in, "/dev/null", O_RDONLY, 0, err);

	r = r ? r : file_open(spec, spec->out, "om-%j.out", out, 1, err);
	if (r == 0 && spec->err && strcmp(spec->err, spec->out ? spec->out : "") != 0)
		return file_open(spec, spec->err, NULL, out, 2, err);
	if (r == 0 && dup2(1, 2) < 0)
		r = om_err_sys(err, -errno, "standard error");
	return r;
}

/* A script without "#!" is /bin/sh's, as in a shell. */
static int script_has_interpreter(const char *path)
{
	char two[2] = "";
	om_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && om_fd_read_all(fd, two, 2) == 0 && two[0] == '#' && two[1] == '!';
}

static int run_script(const struct omj_init_opts *o, struct om_err *err)
{
	size_t n = 0, at = 0;
	char **v;

	while (o->spec->argv[n])
		n++;
	v = calloc(n + 3, sizeof(*v));
	if (!v)
		return om_err_set(err, -ENOMEM, "no memory");
	if (!script_has_interpreter(o->script))
		v[at++] = (char *)(uintptr_t)"/bin/sh";
	v[at++] = (char *)(uintptr_t)o->script;
	memcpy(v + at, o->spec->argv, n * sizeof(*v));
	execve(v[0], v, environ);
	n = (size_t)errno;
	free(v);
	return om_err_sys(err, -(int)n, "cannot run the job script (does its first line name an interpreter that is there?)");
}

static int run(const struct omj_init_opts *o, struct om_err *err)
{
	if (o->spec->script)
		return run_script(o, err);
	execvp(o->spec->argv[0], o->spec->argv);
	if (errno == ENOENT)
		return om_err_set(err, -ENOENT, "'%s': command not found", o->spec->argv[0]);
	return om_err_sys(err, -errno, "cannot run '%s'", o->spec->argv[0]);
}

static int prepare(const struct omj_init_opts *o, struct om_err *err)
{
	const struct omj_spec *spec = o->spec;
	int r;

	if (setsid() < 0)
		return om_err_sys(err, -errno, "setsid");
	signals_reset();
	if (spec->umask >= 0)
		umask((mode_t)spec->umask);
	if (env_set(spec) < 0)
		return om_err_set(err, -ENOMEM, "no memory for the environment");
	if (chdir(spec->chdir) < 0)
		return om_err_sys(err, -errno, "cannot change to folder '%s'", spec->chdir);
	r = files_open(spec, err);
	if (r < 0)
		return r;
	limits_set(spec);	/* last: a small limit of files or size is the job's, not ours */
	return 0;
}

int omj_start_root(const struct omj_init_opts *o, pid_t *ret, struct om_err *err)
{
	struct omj_report rep = { .kind = OMJ_R_FAILED };
	struct om_err e = { 0 };
	int code = EXIT_CANNOT, gate[2];
	char byte;
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return om_err_sys(err, -errno, "pipe");
	pid = fork();
	if (pid != 0)
		om_fd_close(gate[1]);
	if (pid < 0) {
		om_fd_close(gate[0]);
		return om_err_sys(err, -errno, "cannot fork the job");
	}
	if (pid > 0) {
		/* Closed by its exec or end: from then on the root has nothing of ours, and can be checkpointed. */
		(void)om_fd_read_all(gate[0], &byte, 1);
		om_fd_close(gate[0]);
		*ret = pid;
		return 0;
	}
	rep.value = prepare(o, &e);
	if (rep.value == 0) {
		struct omj_report opened = { .kind = OMJ_R_OPENED };

		(void)om_fd_send(o->ctl, &opened, sizeof(opened), NULL, 0);	/* as below */
		rep.value = run(o, &e);
		code = rep.value == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT;
	}
	(void)om_str_copy(rep.text, sizeof(rep.text), om_err_text(&e, rep.value));
	(void)om_fd_send(o->ctl, &rep, sizeof(rep), NULL, 0);	/* without a keeper nobody wants to know */
	_exit(code);
}
