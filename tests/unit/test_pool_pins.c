/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whose blocks keep free ones from going back. */
#include "capture/pool_pins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define POOL_BYTES 16384

/* Pools of 96-byte blocks: 170 each. */
static struct pymalloc_pool some[] = {
	{ .base = 0x40000, .szidx = 5, .live = 170, .full = true },
	{ .base = 0x90000, .szidx = 5, .live = 1 },
	{ .base = 0x50000, .szidx = 5, .live = 85 },
};
static const struct pymalloc_pools pools = { .pool = some, .cnt = 3 };

static void each_keeps_its_part(void **state)
{
	const uint64_t addrs[] = { 0x50030, 0x40030, 0x90030, 0x53f90, 0x50030, 0x60000 };
	const float want[] = { 96, 0, 169 * 96, 96, 96, 0 };
	float got[6];

	(void)state;
	assert_int_equal(pymalloc__pool_block_cnt(POOL_BYTES, 5), 170);
	assert_int_equal(pool_pins__find(&pools, POOL_BYTES, addrs, 6, got), 0);
	for (int i = 0; i < 6; i++)
		assert_true(got[i] == want[i]);
	assert_int_equal(pool_pins__find(&pools, POOL_BYTES, addrs, 0, got), 0);
}

/* Whoever adds up all live blocks has all that is free beside them. */
static void parts_add_up(void **state)
{
	uint64_t addrs[256];
	float got[256];
	double sum = 0;
	size_t n = 0;

	(void)state;
	for (size_t p = 0; p < pools.cnt; p++)
		for (unsigned int i = 0; i < some[p].live; i++)
			addrs[n++] = some[p].base + 48 + 96 * i;
	assert_int_equal(n, 256);
	assert_int_equal(pool_pins__find(&pools, POOL_BYTES, addrs, n, got), 0);
	for (size_t i = 0; i < n; i++)
		sum += got[i];
	assert_true(sum > 96 * (169 + 85) - 0.5 && sum < 96 * (169 + 85) + 0.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_keeps_its_part),
		cmocka_unit_test(parts_add_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
