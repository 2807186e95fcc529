/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * How far the estimates of cells go when a part of the sample is left out: by cell, for those that are estimates. The sum
 * of deviations is the deviation of the sum, so each view finds the error of what it adds up (model/heap_weights.h).
 */
#ifndef MODEL_DEVIATIONS_H
#define MODEL_DEVIATIONS_H

#include <stdint.h>

#define PROFILE_REPLICATES 16

/* All zero is an empty one. */
struct deviations {
	uint32_t *slot; /* by cell: 1 + index into at; 0: none */
	uint32_t n_slots, cap_slots;
	int64_t (*at)[PROFILE_REPLICATES]; /* bytes */
	uint32_t n_at, cap_at;
};

/* 0 or -ENOMEM. */
int deviations__set(struct deviations *d, uint32_t cell, const int64_t bytes[PROFILE_REPLICATES]);
/* NULL: none. */
const int64_t *deviations__get(const struct deviations *d, uint32_t cell);
/*
 * Half of the 95 % interval of a sum of estimates, from it and the sums of their deviations; not finite: cannot be told, as where
 * the sum is none because nothing of the sample is of it (any more).
 */
double deviations__error(uint64_t bytes, const int64_t deviations[PROFILE_REPLICATES]);
void deviations__free(struct deviations *d);

#endif
