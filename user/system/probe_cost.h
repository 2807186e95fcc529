/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What one hit of a uprobe costs the traced thread beside the program that runs then, on this machine: it is a trap, which
 * takes 0.4 us on one machine and 5 us on another whose hypervisor takes part in each. Measured on probes in our own code.
 */
#ifndef SYSTEM_PROBE_COST_H
#define SYSTEM_PROBE_COST_H

#include <stdint.h>

#include "base/closer.h"

struct probe_costs {
	uint32_t emulated_ns; /* at an instruction that the kernel emulates */
	uint32_t stepped_ns; /* at one that it has to single-step */
	uint32_t return_ns; /* more, where the function's return is probed, too */
};

/* Where they cannot be measured: as on Linux 6.18 on hardware of 2024. */
extern const struct probe_costs probe_costs__usual;

/*
 * Takes 5 to 15 ms, and some 0.1 s for each probe to be taken away again, which the closer does; NULL: we wait for it. Never
 * fails: what cannot be measured is as usual.
 */
void probe_costs__measure(struct closer *closer, struct probe_costs *ret);

#endif
