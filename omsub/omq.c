/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omq - show jobs.  Pages of the daemon's list are printed as they come: a queue of 100,000 jobs shows its first lines at once. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <libsmartcols.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/job.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/client.h"
#include "omsub/cmd.h"
#include "omsub/out.h"
#include "omsub/showjob.h"

enum { COL_ID, COL_NAME, COL_USER, COL_STATE, COL_TIME, COL_CPU, COL_CKPT, COL_REASON, COLS };
enum { FIRST_PAGE = 200, PAGE = 1000, IDS_PAGE = 200, ASK_SECONDS = 120, REFRESH_MS = 2000 };

static const char help[] =
	"Usage: omq [OPTION]... [ID]...\n"
	"Show the jobs that have not ended (those named by ID also when they have).\n"
	"\n"
	"  -a, --all               ended jobs too\n"
	"  -l, --long              everything about each job\n"
	"  -w, --watch             refresh every two seconds until interrupted\n"
	"      --json              print JSON: {\"jobs\":[...]}\n"
	"  -u, --user NAME         jobs of this user\n"
	"  -s, --state STATE       jobs in this state (or a,b): held waiting starting running suspended ending\n"
	"                          done failed cancelled timeout lost\n"
	"  -n, --name NAME         jobs of this name\n"
	CMD_COMMON_HELP;

struct query {
	bool all, detail, watch, json;
	const char *user, *state, *name, *socket;
	char *const *ids;
	int nids;
	unsigned rows;		/* at most so many lines; 0: all */
};

/* where the jobs of one round go */
struct sink {
	const struct query *q;
	struct omc *c;
	json_t *list;		/* --json */
	json_t *seen;		/* ids that were asked for and found */
	unsigned printed;
	bool headed;
	int width[COLS];	/* of the columns so far */
};

/* ---- request ---- */

static int add_text(struct om_buf *b, const char *field, const char *v)
{
	int r = v ? om_buf_addf(b, "&%s=", field) : 0;

	for (; v && *v && r == 0; v++)
		r = isalnum((unsigned char)*v) || strchr("-._,", *v) ? om_buf_add(b, v, 1) : om_buf_addf(b, "%%%02X", (unsigned char)*v);
	return r;
}

static int make_path(const struct query *q, int first_id, const char *after, struct om_buf *b)
{
	/* the first lines at once */
	unsigned page = *after ? PAGE : FIRST_PAGE;
	int r = om_buf_addf(b, "/v1/jobs?limit=%u%s", q->rows && q->rows < page ? q->rows : page, q->all || q->nids ? "&all=1" : "");

	if (r == 0)
		r = add_text(b, "user", q->user);
	if (r == 0)
		r = add_text(b, "state", q->state);
	if (r == 0)
		r = add_text(b, "name", q->name);
	for (int i = first_id; i < q->nids && i < first_id + IDS_PAGE && r == 0; i++)
		r = om_buf_addf(b, "%s%s", i == first_id ? "&id=" : ",", q->ids[i]);
	return r == 0 && *after ? om_buf_addf(b, "&after=%s", after) : r;
}

/* ---- table ---- */

static const struct { const char *name; int flags; } cols[COLS] = {
	[COL_ID] = { "ID", SCOLS_FL_RIGHT },
	[COL_NAME] = { "NAME", SCOLS_FL_TRUNC },
	[COL_USER] = { "USER", SCOLS_FL_TRUNC },
	[COL_STATE] = { "STATE", 0 },
	[COL_TIME] = { "TIME", SCOLS_FL_RIGHT },
	[COL_CPU] = { "CPU", SCOLS_FL_RIGHT },
	[COL_CKPT] = { "CKPT", SCOLS_FL_RIGHT },
	[COL_REASON] = { "REASON", SCOLS_FL_TRUNC },
};

static struct libscols_table *new_table(bool heading)
{
	struct libscols_table *t = scols_new_table();

	for (int i = 0; t && i < COLS; i++)
		if (!scols_table_new_column(t, cols[i].name, 0, cols[i].flags)) {
			scols_unref_table(t);
			return NULL;
		}
	if (t)
		scols_table_enable_noheadings(t, !heading);
	return t;
}

/* At least as wide as on the pages before, so that the columns stay under their heading; *@width grows. */
static int set_cell(struct libscols_line *ln, size_t col, const char *text, int *width)
{
	om_autofree char *clean = out_clean_dup(text);
	om_autobuf b = { 0 };
	bool right = cols[col].flags & SCOLS_FL_RIGHT;

	if (!clean || om_buf_addf(&b, "%*s", col == COL_REASON ? 0 : right ? *width : -*width, clean) < 0)
		return -ENOMEM;
	*width = (int)b.len > *width ? (int)b.len : *width;
	return scols_line_set_data(ln, col, b.data) == 0 ? 0 : -ENOMEM;
}

static int add_line(struct libscols_table *t, json_t *job, int *width)
{
	struct libscols_line *ln = scols_table_new_line(t, NULL);
	char time[24], cpu[24], age[24], reason[600];
	const char *cells[COLS] = {
		[COL_ID] = out_str(job, "id"), [COL_NAME] = out_str(job, "name"), [COL_USER] = out_str(job, "user"),
		[COL_STATE] = out_str(job, "state"), [COL_TIME] = time, [COL_CPU] = cpu, [COL_CKPT] = age, [COL_REASON] = reason,
	};
	int r = ln ? 0 : -ENOMEM;

	out_seconds(time, sizeof(time), json_object_get(job, "elapsed"));
	out_seconds(cpu, sizeof(cpu), json_object_get(job, "cpu"));
	out_seconds(age, sizeof(age), json_object_get(json_object_get(job, "checkpoint"), "age"));
	show_reason(reason, sizeof(reason), job);
	for (int i = 0; i < COLS && r == 0; i++)
		r = set_cell(ln, (size_t)i, cells[i], &width[i]);
	return r;
}

static int print_table(struct sink *s, json_t *jobs, struct om_err *err)
{
	struct libscols_table *t = new_table(!s->headed);
	json_t *job;
	size_t i;
	int r = t ? 0 : -ENOMEM;

	json_array_foreach(jobs, i, job) {
		if (r < 0 || (s->q->rows && s->printed >= s->q->rows))
			break;
		r = add_line(t, job, s->width);
		s->printed++;
	}
	if (r == 0 && (json_array_size(jobs) || !s->headed) && scols_print_table(t) < 0)
		r = -EIO;
	/* libsmartcols prints nothing at all for an empty table */
	if (r == 0 && !json_array_size(jobs) && !s->headed)
		puts("ID NAME USER STATE TIME CPU CKPT REASON");
	s->headed = true;
	scols_unref_table(t);
	return r < 0 ? om_err_set(err, r, "the table cannot be made") : 0;
}

static int print_long(struct sink *s, json_t *jobs, struct om_err *err)
{
	json_t *row;
	size_t i;

	json_array_foreach(jobs, i, row) {
		const char *id = out_str(row, "id");
		json_t *job = NULL;
		char path[80];
		int r;

		if (!cmd_is_id(id))
			continue;
		snprintf(path, sizeof(path), "/v1/jobs/%s", id);
		r = omc_json(s->c, "GET", path, NULL, ASK_SECONDS, &job, err);
		if (r == -ENOENT)
			continue;	/* it has gone since the list was made */
		if (r == -EACCES)
			r = 0;		/* another user's: the list says what everybody may know */
		if (r < 0)
			return r;
		if (s->list) {
			r = json_array_append(s->list, job ? job : row);
		} else {
			if (s->headed)
				putchar('\n');
			show_job(job ? job : row);
			s->headed = true;
		}
		json_decref(job);
		if (r < 0)
			return om_err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* ---- one round ---- */

static int note_seen(struct sink *s, json_t *jobs)
{
	json_t *job;
	size_t i;

	json_array_foreach(jobs, i, job) {
		om_autofree char *base = strdup(out_str(job, "id"));

		if (!base || json_object_set_new(s->seen, base, json_true()) < 0)
			return -ENOMEM;
		base[strcspn(base, "_")] = 0;	/* 17 stands for all of its elements */
		if (json_object_set_new(s->seen, base, json_true()) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_page(struct sink *s, json_t *jobs, struct om_err *err)
{
	if (note_seen(s, jobs) < 0)
		return om_err_set(err, -ENOMEM, "out of memory");
	if (s->q->detail)
		return print_long(s, jobs, err);
	if (s->list)
		return json_array_extend(s->list, jobs) < 0 ? om_err_set(err, -ENOMEM, "out of memory") : 0;
	return print_table(s, jobs, err);
}

/* All pages for the ids from @first_id on (or for all jobs). */
static int take_pages(struct sink *s, int first_id, struct om_err *err)
{
	char after[64] = "";
	bool more = true;

	while (more && !(s->q->rows && s->printed >= s->q->rows)) {
		om_autobuf path = { 0 };
		json_t *answer = NULL, *jobs;
		int r = make_path(s->q, first_id, after, &path);

		r = r < 0 ? om_err_set(err, r, "out of memory") : omc_json(s->c, "GET", path.data, NULL, ASK_SECONDS, &answer, err);
		if (r < 0)
			return r;
		jobs = json_object_get(answer, "jobs");
		more = json_is_true(json_object_get(answer, "more")) && json_array_size(jobs);
		r = take_page(s, jobs, err);
		if (r == 0 && more) {
			const char *last = out_str(json_array_get(jobs, json_array_size(jobs) - 1), "id");

			if (!cmd_is_id(last) || strcmp(last, after) == 0 || om_str_copy(after, sizeof(after), last) < 0)
				r = om_err_set(err, -EBADMSG, "the daemon's list goes on after a job without an id");
		}
		json_decref(answer);
		if (r < 0)
			return r;
	}
	return 0;
}

static int report_unknown(const struct sink *s)
{
	int rc = CMD_OK;

	/* with a filter, a job that is not shown may still be there */
	if (s->q->user || s->q->state || s->q->name)
		return rc;
	for (int i = 0; i < s->q->nids; i++)
		if (!json_object_get(s->seen, s->q->ids[i])) {
			cmd_error("there is no job %s", s->q->ids[i]);
			rc = CMD_FAILED;
		}
	return rc;
}

static int one_round(struct omc *c, const struct query *q)
{
	struct sink s = { .q = q, .c = c, .list = q->json ? json_array() : NULL, .seen = json_object() };
	struct om_err err = { 0 };
	int r = 0, rc;

	for (int i = 0; i < COLS; i++)
		s.width[i] = (int)strlen(cols[i].name);
	for (int i = 0; r == 0 && (i == 0 || i < q->nids); i += IDS_PAGE)
		r = take_pages(&s, i, &err);
	if (r == 0 && s.list) {
		json_t *root = json_pack("{s:O}", "jobs", s.list);

		if (root)
			json_dumpf(root, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(root);
	}
	rc = r < 0 ? cmd_fail(r, &err) : report_unknown(&s);
	json_decref(s.list);
	json_decref(s.seen);
	return cmd_flush(rc);
}

static int watch(struct omc *c, struct query *q)
{
	bool tty = isatty(STDOUT_FILENO);
	int rc;

	for (;;) {
		struct winsize w;

		if (tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 3)
			q->rows = w.ws_row - 2u;
		if (tty)
			fputs("\033[H\033[J", stdout);
		rc = one_round(c, q);
		if (rc == CMD_USAGE || rc == CMD_DENIED || ferror(stdout))
			return rc;
		poll(NULL, 0, REFRESH_MS);
	}
}

/* One state, or several with commas between.  A state of the past can only be asked for among all jobs. */
static int check_states(struct query *q)
{
	const char *s = q->state;
	char one[16];

	for (;;) {
		size_t n = strcspn(s, ",");
		enum om_job_state st;

		if (n >= sizeof(one))
			return -EINVAL;
		memcpy(one, s, n);
		one[n] = 0;
		if (om_job_state_parse(one, &st) < 0)
			return -EINVAL;
		q->all |= om_job_state_ended(st);
		if (!s[n])
			return 0;
		s += n + 1;
	}
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "all", no_argument, NULL, 'a' }, { "long", no_argument, NULL, 'l' }, { "watch", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, CMD_OPT_OWN }, { "user", required_argument, NULL, 'u' },
		{ "state", required_argument, NULL, 's' }, { "name", required_argument, NULL, 'n' },
		CMD_COMMON_LONG, { NULL, 0, NULL, 0 },
	};
	struct query q = { 0 };
	struct om_err err = { 0 };
	struct omc c;
	int a, r;

	cmd_init("omq", help);
	opterr = 0;
	while ((a = getopt_long(argc, argv, ":hValwu:s:n:", longs, NULL)) != -1) {
		switch (a) {
		case 'h': return cmd_help();
		case 'V': return cmd_version();
		case 'a': q.all = true; break;
		case 'l': q.detail = true; break;
		case 'w': q.watch = true; break;
		case 'u': q.user = optarg; break;
		case 's': q.state = optarg; break;
		case 'n': q.name = optarg; break;
		case CMD_OPT_OWN: q.json = true; break;
		case CMD_OPT_SOCKET: q.socket = optarg; break;
		default: return cmd_usage_getopt(a, argv);
		}
	}
	q.ids = argv + optind;
	q.nids = argc - optind;
	if (q.state && check_states(&q) < 0)
		return cmd_usage("'%s' is no state of a job (see omq --help)", q.state);
	if (q.nids && cmd_check_ids(q.ids, q.nids))
		return CMD_USAGE;
	r = omc_init(&c, q.socket, &err);
	if (r < 0)
		return cmd_fail(r, &err);
	return q.watch ? watch(&c, &q) : one_round(&c, &q);
}
