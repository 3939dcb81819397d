# checkpoint: capture and restore of a process tree
noinst_LIBRARIES += checkpoint/libcheckpoint.a
checkpoint_libcheckpoint_a_SOURCES = \
	%D%/ckpt.h %D%/sink.h \
	%D%/space.c \
	%D%/files.h %D%/fimpl.h %D%/files.c %D%/fwritten.c %D%/fopen.c %D%/farrange.c %D%/flocks.c \
	%D%/fjson.h %D%/fjson.c %D%/content.h %D%/content.c \
	%D%/fkind_reg.c %D%/fkind_pipe.c %D%/fkind_event.c %D%/fkind_epoll.c %D%/fkind_memfd.c \
	%D%/fkind_pty.c %D%/fkind_unix.c %D%/fkind_inet.c
checkpoint_libcheckpoint_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS)
# what a program that links libcheckpoint.a needs besides
CHECKPOINT_LIBS = checkpoint/libcheckpoint.a $(BASE_LIBS) $(XXHASH_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-checkpoint-files
TESTS += tests/unit/t-checkpoint-files
tests_unit_t_checkpoint_files_SOURCES = tests/unit/t-checkpoint-files.c tests/unit/files.h tests/unit/files.c
tests_unit_t_checkpoint_files_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_checkpoint_files_LDADD = $(CHECKPOINT_LIBS) $(CMOCKA_LIBS)
endif
