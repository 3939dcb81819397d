/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of a script: lines that are empty or begin with '#', as sbatch reads it.  Two passes over it, one for what the other
 * systems' lines say and one for #OM, so that #OM wins wherever it stands. */
#include "omsub/script.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/directive.h"

void dir_warn(struct dir_script *d, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	d->warn(d->arg, d->line, text);
}

int dir_set_same(struct dir_script *d, const struct dir_opt *o, const char *value, struct om_err *err)
{
	return opt_set_by_name(d->job, o->to, value, err);
}

/* ---- other systems' options by getopt ---- */

enum { DIR_OPTS_MAX = 128 };

struct dir_getopt {
	char letters[3 * DIR_OPTS_MAX + 4];
	struct option longs[DIR_OPTS_MAX + 1];
};

static void make_getopt(struct dir_getopt *g, const struct dir_opt *table)
{
	size_t n = 0, l = 0;

	memset(g, 0, sizeof(*g));
	g->letters[n++] = '+';
	g->letters[n++] = ':';
	for (int i = 0; (table[i].name || table[i].letter) && i < DIR_OPTS_MAX; i++) {
		if (table[i].name)
			g->longs[l++] = (struct option){ table[i].name, table[i].has_arg, NULL, 256 + i };
		if (!table[i].letter)
			continue;
		g->letters[n++] = table[i].letter;
		for (int k = 0; k < table[i].has_arg; k++)
			g->letters[n++] = ':';
	}
}

static const struct dir_opt *by_answer(const struct dir_opt *table, int a)
{
	if (a >= 256)
		return &table[a - 256];
	for (const struct dir_opt *o = table; o->name || o->letter; o++)
		if (o->letter == a)
			return o;
	return NULL;
}

static void one_option(struct dir_script *d, const struct dir_opt *o, const char *value)
{
	struct om_err err = { 0 };
	char name[64];

	if (o->name)
		snprintf(name, sizeof(name), "--%s", o->name);
	else
		snprintf(name, sizeof(name), "-%c", o->letter);
	if (!o->set)
		dir_warn(d, "%s ignored: %s", name, o->to ? o->to : "has no meaning here");
	else if (o->set(d, o, value, &err) < 0)
		dir_warn(d, "%s ignored: %s", name, err.text);
}

void dir_options(struct dir_script *d, const struct dir_opt *table, int argc, char *argv[])
{
	struct dir_getopt g;

	make_getopt(&g, table);
	opterr = 0;
	optind = 0;
	for (;;) {
		int a = getopt_long(argc, argv, g.letters, g.longs, NULL);
		const char *word = argv[optind > 1 ? optind - 1 : 1];

		if (a == -1 && optind >= argc)
			return;
		if (a == -1) {
			/* on behind the stray word, which takes the place of argv[0] */
			dir_warn(d, "not understood: '%.100s'", argv[optind]);
			argc -= optind;
			argv += optind;
			optind = 0;
			if (argc < 2)
				return;
		} else if (a == ':') {
			dir_warn(d, "not understood: '%.100s' needs a value", word);
		} else if (a == '?') {
			dir_warn(d, "not understood: '%.100s'", word);
		} else {
			one_option(d, by_answer(table, a), optarg);
		}
	}
}

/* ---- words ---- */

struct words {
	char buf[SCRIPT_LINE_MAX + 1];
	char *v[SCRIPT_WORDS_MAX + 2];
	int n;
};

/* Cut @s into words at blanks; "..." and '...' and \ as in a shell, # begins a comment.  NULL, or what is wrong. */
static const char *split(struct words *w, const char *s, size_t len)
{
	char *o = w->buf;
	size_t i = 0;

	w->n = 1;
	w->v[0] = NULL;
	if (len > SCRIPT_LINE_MAX)
		return "longer than 16384 bytes";
	if (memchr(s, 0, len))
		return "it has a zero byte";
	for (;;) {
		char quote = 0;

		while (i < len && isspace((unsigned char)s[i]))
			i++;
		if (i >= len || s[i] == '#')
			break;
		if (w->n > SCRIPT_WORDS_MAX)
			return "more than 256 words";
		w->v[w->n++] = o;
		for (; i < len && (quote || !isspace((unsigned char)s[i])); i++) {
			if (quote && s[i] == quote)
				quote = 0;
			else if (!quote && (s[i] == '"' || s[i] == '\''))
				quote = s[i];
			else if (s[i] == '\\' && quote != '\'' && i + 1 < len && strchr("\\\"' #", s[i + 1]))
				*o++ = s[++i];
			else
				*o++ = s[i];
		}
		*o++ = 0;
		if (quote)
			return "a quotation mark is open at its end";
	}
	w->v[w->n] = NULL;
	return NULL;
}

/* ---- lines ---- */

enum line_kind { LINE_NONE, LINE_OM, LINE_SLURM, LINE_PBS };

static enum line_kind line_kind(const char *s, size_t len, size_t *ret_skip)
{
	static const struct { const char *word; enum line_kind kind; } kinds[] = {
		{ "#OM", LINE_OM }, { "#SBATCH", LINE_SLURM }, { "#PBS", LINE_PBS },
	};

	for (size_t i = 0; i < OM_ARRAY_SIZE(kinds); i++) {
		size_t n = strlen(kinds[i].word);

		if (len >= n && memcmp(s, kinds[i].word, n) == 0 && (len == n || isspace((unsigned char)s[n]))) {
			*ret_skip = n;
			return kinds[i].kind;
		}
	}
	return LINE_NONE;
}

static bool in_head(const char *s, size_t len)
{
	while (len && isspace((unsigned char)*s)) {
		s++;
		len--;
	}
	return !len || *s == '#';
}

static void unknown_word(void *arg, const char *word, const char *why)
{
	dir_warn(arg, "#OM: '%.100s': %s", word, why);
}

static int one_line(struct dir_script *d, enum line_kind kind, const char *s, size_t len, struct words *w, struct om_err *err)
{
	const char *bad = split(w, s, len);
	char name[] = "script";
	int r = 0;

	w->v[0] = name;
	if (bad) {
		dir_warn(d, "not understood: %s", bad);
		return 0;
	}
	switch (kind) {
	case LINE_OM:
		r = opt_parse_line(d->job, w->n, w->v, unknown_word, d, err);
		return r < 0 ? om_err_wrap(err, r, "line %d: #OM", d->line) : 0;
	case LINE_SLURM: slurm_line(d, w->n, w->v); break;
	case LINE_PBS: pbs_line(d, w->n, w->v); break;
	case LINE_NONE: break;
	}
	return r;
}

static int pass(const char *text, size_t len, struct dir_script *d, bool own, struct script_kind *kind, struct om_err *err)
{
	om_autofree struct words *w = malloc(sizeof(*w));
	const char *end = text + len;
	int r = 0;

	if (!w)
		return om_err_set(err, -ENOMEM, "out of memory");
	d->line = 0;
	while (text < end && r == 0) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text), skip = 0;
		enum line_kind k;

		d->line++;
		if (!in_head(text, n))
			break;
		k = line_kind(text, n, &skip);
		kind->slurm |= k == LINE_SLURM;
		kind->pbs |= k == LINE_PBS;
		if (k != LINE_NONE && own == (k == LINE_OM))
			r = one_line(d, k, text + skip, n - skip, w, err);
		text += n + (nl != NULL);
	}
	return r;
}

int script_parse(const char *text, size_t len, struct opt_job *ret, struct script_kind *ret_kind, script_warn_cb *warn, void *arg,
		 struct om_err *err)
{
	struct dir_script d = { .job = ret, .warn = warn, .arg = arg };
	struct script_kind kind = { false, false };
	struct opt_job own = { 0 };
	int r;

	r = pass(text, len, &d, false, &kind, err);
	if (r < 0)
		return r;
	slurm_end(&d);
	pbs_end(&d);
	r = opt_job_init(&own);
	d.job = &own;
	if (r == 0)
		r = pass(text, len, &d, true, &kind, err);
	if (r == 0)
		r = opt_job_merge(ret, &own);
	opt_job_done(&own);
	if (r == -ENOMEM)
		om_err_set(err, r, "out of memory");
	*ret_kind = kind;
	return r;
}
