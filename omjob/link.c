/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One omd at a time; the newest connection wins, since the older omd may be a dead one whose end was not seen yet.  What cannot be sent
 * drops the connection: omd connects again and hello tells it the present state. */
#include "omjob/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "omjob/sink.h"
#include "omjob/spec.h"

enum { GRACE_MAX_S = 86400 };

int omj_link_listen(struct omj_keeper *k, struct om_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int r = om_fault(OM_FI_KEEPER_BIND);

	if (r < 0)
		return om_err_sys(err, r, "keeper.sock");
	if (unlinkat(k->dirfd, "keeper.sock", 0) < 0 && errno != ENOENT)
		return om_err_sys(err, -errno, "keeper.sock");
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/keeper.sock", k->dirfd);
	k->listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->listen < 0 || bind(k->listen, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(k->listen, 4) < 0)
		return om_err_sys(err, -errno, "cannot listen on keeper.sock");
	return 0;
}

void omj_link_drop(struct omj_keeper *k)
{
	om_fd_close(om_fd_steal(&k->conn));
}

void omj_link_accept(struct omj_keeper *k)
{
	int fd = accept4(k->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred uc;
	socklen_t len = sizeof(uc);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &len) < 0 || (uc.uid != 0 && uc.uid != geteuid())) {
		om_fd_close(fd);
		return;
	}
	omj_link_drop(k);
	k->conn = fd;
}

void omj_link_send(struct omj_keeper *k, json_t *msg)
{
	int r;

	if (k->conn < 0) {
		json_decref(msg);
		return;
	}
	r = om_msg_send(k->conn, msg);
	if (r == 0)
		return;
	if (r != -EPIPE && r != -ECONNRESET)
		om_log_warning("job=%s connection to omd: %s, dropping it", k->spec ? k->spec->id : "?", strerror(-r));
	omj_link_drop(k);
}

static void say_error(struct omj_keeper *k, const char *text)
{
	omj_link_send(k, json_pack("{s:s, s:s}", "ev", "error", "text", text));
}

void omj_link_usage(struct omj_keeper *k)
{
	if (k->conn < 0)
		return;
	omj_tree_usage(k);
	omj_link_send(k, json_pack("{s:s, s:I, s:I, s:I, s:i}", "ev", "usage", "cpu_ns", (json_int_t)k->usage.cpu_ns,
				   "rss", (json_int_t)k->usage.rss, "maxrss", (json_int_t)k->usage.maxrss,
				   "processes", (int)k->usage.processes));
}

static json_t *checkpoints(struct omj_keeper *k)
{
	struct om_err err = { 0 };
	json_t *list = NULL;
	int r = omj_store_list(k->dirfd, &list, &err);

	if (r < 0)
		om_log_warning("job=%s checkpoints: %s", k->spec->id, om_err_text(&err, r));
	return list ? list : json_array();
}

static void on_hello(struct omj_keeper *k, json_t *msg)
{
	static const char *const names[] = { "starting", "running", "ended" };
	json_t *o;

	(void)msg;
	o = json_pack("{s:s, s:s, s:I, s:I, s:s, s:o}", "ev", "hello", "job", k->spec->id, "leg", (json_int_t)k->spec->leg,
		      "pid", (json_int_t)getpid(), "state", names[k->state], "checkpoints", checkpoints(k));
	if (o && k->end && json_object_update_missing(o, k->end) < 0) {
		json_decref(o);
		o = NULL;
	}
	omj_link_send(k, o);
	if (k->state != OMJ_ENDED)
		omj_link_usage(k);
}

static void on_signal(struct omj_keeper *k, json_t *msg)
{
	json_t *v = json_object_get(msg, "signal");
	json_int_t sig = json_integer_value(v);

	if (!json_is_integer(v) || sig < 1 || sig > SIGRTMAX)
		say_error(k, "signal: no such signal");
	else if (omj_tree_signal(k, (int)sig) < 0)
		say_error(k, "signal: the job has no processes now");
}

static void on_cancel(struct omj_keeper *k, json_t *msg)
{
	const char *why = json_string_value(json_object_get(msg, "why"));
	json_t *v = json_object_get(msg, "grace");
	json_int_t grace = json_integer_value(v);

	if (v && (!json_is_integer(v) || grace < 0 || grace > GRACE_MAX_S)) {
		say_error(k, "cancel: grace must be seconds, at most 86400");
		return;
	}
	if (k->state != OMJ_ENDED)
		omj_tree_cancel(k, (uint64_t)grace, why && strcmp(why, "timeout") == 0 ? "timeout" : "cancelled");
}

static void on_prune(struct omj_keeper *k, json_t *msg)
{
	json_t *drop = json_object_get(msg, "drop"), *v;
	size_t i;

	json_array_foreach(drop, i, v)
		if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > UINT32_MAX)
			drop = NULL;
	if (json_is_array(drop))
		omj_work_request(k, msg);
	else
		say_error(k, "prune: drop must be an array of checkpoint numbers");
}

static void on_ack(struct omj_keeper *k, json_t *msg)
{
	(void)msg;
	if (k->end)
		k->leave = true;
	else
		say_error(k, "ack: the job has not ended");
}

static const struct {
	const char *op;
	void (*run)(struct omj_keeper *k, json_t *msg);
} ops[] = {
	{ "hello", on_hello }, { "checkpoint", omj_work_request }, { "suspend", omj_work_request }, { "prune", on_prune },
	{ "signal", on_signal }, { "cancel", on_cancel }, { "ack", on_ack },
};

void omj_link_receive(struct omj_keeper *k)
{
	json_t *msg;
	int r = om_msg_recv(k->conn, &msg);
	const char *op;

	if (r == -EAGAIN)
		return;
	if (r == -EBADMSG) {
		say_error(k, "no JSON object");
		return;
	}
	if (r < 0) {
		omj_link_drop(k);
		return;
	}
	op = json_string_value(json_object_get(msg, "op"));
	for (size_t i = 0; op && i < OM_ARRAY_SIZE(ops); i++)
		if (strcmp(ops[i].op, op) == 0) {
			ops[i].run(k, msg);
			json_decref(msg);
			return;
		}
	say_error(k, "unknown op");
	json_decref(msg);
}
