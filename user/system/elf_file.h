/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What we need of ELF files: symbols by name, sections, segments, the build id. Thin over libelf; opens read-only and
 * treats the file as untrusted.
 */
#ifndef SYSTEM_ELF_FILE_H
#define SYSTEM_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;

struct elf_symbol {
	uint64_t addr; /* ELF virtual address */
	uint64_t size; /* may be 0 */
};

struct elf_usdt {
	uint64_t addr; /* of the probed instruction */
	uint64_t semaphore; /* address of a 16-bit count of who listens, or 0: always on */
	char args[128]; /* "-4@112(%rsp) 8@%rax": size (negative: signed) and place of each; "" where it has none */
};

/* 0; -ENOENT, -EACCES, ...; -ENOEXEC: not a 64-bit ELF file of this machine. */
int elf_file__open(const char *path, struct elf_file **ret);
void elf_file__free(struct elf_file *f);

/*
 * First definition in .symtab, else in .dynsym. A name ending in '*' matches the function or one of the compiler's
 * clones of it (name.constprop.0), but no ".cold" part. -ENOENT.
 */
int elf_file__symbol(const struct elf_file *f, const char *name, struct elf_symbol *ret);
/* All of them, at most max, each address once: a function may have several clones. Returns how many. */
size_t elf_file__symbols(const struct elf_file *f, const char *name, struct elf_symbol *ret, size_t max);
/*
 * The function that covers an address, from .symtab, else .dynsym; its name is cut to len. -ENOENT: none, or its size is not
 * told.
 */
int elf_file__function_at(const struct elf_file *f, uint64_t addr, char *name, size_t len);
/* Functions that .symtab and .dynsym tell the size of: at most max, in any order, some twice. Returns how many; max 0: how many
 * there may be. */
size_t elf_file__functions(const struct elf_file *f, struct elf_symbol *ret, size_t max);
/* The definition that other files of a process are linked to (.dynsym). -ENOENT. */
int elf_file__exported(const struct elf_file *f, const char *name, struct elf_symbol *ret);
/*
 * ELF addresses of the words where the dynamic linker puts the address of a function that the file calls but does not
 * define: at most max. Returns how many. A lazily linked word leads back into the file until the first call.
 */
size_t elf_file__import_slots(const struct elf_file *f, const char *name, uint64_t *ret, size_t max);
/* Type of the relocation of the word at an ELF address (R_X86_64_DTPMOD64); 0: the dynamic linker leaves it alone. */
uint32_t elf_file__relocation(const struct elf_file *f, uint64_t addr);
/* Address and size of an allocated section by name. -ENOENT. */
int elf_file__section(const struct elf_file *f, const char *name, struct elf_symbol *ret);
/* Offset in the file of an ELF address inside a PT_LOAD segment (what a uprobe wants). -ENOENT. */
int elf_file__file_offset(const struct elf_file *f, uint64_t addr, uint64_t *ret);
/* ELF address of a file offset that is mapped by a PT_LOAD segment. -ENOENT. */
int elf_file__addr_of_offset(const struct elf_file *f, uint64_t offset, uint64_t *ret);
/*
 * ELF address at which a mapping that starts at page-aligned `offset` of the file begins, executable or not: a page
 * that two segments share is mapped for each. Start of the mapping minus this is the load bias. -ENOENT: no such
 * segment.
 */
int elf_file__addr_of_mapping(const struct elf_file *f, uint64_t offset, bool executable, uint64_t *ret);
/* Copies file contents at an ELF address; the part of a segment that is not in the file reads as 0. -ENOENT. */
int elf_file__read(const struct elf_file *f, uint64_t addr, void *buf, size_t len);
/* The first USDT probe of that name (section .note.stapsdt); its address is right also in a prelinked file. -ENOENT. */
int elf_file__usdt(const struct elf_file *f, const char *provider, const char *name, struct elf_usdt *ret);
/*
 * File offset of the program's first own instruction (e_entry): the dynamic linker is done when it is reached.
 * -ENOENT.
 */
int elf_file__entry(const struct elf_file *f, uint64_t *ret);
/* GNU build id as hex into buf (65 bytes); "" where there is none. */
void elf_file__build_id(const struct elf_file *f, char buf[65]);
bool elf_file__has_symtab(const struct elf_file *f);

#endif
