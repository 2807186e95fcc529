/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the report tells, as text, of the memory that processes asked of their kernel. */
#include <stdio.h>

#include "views/human.h"
#include "views/report_impl.h"

static void put_kind(const struct facts_mapped_kind *k, const char *name, const char **separator, FILE *out)
{
	char bytes[32], calls[32];

	if (!k->taken_bytes)
		return;
	fprintf(out, "%s%s %s in %s call%s", *separator, name, human__bytes(k->taken_bytes, bytes, sizeof(bytes)),
		human__count(k->calls, calls, sizeof(calls)), k->calls == 1 ? "" : "s");
	if (k->given_back_bytes)
		fprintf(out, " (%s given back)", human__bytes(k->given_back_bytes, bytes, sizeof(bytes)));
	*separator = "; ";
}

void report_mapped__put(const struct report *r, FILE *out)
{
	const struct facts_mapped *m = &r->mapped;
	const char *separator = "";
	char bytes[32], calls[32];

	if (facts_mapped__is_empty(m))
		return;
	fputs("asked of the kernel: ", out);
	put_kind(&m->arenas, "pymalloc's arenas", &separator, out);
	put_kind(&m->brk, "the C library's heap", &separator, out);
	put_kind(&m->anon, "other memory", &separator, out);
	put_kind(&m->shared, "shared memory and files", &separator, out);
	if (m->unseen_bytes) {
		fprintf(out, "%s%s more are there, by whom is not known", separator, human__bytes(m->unseen_bytes, bytes, sizeof(bytes)));
		separator = "; ";
	}
	if (m->advised_calls)
		fprintf(out, "%s%s call%s of madvise to give back in place what is there of %s", separator,
			human__count(m->advised_calls, calls, sizeof(calls)), m->advised_calls == 1 ? "" : "s",
			human__bytes(m->advised_bytes, bytes, sizeof(bytes)));
	putc('\n', out);
}
