# spool: what must survive.
noinst_LIBRARIES += spool/libspool.a
spool_libspool_a_SOURCES =
spool_libspool_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(ZSTD_CFLAGS) $(XXHASH_CFLAGS) $(SQLITE_CFLAGS)
# what a program that links libspool.a needs besides
SPOOL_LIBS = spool/libspool.a $(ZSTD_LIBS) $(XXHASH_LIBS) $(SQLITE_LIBS) $(BASE_LIBS)

# durable files
spool_libspool_a_SOURCES += %D%/file.h %D%/file.c
# checkpoint store
spool_libspool_a_SOURCES += %D%/store.h %D%/store.c
spool_libspool_a_SOURCES += %D%/check.h %D%/xxh.h
spool_libspool_a_SOURCES += %D%/pack.h %D%/pack.c %D%/packer.c %D%/block.c
spool_libspool_a_SOURCES += %D%/manifest.h %D%/manifest.c %D%/meta.c
spool_libspool_a_SOURCES += %D%/index.h %D%/index.c
spool_libspool_a_SOURCES += %D%/set.h %D%/set.c %D%/compact.c
spool_libspool_a_SOURCES += %D%/image.h %D%/image.c
spool_libspool_a_SOURCES += %D%/writer.h %D%/writer.c
spool_libspool_a_SOURCES += %D%/stream.h %D%/export.c %D%/import.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-spool-file
TESTS += tests/unit/t-spool-file
tests_unit_t_spool_file_SOURCES = tests/unit/t-spool-file.c
tests_unit_t_spool_file_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_spool_file_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
tests_unit_t_spool_file_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fsync -Wl,--wrap=renameat

check_PROGRAMS += tests/unit/t-spool-store
TESTS += tests/unit/t-spool-store
tests_unit_t_spool_store_SOURCES = tests/unit/t-spool-store.c tests/unit/spool-help.h
tests_unit_t_spool_store_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(XXHASH_CFLAGS)
tests_unit_t_spool_store_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/t-spool-export
TESTS += tests/unit/t-spool-export
tests_unit_t_spool_export_SOURCES = tests/unit/t-spool-export.c tests/unit/spool-help.h
tests_unit_t_spool_export_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(XXHASH_CFLAGS)
tests_unit_t_spool_export_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/t-spool-crash
TESTS += tests/unit/t-spool-crash
tests_unit_t_spool_crash_SOURCES = tests/unit/t-spool-crash.c tests/unit/spool-help.h
tests_unit_t_spool_crash_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_t_spool_crash_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
tests_unit_t_spool_crash_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fsync -Wl,--wrap=renameat -Wl,--wrap=unlinkat
endif

# job description and records
spool_libspool_a_SOURCES += %D%/indices.h %D%/indices.c %D%/spec.h %D%/spec-tables.h %D%/spec.c %D%/spec-out.c %D%/names.c
spool_libspool_a_SOURCES += %D%/job.h %D%/job-db.h %D%/job-db.c %D%/job.c %D%/job-query.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-spool-spec
TESTS += tests/unit/t-spool-spec
tests_unit_t_spool_spec_SOURCES = tests/unit/t-spool-spec.c
tests_unit_t_spool_spec_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_spool_spec_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
endif

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-spool-job
TESTS += tests/unit/t-spool-job
tests_unit_t_spool_job_SOURCES = tests/unit/t-spool-job.c
tests_unit_t_spool_job_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS) $(SQLITE_CFLAGS)
tests_unit_t_spool_job_LDADD = $(SPOOL_LIBS) $(CMOCKA_LIBS)
endif
