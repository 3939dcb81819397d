/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/spec.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/options.h"

enum { READ_STEP = 64 * 1024 };

extern char **environ;

int spec_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct om_err *err)
{
	om_autofd int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	om_autobuf b = { 0 };
	struct stat st;

	if (fd < 0)
		return om_err_sys(err, -errno, "open '%s'", path);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return om_err_set(err, -EISDIR, "'%s' is a folder", path);
	for (;;) {
		ssize_t n;

		if (om_buf_reserve(&b, READ_STEP) < 0)
			return om_err_set(err, -ENOMEM, "out of memory");
		n = read(fd, b.data + b.len, READ_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return om_err_sys(err, -errno, "read '%s'", path);
		b.len += (size_t)n;
		b.data[b.len] = 0;
		if (n == 0)
			break;
		if (b.len > max)
			return om_err_set(err, -EFBIG, "'%s' is longer than %zu MiB: that is no job", path, max >> 20);
	}
	*ret_len = b.len;
	*ret = om_buf_steal(&b);
	return 0;
}

int spec_argv(char *const argv[], int n, json_t **ret, struct om_err *err)
{
	json_t *list = json_array();

	for (int i = 0; list && i < n; i++) {
		json_t *s = json_string(argv[i]);

		if (!s || json_array_append_new(list, s) < 0) {
			json_decref(list);
			return om_err_set(err, -EINVAL, "argument %d is not UTF-8 text, which a job's description cannot carry: put it into the script", i + 1);
		}
	}
	*ret = list;
	return list ? 0 : om_err_set(err, -ENOMEM, "out of memory");
}

/* What a job keeps with --no-env: enough for a shell. */
static bool is_basic(const char *name, size_t n)
{
	static const char *const basic[] = { "HOME", "LOGNAME", "USER", "SHELL" };

	for (size_t i = 0; i < OM_ARRAY_SIZE(basic); i++)
		if (strlen(basic[i]) == n && strncmp(basic[i], name, n) == 0)
			return true;
	return false;
}

/* What a job knows of itself is not true of the jobs that it submits. */
static bool is_of_job(const char *name)
{
	static const char *const own[] = {
		"OM_JOB_ID", "OM_ARRAY_INDEX", "OM_RESTART_COUNT", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID",
		"SLURM_SUBMIT_DIR", "SLURM_JOB_NAME", "PBS_JOBID", "PBS_ARRAY_INDEX", "PBS_ARRAYID", "PBS_O_WORKDIR", "PBS_JOBNAME",
	};

	for (size_t i = 0; i < OM_ARRAY_SIZE(own); i++)
		if (strcmp(own[i], name) == 0)
			return true;
	return false;
}

static int take_environ(json_t *env, bool all, script_warn_cb *warn, void *arg)
{
	for (char **e = environ; *e; e++) {
		const char *eq = strchr(*e, '=');
		om_autofree char *name = eq ? strndup(*e, (size_t)(eq - *e)) : NULL;

		if (!eq || eq == *e || (!all && !is_basic(*e, (size_t)(eq - *e))))
			continue;
		if (!name)
			return -ENOMEM;
		if (is_of_job(name))
			continue;
		if (json_object_set_new(env, name, json_string(eq + 1)) < 0) {
			char text[160];

			snprintf(text, sizeof(text), "the environment variable %.80s is not UTF-8 text and does not go along", name);
			warn(arg, 0, text);
		}
	}
	if (all)
		return 0;
	return json_object_set_new(env, "PATH", json_string("/usr/local/bin:/usr/bin:/bin"));
}

/* Scripts for other systems look where they were submitted. */
static int foreign_variables(json_t *env, json_t *spec, const struct script_kind *kind, const char *cwd)
{
	const char *name = json_string_value(json_object_get(spec, "name")), *home = getenv("HOME");
	int r = 0;

	if (kind->slurm)
		r |= json_object_set_new(env, "SLURM_SUBMIT_DIR", json_string(cwd)) |
			(name ? json_object_set_new(env, "SLURM_JOB_NAME", json_string(name)) : 0);
	if (kind->pbs)
		r |= json_object_set_new(env, "PBS_O_WORKDIR", json_string(cwd)) |
			json_object_set_new(env, "PBS_O_HOME", json_string(home ? home : "/")) |
			(name ? json_object_set_new(env, "PBS_JOBNAME", json_string(name)) : 0);
	return r ? -ENOMEM : 0;
}

static int make_env(const struct opt_job *job, const struct script_kind *kind, const char *cwd, script_warn_cb *warn, void *arg,
		    json_t *spec, struct om_err *err)
{
	json_t *env = json_object(), *v;
	const char *name;
	int r = env ? take_environ(env, job->inherit != 0, warn, arg) : -ENOMEM;

	if (r == 0)
		r = foreign_variables(env, spec, kind, cwd);
	json_object_foreach(job->env, name, v) {
		const char *own = getenv(name);

		if (r < 0)
			break;
		if (!json_is_null(v))
			r = json_object_set(env, name, v);
		else if (own)
			r = json_object_set_new(env, name, json_string(own));
	}
	if (r < 0 || json_object_set(spec, "env", env) < 0)
		r = om_err_set(err, -ENOMEM, "out of memory, or the environment is not UTF-8 text");
	json_decref(env);
	return r;
}

static int make_rlimits(json_t *spec)
{
	static const struct { const char *name; int id; } limits[] = {
		{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA }, { "fsize", RLIMIT_FSIZE },
		{ "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
		{ "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS }, { "rtprio", RLIMIT_RTPRIO },
		{ "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
	};
	json_t *all = json_object();

	for (size_t i = 0; all && i < OM_ARRAY_SIZE(limits); i++) {
		struct rlimit l;
		json_int_t soft, hard;

		if (getrlimit((__rlimit_resource_t)limits[i].id, &l) < 0)
			continue;
		soft = l.rlim_cur == RLIM_INFINITY ? -1 : (json_int_t)l.rlim_cur;
		hard = l.rlim_max == RLIM_INFINITY ? -1 : (json_int_t)l.rlim_max;
		if (json_object_set_new(all, limits[i].name, json_pack("[I,I]", soft, hard)) < 0) {
			json_decref(all);
			return -ENOMEM;
		}
	}
	return json_object_set_new(spec, "rlimits", all) < 0 ? -ENOMEM : 0;
}

/* chdir is absolute in a SPEC */
static int make_chdir(json_t *spec, const char *cwd, struct om_err *err)
{
	const char *want = json_string_value(json_object_get(spec, "chdir"));
	char path[PATH_MAX];
	int n;

	if (want && want[0] == '/')
		return 0;
	n = want ? snprintf(path, sizeof(path), "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, want) : snprintf(path, sizeof(path), "%s", cwd);
	if (n < 0 || (size_t)n >= sizeof(path))
		return om_err_set(err, -ENAMETOOLONG, "the job's folder has too long a name");
	return json_object_set_new(spec, "chdir", json_string(path)) < 0 ?
		om_err_set(err, -EINVAL, "the name of this folder is not UTF-8 text, which a job's description cannot carry: use --chdir") : 0;
}

int spec_make(const struct opt_job *job, const struct script_kind *kind, script_warn_cb *warn, void *arg, json_t **ret, struct om_err *err)
{
	json_t *spec = json_copy(job->spec);
	char cwd[PATH_MAX];
	mode_t mask;
	int r;

	if (!spec)
		return om_err_set(err, -ENOMEM, "out of memory");
	if (!getcwd(cwd, sizeof(cwd)) || cwd[0] != '/') {
		json_decref(spec);
		return om_err_set(err, -ENOENT, "the folder where we are is not reachable: use cd or --chdir");
	}
	mask = umask(077);
	umask(mask);
	r = make_chdir(spec, cwd, err);
	if (r == 0 && (json_object_set_new(spec, "umask", json_integer(mask)) < 0 || make_rlimits(spec) < 0))
		r = om_err_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = make_env(job, kind, cwd, warn, arg, spec, err);
	if (r < 0) {
		json_decref(spec);
		return r;
	}
	*ret = spec;
	return 0;
}
