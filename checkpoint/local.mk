# checkpoint: capture and restore of a process tree
noinst_LIBRARIES += checkpoint/libcheckpoint.a
checkpoint_libcheckpoint_a_SOURCES = \
	%D%/ckpt.h %D%/sink.h \
	%D%/space.c \
	%D%/files.h %D%/fimpl.h %D%/files.c %D%/fwritten.c %D%/fopen.c %D%/farrange.c %D%/flocks.c \
	%D%/fjson.h %D%/fjson.c %D%/content.h %D%/content.c \
	%D%/fkind_reg.c %D%/fkind_pipe.c %D%/fkind_event.c %D%/fkind_epoll.c %D%/fkind_memfd.c \
	%D%/fsocket.h %D%/fsocket.c %D%/fkind_pty.c %D%/fkind_unix.c %D%/fkind_inet.c
checkpoint_libcheckpoint_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS)
# what a program that links libcheckpoint.a needs besides
CHECKPOINT_LIBS = checkpoint/libcheckpoint.a $(BASE_LIBS) $(XXHASH_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-checkpoint-files
TESTS += tests/unit/t-checkpoint-files
tests_unit_t_checkpoint_files_SOURCES = tests/unit/t-checkpoint-files.c tests/unit/files.h tests/unit/files.c
tests_unit_t_checkpoint_files_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_checkpoint_files_LDADD = $(CHECKPOINT_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/t-checkpoint-sockets
TESTS += tests/unit/t-checkpoint-sockets
tests_unit_t_checkpoint_sockets_SOURCES = tests/unit/t-checkpoint-sockets.c tests/unit/files.h tests/unit/files.c
tests_unit_t_checkpoint_sockets_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_checkpoint_sockets_LDADD = $(CHECKPOINT_LIBS) $(CMOCKA_LIBS)
endif

# the engine: dump and restore of a tree
checkpoint_libcheckpoint_a_SOURCES += \
	%D%/kin.c %D%/cow.h %D%/cow.c %D%/inject.h %D%/inject.c %D%/pie/batch.S \
	%D%/continue.h %D%/continue.c %D%/pie/stub.S \
	%D%/procfs.h %D%/procfs.c \
	%D%/json.h %D%/json.c \
	%D%/maps.h %D%/maps.c \
	%D%/tree.h %D%/seize.c %D%/look.c \
	%D%/uapi.h %D%/pages.h %D%/pages.c \
	%D%/item.h %D%/items.c %D%/item_cpu.c %D%/item_thread.c %D%/item_signal.c %D%/item_mm.c %D%/item_process.c %D%/item_creds.c %D%/item_lock.c \
	%D%/clocks.h %D%/clocks.c %D%/item_timer.c %D%/item_sched.c \
	%D%/sysv.h %D%/dump_ipc.c %D%/item_ipc.c %D%/restore_ipc.c \
	%D%/shot.h %D%/shot.c %D%/track.h %D%/track.c \
	%D%/twin.h %D%/twin.c \
	%D%/dump.h %D%/dump.c %D%/dump_memory.c %D%/dump_files.c %D%/dump_shm.c \
	%D%/image.h %D%/image.c \
	%D%/plan.h %D%/plan.c \
	%D%/restore.h %D%/restore_init.c %D%/vdso.h %D%/vdso.c \
	%D%/restore_drive.c %D%/restore_shm.c %D%/rebuild.c %D%/fill.c

# the engine without queue and keeper, for tests (omtree --help)
check_PROGRAMS += tests/bin/omtree
tests_bin_omtree_SOURCES = tests/tool/omtree.c tests/tool/dirsink.h tests/tool/dirsink.c
tests_bin_omtree_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_bin_omtree_LDADD = $(CHECKPOINT_LIBS)
TESTS += tests/sys/t2200-engine.t tests/sys/t2200-engine.ut
dist_check_SCRIPTS += tests/sys/t2200-engine.t
check_SCRIPTS += tests/sys/t2200-engine.ut
TESTS += tests/sys/t2201-engine-faults.t tests/sys/t2201-engine-faults.ut
dist_check_SCRIPTS += tests/sys/t2201-engine-faults.t
check_SCRIPTS += tests/sys/t2201-engine-faults.ut
TESTS += tests/sys/t2202-engine-vdso.t tests/sys/t2202-engine-vdso.ut
dist_check_SCRIPTS += tests/sys/t2202-engine-vdso.t
check_SCRIPTS += tests/sys/t2202-engine-vdso.ut

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/t-checkpoint-shot
TESTS += tests/unit/t-checkpoint-shot
tests_unit_t_checkpoint_shot_SOURCES = tests/unit/t-checkpoint-shot.c
tests_unit_t_checkpoint_shot_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_t_checkpoint_shot_LDADD = $(CHECKPOINT_LIBS) $(CMOCKA_LIBS)
endif
