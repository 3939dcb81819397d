/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/file.h - whole small files.  Nothing here is durable: fsync and rename belong to spool/file.h. */
#ifndef OM_BASE_FILE_H
#define OM_BASE_FILE_H
#include <stddef.h>
#include <stdint.h>

/* Read all of @path below @dirfd (AT_FDCWD) into a heap string (caller frees), 0 behind it.  -EFBIG above @max bytes.
 * A symbolic link as last component is not followed (-ELOOP) if @nofollow. */
int om_file_read_at(int dirfd, const char *path, size_t max, int nofollow, char **ret, size_t *ret_len);
/* /proc files: short, no size known. */
int om_file_read(const char *path, size_t max, char **ret, size_t *ret_len);
/* Write @n bytes by one write(2) to an existing file (for /proc and /sys). */
int om_file_poke(const char *path, const char *text);
#endif
