/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How hooks are told apart (3.8-3.15): those of the interpreter's own file by what their context points to. Debug hooks have
 * a debug_alloc_api_t {char api_id; PyMemAllocatorEx alloc}, whose api_id is 'r', 'm' or 'o'; tracemalloc has the
 * PyMemAllocatorEx that it hides, and so have most hooks of other files (memray among them).
 */
#include "python/allocators.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "python/layout.h"

/* PyMemAllocatorName from 3.13 on */
#define ASKED_MIMALLOC 7
#define ASKED_MIMALLOC_DEBUG 8

static int find_runtime(const struct elf_file *f, uint64_t *ret)
{
	struct elf_symbol s;

	if (elf_file__symbol(f, "_PyRuntime", &s) && elf_file__section(f, ".PyRuntime", &s))
		return -ENOENT;
	*ret = s.addr;
	return 0;
}

int allocator_file__examine(const struct elf_file *f, uint16_t version, struct allocator_file *ret)
{
	const struct py_layout *layout = py_layout__of_version(version);
	struct alloc_table t[ALLOC_DOMAINS];
	struct allocator_file a = {};
	struct machine_code *code;
	uint64_t runtime;

	if (!layout || find_runtime(f, &runtime))
		return -ENOENT;
	a.asked = runtime + layout->runtime.allocator_asked;
	if (!machine_code__open(f, &code)) {
		a.functions_known = !decode__allocators(f, code, version, t);
		machine_code__free(code);
	}
	if (!a.functions_known && layout->runtime.allocators == PY_NO_FIELD)
		return -ENOENT;
	for (int d = 0; d < ALLOC_DOMAINS; d++) {
		if (!a.functions_known) {
			a.table[d] = runtime + layout->runtime.allocators + d * ALLOCATOR_WORDS * sizeof(uint64_t);
			continue;
		}
		a.table[d] = t[d].addr;
		memcpy(a.function[d], t[d].function, sizeof(a.function[d]));
	}
	*ret = a;
	return 0;
}

int allocator_words__read(const struct mem_reader *m, const struct allocator_file *file, uint64_t load_bias,
			  struct allocator_words *ret)
{
	struct allocator_words w;
	int err = 0;

	/* From 3.12 on, and mostly before, one after the other. */
	if (file->table[DOMAIN_MEM] == file->table[DOMAIN_RAW] + sizeof(w.word[0]) &&
	    file->table[DOMAIN_OBJ] == file->table[DOMAIN_MEM] + sizeof(w.word[0]))
		err = mem__read(m, load_bias + file->table[DOMAIN_RAW], &w, sizeof(w));
	else
		for (int d = 0; d < ALLOC_DOMAINS && !err; d++)
			err = mem__read(m, load_bias + file->table[d], w.word[d], sizeof(w.word[d]));
	if (!err)
		*ret = w;
	return err;
}

/* The functions that the file begins with in that domain, and no context. */
static bool begins_with(const uint64_t word[ALLOCATOR_WORDS], const struct allocator_file *file, enum alloc_domain domain,
			uint64_t load_bias)
{
	if (!file->functions_known || word[0])
		return false;
	for (int i = 0; i < ALLOC_FUNCTIONS; i++)
		if (word[1 + i] != load_bias + file->function[domain][i])
			return false;
	return true;
}

bool allocator_words__untouched(const struct allocator_words *w, const struct allocator_file *file, uint64_t load_bias)
{
	for (int d = 0; d < ALLOC_DOMAINS; d++)
		if (!begins_with(w->word[d], file, d, load_bias))
			return false;
	return true;
}

struct search {
	const struct mem_reader *m;
	const struct allocator_file *file;
	uint64_t load_bias;
	const struct code_places *places;
};

static bool are_functions(const struct search *s, const uint64_t word[ALLOC_FUNCTIONS])
{
	for (int i = 0; i < ALLOC_FUNCTIONS; i++)
		if (!code_places__has(s->places, word[i]))
			return false;
	return true;
}

/* The table that a hook's context leads to. False: to none. */
static bool step_inside(const struct search *s, uint64_t word[ALLOCATOR_WORDS], bool *debug)
{
	uint64_t at_context[1 + ALLOCATOR_WORDS];

	if (!word[0] || mem__read(s->m, word[0], at_context, sizeof(at_context)))
		return false;
	*debug = (at_context[0] == 'r' || at_context[0] == 'm' || at_context[0] == 'o') &&
		 are_functions(s, at_context + 2);
	if (!*debug && !are_functions(s, at_context + 1))
		return false;
	memcpy(word, at_context + *debug, ALLOCATOR_WORDS * sizeof(*word));
	return true;
}

static enum allocator_base base_of_symbol(const char *symbol)
{
	static const struct {
		const char *symbol;
		enum allocator_base base;
	} known[] = {
		{"_PyObject_Malloc", ALLOCATOR_PYMALLOC},
		{"_PyMem_RawMalloc", ALLOCATOR_MALLOC},
		{"_PyObject_MiMalloc", ALLOCATOR_MIMALLOC},
		{"_PyMem_MiMalloc", ALLOCATOR_MIMALLOC},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(symbol, known[i].symbol))
			return known[i].base;
	return ALLOCATOR_UNKNOWN;
}

/* Functions of the interpreter's own file that hide nothing. */
static enum allocator_base own_base(const struct search *s, const char *symbol)
{
	enum allocator_base base = base_of_symbol(symbol);
	uint32_t asked;

	if (base != ALLOCATOR_UNKNOWN || mem__read_u32(s->m, s->load_bias + s->file->asked, &asked))
		return base;
	return asked == ASKED_MIMALLOC || asked == ASKED_MIMALLOC_DEBUG ? ALLOCATOR_MIMALLOC : ALLOCATOR_UNKNOWN;
}

static void add_layer(struct allocator_chain *c, enum allocator_layer layer)
{
	if (c->layers < ALLOCATOR_MAX_LAYERS)
		c->layer[c->layers++] = layer;
}

/* False: the end was reached. */
static bool follow_one(const struct search *s, uint64_t word[ALLOCATOR_WORDS], struct allocator_chain *c)
{
	struct code_place place;
	bool debug, further;

	if (code_places__find(s->places, word[1], &place))
		return false;
	further = step_inside(s, word, &debug);
	if (!place.own) {
		add_layer(c, LAYER_FOREIGN);
		if (!c->place[0])
			snprintf(c->place, sizeof(c->place), place.symbol[0] ? "%s (%s)" : "%s", place.path, place.symbol);
		return further;
	}
	if (further)
		add_layer(c, debug ? LAYER_DEBUG : LAYER_TRACEMALLOC);
	else
		c->base = own_base(s, place.symbol);
	return further;
}

void allocator_chain__follow(const struct mem_reader *m, const struct allocator_words *w, enum alloc_domain domain,
			     const struct allocator_file *file, uint64_t load_bias, const struct code_places *places,
			     struct allocator_chain *ret)
{
	const struct search s = {.m = m, .file = file, .load_bias = load_bias, .places = places};
	uint64_t word[ALLOCATOR_WORDS];

	*ret = (struct allocator_chain){};
	memcpy(word, w->word[domain], sizeof(word));
	for (int i = 0; i <= ALLOCATOR_MAX_LAYERS; i++) {
		/* A build without pymalloc begins with malloc everywhere. */
		if (begins_with(word, file, DOMAIN_RAW, load_bias)) {
			ret->base = ALLOCATOR_MALLOC;
			return;
		}
		if (begins_with(word, file, DOMAIN_OBJ, load_bias)) {
			ret->base = ALLOCATOR_PYMALLOC;
			return;
		}
		if (!follow_one(&s, word, ret))
			return;
	}
}

static void append(char *buf, const char *what)
{
	size_t n = strlen(buf);

	snprintf(buf + n, ALLOCATOR_TEXT_BYTES - n, "%s", what);
}

const char *allocator_chain__text(const struct allocator_chain *c, char buf[ALLOCATOR_TEXT_BYTES])
{
	static const char *const layers[] = {
		[LAYER_DEBUG] = "debug hooks",
		[LAYER_TRACEMALLOC] = "tracemalloc",
		[LAYER_FOREIGN] = "code of another file",
	};
	static const char *const bases[] = {
		[ALLOCATOR_UNKNOWN] = "code that is not recognised",
		[ALLOCATOR_PYMALLOC] = "pymalloc",
		[ALLOCATOR_MALLOC] = "the C library's malloc",
		[ALLOCATOR_MIMALLOC] = "mimalloc",
	};
	bool named = false;

	buf[0] = '\0';
	for (int i = 0; i < c->layers; i++) {
		if (c->layer[i] == LAYER_FOREIGN && !named && c->place[0]) {
			append(buf, strstr(c->place, "/_memray") ? "memray: " : "");
			append(buf, c->place);
			named = true;
		} else {
			append(buf, layers[c->layer[i]]);
		}
		append(buf, " over ");
	}
	append(buf, bases[c->base]);
	return buf;
}
