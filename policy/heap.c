/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/heap.h"

/* The roots @a and @b under one root; either may be POL_NIL. */
static uint32_t merge(const struct pol_heap_kind *kind, void *ctx, uint32_t a, uint32_t b)
{
	struct pol_node *na, *nb;

	if (a == POL_NIL || b == POL_NIL)
		return a == POL_NIL ? b : a;
	if (kind->before(ctx, b, a)) {
		uint32_t t = a;

		a = b;
		b = t;
	}
	na = kind->node(ctx, a);
	nb = kind->node(ctx, b);
	nb->prev = a;
	nb->next = na->child;
	if (na->child != POL_NIL)
		kind->node(ctx, na->child)->prev = b;
	na->child = b;
	return a;
}

/* The list of siblings from @first on as one heap: pairs from left to right, then these from right to left (that order makes O(log n)). */
static uint32_t merge_pairs(const struct pol_heap_kind *kind, void *ctx, uint32_t first)
{
	uint32_t pairs = POL_NIL, root = POL_NIL;

	while (first != POL_NIL) {
		struct pol_node *a = kind->node(ctx, first), *b;
		uint32_t second = a->next, rest = POL_NIL, pair;

		a->next = a->prev = POL_NIL;
		if (second != POL_NIL) {
			b = kind->node(ctx, second);
			rest = b->next;
			b->next = b->prev = POL_NIL;
		}
		pair = merge(kind, ctx, first, second);
		kind->node(ctx, pair)->next = pairs;
		pairs = pair;
		first = rest;
	}
	while (pairs != POL_NIL) {
		struct pol_node *p = kind->node(ctx, pairs);
		uint32_t next = p->next;

		p->next = POL_NIL;
		root = merge(kind, ctx, root, pairs);
		pairs = next;
	}
	return root;
}

void pol_heap_insert(const struct pol_heap_kind *kind, void *ctx, uint32_t *root, uint32_t i)
{
	*kind->node(ctx, i) = (struct pol_node){ POL_NIL, POL_NIL, POL_NIL };
	*root = merge(kind, ctx, *root, i);
}

void pol_heap_remove(const struct pol_heap_kind *kind, void *ctx, uint32_t *root, uint32_t i)
{
	struct pol_node *n = kind->node(ctx, i), *prev;
	uint32_t children = merge_pairs(kind, ctx, n->child);

	n->child = POL_NIL;
	if (i == *root) {
		*root = children;
		return;
	}
	prev = kind->node(ctx, n->prev);
	if (prev->child == i)
		prev->child = n->next;
	else
		prev->next = n->next;
	if (n->next != POL_NIL)
		kind->node(ctx, n->next)->prev = n->prev;
	*root = merge(kind, ctx, *root, children);
}
