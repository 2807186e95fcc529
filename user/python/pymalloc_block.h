/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Is a block of a pool still the same object, some time later, without having watched? Pure but for the look-up of
 * types.
 *
 * A freed block is on its pool's free list (pymalloc_pool.h): that is certain and not asked here. Here: whether a block
 * that is live now was freed and handed out again in between. Recognised is the object in the block, by its type
 * pointer at +8, at +24 behind the collector's links, or at +40 with the words for dict and weak references (3.11+)
 * before these; each 16 bytes later below debug hooks. Not looked at are the reference count, and what of a living
 * object changes in any case.
 *
 * What it can't tell:
 *  - An int, float, str, bytes or tuple that was replaced by an equal one is BLOCK_SAME. What was there before it does
 * not show either: a str grown in place (s += t) has other contents, and is BLOCK_REPLACED; so is an object whose
 *    __class__ was set, and a float or tuple that CPython's own free list gave out again without asking the allocator.
 *  - Mutable objects of one type differ only in what may change: BLOCK_SAME where all that tells something is equal, or
 *    where the collector's list has the same neighbour; BLOCK_REPLACED where two or more words tell something and none
 * is equal; else BLOCK_UNSURE. A list that was sorted and grown at once, or an object with all attributes set anew, may
 * look replaced; a loop that makes the same short-lived objects in the same order shows the same ones at each look.
 *  - Memory without an object (tables of dicts, items of lists, buffers): judged by its first pointers in the same way.
 *  - An empty object in an empty block: nothing to compare, BLOCK_UNSURE.
 */
#ifndef PYTHON_PYMALLOC_BLOCK_H
#define PYTHON_PYMALLOC_BLOCK_H

#include "python/pymalloc.h"
#include "python/type.h"

enum pymalloc_same {
	BLOCK_REPLACED,
	BLOCK_UNSURE,
	BLOCK_SAME,
};

#define PYMALLOC_PRINT_WORDS 12

#define PYMALLOC_PRINT_LEAVES 4

/* What was in a block; compared by pymalloc__same_block only. */
struct pymalloc_print {
	uint64_t type;			      /* address of the object's type; 0: none was recognised */
	uint64_t fixed;			      /* hash of bytes that stay while the object lives */
	uint64_t once;			      /* a word that is set once: a cached hash */
	uint16_t word[PYMALLOC_PRINT_WORDS];  /* folded: words that may change */
	uint32_t leaf[PYMALLOC_PRINT_LEAVES]; /* of the block's own */
	uint32_t leaf_sum;		      /* of all */
	uint16_t telling;		      /* bit i: word[i] is unlikely to be in another block too */
	uint16_t link[2];		      /* folded: neighbours in the collector's list; 0: none */
	uint16_t block_bytes;		      /* 0: no print was taken */
	uint16_t fixed_at[2], fixed_bytes[2]; /* in the block */
	uint16_t end;			      /* of the object in the block: what is behind was left by others */
	int16_t words_at;  /* the first word, or where it would be if it were before the object's header */
	uint8_t object_at; /* where the object is in the block */
	uint8_t once_at;   /* 0: there is no such word */
	uint8_t head_cnt;  /* words before the collector's links; the next one is behind the object's header */
	uint8_t word_cnt;
	uint8_t leaf_cnt;
	bool numbers_tell; /* not only pointers */
	bool leads;	   /* immutable, but made of pointers: a tuple */
};

/* Takes a print of a block of block_bytes (16 to 512) at `bytes`, without leaves. */
void pymalloc__take_print(const struct leaf_reader *r, const void *bytes, uint32_t block_bytes,
			  struct pymalloc_print *ret);

/*
 * What kind of thing it is: its type, and its shape, where that does not change while it lives: how many bytes the contents of a str,
 * bytes, int, tuple, float or complex take. Equal for equal ones of one process. An object on a free list of its type is memory without
 * an object (the list's link is where the type was, or from 3.13 on the reference count).
 */
struct pymalloc_kind {
	uint32_t type;	/* hash; 1: no object was recognised; never 0 */
	uint32_t shape; /* 0: it may change */
};
struct pymalloc_kind pymalloc__kind(const struct pymalloc_print *p);

/* Does the print get better by leaves: it is of something that may change, or leads to something. */
bool pymalloc__wants_leaves(const struct pymalloc_print *p);
/* Keeps those that the block owns. */
void pymalloc__add_leaves(struct pymalloc_print *p, const struct pymalloc_leaves *leaves);

/*
 * Whether the block whose bytes are `now`, as many as were printed, holds what it held. leaves: those that it has now;
 * NULL: not looked at.
 */
enum pymalloc_same pymalloc__same_block(const struct pymalloc_print *p, const void *now,
					const struct pymalloc_leaves *leaves);

/*
 * A hash of an immutable object that leads nowhere: a str, bytes, int, float or complex, of which `room` bytes are at
 * `object`. False: it is something else.
 */
bool pymalloc__hash_immutable(const struct py_layout *l, const struct py_type *type, const void *object, uint32_t room,
			      uint64_t *ret);

#endif
