/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/msg.h - one JSON object per message of a SOCK_SEQPACKET unix socket: how omd and a keeper (omjob) talk.
 * Promise: what is received is one well-formed JSON object of at most OM_MSG_MAX bytes; its fields are for the caller to check. */
#ifndef OM_BASE_MSG_H
#define OM_BASE_MSG_H
#include <jansson.h>

enum { OM_MSG_MAX = 128 * 1024 };	/* below the default unix socket buffer of 212,992 bytes */

/* Send @obj (reference taken, also on failure).  0; -EAGAIN when the peer does not read (non-blocking socket); -EPIPE, ... */
int om_msg_send(int sock, json_t *obj);
/* Receive one.  0 with a new reference in @ret; -EAGAIN; -ENODATA at the end; -EBADMSG when it is no JSON object. */
int om_msg_recv(int sock, json_t **ret);
#endif
