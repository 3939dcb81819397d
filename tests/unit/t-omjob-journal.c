/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>

#include "omjob/journal.h"
#include "omjob/places.h"
#include "omjob/sink.h"

static const struct omj_rec some = {
	.type = OMJ_REC_RENAME, .how = OMJ_HOW_LINK, .mode = 0100644, .uid = 1, .gid = 2, .save = 7,
	.id = { 3, 4, -5 }, .size = 1ULL << 40, .mtime_ns = 6, .path = "/a/b", .path2 = "/c",
};

static void test_record(void **state)
{
	om_autobuf b = { 0 };
	struct omj_rec r;
	long n;

	(void)state;
	assert_int_equal(omj_rec_add(&b, &some), 0);
	n = omj_rec_parse(b.data, b.len, &r);
	assert_int_equal(n, b.len);
	assert_int_equal(r.type, some.type);
	assert_int_equal(r.how, some.how);
	assert_int_equal(r.mode, some.mode);
	assert_int_equal(r.uid, 1);
	assert_int_equal(r.gid, 2);
	assert_int_equal(r.save, 7);
	assert_memory_equal(&r.id, &some.id, sizeof(r.id));
	assert_int_equal(r.size, some.size);
	assert_int_equal(r.mtime_ns, 6);
	assert_string_equal(r.path, "/a/b");
	assert_string_equal(r.path2, "/c");
}

/* Each prefix is an incomplete frame; each flipped bit is found; behind a damaged frame that is not the last one there is damage. */
static void test_damage(void **state)
{
	om_autobuf b = { 0 };
	struct omj_rec r;
	size_t one;

	(void)state;
	assert_int_equal(omj_rec_add(&b, &some), 0);
	one = b.len;
	for (size_t n = 0; n < one; n++)
		assert_int_equal(omj_rec_parse(b.data, n, &r), 0);
	for (size_t i = 4; i < one; i++) {
		b.data[i] ^= 4;
		assert_int_equal(omj_rec_parse(b.data, one, &r), 0);
		b.data[i] ^= 4;
	}
	assert_int_equal(omj_rec_add(&b, &some), 0);
	b.data[20] ^= 1;
	assert_int_equal(omj_rec_parse(b.data, b.len, &r), -EUCLEAN);
	le32_put(b.data, 3);
	assert_int_equal(omj_rec_parse(b.data, b.len, &r), -EUCLEAN);
	le32_put(b.data, 0xffffffff);
	assert_int_equal(omj_rec_parse(b.data, b.len, &r), -EUCLEAN);
}

static void refused(struct omj_rec rec)
{
	om_autobuf b = { 0 };
	struct omj_rec r;

	assert_int_equal(omj_rec_add(&b, &rec), 0);
	assert_int_equal(omj_rec_parse(b.data, b.len, &r), -EUCLEAN);
}

static void test_nonsense(void **state)
{
	struct omj_rec r = some;
	char *longer = malloc(5000);
	om_autobuf b = { 0 };

	(void)state;
	r.type = 0;
	refused(r);
	r.type = OMJ_REC_CANNOT + 1;
	refused(r);
	r = some;
	r.how = OMJ_HOW_TARGET + 1;
	refused(r);
	r = some;
	r.path = "relative";
	refused(r);
	r = some;
	r.path2 = "";
	refused(r);
	memset(longer, '/', 4999);
	longer[4999] = 0;
	r = some;
	r.path = longer;
	assert_int_equal(omj_rec_add(&b, &r), -ENAMETOOLONG);
	assert_int_equal(b.len, 0);
	free(longer);
}

static void test_head(void **state)
{
	char head[OMJ_LOG_HEAD] = "omundo1\n";
	uint32_t flags = 7, first = 7;

	(void)state;
	assert_int_equal(omj_log_head_parse(head, sizeof(head), &flags, &first), 0);
	assert_int_equal(flags, 0);
	assert_int_equal(first, 0);
	assert_int_equal(omj_log_head_parse(head, sizeof(head) - 1, &flags, &first), -EUCLEAN);
	head[0] = 'x';
	assert_int_equal(omj_log_head_parse(head, sizeof(head), &flags, &first), -EUCLEAN);
}

static void test_places(void **state)
{
	struct omj_places p = { 0 };
	struct omj_file_id id = { 1, 2, 3 };
	char path[32];

	(void)state;
	assert_false(omj_places_is_new(&p, "/a"));
	omj_places_old(&p, "/a");
	for (int i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/d%d/f%d", i % 7, i);
		omj_places_new(&p, path);
		omj_places_new(&p, path);
		id.ino = (uint64_t)i;
		omj_places_keep(&p, &id, i % 2 ? OMJ_KEPT_ALL : OMJ_KEPT_GROWS);
	}
	assert_int_equal(p.n_path, 2000);
	for (int i = 0; i < 2000; i += 3) {
		snprintf(path, sizeof(path), "/d%d/f%d", i % 7, i);
		omj_places_old(&p, path);
	}
	omj_places_move(&p, "/d1", "/e/x");
	for (int i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/d%d/f%d", i % 7, i);
		assert_int_equal(omj_places_is_new(&p, path), i % 3 != 0 && i % 7 != 1);
		snprintf(path, sizeof(path), "/e/x/f%d", i);
		assert_int_equal(omj_places_is_new(&p, path), i % 3 != 0 && i % 7 == 1);
		id.ino = (uint64_t)i;
		assert_int_equal(omj_places_kept(&p, &id), i % 2 ? OMJ_KEPT_ALL : OMJ_KEPT_GROWS);
	}
	id.btime_ns = 4;
	assert_int_equal(omj_places_kept(&p, &id), OMJ_KEPT_NOT);
	omj_places_clear(&p);
	assert_false(omj_places_is_new(&p, "/d0/f7"));
}

static void test_note(void **state)
{
	static const char *const bad[] = {
		"", "{}", "[]", "{\"epoch\":0,\"leg\":0,\"root\":null,\"cpu_ns\":0,\"maxrss\":0}",
		"{\"epoch\":1,\"leg\":-1,\"root\":null,\"cpu_ns\":0,\"maxrss\":0}", "{\"epoch\":1,\"leg\":0,\"root\":\"x\",\"cpu_ns\":0,\"maxrss\":0}",
		"{\"epoch\":1,\"leg\":0,\"root\":null,\"maxrss\":0}", "{\"epoch\":4294967296,\"leg\":0,\"root\":null,\"cpu_ns\":0,\"maxrss\":0}",
	};
	char meta[256] = "omjob1\n";
	struct omj_note note;

	(void)state;
	snprintf(meta + 16, sizeof(meta) - 16, "%-128s", "{\"epoch\":9,\"leg\":2,\"root\":256,\"cpu_ns\":5,\"maxrss\":6}");
	le32_put(meta + 8, 128);
	assert_int_equal(omj_note_parse(meta, 200, &note), 144);
	assert_int_equal(note.epoch, 9);
	assert_true(note.root_ended);
	assert_int_equal(note.root_status, 256);
	assert_int_equal(omj_note_parse(meta, 143, &note), -EUCLEAN);
	assert_int_equal(omj_note_parse(meta, 15, &note), -EUCLEAN);
	for (size_t i = 0; i < OM_ARRAY_SIZE(bad); i++) {
		snprintf(meta + 16, sizeof(meta) - 16, "%-128s", bad[i]);
		assert_int_equal(omj_note_parse(meta, 200, &note), -EUCLEAN);
	}
	meta[0] = 'O';
	assert_int_equal(omj_note_parse(meta, 200, &note), -EUCLEAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record), cmocka_unit_test(test_damage), cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_head), cmocka_unit_test(test_places), cmocka_unit_test(test_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
