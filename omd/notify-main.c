/* SPDX-License-Identifier: GPL-2.0-or-later */
/* omd-notify URL - POST standard input (JSON) to URL, some times until it is accepted (any 2xx).  Runs as the job's user.
 * OM_NOTIFY_PAUSE: seconds before the second try (default 2); each further pause is four times as long. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

enum { BODY_MAX = 65536, TRIES = 5, TIMEOUT_S = 20, CONNECT_S = 10, ANSWER_MAX = 1 << 20 };

/* The answer is of no interest; an endless one is cut off. */
static size_t swallow(char *p, size_t size, size_t n, void *arg)
{
	size_t *seen = arg;

	(void)p;
	*seen += size * n;
	return *seen > ANSWER_MAX ? 0 : size * n;
}

static bool post(CURL *c, const char *url, const char *body, size_t len, struct curl_slist *headers)
{
	size_t seen = 0;
	long code = 0;

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)len);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &seen);
	if (curl_easy_perform(c) != CURLE_OK)
		return false;
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
	return code >= 200 && code < 300;
}

static size_t read_body(char *body)
{
	size_t n = 0;
	ssize_t r;

	while (n < BODY_MAX && (r = read(0, body + n, BODY_MAX - n)) > 0)
		n += (size_t)r;
	return n;
}

int main(int argc, char **argv)
{
	static char body[BODY_MAX];
	const char *first = getenv("OM_NOTIFY_PAUSE");
	uint64_t pause = 2;
	struct curl_slist *headers;
	size_t len;
	CURL *c;

	if (argc != 2 || (first && (om_str_u64(first, &pause) < 0 || pause > 3600))) {
		fprintf(stderr, "usage: omd-notify URL <body\n");
		return 2;
	}
	len = read_body(body);
	c = curl_easy_init();
	headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!c || !headers)
		return 1;
	for (int i = 0; i < TRIES; i++) {
		if (post(c, argv[1], body, len, headers)) {
			curl_easy_cleanup(c);
			curl_slist_free_all(headers);
			return 0;
		}
		if (i + 1 < TRIES)
			sleep((unsigned int)pause);
		pause *= 4;
	}
	return 1;
}
