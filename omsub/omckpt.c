/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omckpt - checkpoints of jobs. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "omsub/client.h"
#include "omsub/cmd.h"
#include "omsub/out.h"

enum { ASK_SECONDS = 120, LINE_MAX_BYTES = 64 * 1024 };

static const char help[] =
	"Usage: omckpt [OPTION]... now JOB...\n"
	"       omckpt [OPTION]... list JOB\n"
	"       omckpt [OPTION]... show JOB[@N]\n"
	"       omckpt [OPTION]... verify [--trial] JOB[@N]\n"
	"       omckpt [OPTION]... restore [--as-new] JOB[@N]\n"
	"       omckpt [OPTION]... export JOB[@N] FILE\n"
	"       omckpt [OPTION]... import FILE\n"
	"       omckpt [OPTION]... prune [--keep K] JOB[@N]\n"
	"Make, look at and use checkpoints of jobs. N is the number of a checkpoint (default: the newest).\n"
	"\n"
	"      --trial             verify: really restore it, stopped, and throw that away\n"
	"      --as-new            restore: as another job with an id of its own\n"
	"      --keep K            prune: keep the K newest (default 1)\n"
	"      --json              now, list, show: print JSON\n"
	CMD_COMMON_HELP;

enum { OPT_TRIAL = CMD_OPT_OWN, OPT_AS_NEW, OPT_KEEP, OPT_JSON };

struct wish {
	const char *socket;
	bool trial, as_new, json;
	uint64_t keep;		/* 0: not said */
	struct omc c;
};

/* JOB or JOB@N */
struct target {
	char id[40];
	uint64_t n;		/* 0: the newest */
};

static int parse_target(const char *s, struct target *t)
{
	size_t len = strcspn(s, "@");

	*t = (struct target){ .n = 0 };
	if (len >= sizeof(t->id))
		return -EINVAL;
	memcpy(t->id, s, len);
	if (!cmd_is_id(t->id))
		return -EINVAL;
	return s[len] && (om_str_u64(s + len + 1, &t->n) < 0 || t->n == 0 || t->n > INT32_MAX) ? -EINVAL : 0;
}

static int bad_target(const char *s)
{
	return cmd_usage("'%s' is not JOB or JOB@N (numbers)", s);
}

static int print_json(json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	return CMD_OK;
}

/* The newest checkpoint, when the user names none. */
static int find_newest(struct wish *w, struct target *t, struct om_err *err)
{
	json_t *answer = NULL, *c;
	char path[96];
	size_t i;
	int r;

	if (t->n)
		return 0;
	snprintf(path, sizeof(path), "/v1/jobs/%s/checkpoints", t->id);
	r = omc_json(&w->c, "GET", path, NULL, 0, &answer, err);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(answer, "checkpoints"), i, c) {
		json_int_t n = json_integer_value(json_object_get(c, "n"));

		if (n > 0 && (uint64_t)n > t->n)
			t->n = (uint64_t)n;
	}
	json_decref(answer);
	return t->n ? 0 : om_err_set(err, -ENOENT, "job %s has no checkpoint", t->id);
}

/* ---- now ---- */

static void print_made(const char *id, json_t *a)
{
	char stored[24];

	printf("job %s checkpoint %" JSON_INTEGER_FORMAT ": job stopped for %.1f ms, %s stored, %" JSON_INTEGER_FORMAT " processes\n", id,
	       json_integer_value(json_object_get(a, "n")), json_number_value(json_object_get(a, "stop_ns")) / 1e6,
	       out_size(stored, sizeof(stored), json_object_get(a, "stored")), json_integer_value(json_object_get(a, "processes")));
}

static int do_now(struct wish *w, int n, char *const args[])
{
	int worst = CMD_OK;

	if (cmd_check_ids(args, n))
		return CMD_USAGE;
	for (int i = 0; i < n; i++) {
		struct om_err err = { 0 };
		json_t *answer = NULL;
		char path[96];
		int r, rc = CMD_OK;

		snprintf(path, sizeof(path), "/v1/jobs/%s/checkpoint", args[i]);
		r = omc_json(&w->c, "POST", path, NULL, 0, &answer, &err);
		if (r < 0)
			rc = cmd_fail_job(r, args[i], &err);
		else if (w->json)
			print_json(answer);
		else
			print_made(args[i], answer);
		json_decref(answer);
		worst = rc > worst ? rc : worst;
	}
	return worst;
}

/* ---- list, show ---- */

static int do_list(struct wish *w, int n, char *const args[])
{
	struct om_err err = { 0 };
	json_t *answer = NULL, *c;
	char path[96], made[40], bytes[24], stored[24];
	size_t i;
	int r;

	(void)n;
	if (!cmd_is_id(args[0]))
		return cmd_usage("'%s' is not a job id", args[0]);
	snprintf(path, sizeof(path), "/v1/jobs/%s/checkpoints", args[0]);
	r = omc_json(&w->c, "GET", path, NULL, 0, &answer, &err);
	if (r < 0)
		return cmd_fail_job(r, args[0], &err);
	if (w->json) {
		print_json(answer);
		json_decref(answer);
		return CMD_OK;
	}
	printf("%4s  %-19s  %10s  %10s  %8s\n", "N", "MADE", "SIZE", "STORED", "BLOCKS");
	json_array_foreach(json_object_get(answer, "checkpoints"), i, c) {
		json_t *when = json_real(json_number_value(json_object_get(c, "time_ns")) / 1e9);

		printf("%4" JSON_INTEGER_FORMAT "  %-19s  %10s  %10s  %8" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(c, "n")),
		       out_time(made, sizeof(made), when), out_size(bytes, sizeof(bytes), json_object_get(c, "bytes")),
		       out_size(stored, sizeof(stored), json_object_get(c, "stored")), json_integer_value(json_object_get(c, "blocks")));
		json_decref(when);
	}
	json_decref(answer);
	return CMD_OK;
}

/* Any JSON as indented "name: value" lines. */
static void print_tree(const char *name, json_t *v, int indent)
{
	om_autofree char *clean = out_clean_dup(json_is_string(v) ? json_string_value(v) : name);
	om_autofree char *clean_name = out_clean_dup(name);
	const char *key;
	json_t *e;
	size_t i;

	if (!clean || !clean_name)
		return;
	if (json_is_object(v) || json_is_array(v)) {
		printf("%*s%s:\n", indent, "", clean_name);
		json_object_foreach(v, key, e)
			print_tree(key, e, indent + 2);
		json_array_foreach(v, i, e)
			print_tree("-", e, indent + 2);
	} else if (json_is_string(v)) {
		printf("%*s%s: %s\n", indent, "", clean_name, clean);
	} else {
		om_autofree char *text = json_dumps(v, JSON_ENCODE_ANY);

		printf("%*s%s: %s\n", indent, "", clean_name, text ? text : "?");
	}
}

static int do_show(struct wish *w, int n, char *const args[])
{
	struct om_err err = { 0 };
	json_t *answer = NULL, *v;
	struct target t;
	const char *key;
	char path[96];
	int r;

	(void)n;
	if (parse_target(args[0], &t) < 0)
		return bad_target(args[0]);
	r = find_newest(w, &t, &err);
	snprintf(path, sizeof(path), "/v1/jobs/%s/checkpoints/%" PRIu64, t.id, t.n);
	if (r == 0)
		r = omc_json(&w->c, "GET", path, NULL, 0, &answer, &err);
	if (r < 0)
		return cmd_fail_job(r, t.id, &err);
	if (w->json)
		print_json(answer);
	else
		json_object_foreach(answer, key, v)
			print_tree(key, v, 0);
	json_decref(answer);
	return CMD_OK;
}

/* ---- verify: a stream of JSON lines ---- */

struct verify {
	struct om_buf line;
	struct out_progress progress;
	json_t *last;		/* the line with "ok" */
};

static int verify_line(struct verify *v)
{
	json_t *j = json_loadb(v->line.data, v->line.len, 0, NULL), *p = json_object_get(j, "progress");

	v->line.len = 0;
	if (!j)
		return -EBADMSG;
	if (json_is_number(p))
		out_progress_part(&v->progress, json_number_value(p));
	if (json_is_boolean(json_object_get(j, "ok"))) {
		json_decref(v->last);
		v->last = json_incref(j);
	}
	json_decref(j);
	return 0;
}

static int verify_data(void *arg, const char *p, size_t n)
{
	struct verify *v = arg;

	for (size_t i = 0; i < n; i++) {
		int r = 0;

		if (p[i] != '\n')
			r = v->line.len < LINE_MAX_BYTES ? om_buf_add(&v->line, &p[i], 1) : -EBADMSG;
		else if (v->line.len)
			r = verify_line(v);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Ask with @call; answers that are not 2xx become an error. */
static int ask(struct wish *w, struct omc_call *call, struct omc_answer *a, struct om_err *err)
{
	int r = omc_ask(&w->c, call, a, err);

	if (r < 0)
		return r;
	return a->status / 100 == 2 ? 0 : omc_answer_error(a, err);
}

static int verify_result(const struct target *t, const struct verify *v)
{
	if (json_is_true(json_object_get(v->last, "ok"))) {
		printf("job %s checkpoint %" PRIu64 " is good\n", t->id, t->n);
		return CMD_OK;
	}
	cmd_error("job %s checkpoint %" PRIu64 " is not good: %s", t->id, t->n,
		  *out_str(v->last, "reason") ? out_str(v->last, "reason") : "the check ended without a result");
	return CMD_FAILED;
}

static int do_verify(struct wish *w, int n, char *const args[])
{
	struct verify v = { .last = NULL };
	struct omc_call call = { .method = "POST", .data = verify_data, .arg = &v };
	omc_autoanswer a = { 0 };
	struct om_err err = { 0 };
	struct target t;
	char path[128];
	int r;

	(void)n;
	if (parse_target(args[0], &t) < 0)
		return bad_target(args[0]);
	r = find_newest(w, &t, &err);
	snprintf(path, sizeof(path), "/v1/jobs/%s/checkpoints/%" PRIu64 "/verify?trial=%d", t.id, t.n, w->trial);
	call.path = path;
	out_progress_begin(&v.progress, "verify");
	if (r == 0)
		r = ask(w, &call, &a, &err);
	if (r == 0 && v.line.len)
		r = verify_line(&v);
	out_progress_end(&v.progress);
	if (r == -EBADMSG && !err.code)
		om_err_set(&err, r, "the daemon's answer cannot be read");
	r = r < 0 ? cmd_fail_job(r, t.id, &err) : verify_result(&t, &v);
	json_decref(v.last);
	om_buf_done(&v.line);
	return r;
}

/* ---- restore ---- */

static int do_restore(struct wish *w, int n, char *const args[])
{
	struct om_err err = { 0 };
	json_t *body, *answer = NULL;
	struct target t;
	char path[96];
	int r;

	(void)n;
	if (parse_target(args[0], &t) < 0)
		return bad_target(args[0]);
	body = json_pack("{s:o,s:b}", "n", t.n ? json_integer((json_int_t)t.n) : json_null(), "as_new", w->as_new);
	snprintf(path, sizeof(path), "/v1/jobs/%s/restore", t.id);
	r = omc_json(&w->c, "POST", path, body, 0, &answer, &err);
	json_decref(body);
	if (r < 0)
		return cmd_fail_job(r, t.id, &err);
	if (cmd_is_id(out_str(answer, "id")))
		puts(out_str(answer, "id"));
	json_decref(answer);
	return CMD_OK;
}

/* ---- export: to a file beside the wanted one, which takes its place when it is complete ---- */

struct export {
	int fd;
	int error;		/* of writing */
	uint64_t done;
	struct out_progress progress;
};

static int export_data(void *arg, const char *p, size_t n)
{
	struct export *e = arg;
	int r = om_fd_write_all(e->fd, p, n);

	if (r < 0) {
		e->error = r;
		return r;
	}
	e->done += n;
	out_progress_bytes(&e->progress, e->done, 0);
	return 0;
}

static int export_to(struct wish *w, const struct target *t, int fd, const char *name, struct om_err *err)
{
	struct export e = { .fd = fd };
	struct omc_call call = { .method = "GET", .data = export_data, .arg = &e };
	omc_autoanswer a = { 0 };
	char path[96];
	int r;

	snprintf(path, sizeof(path), "/v1/jobs/%s/checkpoints/%" PRIu64 "/export", t->id, t->n);
	call.path = path;
	out_progress_begin(&e.progress, "export");
	r = ask(w, &call, &a, err);
	out_progress_end(&e.progress);
	if (e.error)
		return om_err_sys(err, e.error == -EACCES ? -EIO : e.error, "write '%s'", name);
	return r;
}

static int export_file(struct wish *w, const struct target *t, const char *file, struct om_err *err)
{
	char part[PATH_MAX];
	int fd, r;

	if (snprintf(part, sizeof(part), "%s.part-%d", file, (int)getpid()) >= (int)sizeof(part))
		return om_err_set(err, -ENAMETOOLONG, "the name '%.60s...' is too long", file);
	/* private: an image holds all of a job's memory */
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return om_err_set(err, -EIO, "create '%s': %s", part, strerror(errno));
	r = export_to(w, t, fd, file, err);
	if (close(fd) < 0 && r == 0)
		r = om_err_sys(err, -errno, "write '%s'", file);
	if (r == 0 && rename(part, file) < 0)
		r = om_err_sys(err, errno == EACCES ? -EIO : -errno, "rename '%s' to '%s'", part, file);
	if (r < 0)
		unlink(part);
	return r;
}

static int do_export(struct wish *w, int n, char *const args[])
{
	struct om_err err = { 0 };
	struct target t;
	int r;

	(void)n;
	if (parse_target(args[0], &t) < 0)
		return bad_target(args[0]);
	if (strcmp(args[1], "-") == 0 && isatty(STDOUT_FILENO))
		return cmd_usage("an image is not written to a terminal");
	r = find_newest(w, &t, &err);
	if (r == 0)
		r = strcmp(args[1], "-") == 0 ? export_to(w, &t, STDOUT_FILENO, "standard output", &err) : export_file(w, &t, args[1], &err);
	return r < 0 ? cmd_fail_job(r, t.id, &err) : CMD_OK;
}

/* ---- import ---- */

static void import_sent(void *arg, uint64_t done, uint64_t total)
{
	out_progress_bytes(arg, done, total);
}

static int import_fd(struct wish *w, int fd, json_t **ret, struct om_err *err)
{
	struct out_progress progress;
	struct omc_call call = { .method = "POST", .path = "/v1/import", .body_fd = fd, .sent = import_sent, .arg = &progress };
	omc_autoanswer a = { 0 };
	int r = omc_start(&w->c, err);

	out_progress_begin(&progress, "import");
	if (r == 0)
		r = ask(w, &call, &a, err);
	out_progress_end(&progress);
	if (r < 0)
		return r;
	*ret = json_loadb(a.body.data ? a.body.data : "", a.body.len, 0, NULL);
	return cmd_is_id(out_str(*ret, "id")) ? 0 : om_err_set(err, -EBADMSG, "the daemon's answer cannot be read");
}

/* The first bytes of what export writes (doc/image.md), where they can be looked at without being taken: the daemon cannot refuse a
 * body before its end, and /dev/zero has none. */
static bool is_image(int fd)
{
	char d[8];
	ssize_t n = pread(fd, d, sizeof(d), 0);

	return n < 0 ? errno == ESPIPE : n == sizeof(d) && memcmp(d, "OMIMAGE\1", sizeof(d)) == 0;
}

static int do_import(struct wish *w, int n, char *const args[])
{
	om_autofd int fd = strcmp(args[0], "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(args[0], O_RDONLY | O_CLOEXEC);
	struct om_err err = { 0 };
	json_t *answer = NULL;
	struct stat st;
	int r;

	(void)n;
	if (fd < 0 || fstat(fd, &st) < 0) {
		cmd_error("open '%s': %s", args[0], strerror(errno));
		return CMD_FAILED;
	}
	if (S_ISDIR(st.st_mode)) {
		cmd_error("'%s' is a folder", args[0]);
		return CMD_FAILED;
	}
	if (!is_image(fd)) {
		cmd_error("'%s' is not a checkpoint that omckpt export wrote", args[0]);
		return CMD_FAILED;
	}
	r = import_fd(w, fd, &answer, &err);
	if (r < 0) {
		json_decref(answer);
		return cmd_fail(om_err_wrap(&err, r, "import '%s'", args[0]), &err);
	}
	puts(out_str(answer, "id"));
	json_decref(answer);
	return CMD_OK;
}

/* ---- prune ---- */

static int do_prune(struct wish *w, int n, char *const args[])
{
	struct om_err err = { 0 };
	struct target t;
	json_t *body = NULL;
	char path[96];
	int r;

	(void)n;
	if (parse_target(args[0], &t) < 0)
		return bad_target(args[0]);
	if (t.n && w->keep)
		return cmd_usage("either JOB@N or --keep");
	if (t.n) {
		snprintf(path, sizeof(path), "/v1/jobs/%s/checkpoints/%" PRIu64, t.id, t.n);
		r = omc_json(&w->c, "DELETE", path, NULL, 0, NULL, &err);
	} else {
		body = json_pack("{s:I}", "keep", (json_int_t)(w->keep ? w->keep : 1));
		snprintf(path, sizeof(path), "/v1/jobs/%s/prune", t.id);
		r = omc_json(&w->c, "POST", path, body, 0, NULL, &err);
	}
	json_decref(body);
	return r < 0 ? cmd_fail_job(r, t.id, &err) : CMD_OK;
}

/* ---- the verbs ---- */

enum { MAY_TRIAL = 1, MAY_AS_NEW = 2, MAY_KEEP = 4, MAY_JSON = 8 };

static const struct verb {
	const char *name;
	int min, max;		/* arguments; max 0: any number */
	unsigned may;
	int (*run)(struct wish *w, int n, char *const args[]);
} verbs[] = {
	{ "now", 1, 0, MAY_JSON, do_now },
	{ "list", 1, 1, MAY_JSON, do_list },
	{ "show", 1, 1, MAY_JSON, do_show },
	{ "verify", 1, 1, MAY_TRIAL, do_verify },
	{ "restore", 1, 1, MAY_AS_NEW, do_restore },
	{ "export", 2, 2, 0, do_export },
	{ "import", 1, 1, 0, do_import },
	{ "prune", 1, 1, MAY_KEEP, do_prune },
};

static int check_verb(const struct verb *v, const struct wish *w, int n)
{
	if (w->trial && !(v->may & MAY_TRIAL))
		return cmd_usage("--trial belongs to verify");
	if (w->as_new && !(v->may & MAY_AS_NEW))
		return cmd_usage("--as-new belongs to restore");
	if (w->keep && !(v->may & MAY_KEEP))
		return cmd_usage("--keep belongs to prune");
	if (w->json && !(v->may & MAY_JSON))
		return cmd_usage("--json belongs to now, list and show");
	if (n < v->min)
		return cmd_usage("%s needs %s", v->name, v->min == 2 ? "JOB[@N] and FILE" : strcmp(v->name, "import") == 0 ? "a file" : "a job");
	return v->max && n > v->max ? cmd_usage("too many arguments for %s", v->name) : 0;
}

static int run_verb(struct wish *w, const char *name, int n, char *const args[])
{
	struct om_err err = { 0 };

	for (size_t i = 0; i < OM_ARRAY_SIZE(verbs); i++) {
		int r;

		if (strcmp(verbs[i].name, name) != 0)
			continue;
		r = check_verb(&verbs[i], w, n);
		if (r)
			return r;
		r = omc_init(&w->c, w->socket, &err);
		return r < 0 ? cmd_fail(r, &err) : cmd_flush(verbs[i].run(w, n, args));
	}
	return cmd_usage("'%s' is not now, list, show, verify, restore, export, import or prune", name);
}

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "trial", no_argument, NULL, OPT_TRIAL }, { "as-new", no_argument, NULL, OPT_AS_NEW },
		{ "keep", required_argument, NULL, OPT_KEEP }, { "json", no_argument, NULL, OPT_JSON },
		CMD_COMMON_LONG, { NULL, 0, NULL, 0 },
	};
	struct wish w = { 0 };
	int a;

	cmd_init("omckpt", help);
	opterr = 0;
	while ((a = getopt_long(argc, argv, ":hV", longs, NULL)) != -1) {
		switch (a) {
		case 'h': return cmd_help();
		case 'V': return cmd_version();
		case OPT_TRIAL: w.trial = true; break;
		case OPT_AS_NEW: w.as_new = true; break;
		case OPT_JSON: w.json = true; break;
		case OPT_KEEP:
			if (om_str_u64(optarg, &w.keep) < 0 || w.keep < 1 || w.keep > 100)
				return cmd_usage("--keep: '%s' is no number from 1 to 100", optarg);
			break;
		case CMD_OPT_SOCKET: w.socket = optarg; break;
		default: return cmd_usage_getopt(a, argv);
		}
	}
	if (optind == argc)
		return cmd_usage("now, list, show, verify, restore, export, import or prune?");
	return run_verb(&w, argv[optind], argc - optind - 1, argv + optind + 1);
}
