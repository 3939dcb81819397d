/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checkpoint store under loss of power, kills, errors and a full disk.
 *
 * Loss of power: fsync, renameat and unlinkat are wrapped.  Of every file its bytes at its last fsync are kept aside, of the folder its
 * names at its last fsync.  Before and after each of these calls folders are built as a machine could find them after the loss: (a) only what
 * was synced; (b) all names, but of each file only the bytes that were synced; (c) names that were removed are gone, new ones not yet
 * there; (d) of all changes of names only one has reached the disk, each in turn.  In each of them every checkpoint that was promised must be whole, and a new one must be possible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <signal.h>
#include <cmocka.h>

#include "tests/unit/spool-help.h"

int __real_fsync(int fd);
int __real_renameat(int from, const char *a, int to, const char *b);
int __real_unlinkat(int dirfd, const char *name, int flags);
int __wrap_fsync(int fd);
int __wrap_renameat(int from, const char *a, int to, const char *b);
int __wrap_unlinkat(int dirfd, const char *name, int flags);

enum { NAMES_MAX = 200, PROMISED_MAX = 16 };

struct entry {
	char name[64];
	ino_t ino;
};

static struct {
	bool on;
	int ckpt;			/* the real folder */
	int kept;			/* folder of synced bytes, by inode */
	struct entry names[NAMES_MAX];	/* of the folder at its last fsync */
	int n;
	uint32_t promised[PROMISED_MAX];
	int promised_n;
	int looked;
} power;

static void copy(int from_dir, const char *from, int to_dir, const char *to)
{
	int in = openat(from_dir, from, O_RDONLY | O_CLOEXEC), out = openat(to_dir, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct stat st;

	assert_true(out >= 0);
	if (in >= 0) {		/* else: never synced, so empty */
		assert_int_equal(fstat(in, &st), 0);
		while (st.st_size > 0) {
			ssize_t n = sendfile(out, in, NULL, (size_t)st.st_size);

			assert_true(n > 0);
			st.st_size -= n;
		}
		close(in);
	}
	close(out);
}

static int list_names(int dirfd, struct entry *ret)
{
	DIR *d = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			assert_true(n < NAMES_MAX);
			snprintf(ret[n].name, sizeof(ret[n].name), "%.60s", e->d_name);
			ret[n++].ino = e->d_ino;
		}
	closedir(d);
	return n;
}

static void build(int dirfd, const struct entry *v, int n)
{
	for (int i = 0; i < n; i++) {
		char ino[32];

		snprintf(ino, sizeof(ino), "%lu", (unsigned long)v[i].ino);
		copy(power.kept, ino, dirfd, v[i].name);
	}
}

/* The folder @dirfd is what is left: is it good? */
static void check_left(const char *path, int dirfd, const char *how)
{
	struct spool_store *st;
	struct om_err err = { 0 };
	int r, n;

	assert_int_equal(spool_store_open(AT_FDCWD, path, false, &st, &err), 0);
	for (int i = 0; i < power.promised_n; i++) {
		r = help_compare(st, power.promised[i], &err);
		if (r)
			fail_msg("%s: checkpoint %u: %d %s", how, power.promised[i], r, err.text);
	}
	n = help_write(st, 100, 103, &err);
	if (n <= 0)
		fail_msg("%s: no new checkpoint: %s", how, err.text);
	for (int i = 0; i < power.promised_n; i++) {
		assert_true((uint32_t)n > power.promised[i]);
		assert_int_equal(help_compare(st, power.promised[i], &err), 0);
	}
	assert_int_equal(help_compare(st, (uint32_t)n, &err), 0);
	spool_store_close(st);
	power.looked++;
	help_empty(dirfd);
}

static const struct entry *find_name(const struct entry *v, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return &v[i];
	return NULL;
}

/* The synced names with only @name as it is @now (NULL: removed). */
static void one_change(const char *path, int dirfd, const char *name, const struct entry *now)
{
	char how[96];

	snprintf(how, sizeof(how), "only the change of %s", name);
	for (int i = 0; i < power.n; i++)
		if (strcmp(power.names[i].name, name) != 0)
			build(dirfd, &power.names[i], 1);
	if (now)
		build(dirfd, now, 1);
	check_left(path, dirfd, how);
}

static void each_change(const char *path, int dirfd, const struct entry *now, int n)
{
	for (int i = 0; i < n; i++) {
		const struct entry *old = find_name(power.names, power.n, now[i].name);

		if (!old || old->ino != now[i].ino)
			one_change(path, dirfd, now[i].name, &now[i]);
	}
	for (int i = 0; i < power.n; i++)
		if (!find_name(now, n, power.names[i].name))
			one_change(path, dirfd, power.names[i].name, NULL);
}

static void lose_power(void)
{
	static struct entry now[NAMES_MAX], some[NAMES_MAX];
	char path[64] = "/tmp/om-spool-left.XXXXXX";
	int dirfd, n, m = 0;

	power.on = false;
	n = list_names(power.ckpt, now);
	assert_non_null(mkdtemp(path));
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	build(dirfd, power.names, power.n);
	check_left(path, dirfd, "only what was synced");
	build(dirfd, now, n);
	check_left(path, dirfd, "all names");
	for (int i = 0; i < power.n; i++)
		if (find_name(now, n, power.names[i].name))
			some[m++] = power.names[i];
	build(dirfd, some, m);
	check_left(path, dirfd, "removed names only");
	each_change(path, dirfd, now, n);
	close(dirfd);
	rmdir(path);
	power.on = true;
}

static void note_synced(int fd)
{
	struct stat st;
	char path[40], ino[32];

	assert_int_equal(fstat(fd, &st), 0);
	if (S_ISDIR(st.st_mode)) {
		power.n = list_names(power.ckpt, power.names);
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(ino, sizeof(ino), "%lu", (unsigned long)st.st_ino);
	copy(AT_FDCWD, path, power.kept, ino);
}

int __wrap_fsync(int fd)
{
	if (!power.on)
		return 0;		/* the folders that are left over: no need to wait for a disk */
	lose_power();
	note_synced(fd);
	lose_power();
	return 0;
}

int __wrap_renameat(int from, const char *a, int to, const char *b)
{
	int r;

	if (!power.on)
		return __real_renameat(from, a, to, b);
	r = __real_renameat(from, a, to, b);
	lose_power();
	return r;
}

int __wrap_unlinkat(int dirfd, const char *name, int flags)
{
	int r = __real_unlinkat(dirfd, name, flags);

	if (power.on && r == 0)
		lose_power();
	return r;
}

static void promise(int n)
{
	assert_true(n > 0);
	power.promised[power.promised_n++] = (uint32_t)n;
}

static void renounce(uint32_t n)
{
	for (int i = 0; i < power.promised_n; i++)
		if (power.promised[i] == n)
			power.promised[i--] = power.promised[--power.promised_n];
}

static void loss_of_power(void **state)
{
	struct help_place *p = *state;
	char kept[64] = "/tmp/om-spool-kept.XXXXXX";

	memset(&power, 0, sizeof(power));
	assert_non_null(mkdtemp(kept));
	power.kept = open(kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	power.ckpt = p->ckpt;
	power.on = true;
	promise(help_write(p->st, 6, 20, NULL));
	promise(help_write(p->st, 6, 22, NULL));
	promise(help_write(p->st, 18, 24, NULL));
	promise(help_write(p->st, 19, 25, NULL));
	renounce(2);
	assert_int_equal(spool_store_drop(p->st, 2, NULL), 0);
	renounce(1);			/* leaves sparse packs: they are rewritten */
	assert_int_equal(spool_store_drop(p->st, 1, NULL), 0);
	renounce(4);			/* the newest */
	assert_int_equal(spool_store_drop(p->st, 4, NULL), 0);
	promise(help_write(p->st, 3, 8, NULL));
	assert_int_equal(power.promised[power.promised_n - 1], 5);
	power.on = false;
	assert_true(power.looked > 100);
	assert_int_equal(help_count(p->ckpt, "last-"), 1);	/* goes with the next writer */
	help_empty(power.kept);
	close(power.kept);
	rmdir(kept);
}

/* ---- faults: each in a process of its own, this program with arguments ---- */

static int child_main(char **argv)
{
	struct spool_store *st;
	struct om_err err = { 0 };
	int r = spool_store_open(AT_FDCWD, argv[1], false, &st, &err);

	if (r == 0) {
		r = argv[2][0] == 'w' ? help_write(st, 15, 27, &err) : spool_store_drop(st, 1, &err);
		spool_store_close(st);
	}
	return r < 0 ? -r : 0;
}

static int run(const char *path, const char *what, const char *fault)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		setenv("OM_FAULT", fault, 1);
		execl("/proc/self/exe", "t-spool-crash", path, what, (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Checkpoints 1 (nearly all of it dead once it is dropped), 2 and 3. */
static void three_checkpoints(struct help_place *p)
{
	help_empty(p->ckpt);
	assert_int_equal(help_write(p->st, 0, 18, NULL), 1);
	assert_int_equal(help_write(p->st, 16, 20, NULL), 2);
	assert_int_equal(help_write(p->st, 17, 21, NULL), 3);
}

static void check_after_fault(struct help_place *p, const char *what, const char *fault)
{
	struct om_err err = { 0 };
	int r;

	for (uint32_t n = what[0] == 'w' ? 1 : 2; n <= 3; n++) {
		r = help_compare(p->st, n, &err);
		if (r)
			fail_msg("after %s, checkpoint %u: %d %s", fault, n, r, err.text);
	}
	r = help_write(p->st, 15, 27, &err);
	if (r <= 3)
		fail_msg("after %s: %s", fault, err.text);
	assert_int_equal(help_compare(p->st, (uint32_t)r, &err), 0);
	assert_int_equal(help_count(p->ckpt, "ckpt-00000001.tmp"), 0);
	/* nothing is left that belongs to nobody */
	r = spool_store_drop(p->st, 1, &err);
	if (r < 0 && r != -ENOENT)
		fail_msg("after %s, drop: %s", fault, err.text);
	for (uint32_t n = 2; n <= 3; n++)
		assert_int_equal(help_compare(p->st, n, &err), 0);
}

static void faults(struct help_place *p, const char *what, const char *point, const char *how, int wanted)
{
	int met = 0;

	for (unsigned nth = 1; nth < 100; nth++) {
		char fault[64];
		int r;

		snprintf(fault, sizeof(fault), "%s:%u:%s", point, nth, how);
		three_checkpoints(p);
		r = run(p->path, what, fault);
		/* what goes wrong while tidying up after a drop is no error of the drop */
		if (r != wanted && r != 0)
			fail_msg("%s ended with %d", fault, r);
		met += r == wanted;
		check_after_fault(p, what, fault);
		if (r == 0 && nth > 12)
			break;
	}
	assert_true(met > 0);
}

static void set_path(struct help_place *p)
{
	strncat(p->path, "/ckpt", sizeof(p->path) - strlen(p->path) - 1);
}

static int teardown_path(void **state)
{
	struct help_place *p = *state;

	p->path[strlen(p->path) - strlen("/ckpt")] = 0;
	return help_teardown(state);
}

static void errors_and_kills(void **state)
{
	static const char *writes[] = { "store_block", "store_fsync", "store_commit" };
	struct help_place *p = *state;

	set_path(p);
	for (size_t i = 0; i < 3; i++) {
		faults(p, "write", writes[i], "EIO", EIO);
		faults(p, "write", writes[i], "ENOSPC", ENOSPC);
		faults(p, "write", writes[i], "kill", 1000 + SIGKILL);
	}
	faults(p, "drop", "store_prune", "EIO", EIO);
	faults(p, "drop", "store_prune", "kill", 1000 + SIGKILL);
}

/* ---- a full disk ---- */

static void too_large_fails_alone(struct spool_store *st, int ckpt)
{
	struct om_err err = { 0 };
	int r;

	assert_int_equal(help_write(st, 0, 6, &err), 1);
	r = help_write(st, 20, 200, &err);		/* some 7 MiB */
	if (r != -ENOSPC && r != -EFBIG)
		fail_msg("%d %s", r, err.text);
	assert_non_null(strstr(err.text, "pack-00000002"));
	assert_int_equal(help_count(ckpt, ""), 2);
	assert_int_equal(help_compare(st, 1, &err), 0);
	assert_int_equal(help_write(st, 3, 8, &err), 2);
	assert_int_equal(help_compare(st, 2, &err), 0);
}

static void a_small_disk(void **state)
{
	struct help_place *p = *state;
	struct spool_store *st;
	char path[80];
	int ckpt;

	snprintf(path, sizeof(path), "%s/small", p->path);
	assert_int_equal(mkdir(path, 0700), 0);
	if (mount("none", path, "tmpfs", 0, "size=4m") < 0) {
		rmdir(path);
		printf("# no mount: the limit on file sizes has to do\n");
		return;
	}
	assert_int_equal(spool_store_open(AT_FDCWD, path, false, &st, NULL), 0);
	ckpt = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	too_large_fails_alone(st, ckpt);
	spool_store_close(st);
	close(ckpt);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	assert_int_equal(rmdir(path), 0);
}

static void a_limit_on_file_sizes(void **state)
{
	struct help_place *p = *state;
	struct rlimit old, small = { 0 };

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ 4 << 20, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	too_large_fails_alone(p->st, p->ckpt);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(loss_of_power, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(errors_and_kills, help_setup, teardown_path),
		cmocka_unit_test_setup_teardown(a_small_disk, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(a_limit_on_file_sizes, help_setup, help_teardown),
	};

	if (argc == 3)
		return child_main(argv);
	return cmocka_run_group_tests_name("spool crash", tests, NULL, NULL);
}
