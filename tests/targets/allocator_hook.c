/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A library that stands before Python's allocators, as profilers' do: hidden_table is what hooks with a context hide, hooks
 * without one allocate by themselves. Needs no C library, so that every interpreter can load it.
 */
#include <stddef.h>

struct table {
	void *ctx;
	void *(*malloc)(void *ctx, size_t size);
	void *(*calloc)(void *ctx, size_t n, size_t size);
	void *(*realloc)(void *ctx, void *block, size_t size);
	void (*free)(void *ctx, void *block);
};

struct table hidden_table;

static void *hook_malloc(void *ctx, size_t size)
{
	struct table *t = ctx;

	return t->malloc(t->ctx, size);
}

static void *hook_calloc(void *ctx, size_t n, size_t size)
{
	struct table *t = ctx;

	return t->calloc(t->ctx, n, size);
}

static void *hook_realloc(void *ctx, void *block, size_t size)
{
	struct table *t = ctx;

	return t->realloc(t->ctx, block, size);
}

static void hook_free(void *ctx, void *block)
{
	struct table *t = ctx;

	t->free(t->ctx, block);
}

struct table hooks = {&hidden_table, hook_malloc, hook_calloc, hook_realloc, hook_free};

/* The same, but whom they lead to is not to be seen from outside. */
static void *secret_malloc(void *ctx, size_t size)
{
	(void)ctx;
	return hook_malloc(&hidden_table, size);
}

static void *secret_calloc(void *ctx, size_t n, size_t size)
{
	(void)ctx;
	return hook_calloc(&hidden_table, n, size);
}

static void *secret_realloc(void *ctx, void *block, size_t size)
{
	(void)ctx;
	return hook_realloc(&hidden_table, block, size);
}

static void secret_free(void *ctx, void *block)
{
	(void)ctx;
	hook_free(&hidden_table, block);
}

struct table secret_hooks = {NULL, secret_malloc, secret_calloc, secret_realloc, secret_free};
