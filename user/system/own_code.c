/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "system/own_code.h"

#include <errno.h>
#include <stdio.h>

int own_code__offset(const void *addr, uint64_t *ret)
{
	unsigned long long start, end, offset, at = (uintptr_t)addr;
	char line[512];
	int err = -ENOENT;
	FILE *f;

	f = fopen("/proc/self/maps", "re");
	if (!f)
		return -errno;
	while (err && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx %*s %llx", &start, &end, &offset) == 3 && at >= start && at < end) {
			*ret = at - start + offset;
			err = 0;
		}
	}
	fclose(f);
	return err;
}
