/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing a pack.
 *
 * Blocks are gathered in large aligned pieces.  A checkpoint of more than a few MiB gets a thread that writes them past the page cache, while
 * the owner reads memory, hashes and compresses the next ones.  So the disk works all the time, the job's own pages stay in the page
 * cache, and no time goes into copying to it (which costs more than hashing).  File systems that cannot do O_DIRECT get plain
 * writes, each followed by the wish to have it written back.
 *
 * The thread makes system calls on the pieces only (no malloc, all signals blocked), so that its process may fork and trace. Only the
 * owner's thread calls what is in pack.h. */
#include "spool/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "spool/file.h"

enum {
	PIECE = 4 << 20,		/* per write(2): smaller ones let the disk run dry between */
	PIECES = 3,
	THREAD_FROM = 1,		/* pieces: a small checkpoint is not worth a thread */
	ALIGN = 4096,			/* of memory, for O_DIRECT */
};

struct spool_packer {
	int dirfd, fd;
	uint32_t number;
	uint64_t id;
	uint64_t size;			/* everything that was added */
	bool keep;
	size_t len;			/* in the piece that is being filled */
	uint8_t *data;			/* PIECES pieces */

	/* Piece number i lies at i % PIECES: `filled` are full, the owner fills the next; `written` of these are in the kernel. */
	uint64_t filled;		/* the thread reads it under the lock */
	uint64_t written;		/* the owner reads it under the lock */
	bool direct;			/* whoever writes: O_DIRECT is set */
	int error;			/* the first one; nothing is written after it */
	bool threaded, stop;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static uint8_t *piece(const struct spool_packer *p, uint64_t i)
{
	return p->data + i % PIECES * PIECE;
}

int spool_packer_create(int dirfd, uint32_t number, struct spool_packer **ret, struct om_err *err)
{
	struct spool_packer *p = calloc(1, sizeof(*p));
	char name[SPOOL_PACK_NAME];
	int r = -ENOMEM;

	if (!p || posix_memalign((void **)&p->data, ALIGN, (size_t)PIECES * PIECE) != 0) {
		om_err_set(err, r, "out of memory");
		goto err_free;
	}
	p->dirfd = dirfd;
	p->number = number;
	if (getrandom(&p->id, sizeof(p->id), 0) != sizeof(p->id)) {
		r = om_err_sys(err, -errno, "random id");
		goto err_free;
	}
	spool_pack_name(name, number);
	p->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->fd < 0) {
		r = om_err_sys(err, -errno, "create %s", name);
		goto err_free;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	spool_pack_head(p->data, number, p->id);
	p->len = p->size = SPOOL_PACK_HEAD;
	*ret = p;
	return 0;

err_free:
	if (p)
		free(p->data);
	free(p);
	return r;
}

static void set_direct(struct spool_packer *p, bool on)
{
	int flags = fcntl(p->fd, F_GETFL);

	/* where it is not to be had: EINVAL, and plain writes */
	p->direct = flags >= 0 && fcntl(p->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0 && on;
}

/* Piece @i of @len bytes to the disk, or at least on its way. */
static int write_piece(struct spool_packer *p, uint64_t i, size_t len)
{
	int r;

	if (p->direct && len % ALIGN)
		set_direct(p, false);
	r = om_fd_pwrite_all(p->fd, piece(p, i), len, (off_t)(i * PIECE));
	if (r == -EINVAL && p->direct) {
		set_direct(p, false);
		r = om_fd_pwrite_all(p->fd, piece(p, i), len, (off_t)(i * PIECE));
	}
	if (r == 0 && !p->direct && len == PIECE)
		/* a hint: what goes wrong here is told by fsync */
		(void)sync_file_range(p->fd, (off_t)(i * PIECE), (off_t)len, SYNC_FILE_RANGE_WRITE);
	return r;
}

static void *writer_main(void *arg)
{
	struct spool_packer *p = arg;

	pthread_mutex_lock(&p->lock);
	while (p->written < p->filled || !p->stop) {
		int r;

		if (p->written == p->filled) {
			pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		r = write_piece(p, p->written, PIECE);	/* written is only changed here */
		pthread_mutex_lock(&p->lock);
		p->written++;
		p->error = r;
		pthread_cond_broadcast(&p->changed);
		if (r < 0)
			break;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void thread_start(struct spool_packer *p)
{
	sigset_t all, old;

	set_direct(p, true);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	p->threaded = pthread_create(&p->thread, NULL, writer_main, p) == 0;	/* if not: we write ourselves */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void thread_end(struct spool_packer *p)
{
	if (!p->threaded)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	p->threaded = false;
}

static int failed(const struct spool_packer *p, int r, struct om_err *err)
{
	return om_err_sys(err, r, "write pack-%08" PRIx32, p->number);
}

/* The piece that was filled goes out; on return the next one is free. */
static int hand_over(struct spool_packer *p, struct om_err *err)
{
	int r;

	p->len = 0;
	if (!p->threaded && p->filled == THREAD_FROM)
		thread_start(p);
	if (!p->threaded) {
		r = p->error ? p->error : write_piece(p, p->filled, PIECE);
		p->error = r;
		p->filled++;
		p->written++;
		return r < 0 ? failed(p, r, err) : 0;
	}
	pthread_mutex_lock(&p->lock);
	p->filled++;
	pthread_cond_broadcast(&p->changed);
	while (p->filled - p->written == PIECES && p->error == 0)
		pthread_cond_wait(&p->changed, &p->lock);
	r = p->error;
	pthread_mutex_unlock(&p->lock);
	return r < 0 ? failed(p, r, err) : 0;
}

static int put(struct spool_packer *p, const void *data, size_t len, struct om_err *err)
{
	const uint8_t *from = data;
	int r = 0;

	while (r == 0 && len > 0) {
		size_t n = len < PIECE - p->len ? len : PIECE - p->len;

		memcpy(piece(p, p->filled) + p->len, from, n);
		p->len += n;
		p->size += n;
		from += n;
		len -= n;
		if (p->len == PIECE)
			r = hand_over(p, err);
	}
	return r;
}

int spool_packer_copy(struct spool_packer *p, struct spool_row *row, const uint8_t head[SPOOL_BLOCK_HEAD], const void *stored, struct om_err *err)
{
	uint64_t offset = p->size;
	int r = put(p, head, SPOOL_BLOCK_HEAD, err);

	if (r == 0)
		r = put(p, stored, row->stored_len, err);
	if (r < 0)
		return r;
	row->offset = offset;
	row->pack = p->number;
	return 0;
}

int spool_packer_add(struct spool_packer *p, struct spool_row *row, const void *stored, struct om_err *err)
{
	uint8_t head[SPOOL_BLOCK_HEAD];

	spool_block_head(head, row, stored);
	return spool_packer_copy(p, row, head, stored, err);
}

int spool_packer_finish(struct spool_packer *p, struct om_err *err)
{
	char name[SPOOL_PACK_NAME];
	int r;

	thread_end(p);
	r = p->error;
	if (r == 0)
		r = write_piece(p, p->filled, p->len);
	if (r < 0)
		return failed(p, r, err);
	spool_pack_name(name, p->number);
	return spool_file_sync(p->fd, name, err);
}

void spool_packer_keep(struct spool_packer *p)
{
	p->keep = true;
}

uint64_t spool_packer_size(const struct spool_packer *p)
{
	return p->size;
}

uint64_t spool_packer_id(const struct spool_packer *p)
{
	return p->id;
}

void spool_packer_destroy(struct spool_packer *p)
{
	char name[SPOOL_PACK_NAME];

	if (!p)
		return;
	thread_end(p);
	if (!p->keep) {
		spool_pack_name(name, p->number);
		(void)unlinkat(p->dirfd, name, 0);	/* a leftover is removed by the next writer */
	}
	om_fd_close(p->fd);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p->data);
	free(p);
}
