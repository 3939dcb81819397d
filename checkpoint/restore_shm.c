/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checkpoint/restore_shm.c - in pid 1: the shared memory objects, made and filled once, held until the tree runs. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "checkpoint/json.h"
#include "checkpoint/pages.h"
#include "checkpoint/restore.h"

enum { OBJECTS_MAX = 65536, NAME_MAX_MEMFD = 249 };

static int object_fill(const struct ckpt_source *src, const json_t *o, uint64_t size, int fd, struct om_err *err)
{
	om_autofree struct ckpt_extent *x = NULL;
	om_autofree char *buf = malloc(CKPT_BLOCK_MAX);
	uint64_t limit = (size + CKPT_PAGE - 1) / CKPT_PAGE * CKPT_PAGE;
	size_t n, len;
	int r = ckpt_extents_read(src, json_object_get(o, "memory"), limit, &x, &n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		uint64_t bytes = x[i].pages * (uint64_t)CKPT_PAGE;

		/* the object may end within its last page */
		if (x[i].addr + bytes > size)
			bytes = size - x[i].addr;
		r = buf ? src->block(src->ctx, x[i].block, buf, &len, err) : -ENOMEM;
		if (r == 0 && (x[i].first + (uint64_t)x[i].pages) * CKPT_PAGE > len)
			r = om_err_set(err, -EUCLEAN, "the image: block %u is too short", x[i].block);
		if (r == 0)
			r = om_err_sys(err, om_fd_pwrite_all(fd, buf + x[i].first * (size_t)CKPT_PAGE, bytes, (off_t)x[i].addr),
				       "write shared memory");
	}
	return r;
}

static int object_make(const struct ckpt_source *src, const json_t *o, int *ret, struct om_err *err)
{
	om_autofree char *name = NULL;
	om_autofd int fd = -1;
	int64_t size;
	int r = ckpt_json_int(o, "size", 0, INT64_MAX - CKPT_PAGE, &size, err);

	if (r == 0 && json_object_get(o, "name"))
		r = ckpt_json_name(o, "name", NAME_MAX_MEMFD, &name, err);
	if (r < 0)
		return r;
	fd = memfd_create(name ? name : "anonymous", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, size) < 0)
		return om_err_sys(err, -errno, "shared memory of %lld bytes", (long long)size);
	r = object_fill(src, o, (uint64_t)size, fd, err);
	if (r == 0)
		*ret = om_fd_steal(&fd);
	return r;
}

int ckpt_shm_make(struct ckpt_image *im, struct om_err *err)
{
	const json_t *list, *o;
	size_t i;
	int r = ckpt_json_list(im->meta, "shm", OBJECTS_MAX, &list, err);

	if (r < 0)
		return r;
	im->shm_fd = calloc(json_array_size(list) + 1, sizeof(*im->shm_fd));
	if (!im->shm_fd)
		return om_err_set(err, -ENOMEM, "out of memory");
	json_array_foreach(list, i, o) {
		r = object_make(im->src, o, &im->shm_fd[i], err);
		if (r < 0)
			return r;
		im->nshm++;
	}
	return 0;
}

int ckpt_shm_fd(const struct ckpt_image *im, const json_t *file, int *ret, struct om_err *err)
{
	int64_t id;
	int r;

	if (!json_object_get(file, "shm"))
		return 1;
	r = ckpt_json_int(file, "shm", 0, (int64_t)im->nshm - 1, &id, err);
	if (r < 0)
		return r;
	*ret = dup(im->shm_fd[id]);
	return *ret < 0 ? om_err_sys(err, -errno, "shared memory") : 0;
}

void ckpt_shm_close(struct ckpt_image *im)
{
	for (unsigned i = 0; i < im->nshm; i++)
		om_fd_close(im->shm_fd[i]);
	free(im->shm_fd);
	im->shm_fd = NULL;
	im->nshm = 0;
}
