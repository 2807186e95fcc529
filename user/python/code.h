/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reads a code object out of a process and turns an instruction into a line. Everything read is untrusted: sizes are
 * bounded, text is made valid UTF-8, nothing is followed further than one pointer.
 */
#ifndef PYTHON_CODE_H
#define PYTHON_CODE_H

#include "python/layout.h"

#define PY_MAX_NAME_BYTES 512
#define PY_MAX_FILENAME_BYTES 4096
#define PY_MAX_LINETABLE_BYTES (1 << 20)

struct py_code {
	uint64_t check; /* py_code__check of what was read */
	char *function; /* co_qualname (3.11+) or co_name; owned */
	char *filename; /* owned */
	int first_line;
	uint64_t instructions; /* address of the first instruction (3.11+), else 0 */
	uint8_t *linetable; /* owned */
	uint32_t linetable_bytes;
	uint16_t version;
};

/*
 * Reads the code object at addr. On success the caller owns *ret and ends it with py_code__free.
 * -EFAULT, -ESRCH: not readable; -EBADMSG: not a code object (absurd sizes, no text); -ENOMEM.
 */
int py_code__read(const struct mem_reader *m, const struct py_layout *l, uint64_t addr, struct py_code *ret);
void py_code__free(struct py_code *c);

/*
 * The line that executes at `instr`, as struct py_frame carries it (3.11+: an address, else f_lasti).
 * Falls back to the first line where the table has no line for it or ends early. Never fails.
 */
int py_code__line(const struct py_code *c, uint64_t instr);

/* The check of struct py_frame: PY_HASH_STEP over the four words from walk.code_filename on, starting from 0. */
uint64_t py_code__check(const uint64_t words[4]);

#endif
