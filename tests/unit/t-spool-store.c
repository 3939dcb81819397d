/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checkpoint store as its callers see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <xxhash.h>
#include <cmocka.h>

#include "base/buf.h"
#include "tests/unit/spool-help.h"

static void writes_and_reads(void **state)
{
	struct help_place *p = *state;
	struct spool_ckpt_info *list;
	size_t n;

	assert_int_equal(help_write(p->st, 0, 20, NULL), 1);
	assert_int_equal(help_compare(p->st, 1, NULL), 0);
	assert_int_equal(help_compare(p->st, 0, NULL), 0);
	assert_int_equal(help_write(p->st, 0, 0, NULL), 2);	/* a checkpoint without a block */
	assert_int_equal(help_compare(p->st, 2, NULL), 0);
	assert_int_equal(spool_store_list(p->st, &list, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(list[0].n, 1);
	assert_int_equal(list[0].blocks, 20);
	assert_true(list[0].bytes > SPOOL_BLOCK_MAX);
	assert_true(list[0].stored > 1000 && list[0].stored < list[0].bytes);
	assert_int_equal(list[1].n, 2);
	assert_true(list[1].time_ns >= list[0].time_ns);
	free(list);
	assert_int_equal(help_count(p->ckpt, ""), 3);
}

static void stores_the_same_once(void **state)
{
	struct help_place *p = *state;
	struct spool_ckpt_info *list;
	size_t n;

	assert_int_equal(help_write(p->st, 0, 30, NULL), 1);
	assert_int_equal(help_write(p->st, 0, 30, NULL), 2);
	assert_int_equal(help_count(p->ckpt, "pack-"), 1);
	assert_int_equal(help_write(p->st, 10, 31, NULL), 3);
	assert_int_equal(help_count(p->ckpt, "pack-"), 2);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(help_compare(p->st, i, NULL), 0);
	assert_int_equal(spool_store_list(p->st, &list, &n, NULL), 0);
	assert_true(list[1].stored < list[0].stored / 10);
	free(list);
}

static void keeps_blocks_of_the_base(void **state)
{
	struct help_place *p = *state;
	struct spool_ckpt_info info;
	struct spool_writer *w;
	uint32_t index;

	assert_int_equal(help_write(p->st, 0, 10, NULL), 1);
	assert_int_equal(spool_writer_create(p->st, 7, &w, NULL), -ENOENT);
	assert_int_equal(spool_writer_create(p->st, 1, &w, NULL), 0);
	for (uint32_t i = 3; i < 10; i++) {
		assert_int_equal(spool_writer_keep(w, i, &index, NULL), 0);
		assert_int_equal(index, i - 3);
	}
	assert_int_equal(spool_writer_keep(w, 10, &index, NULL), -ENOENT);
	assert_int_equal(help_add(w, 10, NULL), 0);
	assert_int_equal(spool_writer_commit(w, "meta 3 11", 9, &info, NULL), 0);
	assert_int_equal(info.n, 2);
	assert_true(spool_writer_commit(w, "again", 5, &info, NULL) < 0);
	spool_writer_destroy(w);
	assert_int_equal(help_compare(p->st, 2, NULL), 0);
	/* what it was built upon can go */
	assert_int_equal(spool_store_drop(p->st, 1, NULL), 0);
	assert_int_equal(help_compare(p->st, 2, NULL), 0);
}

static void a_writer_that_gives_up_leaves_nothing(void **state)
{
	struct help_place *p = *state;
	struct spool_writer *w, *second;
	uint32_t index;

	assert_int_equal(help_write(p->st, 0, 5, NULL), 1);
	assert_int_equal(spool_writer_create(p->st, 0, &w, NULL), 0);
	assert_int_equal(help_add(w, 7, NULL), 0);
	assert_int_equal(spool_writer_create(p->st, 0, &second, NULL), -EBUSY);
	assert_int_equal(spool_store_drop(p->st, 1, NULL), -EBUSY);
	assert_int_equal(spool_writer_block(w, "x", 0, &index, NULL), -EINVAL);
	assert_int_equal(help_add(w, 8, NULL), -EINVAL);	/* failed once, failed for good */
	spool_writer_destroy(w);
	assert_int_equal(help_count(p->ckpt, ""), 2);
	assert_int_equal(help_write(p->st, 0, 9, NULL), 2);
}

static void leftovers_of_a_killed_writer_go(void **state)
{
	struct help_place *p = *state;
	struct spool_writer *w;
	pid_t pid;
	int status;

	assert_int_equal(help_write(p->st, 0, 5, NULL), 1);
	pid = fork();
	if (pid == 0) {
		if (spool_writer_create(p->st, 0, &w, NULL) == 0 && help_add(w, 7, NULL) == 0)
			_exit(7);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	close(openat(p->ckpt, "ckpt-00000002.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	close(openat(p->ckpt, "note", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(help_count(p->ckpt, "pack-"), 2);
	assert_int_equal(spool_writer_create(p->st, 0, &w, NULL), 0);
	assert_int_equal(help_count(p->ckpt, "pack-"), 1);
	assert_int_equal(help_count(p->ckpt, ""), 3);		/* what is not ours stays */
	spool_writer_destroy(w);
	assert_int_equal(help_compare(p->st, 1, NULL), 0);
}

static void never_drops_the_only_good_one(void **state)
{
	struct help_place *p = *state;
	struct om_err err = { 0 };
	int fd;

	assert_int_equal(help_write(p->st, 0, 5, NULL), 1);
	assert_int_equal(spool_store_drop(p->st, 1, &err), -EPERM);
	assert_non_null(strstr(err.text, "only good"));
	assert_int_equal(spool_store_drop(p->st, 2, NULL), -ENOENT);
	assert_int_equal(help_write(p->st, 20, 25, NULL), 2);
	/* the second one is damaged: it counts no longer */
	fd = openat(p->ckpt, "ckpt-00000002", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 100), 1);
	close(fd);
	assert_int_equal(spool_store_drop(p->st, 1, NULL), -EPERM);
	assert_int_equal(help_compare(p->st, 0, NULL), 0);	/* newest good one: the first */
	assert_int_equal(help_compare(p->st, 2, NULL), -EUCLEAN);
	assert_int_equal(spool_store_drop(p->st, 2, NULL), 0);
	assert_int_equal(help_count(p->ckpt, "pack-"), 1);
	assert_int_equal(help_compare(p->st, 1, NULL), 0);
}

static void numbers_are_never_given_twice(void **state)
{
	struct help_place *p = *state;

	assert_int_equal(help_write(p->st, 0, 5, NULL), 1);
	assert_int_equal(help_write(p->st, 0, 6, NULL), 2);
	assert_int_equal(help_write(p->st, 0, 7, NULL), 3);
	assert_int_equal(spool_store_drop(p->st, 3, NULL), 0);
	assert_int_equal(spool_store_drop(p->st, 2, NULL), 0);
	assert_int_equal(help_write(p->st, 0, 8, NULL), 4);
	assert_int_equal(spool_store_drop(p->st, 1, NULL), 0);
	assert_int_equal(help_write(p->st, 0, 9, NULL), 5);
	assert_int_equal(help_count(p->ckpt, "last-"), 0);
	assert_int_equal(help_compare(p->st, 4, NULL), 0);
	assert_int_equal(help_compare(p->st, 5, NULL), 0);
}

static uint64_t pack_bytes(struct help_place *p)
{
	uint64_t sum = 0;

	for (unsigned i = 1; i < 2000; i++) {
		struct stat st;
		char name[32];

		snprintf(name, sizeof(name), "pack-%08x", i);
		if (fstatat(p->ckpt, name, &st, 0) == 0)
			sum += (uint64_t)st.st_size;
	}
	return sum;
}

static void sparse_packs_are_rewritten(void **state)
{
	struct help_place *p = *state;
	struct spool_image *im;
	static uint8_t buf[SPOOL_BLOCK_MAX];
	uint64_t before;
	size_t len;

	assert_int_equal(help_write(p->st, 0, 60, NULL), 1);
	assert_int_equal(help_write(p->st, 48, 64, NULL), 2);
	assert_int_equal(help_write(p->st, 50, 62, NULL), 3);
	assert_int_equal(spool_image_open(p->st, 3, &im, NULL), 0);
	before = pack_bytes(p);
	assert_int_equal(spool_store_drop(p->st, 1, NULL), 0);
	assert_true(pack_bytes(p) < before / 2);
	assert_int_equal(help_compare(p->st, 2, NULL), 0);
	assert_int_equal(help_compare(p->st, 3, NULL), 0);
	/* an image that was open all the time does not notice */
	assert_int_equal(spool_image_verify(im, NULL, NULL, NULL), 0);
	assert_int_equal(spool_image_block(im, 2, buf, &len, NULL), 0);
	spool_image_close(im);
}

static void a_damaged_block_is_not_rewritten(void **state)
{
	struct help_place *p = *state;
	struct stat st;
	int fd;

	assert_int_equal(help_write(p->st, 0, 60, NULL), 1);
	assert_int_equal(help_write(p->st, 57, 61, NULL), 2);
	assert_int_equal(fstatat(p->ckpt, "pack-00000001", &st, 0), 0);
	fd = openat(p->ckpt, "pack-00000001", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, st.st_size - 2), 1);
	close(fd);
	assert_int_equal(spool_store_drop(p->st, 1, NULL), 0);
	assert_int_equal(faccessat(p->ckpt, "pack-00000001", F_OK, 0), 0);
	assert_int_equal(help_compare(p->st, 2, NULL), -EUCLEAN);
}

static void many_small_packs_are_merged(void **state)
{
	struct help_place *p = *state;
	int n = 0;

	/* each checkpoint has all the blocks of before and one more: every pack stays fully alive */
	for (uint32_t i = 1; i <= 70; i++) {
		n = help_write(p->st, 1, i * 6 / 5 + 2, NULL);
		assert_int_equal(n, (int)i);
		if (i > 1)
			assert_int_equal(spool_store_drop(p->st, i - 1, NULL), 0);
	}
	assert_in_range(help_count(p->ckpt, "pack-"), 1, 64);
	assert_int_equal(help_compare(p->st, (uint32_t)n, NULL), 0);
}

static void missing_and_cut_packs_are_named(void **state)
{
	struct help_place *p = *state;
	struct om_err err = { 0 };
	struct spool_ckpt_info *list;
	struct stat st;
	size_t n;
	int fd;

	assert_int_equal(help_write(p->st, 0, 12, NULL), 1);
	assert_int_equal(fstatat(p->ckpt, "pack-00000001", &st, 0), 0);
	fd = openat(p->ckpt, "pack-00000001", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	close(fd);
	assert_int_equal(help_compare(p->st, 1, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "pack-00000001"));
	assert_non_null(strstr(err.text, "cut"));
	assert_int_equal(unlinkat(p->ckpt, "pack-00000001", 0), 0);
	assert_int_equal(help_compare(p->st, 1, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(spool_store_list(p->st, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	free(list);
	/* nothing is built upon it, and its number stays taken */
	assert_int_equal(help_write(p->st, 0, 12, NULL), 2);
	assert_int_equal(help_compare(p->st, 2, NULL), 0);
}

static void hostile_names_are_not_followed(void **state)
{
	struct help_place *p = *state;
	struct om_err err = { 0 };

	assert_int_equal(help_write(p->st, 0, 3, NULL), 1);
	assert_int_equal(symlinkat("ckpt-00000001", p->ckpt, "ckpt-00000002"), 0);
	assert_int_equal(mkfifoat(p->ckpt, "ckpt-00000003", 0600), 0);
	assert_int_equal(help_compare(p->st, 2, &err), -EUCLEAN);
	assert_true(help_compare(p->st, 3, &err) < 0);
	assert_int_equal(help_compare(p->st, 0, &err), 0);
	assert_int_equal(renameat(p->ckpt, "pack-00000001", p->ckpt, "pack"), 0);
	assert_int_equal(symlinkat("pack", p->ckpt, "pack-00000001"), 0);
	assert_int_equal(help_compare(p->st, 1, &err), -EUCLEAN);
	assert_int_equal(spool_store_open(p->fd, "nothing", false, &(struct spool_store *){ NULL }, &err), -ENOENT);
}

static int stop_at_once(void *arg, uint64_t done, uint64_t all)
{
	(void)arg;
	return done <= all;
}

static int last_progress(void *arg, uint64_t done, uint64_t all)
{
	*(bool *)arg = done == all;
	return 0;
}

static void verify_tells_progress(void **state)
{
	struct help_place *p = *state;
	struct spool_image *im;
	bool ended = false;

	assert_int_equal(help_write(p->st, 0, 40, NULL), 1);
	assert_int_equal(spool_image_open(p->st, 1, &im, NULL), 0);
	assert_int_equal(spool_image_verify(im, stop_at_once, NULL, NULL), -ECANCELED);
	assert_int_equal(spool_image_verify(im, last_progress, &ended, NULL), 0);
	assert_true(ended);
	spool_image_close(im);
}

/* Every byte of every file, one after the other. */
static void every_flipped_byte_is_found(void **state)
{
	struct help_place *p = *state;
	static const char *names[] = { "ckpt-00000001", "pack-00000001" };

	/* 1, 300 and 4096 bytes, some raw, some compressed */
	struct spool_ckpt_info info;
	struct spool_image *im;
	struct spool_writer *w;
	uint32_t index;

	assert_int_equal(spool_writer_create(p->st, 0, &w, NULL), 0);
	assert_int_equal(spool_writer_block(w, "a", 1, &index, NULL), 0);
	assert_int_equal(help_add(w, 12, NULL), 0);
	assert_int_equal(help_add(w, 6, NULL), 0);
	assert_int_equal(help_add(w, 7, NULL), 0);
	assert_int_equal(spool_writer_commit(w, "{\"some\":\"meta\",\"more\":\"meta\"}", 29, &info, NULL), 0);
	spool_writer_destroy(w);
	for (size_t f = 0; f < 2; f++) {
		int fd = openat(p->ckpt, names[f], O_RDWR | O_CLOEXEC);
		struct stat st;

		assert_int_equal(fstat(fd, &st), 0);
		for (off_t i = 0; i < st.st_size; i++) {
			uint8_t byte, other;
			int r;

			assert_int_equal(pread(fd, &byte, 1, i), 1);
			other = byte ^ (uint8_t)(1 << i % 8);
			assert_int_equal(pwrite(fd, &other, 1, i), 1);
			r = spool_image_open(p->st, 1, &im, NULL);
			if (r == 0) {
				struct om_err err = { 0 };

				r = spool_image_verify(im, NULL, NULL, &err);
				spool_image_close(im);
				assert_non_null(strstr(err.text, "pack-00000001 at byte "));
			}
			if (r != -EUCLEAN)
				fail_msg("%s: byte %ld changed and not found", names[f], (long)i);
			assert_int_equal(pwrite(fd, &byte, 1, i), 1);
		}
		close(fd);
	}
	assert_int_equal(spool_image_open(p->st, 1, &im, NULL), 0);
	assert_int_equal(spool_image_verify(im, NULL, NULL, NULL), 0);
	spool_image_close(im);
}

static void cut_manifests_are_found(void **state)
{
	struct help_place *p = *state;
	struct stat st;
	int fd;

	assert_int_equal(help_write(p->st, 0, 3, NULL), 1);
	fd = openat(p->ckpt, "ckpt-00000001", O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	while (st.st_size-- > 0) {
		assert_int_equal(ftruncate(fd, st.st_size), 0);
		assert_int_equal(help_compare(p->st, 1, NULL), -EUCLEAN);
	}
	close(fd);
}

/* A manifest of another version, otherwise sound: nothing is touched. */
static void newer_formats_are_left_alone(void **state)
{
	struct help_place *p = *state;
	struct spool_writer *w;
	struct om_err err = { 0 };
	static const uint8_t head[96] = {
		'O', 'M', 'C', 'K', 'P', 'T', 0, 1, 2, 0, 0, 0, 1,
	};
	uint8_t file[96];
	int fd;

	memcpy(file, head, sizeof(head));
	le64_put(file + 64, XXH3_64bits(file, 64));
	fd = openat(p->ckpt, "ckpt-00000001", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, file, sizeof(file)), sizeof(file));
	close(fd);
	assert_int_equal(spool_writer_create(p->st, 0, &w, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.text, "newer program"));
	assert_int_equal(spool_store_drop(p->st, 1, NULL), -EPROTONOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_and_reads, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(stores_the_same_once, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(keeps_blocks_of_the_base, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(a_writer_that_gives_up_leaves_nothing, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(leftovers_of_a_killed_writer_go, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(never_drops_the_only_good_one, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(numbers_are_never_given_twice, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(sparse_packs_are_rewritten, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_block_is_not_rewritten, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(many_small_packs_are_merged, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(missing_and_cut_packs_are_named, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(hostile_names_are_not_followed, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(verify_tells_progress, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(every_flipped_byte_is_found, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(cut_manifests_are_found, help_setup, help_teardown),
		cmocka_unit_test_setup_teardown(newer_formats_are_left_alone, help_setup, help_teardown),
	};

	return cmocka_run_group_tests_name("spool store", tests, NULL, NULL);
}
