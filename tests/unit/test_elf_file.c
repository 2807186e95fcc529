/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A small ELF file made here, whole and then damaged in every byte; and this program itself. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "system/elf_file.h"

#define TEXT_ADDR 0x401040ull
#define DATA_ADDR 0x412000ull
#define BASE_ADDR 0x408000ull

enum { NONE, DYNSYM, DYNSTR, SYMTAB, STRTAB, RUNTIME, PLAIN, NAMES, NOTES, BASE, RELOCATIONS, SECTIONS };

struct image {
	Elf64_Ehdr h;
	Elf64_Phdr segments[4];
	struct {
		Elf64_Nhdr h;
		char name[4];
		unsigned char id[20];
	} note;
	Elf64_Sym dynsym[3];
	Elf64_Rela relocations[6];
	char dynstr[32];
	Elf64_Sym symtab[6];
	char strtab[96];
	char names[128];
	struct __attribute__((packed, aligned(4))) usdt_note {
		Elf64_Nhdr h;
		char name[8];
		uint64_t addrs[3]; /* probe, base, semaphore */
		char text[32];
	} notes[3];
	char text[16];
	char data[8];
	Elf64_Shdr sections[SECTIONS];
};

#define AT(member) offsetof(struct image, member)
#define SIZE(member) sizeof(((struct image *)NULL)->member)

/* Adds a string to a table whose first byte stays null. */
static uint32_t add_name(char *table, const char *name)
{
	size_t at = 1;

	while (table[at])
		at += strlen(table + at) + 1;
	strcpy(table + at, name);
	return at;
}

static void add_section(struct image *e, int i, const char *name, uint32_t type, uint64_t flags,
			uint64_t addr, uint64_t offset, uint64_t size, uint32_t link)
{
	e->sections[i] = (Elf64_Shdr){.sh_name = add_name(e->names, name),
				      .sh_type = type,
				      .sh_flags = flags,
				      .sh_addr = addr,
				      .sh_offset = offset,
				      .sh_size = size,
				      .sh_link = link,
				      .sh_addralign = 1};
	if (type == SHT_DYNSYM || type == SHT_SYMTAB)
		e->sections[i].sh_entsize = sizeof(Elf64_Sym);
	if (type == SHT_RELA)
		e->sections[i].sh_entsize = sizeof(Elf64_Rela);
}

static Elf64_Sym symbol(char *names, const char *name, int type, uint16_t section, uint64_t addr)
{
	return (Elf64_Sym){.st_name = add_name(names, name),
			   .st_info = ELF64_ST_INFO(STB_GLOBAL, type),
			   .st_shndx = section,
			   .st_value = addr,
			   .st_size = 8};
}

/* text: provider, name and arguments, each ended by a null. */
static void fill_usdt(struct usdt_note *n, uint64_t addr, uint64_t semaphore, const char *text,
		      size_t len)
{
	n->h = (Elf64_Nhdr){.n_namesz = 8, .n_descsz = 24 + sizeof(n->text), .n_type = 3};
	memcpy(n->name, "stapsdt", 8);
	n->addrs[0] = addr;
	n->addrs[1] = BASE_ADDR - 0x10; /* where the base was before the file was moved by 0x10 */
	n->addrs[2] = semaphore;
	memcpy(n->text, text, len);
}

static void fill_relocations(Elf64_Rela *r)
{
	const uint32_t imported = 1, exported = 2, none = 77;
#ifdef __aarch64__
	const uint32_t call = R_AARCH64_JUMP_SLOT, address = R_AARCH64_GLOB_DAT, other = R_AARCH64_RELATIVE;
#else
	const uint32_t call = R_X86_64_JUMP_SLOT, address = R_X86_64_GLOB_DAT, other = R_X86_64_RELATIVE;
#endif

	r[0] = (Elf64_Rela){.r_offset = DATA_ADDR + 8, .r_info = ELF64_R_INFO(imported, call)};
	r[1] = (Elf64_Rela){.r_offset = DATA_ADDR + 16, .r_info = ELF64_R_INFO(exported, call)};
	r[2] = (Elf64_Rela){.r_offset = DATA_ADDR + 24, .r_info = ELF64_R_INFO(none, call)};
	r[3] = (Elf64_Rela){.r_offset = DATA_ADDR + 32, .r_info = ELF64_R_INFO(imported, other)};
	r[4] = (Elf64_Rela){.r_offset = DATA_ADDR + 40, .r_info = ELF64_R_INFO(imported, address)};
}

static void fill_image(struct image *e)
{
	memset(e, 0, sizeof(*e));
	memcpy(e->h.e_ident, ELFMAG, SELFMAG);
	e->h.e_ident[EI_CLASS] = ELFCLASS64;
	e->h.e_ident[EI_DATA] =
		__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	e->h.e_ident[EI_VERSION] = EV_CURRENT;
	e->h.e_type = ET_DYN;
#ifdef __aarch64__
	e->h.e_machine = EM_AARCH64;
#else
	e->h.e_machine = EM_X86_64;
#endif
	e->h.e_version = EV_CURRENT;
	e->h.e_phoff = AT(segments);
	e->h.e_shoff = AT(sections);
	e->h.e_ehsize = sizeof(e->h);
	e->h.e_phentsize = sizeof(Elf64_Phdr);
	e->h.e_phnum = SIZE(segments) / sizeof(Elf64_Phdr);
	e->h.e_shentsize = sizeof(Elf64_Shdr);
	e->h.e_shnum = SECTIONS;
	e->h.e_shstrndx = NAMES;

	e->segments[0] = (Elf64_Phdr){.p_type = PT_NOTE,
				      .p_offset = AT(note),
				      .p_filesz = SIZE(note),
				      .p_memsz = SIZE(note),
				      .p_align = 4};
	e->segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = PF_R,
				      .p_vaddr = 0x400000,
				      .p_filesz = AT(text),
				      .p_memsz = AT(text)};
	e->segments[2] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = PF_R | PF_X,
				      .p_offset = AT(text),
				      .p_vaddr = TEXT_ADDR,
				      .p_filesz = SIZE(text),
				      .p_memsz = SIZE(text)};
	e->segments[3] = (Elf64_Phdr){.p_type = PT_LOAD,
				      .p_flags = PF_R | PF_W,
				      .p_offset = AT(data),
				      .p_vaddr = DATA_ADDR,
				      .p_filesz = SIZE(data),
				      .p_memsz = 0x100};
	e->note.h = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 20, .n_type = NT_GNU_BUILD_ID};
	memcpy(e->note.name, "GNU", 4);
	for (int i = 0; i < 20; i++)
		e->note.id[i] = i * 13;

	e->dynsym[1] = symbol(e->dynstr, "imported", STT_FUNC, SHN_UNDEF, 0);
	e->dynsym[2] = symbol(e->dynstr, "exported", STT_OBJECT, RUNTIME, DATA_ADDR);
	e->symtab[1] = symbol(e->strtab, "work.cold", STT_FUNC, PLAIN, TEXT_ADDR + 8);
	e->symtab[2] = symbol(e->strtab, "worker", STT_FUNC, PLAIN, TEXT_ADDR + 1);
	e->symtab[3] = symbol(e->strtab, "work.part.0.cold", STT_FUNC, PLAIN, TEXT_ADDR + 9);
	e->symtab[4] = symbol(e->strtab, "work.constprop.0", STT_FUNC, PLAIN, TEXT_ADDR + 4);
	e->symtab[5] = symbol(e->strtab, "file.c", STT_FILE, SHN_ABS, 0);
	memcpy(e->text, "0123456789abcde", 16);
	memcpy(e->data, "runtime", 8);

	add_section(e, DYNSYM, ".dynsym", SHT_DYNSYM, SHF_ALLOC, 0x400000 + AT(dynsym), AT(dynsym),
		    SIZE(dynsym), DYNSTR);
	add_section(e, DYNSTR, ".dynstr", SHT_STRTAB, SHF_ALLOC, 0x400000 + AT(dynstr), AT(dynstr),
		    SIZE(dynstr), 0);
	add_section(e, SYMTAB, ".symtab", SHT_SYMTAB, 0, 0, AT(symtab), SIZE(symtab), STRTAB);
	add_section(e, STRTAB, ".strtab", SHT_STRTAB, 0, 0, AT(strtab), SIZE(strtab), 0);
	add_section(e, RUNTIME, ".PyRuntime", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, DATA_ADDR,
		    AT(data), SIZE(data), 0);
	add_section(e, PLAIN, ".comment", SHT_PROGBITS, 0, 0, AT(text), SIZE(text), 0);
	add_section(e, NAMES, ".shstrtab", SHT_STRTAB, 0, 0, AT(names), SIZE(names), 0);
	add_section(e, NOTES, ".note.stapsdt", SHT_NOTE, 0, 0, AT(notes), SIZE(notes), 0);
	e->sections[NOTES].sh_addralign = 4;
	add_section(e, BASE, ".stapsdt.base", SHT_PROGBITS, SHF_ALLOC, BASE_ADDR, AT(text), 1, 0);
	fill_relocations(e->relocations);
	add_section(e, RELOCATIONS, ".rela.plt", SHT_RELA, SHF_ALLOC, 0x400000 + AT(relocations), AT(relocations),
		    SIZE(relocations), DYNSYM);
	fill_usdt(&e->notes[0], TEXT_ADDR - 0x10, DATA_ADDR - 0x10, "python\0gc__start\0-4@%esi",
		  24);
	fill_usdt(&e->notes[1], TEXT_ADDR - 0x0f, 0, "python\0gc__done\0", 17);
	fill_usdt(&e->notes[2], TEXT_ADDR, 0, "libc\0gc__start\0", 16);
}

static int open_bytes(const void *bytes, size_t len, size_t sparse_len, struct elf_file **ret)
{
	int fd = memfd_create("image", MFD_CLOEXEC), err;
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	if (sparse_len)
		assert_int_equal(ftruncate(fd, sparse_len), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = elf_file__open(path, ret);
	close(fd);
	return err;
}

static struct elf_file *open_image(const struct image *e)
{
	struct elf_file *f = NULL;

	assert_int_equal(open_bytes(e, sizeof(*e), 0, &f), 0);
	return f;
}

static void test_symbols(void **state)
{
	static const struct {
		const char *name;
		int err;
		uint64_t addr;
	} rows[] = {
		{"exported", 0, DATA_ADDR},
		{"exported*", 0, DATA_ADDR},
		{"imported", -ENOENT, 0},
		{"work", -ENOENT, 0},
		{"work*", 0, TEXT_ADDR + 4},
		{"worker", 0, TEXT_ADDR + 1},
		{"work.cold", 0, TEXT_ADDR + 8},
		{"file.c", -ENOENT, 0},
		{"expor", -ENOENT, 0},
		{"expor*", -ENOENT, 0},
		{"*", -ENOENT, 0},
		{"", -ENOENT, 0},
	};
	struct elf_file *f;
	struct image e;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct elf_symbol s = {.addr = 1};

		assert_int_equal(elf_file__symbol(f, rows[i].name, &s), rows[i].err);
		assert_int_equal(s.addr, rows[i].err ? 1 : rows[i].addr);
	}
	assert_true(elf_file__has_symtab(f));
	elf_file__free(f);

	e.sections[SYMTAB].sh_type = SHT_NULL;
	f = open_image(&e);
	assert_false(elf_file__has_symtab(f));
	assert_int_equal(elf_file__symbol(f, "worker", &(struct elf_symbol){0}), -ENOENT);
	assert_int_equal(elf_file__symbol(f, "exported", &(struct elf_symbol){0}), 0);
	elf_file__free(f);
}

static void test_imports(void **state)
{
	uint64_t slots[3] = {0};
	struct elf_symbol s;
	struct elf_file *f;
	struct image e;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	assert_int_equal(elf_file__import_slots(f, "imported", slots, 3), 2);
	assert_int_equal(slots[0], DATA_ADDR + 8);
	assert_int_equal(slots[1], DATA_ADDR + 40);
	assert_int_equal(elf_file__import_slots(f, "imported", slots, 1), 1);
	assert_int_equal(elf_file__import_slots(f, "exported", slots, 3), 0);
	assert_int_equal(elf_file__import_slots(f, "import", slots, 3), 0);
	assert_int_equal(elf_file__exported(f, "exported", &s), 0);
	assert_int_equal(s.addr, DATA_ADDR);
	assert_int_equal(elf_file__exported(f, "imported", &s), -ENOENT);
	assert_int_equal(elf_file__exported(f, "worker", &s), -ENOENT);
	elf_file__free(f);
}

static void test_sections_and_build_id(void **state)
{
	struct elf_symbol s = {0};
	struct elf_file *f;
	char id[65];
	struct image e;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	assert_int_equal(elf_file__section(f, ".PyRuntime", &s), 0);
	assert_int_equal(s.addr, DATA_ADDR);
	assert_int_equal(s.size, 8);
	assert_int_equal(elf_file__section(f, ".comment", &s), -ENOENT);
	assert_int_equal(elf_file__section(f, "", &s), -ENOENT);
	elf_file__build_id(f, id);
	assert_string_equal(id, "000d1a2734414e5b6875828f9ca9b6c3d0ddeaf7");
	elf_file__free(f);

	e.note.h.n_descsz = 200;
	f = open_image(&e);
	elf_file__build_id(f, id);
	assert_string_equal(id, "");
	elf_file__free(f);
}

static void test_clones(void **state)
{
	struct elf_symbol s[4];
	struct elf_file *f;
	struct image e;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	assert_int_equal(elf_file__symbols(f, "work*", s, 4), 1);
	elf_file__free(f);
	/* All are clones now, but two of them are one and the same function. */
	strcpy(e.strtab + e.symtab[1].st_name, "work.p.0");
	strcpy(e.strtab + e.symtab[3].st_name, "work.part.0.1");
	e.symtab[3].st_value = e.symtab[4].st_value;
	f = open_image(&e);
	assert_int_equal(elf_file__symbols(f, "work*", s, 4), 2);
	assert_int_equal(s[0].addr, TEXT_ADDR + 8);
	assert_int_equal(s[1].addr, TEXT_ADDR + 4);
	assert_int_equal(elf_file__symbols(f, "work*", s, 1), 1);
	assert_int_equal(elf_file__symbols(f, "work*", s, 0), 0);
	elf_file__free(f);
}

static void test_usdt(void **state)
{
	struct elf_usdt u = {0};
	struct elf_file *f;
	struct image e;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	assert_int_equal(elf_file__usdt(f, "python", "gc__start", &u), 0);
	assert_int_equal(u.addr, TEXT_ADDR);
	assert_int_equal(u.semaphore, DATA_ADDR);
	assert_string_equal(u.args, "-4@%esi");
	assert_int_equal(elf_file__usdt(f, "python", "gc__done", &u), 0);
	assert_int_equal(u.addr, TEXT_ADDR + 1);
	assert_int_equal(u.semaphore, 0);
	assert_string_equal(u.args, "");
	assert_int_equal(elf_file__usdt(f, "python", "gc__", &u), -ENOENT);
	assert_int_equal(elf_file__usdt(f, "perl", "gc__start", &u), -ENOENT);
	elf_file__free(f);

	e.sections[BASE].sh_type = SHT_NULL;
	e.sections[BASE].sh_flags = 0;
	f = open_image(&e);
	assert_int_equal(elf_file__usdt(f, "python", "gc__start", &u), 0);
	assert_int_equal(u.addr, TEXT_ADDR - 0x10);
	elf_file__free(f);

	e.notes[0].h.n_type = 4;
	f = open_image(&e);
	assert_int_equal(elf_file__usdt(f, "python", "gc__start", &u), -ENOENT);
	elf_file__free(f);
}

static void test_addresses(void **state)
{
	static const struct {
		uint64_t addr;
		int err;
		uint64_t offset;
	} rows[] = {
		{0x400000, 0, 0},
		{TEXT_ADDR, 0, AT(text)},
		{TEXT_ADDR + 15, 0, AT(text) + 15},
		{TEXT_ADDR + 16, -ENOENT, 0},
		{DATA_ADDR + 7, 0, AT(data) + 7},
		{DATA_ADDR + 8, -ENOENT, 0}, /* not in the file */
		{0, -ENOENT, 0},
		{UINT64_MAX, -ENOENT, 0},
	};
	struct elf_file *f;
	struct image e;
	uint64_t got;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		got = 1;
		assert_int_equal(elf_file__file_offset(f, rows[i].addr, &got), rows[i].err);
		assert_int_equal(got, rows[i].err ? 1 : rows[i].offset);
		if (rows[i].err)
			continue;
		assert_int_equal(elf_file__addr_of_offset(f, rows[i].offset, &got), 0);
		assert_int_equal(got, rows[i].addr);
	}
	assert_int_equal(elf_file__addr_of_offset(f, sizeof(e), &got), -ENOENT);
	assert_int_equal(elf_file__addr_of_offset(f, UINT64_MAX, &got), -ENOENT);
	elf_file__free(f);
}

static void test_addr_of_mapping(void **state)
{
	/* All of the file is one page, which each segment maps at its own address. */
	struct elf_file *f;
	struct image e;
	uint64_t addr;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	assert_int_equal(elf_file__addr_of_mapping(f, 0, true, &addr), 0);
	assert_int_equal(addr, TEXT_ADDR - AT(text));
	assert_int_equal(elf_file__addr_of_mapping(f, 0, false, &addr), 0);
	assert_int_equal(addr, 0x400000);
	addr = 1;
	assert_int_equal(elf_file__addr_of_mapping(f, 0x1000, true, &addr), -ENOENT);
	assert_int_equal(elf_file__addr_of_mapping(f, UINT64_MAX, true, &addr), -ENOENT);
	assert_int_equal(addr, 1);
	elf_file__free(f);
}

static void test_read(void **state)
{
	char buf[64] = "";
	struct elf_file *f;
	struct image e;

	(void)state;
	fill_image(&e);
	f = open_image(&e);
	assert_int_equal(elf_file__read(f, TEXT_ADDR + 2, buf, 4), 0);
	assert_memory_equal(buf, "2345", 4);
	memset(buf, 'Z', sizeof(buf));
	assert_int_equal(elf_file__read(f, DATA_ADDR + 4, buf, 6), 0);
	assert_memory_equal(buf, "ime\0\0\0Z", 7);
	assert_int_equal(elf_file__read(f, DATA_ADDR + 0xff, buf, 1), 0);
	assert_int_equal(buf[0], 0);
	assert_int_equal(elf_file__read(f, DATA_ADDR + 0xff, buf, 2), -ENOENT);
	assert_int_equal(elf_file__read(f, TEXT_ADDR, buf, SIZE_MAX), -ENOENT);
	assert_int_equal(elf_file__read(f, UINT64_MAX, buf, 1), -ENOENT);
	elf_file__free(f);
}

/* What is not ours to read is refused by name of the error, before libelf sees it. */
static void test_refused(void **state)
{
	static const struct {
		size_t at, bytes;
		uint64_t value;
	} rows[] = {
		{0, 1, 'E'},
		{EI_CLASS, 1, ELFCLASS32},
		{EI_DATA, 1, 3},
		{AT(h.e_machine), 2, EM_386},
		{AT(h.e_type), 2, ET_REL},
		{AT(h.e_phnum), 2, 0xffff},
		{AT(h.e_phoff), 8, UINT64_MAX - 8},
		{AT(h.e_phentsize), 2, 1},
	};
	struct elf_file *f = NULL;
	struct image e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fill_image(&e);
		memcpy((char *)&e + rows[i].at, &rows[i].value, rows[i].bytes);
		assert_int_equal(open_bytes(&e, sizeof(e), 0, &f), -ENOEXEC);
		assert_null(f);
	}
	assert_int_equal(open_bytes("", 0, 0, &f), -ENOEXEC);
	assert_int_equal(elf_file__open("/does/not/exist", &f), -ENOENT);
	assert_int_equal(elf_file__open("/", &f), -ENOEXEC);
	assert_int_equal(elf_file__open("/dev/null", &f), -ENOEXEC);
	assert_null(f);
	elf_file__free(NULL);
}

static void use_all(const struct elf_file *f)
{
	static const uint64_t addrs[] = {0, 0x400000, TEXT_ADDR, DATA_ADDR, UINT64_MAX};
	struct elf_symbol s;
	struct elf_usdt u;
	uint64_t got;
	char buf[65];

	elf_file__symbol(f, "exported", &s);
	elf_file__symbol(f, "work*", &s);
	elf_file__symbol(f, "none", &s);
	elf_file__exported(f, "exported", &s);
	elf_file__import_slots(f, "imported", &got, 1);
	elf_file__usdt(f, "python", "gc__done", &u);
	elf_file__usdt(f, "python", "none", &u);
	elf_file__section(f, ".PyRuntime", &s);
	elf_file__section(f, ".none", &s);
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		elf_file__file_offset(f, addrs[i], &got);
		elf_file__addr_of_offset(f, addrs[i], &got);
		elf_file__addr_of_mapping(f, addrs[i], true, &got);
		elf_file__read(f, addrs[i], buf, sizeof(buf));
	}
	elf_file__build_id(f, buf);
	assert_true(strlen(buf) < sizeof(buf));
}

/* A damaged file opens or is refused; nothing else, under the sanitizers above all. */
static void open_damaged(const void *bytes, size_t len, size_t sparse_len)
{
	struct elf_file *f = NULL;
	int err = open_bytes(bytes, len, sparse_len, &f);

	if (err) {
		assert_true(err == -ENOEXEC || err == -ENOENT);
		assert_null(f);
		return;
	}
	use_all(f);
	elf_file__free(f);
}

static void test_damaged_bytes(void **state)
{
	static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct image e;

	(void)state;
	for (size_t at = 0; at < sizeof(e); at++) {
		for (size_t i = 0; i < sizeof(values); i++) {
			fill_image(&e);
			((unsigned char *)&e)[at] = values[i];
			open_damaged(&e, sizeof(e), 0);
		}
	}
}

static void test_truncated(void **state)
{
	struct image e;

	(void)state;
	fill_image(&e);
	for (size_t len = 0; len < sizeof(e); len++)
		open_damaged(&e, len, 0);
}

/* A terabyte that is not there: every count and size says that it is. */
static void test_sparse_giant(void **state)
{
	const size_t giant = 1ull << 40;
	struct image e;

	(void)state;
	fill_image(&e);
	e.h.e_shnum = 0;
	e.sections[0].sh_size = giant / sizeof(Elf64_Shdr);
	open_damaged(&e, sizeof(e), giant);
	for (int i = 1; i < SECTIONS; i++) {
		fill_image(&e);
		e.sections[i].sh_size = giant - giant % sizeof(Elf64_Sym) - sizeof(e);
		open_damaged(&e, sizeof(e), giant);
	}
	fill_image(&e);
	e.segments[0].p_filesz = e.segments[0].p_memsz = giant / 2;
	e.segments[1].p_filesz = e.segments[1].p_memsz = giant / 2;
	open_damaged(&e, sizeof(e), giant);
}

static void test_random(void **state)
{
	uint64_t seed = 0x2545f4914f6cdd1d;
	struct image e;

	(void)state;
	for (int round = 0; round < 4000; round++) {
		fill_image(&e);
		for (int i = 0; i < 4; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			((unsigned char *)&e)[seed % sizeof(e)] = seed >> 32;
		}
		open_damaged(&e, sizeof(e), 0);
	}
}

int exported_by_test = 42;

static void test_this_program(void **state)
{
	struct elf_symbol s;
	struct elf_file *f;
	uint64_t offset;
	int value = 0;

	(void)state;
	assert_int_equal(elf_file__open("/proc/self/exe", &f), 0);
	assert_int_equal(elf_file__symbol(f, "exported_by_test", &s), 0);
	assert_int_equal(s.size, sizeof(value));
	assert_int_equal(elf_file__read(f, s.addr, &value, sizeof(value)), 0);
	assert_int_equal(value, 42);
	assert_int_equal(elf_file__symbol(f, "test_this_program", &s), 0);
	assert_int_equal(elf_file__file_offset(f, s.addr, &offset), 0);
	elf_file__free(f);
}

/* The dynamic linker has written where a function is that we call. */
static void test_own_imports(void **state)
{
	uint64_t slots[4], bias;
	struct elf_symbol s;
	struct elf_file *f;
	size_t n;

	(void)state;
	assert_int_equal(elf_file__open("/proc/self/exe", &f), 0);
	assert_int_equal(elf_file__symbol(f, "exported_by_test", &s), 0);
	bias = (uintptr_t)&exported_by_test - s.addr;
	n = elf_file__import_slots(f, "memfd_create", slots, 4);
	assert_true(n > 0);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(*(void **)(bias + slots[i]), memfd_create);
	elf_file__free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols),	      cmocka_unit_test(test_clones),
		cmocka_unit_test(test_usdt),	      cmocka_unit_test(test_sections_and_build_id),
		cmocka_unit_test(test_addresses),     cmocka_unit_test(test_addr_of_mapping),
		cmocka_unit_test(test_read),	      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damaged_bytes), cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_sparse_giant),  cmocka_unit_test(test_random),
		cmocka_unit_test(test_this_program),  cmocka_unit_test(test_imports),
		cmocka_unit_test(test_own_imports),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
