/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Export streams of unknown origin.  A refused one leaves nothing; what is taken is a sound checkpoint that can be exported again. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "spool/store.h"

static char folder[64];
static int folder_fd = -1;
static struct spool_store *store;

static void leave(void)
{
	spool_store_close(store);
	(void)unlinkat(folder_fd, "ckpt", AT_REMOVEDIR);
	close(folder_fd);
	(void)rmdir(folder);
}

/* In memory where possible: only the parser matters here. */
static void begin(void)
{
	snprintf(folder, sizeof(folder), "/dev/shm/om-fuzz.XXXXXX");
	if (!mkdtemp(folder)) {
		snprintf(folder, sizeof(folder), "/tmp/om-fuzz.XXXXXX");
		if (!mkdtemp(folder))
			abort();
	}
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool_store_open(folder_fd, "ckpt", true, &store, NULL) < 0)
		abort();
	atexit(leave);
}

/* Number of files; @empty: and remove them. */
static int files(bool empty)
{
	int fd = openat(folder_fd, "ckpt", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *d = fdopendir(fd);
	struct dirent *e;

	if (!d)
		abort();
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (empty)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	return n;
}

static void must_be_sound(const char *extra)
{
	om_autofd int out = memfd_create("out", MFD_CLOEXEC);
	struct spool_image *im;

	if (spool_image_open(store, 1, &im, NULL) < 0 || spool_image_verify(im, NULL, NULL, NULL) < 0)
		abort();
	if (spool_image_export(im, extra, out, NULL, NULL, NULL) < 0)
		abort();
	spool_image_close(im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	om_autofd int in = memfd_create("in", MFD_CLOEXEC);
	struct spool_ckpt_info info;
	struct om_err err = { 0 };
	char *extra = NULL;
	int r;

	if (!store)
		begin();
	if (om_fd_write_all(in, data, size) < 0 || lseek(in, 0, SEEK_SET) != 0)
		abort();
	r = spool_store_import(store, in, &info, &extra, &err);
	if (r < 0) {
		if (!err.text[0] || files(false) != 0)
			abort();
		return 0;
	}
	must_be_sound(extra);
	free(extra);
	files(true);
	return 0;
}
