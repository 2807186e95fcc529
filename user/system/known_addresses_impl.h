/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What known_addresses.c (one instruction) and known_flow.c (a function) share. */
#ifndef SYSTEM_KNOWN_ADDRESSES_IMPL_H
#define SYSTEM_KNOWN_ADDRESSES_IMPL_H

#include "system/known_addresses.h"

#define MAX_SLOTS 16
#define MAX_OTHERS 4

enum known_kind {
	UNKNOWN,
	ADDRESS, /* of the file, or a number */
	STACK, /* relative to the stack pointer at entry */
	LOADED, /* what was at this address of the file */
};

struct known {
	int64_t value;
	enum known_kind kind;
};

struct known_addresses {
	struct known reg[16];
	struct slot {
		int64_t at;
		struct known held;
	} slots[MAX_SLOTS];
	unsigned int slot_cnt;
	/* Words of the file that are known to hold another address than the one that they were compared with. */
	uint64_t others[MAX_OTHERS];
	unsigned int other_cnt;
};

void known_addresses__at_entry(struct known_addresses *k);
void known_addresses__step(struct known_addresses *k, const struct machine_code *c, const struct insn *insn);
/* Keeps what both agree on; true: that is less than before. */
bool known_addresses__meet(struct known_addresses *k, const struct known_addresses *other);
/* The word of the file that an instruction compares with an address, or 0. */
uint64_t known_addresses__word_compared(const struct known_addresses *k, const struct machine_code *c,
					const struct insn *insn);
/* The way on which that comparison found another address. */
void known_addresses__rule_out(struct known_addresses *k, uint64_t word);

#endif
