# checkpoint: capture and restore of a process tree
noinst_LIBRARIES += checkpoint/libcheckpoint.a
checkpoint_libcheckpoint_a_SOURCES = \
	%D%/ckpt.h %D%/sink.h \
	%D%/space.c
checkpoint_libcheckpoint_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
# what a program that links libcheckpoint.a needs besides
CHECKPOINT_LIBS = checkpoint/libcheckpoint.a $(BASE_LIBS)
