/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy/heap.h - pairing heaps whose nodes live in the elements.  Promise: no call allocates, so none can fail; insert O(1), the others O(log n)
 * amortised (Fredman, Sedgewick, Sleator, Tarjan 1986).  Elements are numbers: positions in an array that may move when it grows. */
#ifndef OM_POLICY_HEAP_H
#define OM_POLICY_HEAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POL_NIL = 0xffffffffu };		/* no element */

struct pol_node {			/* one of each element, in one heap at a time */
	uint32_t child, next, prev;	/* prev: the sibling before, of a first child its parent */
};
/* How the heap finds the nodes and compares the elements of @ctx. */
struct pol_heap_kind {
	struct pol_node *(*node)(void *ctx, uint32_t i);
	bool (*before)(const void *ctx, uint32_t a, uint32_t b);
};

/* @root: the first element, POL_NIL of the empty heap. */
void pol_heap_insert(const struct pol_heap_kind *kind, void *ctx, uint32_t *root, uint32_t i);
void pol_heap_remove(const struct pol_heap_kind *kind, void *ctx, uint32_t *root, uint32_t i);
#endif
