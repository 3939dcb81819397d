/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <linux/sched.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "checkpoint/ckpt.h"
#include "checkpoint/files.h"
#include "checkpoint/sink.h"

enum { ORDINARY = 65534, STOP_MS = 30000 };

static struct shared {
	char bad[512];
	long note[64];
	int ready, arranged, started;
	int processes;
} *sh;
volatile long *files_note;
int files_outside_port;

void files_bad(const char *file, int line, const char *what)
{
	snprintf(sh->bad, sizeof(sh->bad), "%s:%d: %s (errno %d)", file, line, what, errno);
	_exit(1);
}

void files_bad_is(const char *file, int line, const char *what, long got, long want)
{
	snprintf(sh->bad, sizeof(sh->bad), "%s:%d: %s is %ld, not %ld (errno %d)", file, line, what, got, want, errno);
	_exit(1);
}

void files_at(int fd, int to)
{
	CHECK(fd >= 0);
	if (fd == to)
		return;
	CHECK(dup2(fd, to) == to);
	close(fd);
}

/* ---- a store in memory ---- */
static struct { char *p; size_t n; } *blocks;
static uint32_t n_blocks;

static int mem_block(void *ctx, const void *data, size_t len, uint32_t *ret_index, struct om_err *err)
{
	(void)ctx, (void)err;
	blocks = realloc(blocks, (n_blocks + 1) * sizeof(*blocks));
	blocks[n_blocks].p = malloc(len);
	memcpy(blocks[n_blocks].p, data, len);
	blocks[n_blocks].n = len;
	*ret_index = n_blocks++;
	return 0;
}

static int mem_read(void *ctx, uint32_t index, void *buf, size_t *ret_len, struct om_err *err)
{
	(void)ctx;
	if (index >= n_blocks)
		return om_err_set(err, -EBADMSG, "no block %u", index);
	memcpy(buf, blocks[index].p, blocks[index].n);
	*ret_len = blocks[index].n;
	return 0;
}

static const struct ckpt_sink sink = { .block = mem_block };
static const struct ckpt_source source = { .block = mem_read };

/* ---- the job ---- */
static void job_stand(void)
{
	__atomic_add_fetch(&sh->ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

void files_fork(void (*setup)(void))
{
	pid_t pid;

	sh->processes++;	/* first: the captor compares it with those that are ready */
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		setup();
		job_stand();
	}
}

struct job {
	const struct files_case *c;
	const char *dir;
	json_t *files, *procs;
};

static void stdio_null(void)
{
	int fd = open("/dev/null", O_RDWR);

	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	syscall(SYS_close_range, 3, ~0U, 0);
}

static int job_init(void *arg)
{
	struct job *j = arg;
	pid_t pid = fork();

	if (pid == 0) {
		CHECK(chdir(j->dir) == 0);
		stdio_null();
		sh->processes = 1;
		j->c->setup();
		job_stand();
	}
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	return 0;
}

/* All processes in the namespace of @init but itself, stopped. */
static size_t job_find(pid_t init, struct ckpt_files_proc *procs)
{
	char path[300], mine[64] = "", other[64];
	struct dirent *e;
	size_t n = 0;
	DIR *d = opendir("/proc");
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
	if (!d || readlink(path, mine, sizeof(mine) - 1) < 0)
		return 0;
	while ((e = readdir(d)) && n < CASE_PROCS) {
		uint64_t pid;
		ssize_t k;
		FILE *s;
		char line[256];
		int vpid = 0;

		if (om_str_u64(e->d_name, &pid) < 0 || (pid_t)pid == init)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
		k = readlink(path, other, sizeof(other) - 1);
		if (k < 0)
			continue;
		other[k] = 0;
		if (strcmp(mine, other))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
		s = fopen(path, "re");
		while (s && fgets(line, sizeof(line), s))
			if (om_str_starts(line, "NSpid:"))
				vpid = (int)strtol(strrchr(line, '\t'), NULL, 10);
		if (s)
			fclose(s);
		procs[n++] = (struct ckpt_files_proc){ .pid = (pid_t)pid, .vpid = vpid, .pidfd = om_pidfd_open((pid_t)pid), .desc = json_object() };
	}
	closedir(d);
	return n;
}

static int proc_order(const void *a, const void *b)
{
	return ((const struct ckpt_files_proc *)a)->vpid - ((const struct ckpt_files_proc *)b)->vpid;
}

static bool stopped_all(const struct ckpt_files_proc *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[64], *text = NULL;
		size_t len;
		bool t = false;

		snprintf(path, sizeof(path), "/proc/%d/stat", p[i].pid);
		if (om_file_read(path, 4096, &text, &len) == 0)
			t = strstr(text, ") T ");
		free(text);
		if (!t)
			return false;
	}
	return true;
}

static bool until(bool (*cond)(void *), void *arg)
{
	for (int i = 0; i < STOP_MS; i++) {
		if (cond(arg))
			return true;
		poll(NULL, 0, 1);
	}
	return false;
}

struct stop { struct ckpt_files_proc *p; size_t n; };
static bool is_stopped(void *arg)
{
	struct stop *s = arg;

	return stopped_all(s->p, s->n);
}
static bool is_ready(void *arg)
{
	(void)arg;
	return sh->bad[0] || (sh->ready && __atomic_load_n(&sh->ready, __ATOMIC_SEQ_CST) == sh->processes);
}

/* Capture; @bad gets what went wrong.  The job is killed. */
static void job_dump(struct job *j)
{
	struct ckpt_space_opts so = { .user_ns = geteuid() != 0 };
	struct ckpt_files_opts fo = { .sink = &sink, .net_reset = j->c->net_reset };
	struct ckpt_files_proc p[CASE_PROCS];
	struct ckpt_space space;
	struct ckpt_files *f = NULL;
	struct ckpt_why why = { 0 };
	struct om_err err = { 0 };
	size_t n;
	int r;

	sh->ready = 0;
	sh->processes = 0;
	if (ckpt_space_create(&so, job_init, j, &space, &err) < 0) {
		snprintf(sh->bad, sizeof(sh->bad), "%s", err.text);
		return;
	}
	if (!until(is_ready, NULL))
		snprintf(sh->bad, sizeof(sh->bad), "set-up hangs");
	n = job_find(space.init, p);
	qsort(p, n, sizeof(p[0]), proc_order);
	for (size_t i = 0; i < n; i++)
		om_pidfd_signal(p[i].pidfd, SIGSTOP);
	if (!sh->bad[0] && !until(is_stopped, &(struct stop){ p, n }))
		snprintf(sh->bad, sizeof(sh->bad), "does not stop");
	fo.init = space.init;
	r = sh->bad[0] ? -EIO : ckpt_files_create(&fo, &f, &err);
	if (r == 0)
		r = ckpt_files_dump(f, p, n, &j->files, &why, &err);
	if (r == 0)
		r = ckpt_files_finish(f, &err);
	ckpt_files_destroy(f);
	if (!sh->bad[0] && j->c->refused) {
		if (r != -EOPNOTSUPP || !strstr(why.reason, j->c->refused))
			snprintf(sh->bad, sizeof(sh->bad), "not refused as it should (%d): %s", r, err.text);
	} else if (!sh->bad[0] && r < 0) {
		snprintf(sh->bad, sizeof(sh->bad), "dump: %s", om_err_text(&err, r));
	}
	j->procs = json_array();
	for (size_t i = 0; i < n; i++) {
		json_object_set_new(p[i].desc, "pid", json_integer(p[i].vpid));
		json_array_append_new(j->procs, p[i].desc);
		om_fd_close(p[i].pidfd);
	}
	om_pidfd_signal(space.init_pidfd, SIGKILL);
	waitpid(space.init, NULL, __WALL);
	om_fd_close(space.init_pidfd);
}

/* ---- restore ---- */
static json_t *through_text(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);
	json_t *back = text ? json_loads(text, 0, NULL) : NULL;

	if (getenv("FILES_SHOW"))
		fprintf(stderr, "# %s\n", text ? text : "(not JSON)");
	free(text);
	json_decref(j);
	return back;
}

/* One number, text or element somewhere in @j becomes something else.  Paths stay: this is no test of what else lies about here. */
static bool damage(json_t *j, unsigned *at, unsigned how)
{
	static const json_int_t odd[] = { -1, 0, 1, 2, 3, 7, 255, 65536, INT_MAX, UINT_MAX, INT64_MAX, INT64_MIN };
	const char *key;
	json_t *v;
	size_t i;

	if (json_is_array(j)) {
		json_array_foreach(j, i, v) {
			if ((*at)-- == 0) {
				if (how % 3 == 0)
					json_array_remove(j, i);
				else if (how % 3 == 1)
					json_array_append_new(j, json_deep_copy(v));
				else
					json_array_set_new(j, i, json_integer(odd[how % 12]));
				return true;
			}
			if (damage(v, at, how))
				return true;
		}
		return false;
	}
	json_object_foreach(j, key, v) {
		if ((*at)-- == 0) {
			if (json_is_integer(v) && how % 4)
				json_object_set_new(j, key, json_integer(odd[how % 12]));
			else if (json_is_string(v) && !strchr(json_string_value(v), '/') && how % 4)
				json_object_set_new(j, key, json_string(how % 4 == 1 ? "hex:0" : how % 4 == 2 ? "" : "pair"));
			else if (json_is_string(v) && how % 4)
				continue;
			else
				json_object_del(j, key);
			return true;
		}
		if (damage(v, at, how))
			return true;
	}
	return false;
}

static bool all_arranged(void *arg)
{
	return sh->bad[0] || __atomic_load_n(&sh->arranged, __ATOMIC_SEQ_CST) == *(int *)arg;
}
static bool all_started(void *arg)
{
	return sh->bad[0] || __atomic_load_n(&sh->started, __ATOMIC_SEQ_CST) == *(int *)arg;
}

/* Every step of a restore, in one process; errors are what is wanted. */
static int damaged_init(void *arg)
{
	struct job *j = arg;
	struct ckpt_opened *o = NULL;
	struct om_err err = { 0 };

	stdio_null();
	if (ckpt_files_put_back(j->files, &source, &err) == 0 && ckpt_files_open_all(j->files, j->procs, &source, NULL, &o, &err) == 0 &&
	    ckpt_files_terminal(o, 0, &err) == 0)
		(void)ckpt_files_arrange(o, 0, NULL, 0, &err);
	return 77;
}

static void damaged_try(struct job *j, unsigned seed)
{
	struct ckpt_space_opts so = { .user_ns = geteuid() != 0 };
	struct job bad = { .c = j->c, .dir = j->dir, .files = json_deep_copy(j->files), .procs = json_deep_copy(j->procs) };
	unsigned at = seed * 2654435761u >> 24, how = seed;
	struct ckpt_space space;
	struct om_err err = { 0 };
	int status = 0;

	if (!damage(seed % 5 ? bad.files : bad.procs, &at, how))
		goto out;
	if (ckpt_space_create(&so, damaged_init, &bad, &space, &err) < 0) {
		snprintf(sh->bad, sizeof(sh->bad), "%s", err.text);
		goto out;
	}
	if (om_pidfd_wait(space.init_pidfd, 90000, &status) < 0)
		snprintf(sh->bad, sizeof(sh->bad), "damage %u: hangs", seed);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 77)
		snprintf(sh->bad, sizeof(sh->bad), "damage %u: status %#x", seed, status);
	om_pidfd_signal(space.init_pidfd, SIGKILL);
	while (waitpid(space.init, NULL, __WALL) < 0 && errno == EINTR)
		;
	om_fd_close(space.init_pidfd);
out:
	json_decref(bad.files);
	json_decref(bad.procs);
}

static void proc_restore(struct job *j, struct ckpt_opened *o, size_t which, int n)
{
	int vpid = (int)json_integer_value(json_object_get(json_array_get(j->procs, which), "pid"));
	struct om_err err = { 0 };
	int keep = open("/dev/zero", O_RDONLY | O_CLOEXEC), *const keeps[] = { &keep };
	char c = 1;

	if (json_object_get(json_array_get(j->procs, which), "tty"))
		setsid();
	if (ckpt_files_terminal(o, which, &err) < 0)
		files_bad("restore", vpid, err.text);
	__atomic_add_fetch(&sh->started, 1, __ATOMIC_SEQ_CST);
	until(all_started, &n);
	if (ckpt_files_arrange(o, which, keeps, 1, &err) < 0)
		files_bad("restore", vpid, err.text);
	__atomic_add_fetch(&sh->arranged, 1, __ATOMIC_SEQ_CST);
	if (read(keep, &c, 1) != 1 || c != 0)
		files_bad("restore", vpid, "the kept descriptor is lost");
	close(keep);
	until(all_arranged, &n);
	if (sh->bad[0])
		_exit(1);
	j->c->verify(vpid);
	_exit(0);
}

static int restore_init(void *arg)
{
	struct job *j = arg;
	struct ckpt_opened *o = NULL;
	struct om_err err = { 0 };
	int n = (int)json_array_size(j->procs), status;

	stdio_null();
	if (ckpt_files_put_back(j->files, &source, &err) < 0 || ckpt_files_open_all(j->files, j->procs, &source, NULL, &o, &err) < 0)
		files_bad("restore", 1, err.text);
	for (int i = 0; i < n; i++) {
		pid_t want = (pid_t)json_integer_value(json_object_get(json_array_get(j->procs, (size_t)i), "pid"));
		struct clone_args ca = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&want, .set_tid_size = 1 };
		pid_t pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));

		if (pid == 0)
			proc_restore(j, o, (size_t)i, n);
		if (pid < 0)
			files_bad("restore", 1, "clone3");
	}
	until(all_arranged, &n);
	ckpt_files_close(o);
	while (wait(&status) > 0)
		if (status && !sh->bad[0])
			snprintf(sh->bad, sizeof(sh->bad), "a restored process ended with status %#x", status);
	return 0;
}

static void job_restore(struct job *j)
{
	struct ckpt_space_opts so = { .user_ns = geteuid() != 0 };
	struct ckpt_space space;
	struct om_err err = { 0 };
	int status;

	sh->arranged = 0;
	sh->started = 0;
	j->files = through_text(j->files);
	j->procs = through_text(j->procs);
	if (ckpt_space_create(&so, restore_init, j, &space, &err) < 0) {
		snprintf(sh->bad, sizeof(sh->bad), "%s", err.text);
		return;
	}
	if (om_pidfd_wait(space.init_pidfd, 60000, &status) < 0)
		snprintf(sh->bad, sizeof(sh->bad), "the restored job hangs");
	om_pidfd_signal(space.init_pidfd, SIGKILL);
	waitpid(space.init, NULL, __WALL);
	om_fd_close(space.init_pidfd);
}

static int rm_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void run_as_we_are(const struct files_case *c, const char *dir)
{
	struct job j = { .c = c, .dir = dir };

	job_dump(&j);
	if (sh->bad[0] || c->refused)
		return;
	for (unsigned seed = 1; seed <= c->damaged && !sh->bad[0]; seed++)
		damaged_try(&j, seed);
	if (sh->bad[0] || c->damaged)
		return;
	if (c->between) {
		if (chdir(dir) == 0)
			c->between();
	}
	job_restore(&j);
}

const char *files_run(const struct files_case *c, bool user)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX];
	pid_t pid;
	int status;

	memset(sh, 0, sizeof(*sh));
	snprintf(dir, sizeof(dir), "%s/t-files.XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
	if (!mkdtemp(dir) || (user && chown(dir, ORDINARY, ORDINARY) < 0))
		return "no folder";
	pid = fork();
	if (pid == 0) {
		if (user && (setgroups(0, NULL) < 0 || setgid(ORDINARY) < 0 || setuid(ORDINARY) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
			files_bad(__FILE__, __LINE__, "cannot become another user");
		run_as_we_are(c, dir);
		_exit(sh->bad[0] != 0);
	}
	waitpid(pid, &status, 0);
	nftw(dir, rm_one, 8, FTW_DEPTH | FTW_PHYS);
	if (status && !sh->bad[0])
		return "the test process died";
	return sh->bad[0] ? sh->bad : NULL;
}

static void test_one(void **state)
{
	const struct files_case *c = *state;
	const char *bad;

	if (geteuid() == 0 || !c->want_root) {
		bad = files_run(c, false);
		if (bad)
			print_error("%s: %s\n", c->name, bad);
		assert_null(bad);
	}
	if (geteuid() == 0 && !c->want_root) {
		bad = files_run(c, true);
		if (bad)
			print_error("%s (ordinary user): %s\n", c->name, bad);
		assert_null(bad);
	}
}

static int outside_listen(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, 100) < 0 || getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -1;
	files_outside_port = ntohs(sa.sin_port);
	return fd;	/* held to the end */
}

int files_main(const struct files_case *cases, size_t n)
{
	struct CMUnitTest *t = calloc(n, sizeof(*t));
	const char *only = getenv("FILES_ONLY");
	size_t k = 0;
	int r;

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!t || sh == MAP_FAILED)
		return 1;
	files_note = sh->note;
	if (outside_listen() < 0)
		return 1;
	for (size_t i = 0; i < n; i++)
		if (!only || !strcmp(only, cases[i].name))
			t[k++] = (struct CMUnitTest){ .name = cases[i].name, .test_func = test_one, .initial_state = (void *)(uintptr_t)&cases[i] };
	r = _cmocka_run_group_tests("files", t, k, NULL, NULL);
	free(t);
	return r;
}
