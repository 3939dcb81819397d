# bench: bench/run measures the figures of the speed table; store the checkpoint store alone against dd
noinst_PROGRAMS += bench/store bench/tool
bench_store_SOURCES = %D%/store.c
bench_store_LDADD = $(SPOOL_LIBS)
bench_tool_SOURCES = %D%/tool.c
bench_tool_LDADD = -lpthread
EXTRA_DIST += %D%/run
