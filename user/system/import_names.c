/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Those that glibc chooses at run time and programs spend memory in: sysdeps/x86_64/multiarch, ifunc-impl-list.c. */
#include "system/import_names.h"

#define MAX_SLOTS 4

void import_names__add(struct import_names *names, const struct elf_file *f, uint64_t bias, const struct mem_reader *m)
{
	static const char *const chosen[] = {
		"memmove", "memcpy", "mempcpy", "memset", "memcmp", "memchr", "memrchr", "stpcpy", "strcat", "strchr",
		"strcmp", "strcpy", "strlen", "strncpy", "strnlen", "strrchr", "wcslen", "wmemset",
	};
	uint64_t slot[MAX_SLOTS], addr;

	for (size_t i = 0; i < sizeof(chosen) / sizeof(*chosen); i++) {
		size_t n = elf_file__import_slots(f, chosen[i], slot, MAX_SLOTS);

		for (size_t s = 0; s < n && names->n < MAX_IMPORT_NAMES; s++) {
			if (mem__read_u64(m, bias + slot[s], &addr) || import_names__find(names, addr))
				continue;
			names->at[names->n].addr = addr;
			names->at[names->n++].name = chosen[i];
		}
	}
}

const char *import_names__find(const struct import_names *names, uint64_t addr)
{
	for (size_t i = 0; i < names->n; i++) {
		if (names->at[i].addr == addr)
			return names->at[i].name;
	}
	return NULL;
}
