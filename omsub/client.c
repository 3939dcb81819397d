/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omsub/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/paths.h"
#include "base/str.h"

enum { START_SECONDS = 30 };	/* for a daemon that replays a long log on a slow disk */

extern char **environ;

bool omc_unreachable(int r)
{
	return r == -ECONNREFUSED || r == -ECONNRESET || r == -EPIPE || r == -ETIMEDOUT || r == -ENOTCONN;
}

bool omc_away(int r)
{
	return omc_unreachable(r) || r == -EAGAIN;	/* -EAGAIN: "unavailable" (503) */
}

static bool answers(const char *path)
{
	om_autofd int fd = omc_http_connect(path, NULL);

	return fd >= 0;
}

int omc_init(struct omc *c, const char *socket, struct om_err *err)
{
	const char *s = socket ? socket : getenv("OM_SOCKET");
	int r;

	c->own = false;
	if (s && *s) {
		r = om_str_copy(c->socket, sizeof(c->socket), s);
		return r < 0 ? om_err_set(err, r, "the socket's path is too long") : 0;
	}
	if (!getenv("OM_HOME") && answers(om_path_system_socket())) {
		r = om_str_copy(c->socket, sizeof(c->socket), om_path_system_socket());
		return r < 0 ? om_err_set(err, r, "the socket's path is too long") : 0;
	}
	c->own = true;
	r = om_path_user_socket(c->socket, sizeof(c->socket));
	return r < 0 ? om_err_set(err, r, "no home folder to put a private queue in: set OM_HOME to a folder") : 0;
}

/* mkdir -p @path, the last part (the spool) for its user only */
static int make_folder(const char *path)
{
	char p[PATH_MAX];

	if (om_str_copy(p, sizeof(p), path) < 0)
		return -ENAMETOOLONG;
	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = 0;
		if (mkdir(p, 0755) < 0 && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return mkdir(p, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* What a program wrote to @fd, as one line at most. */
static void first_words(int fd, char *dst, size_t n)
{
	ssize_t r = pread(fd, dst, n - 1, 0);

	dst[r > 0 ? r : 0] = 0;
	dst[strcspn(dst, "\n")] = 0;
	if (!om_str_is_text(dst, false))
		dst[0] = 0;
}

static int run_daemon(const char *program, int out)
{
	char name[] = "omd", opt[] = "--daemonize";
	char *argv[] = { name, opt, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none;
	int status, r;
	pid_t pid;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	/* our own standard output may be a pipe whose reader waits for its end */
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 2);
	r = -posix_spawn(&pid, program, &fa, &at, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

static int start_locked(struct omc *c, struct om_err *err)
{
	char program[PATH_MAX], words[200];
	om_autofd int out = -1;
	uint64_t until;
	int r;

	r = om_path_program(program, sizeof(program), "omd");
	if (r < 0)
		return om_err_set(err, -ECONNREFUSED, "no daemon answers at '%s', and the program 'omd' to start one is not there", c->socket);
	out = memfd_create("omd-errors", MFD_CLOEXEC);
	if (out < 0)
		return om_err_sys(err, -errno, "memfd_create");
	r = run_daemon(program, out);
	if (r < 0) {
		first_words(out, words, sizeof(words));
		return om_err_set(err, -ECONNREFUSED, "the private daemon did not start: %s",
				  words[0] ? words : r == -ECHILD ? "it failed without a word" : strerror(-r));
	}
	until = om_clock_mono_ns() + START_SECONDS * 1000000000ull;
	while (!answers(c->socket)) {
		if (om_clock_mono_ns() > until)
			return om_err_set(err, -ECONNREFUSED, "the daemon was started but does not answer at '%s'", c->socket);
		poll(NULL, 0, 5);
	}
	return 0;
}

int omc_start(struct omc *c, struct om_err *err)
{
	char spool[PATH_MAX], path[PATH_MAX + 16];
	om_autofd int lock = -1;
	int r;

	if (!c->own || answers(c->socket))
		return 0;
	r = om_path_user_spool(spool, sizeof(spool));
	if (r == 0)
		r = make_folder(spool);
	if (r < 0)
		return om_err_sys(err, r, "make the folder '%s' for the queue", spool);
	/* Of many that find no daemon one starts it, the others wait for that. */
	snprintf(path, sizeof(path), "%s/start.lock", spool);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return om_err_sys(err, -errno, "open '%s'", path);
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return om_err_sys(err, -errno, "lock '%s'", path);
	return answers(c->socket) ? 0 : start_locked(c, err);
}

int omc_ask(struct omc *c, const struct omc_call *call, struct omc_answer *ret, struct om_err *err)
{
	om_autofd int fd = omc_http_connect(c->socket, err);

	if (fd == -ENOENT || fd == -ECONNREFUSED || fd == -ENOTDIR)
		return om_err_set(err, -ECONNREFUSED, "no daemon answers at '%s'%s", c->socket,
				  c->own ? ": nothing has been submitted here, or it was shut down (omsub starts it)" :
				  ": is omd running?");
	if (fd < 0)
		return fd;
	return omc_http_ask(fd, call, ret, err);
}

int omc_answer_error(const struct omc_answer *a, struct om_err *err)
{
	static const struct { const char *name; int code; } codes[] = {
		{ "invalid", -EINVAL }, { "denied", -EACCES }, { "not_found", -ENOENT }, { "conflict", -EBUSY },
		{ "too_large", -EFBIG }, { "full", -ENOSPC }, { "unavailable", -EAGAIN }, { "internal", -EIO },
	};
	json_t *root = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, NULL);
	const char *code = NULL, *text = NULL;
	int r = a->status == 403 ? -EACCES : a->status == 404 ? -ENOENT : -EIO;

	if (root && json_unpack(root, "{s:{s?s,s?s}}", "error", "code", &code, "text", &text) == 0 && code)
		for (size_t i = 0; i < OM_ARRAY_SIZE(codes); i++)
			if (strcmp(codes[i].name, code) == 0)
				r = codes[i].code;
	if (text && om_str_is_text(text, false))
		om_err_set(err, r, "%s", text);
	else
		om_err_set(err, r, "the daemon answered with status %d and no readable reason", a->status);
	json_decref(root);
	return r;
}

static int parse_body(const struct omc_answer *a, json_t **ret, struct om_err *err)
{
	json_error_t je;
	json_t *j = json_loadb(a->body.data ? a->body.data : "", a->body.len, 0, &je);

	if (!j || !json_is_object(j)) {
		json_decref(j);
		return om_err_set(err, -EBADMSG, "the daemon's answer cannot be read: %s", j ? "no JSON object" : je.text);
	}
	*ret = j;
	return 0;
}

int omc_json(struct omc *c, const char *method, const char *path, json_t *body, int timeout_s, json_t **ret, struct om_err *err)
{
	om_autofree char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct omc_call call = { .method = method, .path = path, .body = text, .body_len = text ? strlen(text) : 0,
				 .timeout_s = timeout_s };
	omc_autoanswer a = { 0 };
	int r;

	if (body && !text)
		return om_err_set(err, -ENOMEM, "out of memory");
	r = omc_ask(c, &call, &a, err);
	if (r < 0)
		return r;
	if (a.status / 100 != 2)
		return omc_answer_error(&a, err);
	return ret ? parse_body(&a, ret, err) : 0;
}
