/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "omjob/places.h"

#include <errno.h>
#include <stdint.h>
#include <xxhash.h>

#include "base/mem.h"
#include "base/str.h"

/* ---- paths ---- */

static size_t path_slot(char *const *tab, size_t room, const char *path)
{
	size_t i = (size_t)XXH64(path, strlen(path), 0) & (room - 1);

	while (tab[i] && strcmp(tab[i], path) != 0)
		i = (i + 1) & (room - 1);
	return i;
}

bool omj_places_is_new(const struct omj_places *p, const char *path)
{
	return p->room_path && p->path[path_slot(p->path, p->room_path, path)];
}

/* half empty at least, so that a search always ends */
static int paths_grow(struct omj_places *p)
{
	size_t room = p->room_path ? p->room_path * 2 : 64;
	char **tab;

	if (p->n_path * 2 < p->room_path)
		return 0;
	tab = room / 2 > OMJ_PLACES_MAX ? NULL : calloc(room, sizeof(*tab));
	if (!tab)
		return -ENOMEM;
	for (size_t i = 0; i < p->room_path; i++)
		if (p->path[i])
			tab[path_slot(tab, room, p->path[i])] = p->path[i];
	free(p->path);
	p->path = tab;
	p->room_path = room;
	return 0;
}

void omj_places_new(struct omj_places *p, const char *path)
{
	size_t i;

	if (paths_grow(p) < 0)
		return;
	i = path_slot(p->path, p->room_path, path);
	if (p->path[i])
		return;
	p->path[i] = strdup(path);
	p->n_path += p->path[i] != NULL;
}

void omj_places_old(struct omj_places *p, const char *path)
{
	size_t i, mask = p->room_path - 1;

	if (!p->room_path)
		return;
	i = path_slot(p->path, p->room_path, path);
	if (!p->path[i])
		return;
	free(p->path[i]);
	p->path[i] = NULL;
	p->n_path--;
	/* what was put behind it because of it finds its place again */
	for (size_t j = (i + 1) & mask; p->path[j]; j = (j + 1) & mask) {
		char *s = p->path[j];

		p->path[j] = NULL;
		p->path[path_slot(p->path, p->room_path, s)] = s;
	}
}

void omj_places_move(struct omj_places *p, const char *from, const char *to)
{
	size_t n = strlen(from), k = 0;
	char **below = calloc(p->n_path + 1, sizeof(*below));

	for (size_t i = 0; below && i < p->room_path; i++)
		if (p->path[i] && om_str_starts(p->path[i], from) && p->path[i][n] == '/')
			below[k++] = strdup(p->path[i]);
	if (!below) {
		omj_places_clear(p);
		return;
	}
	for (size_t i = 0; i < k; i++) {
		char *moved = NULL;

		if (!below[i]) {
			omj_places_clear(p);
			continue;
		}
		omj_places_old(p, below[i]);
		if (asprintf(&moved, "%s%s", to, below[i] + n) >= 0) {
			omj_places_new(p, moved);
			free(moved);
		}
		free(below[i]);
	}
	free(below);
}

/* ---- files ---- */

static size_t file_slot(const struct omj_kept_entry *tab, size_t room, const struct omj_file_id *id)
{
	size_t i = (size_t)XXH64(id, sizeof(*id), 0) & (room - 1);

	while (tab[i].kept && memcmp(&tab[i].id, id, sizeof(*id)) != 0)
		i = (i + 1) & (room - 1);
	return i;
}

enum omj_kept omj_places_kept(const struct omj_places *p, const struct omj_file_id *id)
{
	return p->room_file ? p->file[file_slot(p->file, p->room_file, id)].kept : OMJ_KEPT_NOT;
}

static int files_grow(struct omj_places *p)
{
	size_t room = p->room_file ? p->room_file * 2 : 64;
	struct omj_kept_entry *tab;

	if (p->n_file * 2 < p->room_file)
		return 0;
	tab = room / 2 > OMJ_PLACES_MAX ? NULL : calloc(room, sizeof(*tab));
	if (!tab)
		return -ENOMEM;
	for (size_t i = 0; i < p->room_file; i++)
		if (p->file[i].kept)
			tab[file_slot(tab, room, &p->file[i].id)] = p->file[i];
	free(p->file);
	p->file = tab;
	p->room_file = room;
	return 0;
}

void omj_places_keep(struct omj_places *p, const struct omj_file_id *id, enum omj_kept kept)
{
	size_t i;

	if (files_grow(p) < 0)
		return;
	i = file_slot(p->file, p->room_file, id);
	p->n_file += !p->file[i].kept;
	p->file[i].id = *id;
	p->file[i].kept = kept;
}

void omj_places_clear(struct omj_places *p)
{
	for (size_t i = 0; i < p->room_path; i++)
		free(p->path[i]);
	free(p->path);
	free(p->file);
	*p = (struct omj_places){ 0 };
}
