/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the report tells of pymalloc's arenas as text. */
#include <inttypes.h>
#include <stdio.h>

#include "views/human.h"
#include "views/report_impl.h"

void report_pools__put(const struct report *r, FILE *out)
{
	const struct facts_pools *p = &r->pools;
	size_t most = facts_pools__most_free(p);
	char buf[5][32];

	if (!p->processes)
		return;
	fprintf(out, "pymalloc of %" PRIu32 " process%s: %s of arenas: %s live, %s free beside live blocks", p->processes,
		p->processes == 1 ? "" : "es", human__bytes(p->arenas, buf[0], sizeof(buf[0])),
		human__bytes(p->live, buf[1], sizeof(buf[1])), human__bytes(p->free, buf[2], sizeof(buf[2])));
	if (p->class[most].free)
		fprintf(out, " (%s of it in blocks of %zu bytes)", human__bytes(p->class[most].free, buf[3], sizeof(buf[3])),
			16 * (most + 1));
	fprintf(out, ", %s in empty pools", human__bytes(p->empty, buf[3], sizeof(buf[3])));
	fprintf(out, ", %s not used yet\n", human__bytes(p->unused, buf[4], sizeof(buf[4])));
}
