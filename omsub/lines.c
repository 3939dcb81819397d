/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omsub -S FILE: a bag of one-line jobs.  A window of at most N jobs is kept in the daemon (all of them without -j); the states of
 * the outstanding ones are asked for in pages, slower and slower while nothing ends. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/client.h"
#include "omsub/cmd.h"
#include "omsub/options.h"
#include "omsub/out.h"
#include "omsub/spec.h"
#include "omsub/submit.h"

enum {
	LINES_FILE_MAX = 64 * 1024 * 1024,
	LINE_MAX_BYTES = 128 * 1024,	/* the kernel's limit of one argument */
	BATCH = 200,			/* jobs in one request */
	PAGE = 200,			/* ids in one question: well below the daemon's limit of a request line */
	POLL_MIN_MS = 20, POLL_MAX_MS = 500,
	AWAY_SECONDS = 60,
	ASK_SECONDS = 120,
};

enum line_state { LINE_WAITS, LINE_RUNS, LINE_ENDED };

struct line {
	char *text;
	enum line_state state;
	char id[40];
};

struct bag {
	struct omc *c;
	const struct opt_client *cl;
	json_t *spec;
	char *content;
	struct line *line;
	size_t n, next, running, ended, failed;
	FILE *bad;
	struct out_progress progress;
};

/* Cut the content into lines; empty ones and comments are no jobs. */
static int cut(struct bag *b, size_t len, struct om_err *err)
{
	char *p = b->content, *end = p + len;
	size_t room = 0, nr = 0;

	while (p < end) {
		char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end, *text = p + strspn(p, " \t\r\n");

		nr++;
		if (memchr(p, 0, (size_t)(stop - p)))
			return om_err_set(err, -EINVAL, "%s line %zu: it has a zero byte", b->cl->lines, nr);
		*stop = 0;
		if (stop > p && stop[-1] == '\r')
			stop[-1] = 0;
		if (!om_str_is_text(p, true) || stop - p > LINE_MAX_BYTES)
			return om_err_set(err, -EINVAL, "%s line %zu: it is not UTF-8 text of at most %d bytes", b->cl->lines, nr, LINE_MAX_BYTES);
		text = p + strspn(p, " \t");
		if (*text && *text != '#') {
			if (b->n == room) {
				struct line *l = reallocarray(b->line, room ? room * 2 : 64, sizeof(*l));

				if (!l)
					return om_err_set(err, -ENOMEM, "out of memory");
				b->line = l;
				room = room ? room * 2 : 64;
			}
			b->line[b->n++] = (struct line){ .text = p };
		}
		p = stop + 1;
	}
	return 0;
}

static json_t *line_spec(const struct bag *b, const struct line *l)
{
	json_t *s = json_copy(b->spec);	/* the environment is shared */
	char name[64], clean[4 * sizeof(name)];

	if (!s || json_object_set_new(s, "argv", json_pack("[s,s,s]", "/bin/sh", "-c", l->text)) < 0) {
		json_decref(s);
		return NULL;
	}
	if (!json_object_get(s, "name")) {
		/* cut at a character, not within one */
		size_t n = strlen(l->text) < sizeof(name) - 1 ? strlen(l->text) : sizeof(name) - 1;

		while (n && (l->text[n] & 0xc0) == 0x80)
			n--;
		memcpy(name, l->text, n);
		name[n] = 0;
		json_object_set_new(s, "name", json_string(out_clean(clean, sizeof(clean), name)));
	}
	return s;
}

/* Submit lines [b->next, +count). */
static int send_batch(struct bag *b, size_t count, struct om_err *err)
{
	json_t *list = json_array(), *answer = NULL, *ids, *id;
	size_t i;
	int r = list ? 0 : -ENOMEM;

	for (i = 0; i < count && r == 0; i++)
		if (json_array_append_new(list, line_spec(b, &b->line[b->next + i])) < 0)
			r = -ENOMEM;
	r = r < 0 ? om_err_set(err, r, "out of memory") : submit(b->c, list, &answer, err);
	json_decref(list);
	if (r < 0)
		return r;
	ids = json_object_get(answer, "ids");
	if (json_array_size(ids) != count)
		r = om_err_set(err, -EBADMSG, "the daemon gave %zu ids for %zu jobs", json_array_size(ids), count);
	json_array_foreach(ids, i, id) {
		const char *s = json_string_value(id);

		if (r < 0)
			break;
		if (!s || !cmd_is_id(s) || om_str_copy(b->line[b->next + i].id, sizeof(b->line->id), s) < 0)
			r = om_err_set(err, -EBADMSG, "the daemon gave an id that is none");
		b->line[b->next + i].state = LINE_RUNS;
	}
	json_decref(answer);
	if (r == 0) {
		b->next += count;
		b->running += count;
	}
	return r;
}

static int fill_window(struct bag *b, struct om_err *err)
{
	size_t window = b->cl->at_once ? b->cl->at_once : b->n;

	while (b->next < b->n && b->running < window) {
		size_t count = b->n - b->next;
		int r;

		count = count < window - b->running ? count : window - b->running;
		count = count < BATCH ? count : BATCH;
		r = send_batch(b, count, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void line_ended(struct bag *b, struct line *l, json_t *job)
{
	l->state = LINE_ENDED;
	b->running--;
	b->ended++;
	if (cmd_job_exit(job) == 0)
		return;
	b->failed++;
	if (!b->cl->quiet)
		cmd_error("job %s %s: %.200s", l->id, out_str(job, "state"), l->text);
	if (b->bad) {
		/* at once: the list is right whatever happens to us later */
		fprintf(b->bad, "%s\n", l->text);
		fflush(b->bad);
	}
}

static struct line *by_id(struct bag *b, size_t from, size_t to, const char *id)
{
	for (size_t i = from; i < to; i++)
		if (b->line[i].state == LINE_RUNS && strcmp(b->line[i].id, id) == 0)
			return &b->line[i];
	return NULL;
}

/* Ask for the outstanding lines from *@at on, a page of them; *@at moves on.  How many have ended, or -errno. */
static int ask_page(struct bag *b, size_t *at, struct om_err *err)
{
	json_t *answer = NULL, *job;
	om_autobuf path = { 0 };
	size_t first = *at, i, n = 0;
	int r, ended = 0;

	if (om_buf_addf(&path, "/v1/jobs?all=1&limit=%d&id=", PAGE) < 0)
		return om_err_set(err, -ENOMEM, "out of memory");
	for (; *at < b->next && n < PAGE; (*at)++)
		if (b->line[*at].state == LINE_RUNS && om_buf_addf(&path, "%s%s", n++ ? "," : "", b->line[*at].id) < 0)
			return om_err_set(err, -ENOMEM, "out of memory");
	if (n == 0)
		return 0;
	r = omc_json(b->c, "GET", path.data, NULL, ASK_SECONDS, &answer, err);
	if (r < 0) {
		*at = first;
		return r;
	}
	json_array_foreach(json_object_get(answer, "jobs"), i, job) {
		struct line *l = cmd_state_ended(out_str(job, "state")) ? by_id(b, first, *at, out_str(job, "id")) : NULL;

		if (l) {
			line_ended(b, l, job);
			ended++;
		}
	}
	json_decref(answer);
	return ended;
}

/* All outstanding lines once. */
static int ask_all(struct bag *b, struct om_err *err)
{
	size_t at = 0;
	int ended = 0;

	while (at < b->next) {
		int r = ask_page(b, &at, err);

		if (r < 0)
			return r;
		ended += r;
	}
	return ended;
}

static int run(struct bag *b, struct om_err *err)
{
	unsigned nap = POLL_MIN_MS;
	uint64_t away = 0;

	while (b->ended < b->n) {
		int r = fill_window(b, err);

		/* lost in the middle of a submission: whether those jobs are there is not known, to send them again would run them twice */
		if (r < 0 && r != -EAGAIN && r != -ECONNREFUSED)
			return r;
		if (r == 0)
			r = ask_all(b, err);
		if (omc_away(r)) {
			uint64_t now = om_clock_mono_ns();

			away = away ? away : now;
			if (now - away > AWAY_SECONDS * 1000000000ull)
				return r;
			r = 0;
		} else if (r < 0) {
			return r;
		} else {
			away = 0;
		}
		out_progress_part(&b->progress, (double)b->ended / (double)b->n);
		nap = r > 0 ? POLL_MIN_MS : nap * 2 > POLL_MAX_MS ? POLL_MAX_MS : nap * 2;
		if (b->ended < b->n)
			poll(NULL, 0, (int)nap);
	}
	return 0;
}

static int open_failed(struct bag *b)
{
	if (!b->cl->failed)
		return 0;
	b->bad = fopen(b->cl->failed, "we");
	if (b->bad)
		return 0;
	cmd_error("cannot write '%s': %s", b->cl->failed, strerror(errno));
	return CMD_FAILED;
}

static int close_failed(struct bag *b, int rc)
{
	bool bad = b->bad && ferror(b->bad);

	if (b->bad && fclose(b->bad) != 0)
		bad = true;
	if (!bad)
		return rc;
	cmd_error("cannot write '%s': %s", b->cl->failed, strerror(errno));
	return CMD_FAILED;
}

static void print_end(const struct bag *b)
{
	if (b->cl->json)
		printf("{\"jobs\":%zu,\"failed\":%zu}\n", b->n, b->failed);
	else if (!b->cl->quiet)
		printf("%zu jobs, %zu failed\n", b->n, b->failed);
}

int submit_lines(struct omc *c, const struct opt_client *cl, json_t *spec)
{
	struct bag b = { .c = c, .cl = cl, .spec = spec };
	struct om_err err = { 0 };
	size_t len = 0;
	int r, rc;

	r = spec_read_file(cl->lines, LINES_FILE_MAX, &b.content, &len, &err);
	if (r == 0)
		r = cut(&b, len, &err);
	rc = r < 0 ? cmd_fail(r, &err) : open_failed(&b);
	if (rc == 0) {
		out_progress_begin(&b.progress, "jobs");
		r = run(&b, &err);
		out_progress_end(&b.progress);
		if (r < 0)
			rc = cmd_fail(r, &err);
		else
			print_end(&b);
		rc = close_failed(&b, rc ? rc : b.failed ? CMD_FAILED : CMD_OK);
	}
	free(b.line);
	free(b.content);
	return rc;
}
