/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pack files: names, header, reading.  Writing: packer.c. */
#include "spool/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "spool/check.h"
#include "spool/store.h"
#include "spool/xxh.h"

static const char pack_magic[8] = { 'O', 'M', 'P', 'A', 'C', 'K', 0, 1 };

enum { PACK_VERSION = 1 };

void spool_pack_name(char name[SPOOL_PACK_NAME], uint32_t number)
{
	snprintf(name, SPOOL_PACK_NAME, "pack-%08" PRIx32, number);
}

void spool_pack_head(uint8_t head[SPOOL_PACK_HEAD], uint32_t number, uint64_t id)
{
	memcpy(head, pack_magic, 8);
	le32_put(head + 8, PACK_VERSION);
	le32_put(head + 12, number);
	le64_put(head + 16, id);
	le64_put(head + 24, XXH3_64bits(head, 24));
}

static int pack_head_parse(const uint8_t *head, struct spool_pack *p, struct om_err *err)
{
	uint8_t sum[8];

	le64_put(sum, XXH3_64bits(head, 24));
	if (memcmp(head, pack_magic, 8) != 0 || !spool_check_equal(sum, head + 24, 8))
		return om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is damaged: its header", p->number);
	if (le32_get(head + 8) != PACK_VERSION || le32_get(head + 12) != p->number)
		return om_err_set(err, -EUCLEAN, "pack-%08" PRIx32 " is another pack", p->number);
	p->id = le64_get(head + 16);
	return 0;
}

int spool_pack_open(int dirfd, uint32_t number, struct spool_pack *ret, struct om_err *err)
{
	struct spool_pack p = { .number = number };
	uint8_t head[SPOOL_PACK_HEAD];
	char name[SPOOL_PACK_NAME];
	om_autofd int fd = -1;
	struct stat st;
	int r;

	spool_pack_name(name, number);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return om_err_sys(err, -errno, "open %s", name);
	if (fstat(fd, &st) < 0)
		return om_err_sys(err, -errno, "look at %s", name);
	if (!S_ISREG(st.st_mode) || st.st_size < SPOOL_PACK_HEAD)
		return om_err_set(err, -EUCLEAN, "%s is cut or no file", name);
	p.size = (uint64_t)st.st_size;
	r = om_fd_pread_all(fd, head, sizeof(head), 0);
	if (r < 0)
		return om_err_sys(err, r == -ENODATA ? -EUCLEAN : r, "read %s", name);
	r = pack_head_parse(head, &p, err);
	if (r < 0)
		return r;
	p.fd = om_fd_steal(&fd);
	*ret = p;
	return 0;
}

void spool_pack_close(struct spool_pack *p)
{
	om_fd_close(p->fd);
	p->fd = -1;
}

int spool_pack_read(const struct spool_pack *p, const struct spool_row *row, uint8_t head[SPOOL_BLOCK_HEAD], void *stored, struct om_err *err)
{
	struct iovec v[2] = { { head, SPOOL_BLOCK_HEAD }, { stored, row->stored_len } };
	size_t all = SPOOL_BLOCK_HEAD + row->stored_len, got = 0;
	int r;

	while (got < SPOOL_BLOCK_HEAD) {
		ssize_t n = preadv(p->fd, v, 2, (off_t)row->offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return om_err_sys(err, -errno, "read");
		if (n < SPOOL_BLOCK_HEAD)
			return om_err_set(err, -EUCLEAN, "it is cut");
		got = (size_t)n;
	}
	r = om_fd_pread_all(p->fd, (char *)stored + (got - SPOOL_BLOCK_HEAD), all - got, (off_t)(row->offset + got));
	if (r == -ENODATA)
		return om_err_set(err, -EUCLEAN, "it is cut");
	return r < 0 ? om_err_sys(err, r, "read") : 0;
}
