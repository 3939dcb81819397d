# tests/victims: one program, many victims (tests/victims/victim.h); a static one too.
check_PROGRAMS += tests/bin/victim tests/bin/victim-static
victim_sources = \
	%D%/victim.h %D%/victim.c %D%/tree.c %D%/family.c %D%/memory.c %D%/shared.c %D%/cpu.c %D%/futex.c %D%/sleep.c \
	%D%/block.c %D%/file.c %D%/lock.c %D%/special.c %D%/socket.c %D%/inet.c %D%/signal.c %D%/timer.c %D%/refuse.c
tests_bin_victim_SOURCES = $(victim_sources)
tests_bin_victim_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -pthread
tests_bin_victim_LDADD = -lutil
tests_bin_victim_static_SOURCES = $(victim_sources)
tests_bin_victim_static_CFLAGS = -std=gnu11 $(WARN_CFLAGS) -pthread
tests_bin_victim_static_LDFLAGS = -static
EXTRA_DIST += %D%/list
EXTRA_DIST += %D%/run.sh
TESTS += tests/sys/t2300-victims-alone.t tests/sys/t2300-victims-alone.ut
dist_check_SCRIPTS += tests/sys/t2300-victims-alone.t
check_SCRIPTS += tests/sys/t2300-victims-alone.ut
