/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/tool/omtree.c - drive the checkpoint engine without queue and keeper. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "checkpoint/ckpt.h"
#include "tests/tool/dirsink.h"

static const char help[] =
	"Usage: omtree COMMAND DIR ...\n"
	"  run DIR -- CMD ARG..   run CMD in the namespaces of a job; ends with its tree, exit status of CMD (128+N: signal N).\n"
	"                         Standard input, output and error are CMD's.  DIR is made; DIR/pid has the job's init.\n"
	"  dump DIR               checkpoint the tree that runs in DIR, into DIR/1, DIR/2, ...; prints numbers as name=value\n"
	"      --stop             and kill it (\"omtree run\" then ends with 137)\n"
	"      --net-reset        connections to elsewhere are carried as reset\n"
	"      --base             build upon the checkpoint before\n"
	"      --times N          N checkpoints by one keeper, that tracks what is written (implies --base)\n"
	"      --every MS         so long between two of them (100)\n"
	"  look DIR               only look whether it could be checkpointed\n"
	"  restore DIR [N]        continue from checkpoint N (the newest); like run\n"
	"      --trial            only build everything, then discard it\n"
	"  wait DIR               wait until a job runs in DIR (DIR/pid is there) and its first program has been executed\n"
	"  signal DIR SIG         send a signal to pid 2 of the job\n"
	"Exit status of dump, look, restore: 0, 1 failed (text on standard error), 3 refused (process, object and reason).\n";

struct job {
	char **argv;
	struct dirsink image;
	int ctl;			/* init's end */
	int status;			/* of the root */
	pid_t root;
};

static void die(const char *what, const struct om_err *err, int r) __attribute__((noreturn));
static void die(const char *what, const struct om_err *err, int r)
{
	fprintf(stderr, "omtree: %s: %s\n", what, om_err_text(err, r));
	exit(1);
}

/* Reap until nobody is left; exit status for the shell. */
static int reap(struct job *j)
{
	int st;
	pid_t p;

	while ((p = waitpid(-1, &st, __WALL)) > 0 || errno == EINTR)
		if (p > 0 && p == j->root)
			j->status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
	return j->status;
}

static int run_init(void *arg)
{
	struct job *j = arg;

	(void)setsid();			/* fails when it leads a session already */
	j->root = fork();
	if (j->root == 0) {
		(void)setsid();
		(void)close_range(3, ~0U, 0);	/* what make or a shell left open is not the job's */
		execvp(j->argv[0], j->argv);
		_exit(127);
	}
	return reap(j);
}

static int restore_init(void *arg)
{
	struct job *j = arg;
	int r;

	(void)setsid();
	r = ckpt_restore_in_init(&j->image.source, j->ctl, &j->root, NULL);
	om_fd_close(j->ctl);
	return r < 0 ? 126 : reap(j);
}

static void pid_write(const char *dir, pid_t pid)
{
	char path[4096], tmp[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/pid", dir);
	snprintf(tmp, sizeof(tmp), "%s/pid.new", dir);
	f = fopen(tmp, "we");
	if (!f || fprintf(f, "%d\n", pid) < 0 || fclose(f) || rename(tmp, path) < 0)
		die(path, NULL, -errno);
}

static pid_t pid_read(const char *dir)
{
	char path[4096], *text;
	uint64_t v = 0;
	int r;

	snprintf(path, sizeof(path), "%s/pid", dir);
	r = om_file_read(path, 64, &text, NULL);
	if (r < 0)
		die(path, NULL, r);
	text[strcspn(text, "\n")] = 0;
	if (om_str_u64(text, &v) < 0 || v == 0)
		die(path, NULL, -EINVAL);
	free(text);
	return (pid_t)v;
}

static unsigned newest(const char *dir)
{
	char path[4096];
	unsigned n = 0;

	do {
		snprintf(path, sizeof(path), "%s/%u/meta", dir, n + 1);
	} while (access(path, F_OK) == 0 && ++n);
	return n;
}

/* The keeper's part: until the space is gone. */
static int keep(const char *dir, struct ckpt_space *s)
{
	char path[4096];
	int st = 0;

	while (waitpid(s->init, &st, 0) < 0 && errno == EINTR)
		;
	snprintf(path, sizeof(path), "%s/pid", dir);
	(void)unlink(path);
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}

static int cmd_run(const char *dir, char **argv)
{
	struct ckpt_space_opts o = { .user_ns = geteuid() != 0 };
	struct job j = { .argv = argv };
	struct ckpt_space s;
	struct om_err err = { 0 };
	int r;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		die(dir, NULL, -errno);
	r = ckpt_space_create(&o, run_init, &j, &s, &err);
	if (r < 0)
		die("run", &err, r);
	pid_write(dir, s.init);
	return keep(dir, &s);
}

static int cmd_restore(const char *dir, unsigned n, bool trial)
{
	struct ckpt_space_opts o = { .user_ns = geteuid() != 0 };
	struct job j = { .status = 0 };
	struct ckpt_space s;
	struct ckpt_stats stats;
	struct om_err err = { 0 };
	char path[4096];
	int pair[2], r;

	snprintf(path, sizeof(path), "%s/%u", dir, n ? n : newest(dir));
	r = dirsink_open(&j.image, path);
	if (r == 0)
		r = ckpt_restore_clocks(&j.image.source, &o.mono_ns, &o.boot_ns, &err);
	if (r < 0)
		die(path, &err, r);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair", NULL, -errno);
	j.ctl = pair[1];
	r = ckpt_space_create(&o, restore_init, &j, &s, &err);
	if (r < 0)
		die("restore", &err, r);
	om_fd_close(pair[1]);
	r = ckpt_restore_drive(&j.image.source, &s, pair[0], trial, NULL, NULL, &stats, &err);
	if (r < 0) {
		(void)om_pidfd_signal(s.init_pidfd, SIGKILL);
		(void)waitpid(s.init, NULL, 0);
		die("restore", &err, r);
	}
	om_fd_close(pair[0]);
	fprintf(stderr, "omtree: processes=%u threads=%u bytes=%llu wall_us=%llu\n", stats.processes, stats.threads,
		(unsigned long long)stats.bytes, (unsigned long long)stats.wall_ns / 1000);
	if (trial)
		return (void)waitpid(s.init, NULL, 0), 0;
	pid_write(dir, s.init);
	dirsink_done(&j.image);
	return keep(dir, &s);
}

static int refused(const struct ckpt_why *w)
{
	fprintf(stderr, "omtree: refused: process=%d comm=%s object=%s reason=%s\n", w->pid, w->comm, w->object, w->reason);
	return 3;
}

static int cmd_dump(const char *dir, bool stop, bool net_reset, bool use_base, struct ckpt_track *track)
{
	struct ckpt_dump_opts o = { .init = pid_read(dir), .and_stop = stop, .net_reset = net_reset, .track = track };
	struct dirsink d, base = { .blocks = -1 };
	struct ckpt_stats st = { 0 };
	struct ckpt_why why = { 0 };
	struct om_err err = { 0 };
	unsigned n = newest(dir);
	char path[4096];
	int r;

	o.init_pidfd = om_pidfd_open(o.init);
	snprintf(path, sizeof(path), "%s/%u", dir, n);
	if (use_base && n) {
		r = dirsink_open(&base, path);
		if (r < 0)
			die(path, NULL, r);
		o.base = &base.source;
	}
	snprintf(path, sizeof(path), "%s/%u", dir, n + 1);
	r = dirsink_create(&d, path, o.base ? &base : NULL);
	if (r < 0)
		die(path, NULL, r);
	r = ckpt_dump(&o, &d.sink, &st, &why, &err);
	dirsink_done(&d);
	dirsink_done(&base);
	om_fd_close(o.init_pidfd);
	if (r < 0) {
		char file[4200];

		snprintf(file, sizeof(file), "%s/blocks", path);
		(void)unlink(file);
		(void)rmdir(path);
	}
	if (r == -EOPNOTSUPP && why.reason[0])
		return refused(&why);
	if (r < 0)
		die("dump", &err, r);
	printf("n=%u processes=%u threads=%u stop_us=%llu wall_us=%llu bytes=%llu pages=%llu kept=%llu\n", n + 1, st.processes, st.threads,
	       (unsigned long long)st.stop_ns / 1000, (unsigned long long)st.wall_ns / 1000, (unsigned long long)st.bytes,
	       (unsigned long long)st.pages, (unsigned long long)st.pages_kept);
	return 0;
}

static int cmd_dumps(const char *dir, bool stop, bool net_reset, unsigned times, unsigned every)
{
	struct ckpt_track *track;
	struct om_err err = { 0 };
	int r = ckpt_track_create(&track, &err), st = 0;

	if (r < 0)
		die("dump", &err, r);
	for (unsigned i = 0; i < times && st == 0; i++) {
		pid_t pid;

		if (i)
			usleep(every * 1000);
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			exit(cmd_dump(dir, stop && i + 1 == times, net_reset, i > 0, track));
		if (pid < 0 || waitpid(pid, &st, 0) != pid)
			die("dump", NULL, -errno);
	}
	ckpt_track_destroy(track);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 1;
}

static int cmd_look(const char *dir, bool net_reset)
{
	struct ckpt_why why = { 0 };
	struct om_err err = { 0 };
	int r = ckpt_look(pid_read(dir), net_reset, &why, &err);

	if (r == -EOPNOTSUPP && why.reason[0])
		return refused(&why);
	if (r < 0)
		die("look", &err, r);
	return 0;
}

/* pid 2 of the job as we see it */
static pid_t root_of(const char *dir)
{
	char path[64], *text = NULL;
	uint64_t v = 0;
	pid_t init = pid_read(dir);

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init, init);
	if (om_file_read(path, 1 << 20, &text, NULL) < 0)
		return 0;
	text[strcspn(text, " ")] = 0;
	(void)om_str_u64(text, &v);	/* none: 0 */
	free(text);
	return (pid_t)v;
}

static int cmd_wait(const char *dir)
{
	char path[4096], self[64], exe[4096], own[4096];
	ssize_t n, m;

	snprintf(path, sizeof(path), "%s/pid", dir);
	while (access(path, F_OK) < 0)
		usleep(5000);
	n = readlink("/proc/self/exe", own, sizeof(own));
	do {
		usleep(2000);
		snprintf(self, sizeof(self), "/proc/%d/exe", root_of(dir));
		m = readlink(self, exe, sizeof(exe));
	} while (m <= 0 || (m == n && memcmp(exe, own, (size_t)n) == 0));
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "stop", 0, NULL, 's' }, { "net-reset", 0, NULL, 'r' }, { "trial", 0, NULL, 't' }, { "base", 0, NULL, 'b' },
		{ "times", 1, NULL, 'n' }, { "every", 1, NULL, 'e' },
		{ "help", 0, NULL, 'h' }, { 0 },
	};
	bool stop = false, reset = false, trial = false, base = false;
	uint64_t v = 0, times = 0, every = 100;
	int c;

	while ((c = getopt_long(argc, argv, "+hsrtb", longs, NULL)) != -1) {
		if (c == 'h')
			return fputs(help, stdout) < 0;
		return fputs(help, stderr), 2;
	}
	if (argc - optind < 2)
		return fputs(help, stderr), 2;
	argv += optind;
	argc -= optind;
	if (strcmp(argv[0], "run") == 0) {
		char **cmd = argv + 2;

		if (*cmd && strcmp(*cmd, "--") == 0)
			cmd++;
		return *cmd ? cmd_run(argv[1], cmd) : 2;
	}
	optind = 1;
	while ((c = getopt_long(argc, argv, "hsrtbn:e:", longs, NULL)) != -1) {
		stop |= c == 's';
		reset |= c == 'r';
		trial |= c == 't';
		base |= c == 'b';
		if ((c == 'n' && om_str_u64(optarg, &times) < 0) || (c == 'e' && om_str_u64(optarg, &every) < 0))
			return 2;
		if (c == '?')
			return 2;
	}
	if (optind >= argc)
		return fputs(help, stderr), 2;
	if (optind + 1 < argc && om_str_u64(argv[optind + 1], &v) < 0)
		return fputs(help, stderr), 2;
	if (strcmp(argv[0], "dump") == 0)
		return times ? cmd_dumps(argv[optind], stop, reset, (unsigned)times, (unsigned)every) :
			cmd_dump(argv[optind], stop, reset, base, NULL);
	if (strcmp(argv[0], "look") == 0)
		return cmd_look(argv[optind], reset);
	if (strcmp(argv[0], "restore") == 0)
		return cmd_restore(argv[optind], (unsigned)v, trial);
	if (strcmp(argv[0], "wait") == 0)
		return cmd_wait(argv[optind]);
	if (strcmp(argv[0], "signal") == 0) {
		pid_t p = root_of(argv[optind]);

		return p > 0 && kill(p, (int)v) == 0 ? 0 : 1;
	}
	return fputs(help, stderr), 2;
}
