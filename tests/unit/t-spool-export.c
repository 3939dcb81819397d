/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Export and import: there and back, and every way a stream can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <xxhash.h>
#include <cmocka.h>

#include "base/buf.h"
#include "tests/unit/spool-help.h"

static const char extra[] = "{\"argv\":[\"true\"]}";

struct twin {
	struct help_place *from;
	struct spool_store *to;
	int to_fd;
};

static int setup(void **state)
{
	static struct twin t;
	void *p;

	if (help_setup(&p) < 0)
		return -1;
	t.from = p;
	if (spool_store_open(t.from->fd, "other", true, &t.to, NULL) < 0)
		return -1;
	t.to_fd = openat(t.from->fd, "other", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct twin *t = *state;
	void *p = t->from;

	spool_store_close(t->to);
	help_empty(t->to_fd);
	close(t->to_fd);
	if (unlinkat(t->from->fd, "other", AT_REMOVEDIR) < 0)
		return -1;
	return help_teardown(&p);
}

/* The stream of checkpoint @n in a memfd. */
static int stream_of(struct spool_store *st, uint32_t n)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);
	struct spool_image *im;

	assert_true(fd >= 0);
	assert_int_equal(spool_image_open(st, n, &im, NULL), 0);
	assert_int_equal(spool_image_export(im, extra, fd, NULL, NULL, NULL), 0);
	spool_image_close(im);
	return fd;
}

static int import(struct twin *t, int fd, struct om_err *err)
{
	struct spool_ckpt_info info;
	char *text = NULL;
	int r;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	r = spool_store_import(t->to, fd, &info, &text, err);
	if (r == 0) {
		assert_int_equal(info.n, 1);
		assert_string_equal(text, extra);
		free(text);
	}
	return r;
}

static void there_and_back(void **state)
{
	struct twin *t = *state;
	struct om_err err = { 0 };
	int fd;

	assert_int_equal(help_write(t->from->st, 0, 40, NULL), 1);
	assert_int_equal(help_write(t->from->st, 20, 60, NULL), 2);
	fd = stream_of(t->from->st, 2);
	assert_int_equal(import(t, fd, &err), 0);
	assert_int_equal(help_compare(t->to, 1, &err), 0);
	assert_int_equal(import(t, fd, &err), -ENOTEMPTY);
	assert_int_equal(help_compare(t->to, 1, &err), 0);
	/* the import is an ordinary store */
	assert_int_equal(help_write(t->to, 20, 61, NULL), 2);
	close(fd);
}

static void empty_ones_too(void **state)
{
	struct twin *t = *state;
	int fd;

	assert_int_equal(help_write(t->from->st, 3, 3, NULL), 1);
	fd = stream_of(t->from->st, 1);
	assert_int_equal(import(t, fd, NULL), 0);
	assert_int_equal(help_compare(t->to, 1, NULL), 0);
	close(fd);
}

static void same_blocks_travel_once(void **state)
{
	struct twin *t = *state;
	struct spool_ckpt_info info;
	struct spool_writer *w;
	struct stat st;
	int fd;

	assert_int_equal(spool_writer_create(t->from->st, 0, &w, NULL), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(help_add(w, 9, NULL), 0);
	assert_int_equal(spool_writer_commit(w, "", 0, &info, NULL), 0);
	spool_writer_destroy(w);
	fd = stream_of(t->from->st, 1);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((size_t)st.st_size < help_len(9) + 500);
	assert_int_equal(import(t, fd, NULL), 0);
	assert_int_equal(spool_writer_create(t->to, 1, &w, NULL), 0);
	spool_writer_destroy(w);
	close(fd);
}

/* A small stream: 1, 300 and 4096 bytes, some compressed. */
static int small_stream(struct twin *t)
{
	struct spool_ckpt_info info;
	struct spool_writer *w;

	assert_int_equal(spool_writer_create(t->from->st, 0, &w, NULL), 0);
	assert_int_equal(help_add(w, 2, NULL), 0);
	assert_int_equal(help_add(w, 6, NULL), 0);
	assert_int_equal(help_add(w, 7, NULL), 0);
	assert_int_equal(help_add(w, 12, NULL), 0);
	assert_int_equal(help_add(w, 6, NULL), 0);
	assert_int_equal(spool_writer_commit(w, "some meta", 9, &info, NULL), 0);
	spool_writer_destroy(w);
	return stream_of(t->from->st, 1);
}

static void refused_without_a_trace(struct twin *t, int fd, const char *what, long at)
{
	struct om_err err = { 0 };
	int r = import(t, fd, &err);

	if (r != -EUCLEAN)
		fail_msg("%s %ld: %d %s", what, at, r, err.text);
	if (help_count(t->to_fd, "") != 0)
		fail_msg("%s %ld leaves a file", what, at);
}

static void every_flipped_byte_is_refused(void **state)
{
	struct twin *t = *state;
	int fd = small_stream(t);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (off_t i = 0; i < st.st_size; i++) {
		uint8_t byte, other;

		assert_int_equal(pread(fd, &byte, 1, i), 1);
		other = byte ^ (uint8_t)(1 << i % 8);
		assert_int_equal(pwrite(fd, &other, 1, i), 1);
		refused_without_a_trace(t, fd, "flipped byte", (long)i);
		assert_int_equal(pwrite(fd, &byte, 1, i), 1);
	}
	assert_int_equal(pwrite(fd, "x", 1, st.st_size), 1);
	refused_without_a_trace(t, fd, "something behind", 1);
	assert_int_equal(ftruncate(fd, st.st_size), 0);
	assert_int_equal(import(t, fd, NULL), 0);
	close(fd);
}

static void every_cut_is_refused(void **state)
{
	struct twin *t = *state;
	int fd = small_stream(t);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	while (st.st_size-- > 0) {
		assert_int_equal(ftruncate(fd, st.st_size), 0);
		refused_without_a_trace(t, fd, "cut at", (long)st.st_size);
	}
	close(fd);
}

/* Headers with right checksums and wrong lengths. */
static void impossible_lengths_are_refused(void **state)
{
	static const struct { size_t at; uint64_t value; size_t size; } t[] = {
		{ 12, UINT32_MAX, 4 }, { 12, SPOOL_BLOCKS_MAX + 1, 4 }, { 12, 0, 4 }, { 12, SPOOL_BLOCKS_MAX, 4 },
		{ 16, UINT32_MAX, 4 }, { 16, 6, 4 }, { 20, 0, 8 }, { 20, UINT64_MAX, 8 },
		{ 28, UINT64_MAX, 8 }, { 28, SPOOL_EXTRA_MAX + 1, 8 }, { 28, SPOOL_EXTRA_MAX, 8 }, { 28, 0, 8 },
		{ 36, UINT64_MAX, 8 }, { 36, 0, 8 }, { 36, SPOOL_META_MAX, 8 }, { 36, (uint64_t)SPOOL_META_MAX + 1, 8 },
		{ 44, UINT64_MAX, 8 }, { 44, 0, 8 }, { 44, SPOOL_META_MAX, 8 },
	};
	struct twin *w = *state;
	int fd = small_stream(w);
	uint8_t old[60], head[60];

	assert_int_equal(pread(fd, old, sizeof(old), 0), sizeof(old));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		memcpy(head, old, sizeof(head));
		if (t[i].size == 4)
			le32_put(head + t[i].at, (uint32_t)t[i].value);
		else
			le64_put(head + t[i].at, t[i].value);
		le64_put(head + 52, XXH3_64bits(head, 52));
		assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
		refused_without_a_trace(w, fd, "length", (long)i);
	}
	close(fd);
}

static void a_damaged_store_is_not_exported(void **state)
{
	struct twin *t = *state;
	struct om_err err = { 0 };
	struct spool_image *im;
	int fd, out = memfd_create("stream", MFD_CLOEXEC);

	assert_int_equal(help_write(t->from->st, 0, 8, NULL), 1);
	fd = openat(t->from->ckpt, "pack-00000001", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "XX", 2, 4000), 2);
	close(fd);
	assert_int_equal(spool_image_open(t->from->st, 1, &im, NULL), 0);
	assert_int_equal(spool_image_export(im, NULL, out, NULL, NULL, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "pack-00000001"));
	spool_image_close(im);
	assert_int_equal(import(t, out, NULL), -EUCLEAN);
	close(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_ones_too, setup, teardown),
		cmocka_unit_test_setup_teardown(same_blocks_travel_once, setup, teardown),
		cmocka_unit_test_setup_teardown(every_flipped_byte_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(every_cut_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(impossible_lengths_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_store_is_not_exported, setup, teardown),
	};

	return cmocka_run_group_tests_name("spool export", tests, NULL, NULL);
}
