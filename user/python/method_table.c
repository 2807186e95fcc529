/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "python/method_table.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* METH_FASTCALL | METH_KEYWORDS */
#define FLAGS 0x82u
#define ENTRY_WORDS 4 /* ml_name, ml_meth, ml_flags, ml_doc */
/* Interpreters have some 2 MiB of each. */
#define MAX_SECTION_BYTES (64ull << 20)
#define MAX_NAME_BYTES 32

#if defined(__x86_64__)
#define RELOCATION_RELATIVE R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define RELOCATION_RELATIVE R_AARCH64_RELATIVE
#endif

static int read_section(const struct elf_file *f, const char *name, uint64_t *addr, void **ret, size_t *ret_len)
{
	struct elf_symbol s;
	void *data;
	int err;

	if (elf_file__section(f, name, &s) || s.size > MAX_SECTION_BYTES)
		return -ENOENT;
	data = malloc(s.size + 1);
	if (!data)
		return -ENOMEM;
	err = elf_file__read(f, s.addr, data, s.size);
	if (err) {
		free(data);
		return err;
	}
	*addr = s.addr;
	*ret = data;
	*ret_len = s.size;
	return 0;
}

/* As the dynamic linker leaves the words of a position-independent file, less the load bias. */
static int relocate(const struct elf_file *f, uint64_t addr, uint64_t *words, size_t n)
{
	uint64_t unused;
	Elf64_Rela *rela;
	void *data;
	size_t len;
	int err;

	err = read_section(f, ".rela.dyn", &unused, &data, &len);
	if (err)
		return err == -ENOENT ? 0 : err;
	rela = data;
	for (size_t i = 0; i < len / sizeof(*rela); i++) {
		uint64_t at = rela[i].r_offset - addr;

		if (ELF64_R_TYPE(rela[i].r_info) == RELOCATION_RELATIVE && at % sizeof(*words) == 0 && at / sizeof(*words) < n)
			words[at / sizeof(*words)] = (uint64_t)rela[i].r_addend;
	}
	free(data);
	return 0;
}

static bool is_name(const struct elf_file *f, uint64_t addr, const char *name)
{
	char text[MAX_NAME_BYTES];
	size_t len = strlen(name) + 1;

	return len <= sizeof(text) && !elf_file__read(f, addr, text, len) && !memcmp(text, name, len);
}

static void search(const struct elf_file *f, const uint64_t *words, size_t n, const char *before, const char *name,
		   uint64_t *found, unsigned int *cnt)
{
	for (size_t i = ENTRY_WORDS; i + ENTRY_WORDS <= n; i++) {
		if ((uint32_t)words[i + 2] != FLAGS || !is_name(f, words[i], name) ||
		    !is_name(f, words[i - ENTRY_WORDS], before))
			continue;
		*found = words[i + 1];
		++*cnt;
	}
}

int method_table__function(const struct elf_file *f, const char *before, const char *name, uint64_t *ret)
{
	static const char *const sections[] = {".data", ".data.rel.ro"};
	uint64_t addr, found = 0;
	unsigned int cnt = 0;

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		void *data;
		size_t len;
		int err = read_section(f, sections[i], &addr, &data, &len);

		if (err == -ENOMEM)
			return err;
		if (err)
			continue;
		err = relocate(f, addr, data, len / sizeof(uint64_t));
		if (!err)
			search(f, data, len / sizeof(uint64_t), before, name, &found, &cnt);
		free(data);
		if (err)
			return err;
	}
	if (cnt != 1)
		return -ENOENT;
	*ret = found;
	return 0;
}
