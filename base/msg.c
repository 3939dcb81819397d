/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"

int om_msg_send(int sock, json_t *obj)
{
	om_autofree char *text = obj ? json_dumps(obj, JSON_COMPACT) : NULL;

	json_decref(obj);
	if (!text)
		return -ENOMEM;
	if (strlen(text) > OM_MSG_MAX)
		return -EMSGSIZE;
	return om_fd_send(sock, text, strlen(text), NULL, 0);
}

int om_msg_recv(int sock, json_t **ret)
{
	om_autofree char *text = malloc(OM_MSG_MAX);
	json_t *o;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	n = om_fd_recv(sock, text, OM_MSG_MAX, NULL, NULL);
	if (n < 0)
		return (int)n;
	if (n == 0)
		return -ENODATA;
	o = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return -EBADMSG;
	}
	*ret = o;
	return 0;
}
