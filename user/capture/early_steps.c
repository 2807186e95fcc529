/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/early_steps.h"

#define FIRST_NS 31250000ull
#define YOUNG_NS 1000000000ull
#define YOUNG_CPU_NS 500000000ull
#define FEW 16
/* After the last step of a second; the next one is due soon then. */
#define UNTIL_NS 800000000ull

bool early_steps__is_young(const struct traced *tr, uint64_t now_ns)
{
	return (!tr->newborn || tr->one_of_few) && now_ns - tr->began_ns < YOUNG_NS && tr->use.cpu_ns - tr->began_cpu_ns < YOUNG_CPU_NS;
}

uint64_t early_steps__next_ns(const struct traced_table *table, uint64_t stepped_ns, uint64_t now_ns)
{
	uint64_t age_ns = UINT64_MAX, at_ns;
	const struct traced *tr;

	if (traced_table__n_alive(table) > FEW)
		return UINT64_MAX;
	for (tr = table->alive; tr; tr = tr->hh_tgid.next) {
		if (early_steps__is_young(tr, now_ns) && now_ns - tr->began_ns < age_ns)
			age_ns = now_ns - tr->began_ns;
	}
	at_ns = now_ns + (age_ns > FIRST_NS ? age_ns : FIRST_NS);
	return age_ns == UINT64_MAX || at_ns > stepped_ns + UNTIL_NS ? UINT64_MAX : at_ns;
}
