/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/resident_account.h"

#include "records.h"

_Static_assert(KIND_RESIDENT_ANON == 0 && KIND_RESIDENT_SHMEM == RESIDENT_KINDS - 1, "kinds index an account");

void resident_account__count(struct resident_account *a, uint64_t stack_id, uint32_t kind, int64_t gained_bytes)
{
	if (kind >= RESIDENT_KINDS)
		return;
	a->counted_bytes[kind] += gained_bytes;
	if (stack_id == STACK_GIVEN_BACK)
		a->given_back_bytes[kind] -= gained_bytes;
}

uint64_t resident_account__claimable(const struct resident_account *a, uint32_t kind, uint64_t bytes)
{
	if (kind >= RESIDENT_KINDS || a->given_back_bytes[kind] <= 0)
		return 0;
	return bytes < (uint64_t)a->given_back_bytes[kind] ? bytes : (uint64_t)a->given_back_bytes[kind];
}
