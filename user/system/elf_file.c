/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ELF files through libelf. The files come out of containers and may be made to hurt:
 *  - read with pread, never mapped, for a file that is truncated under a mapping kills its reader
 * with SIGBUS;
 *  - opened without blocking, and only regular files are looked at;
 *  - counts and sizes are checked against the file before libelf allocates by them (a sparse file
 * can claim terabytes);
 *  - symbol and string tables are taken whole and compared within their bounds.
 * Does not follow .gnu_debuglink, does not read compressed sections, and sees symbols only through
 * section headers. Names and numbers: elf(5), System V ABI.
 */
#include "system/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linkers write tens of each; the kernel refuses more than 64 KiB of program headers. */
#define MAX_SECTIONS 65535
#define MAX_SEGMENTS 1024
/*
 * An interpreter's tables are below 1 MiB with all symbols; what is larger than this is not looked
 * at.
 */
#define MAX_TABLE_BYTES (64ull << 20)
#define MAX_NOTE_BYTES (64ull << 10)
#define MAX_BUILD_ID_BYTES 32
/* Type of the notes of SystemTap's sys/sdt.h. */
#define NOTE_STAPSDT 3

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#endif

/* Relocations that are nothing but the address of a symbol, for calls. */
#if defined(__x86_64__)
#define RELOCATION_JUMP_SLOT R_X86_64_JUMP_SLOT
#define RELOCATION_GLOB_DAT R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define RELOCATION_JUMP_SLOT R_AARCH64_JUMP_SLOT
#define RELOCATION_GLOB_DAT R_AARCH64_GLOB_DAT
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HOST_DATA ELFDATA2LSB
#else
#define HOST_DATA ELFDATA2MSB
#endif

/* All text here belongs to libelf until elf_end. */
struct strings {
	const char *text;
	size_t bytes; /* the last one is a null */
};

struct symbols {
	const Elf64_Sym *syms;
	size_t cnt;
	struct strings names;
};

struct elf_file {
	int fd;
	Elf *elf;
	uint64_t file_bytes;
	struct strings section_names;
	GElf_Phdr *loads; /* PT_LOAD */
	size_t load_cnt;
	struct symbols symtab, dynsym;
	char build_id[2 * MAX_BUILD_ID_BYTES + 1];
};

static int pread_all(int fd, void *buf, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pread(fd, buf, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENOENT;
		buf = (char *)buf + n;
		len -= n;
		offset += n;
	}
	return 0;
}

static bool within(uint64_t start, uint64_t len, uint64_t bytes)
{
	return start <= bytes && len <= bytes - start;
}

/* What libelf would believe: whose file it is, and the counts that it allocates by. */
static int check_header(struct elf_file *f)
{
	Elf64_Shdr first;
	Elf64_Ehdr h;

	if (pread_all(f->fd, &h, sizeof(h), 0))
		return -ENOEXEC;
	if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
	    h.e_ident[EI_DATA] != HOST_DATA || h.e_machine != HOST_MACHINE ||
	    (h.e_type != ET_EXEC && h.e_type != ET_DYN))
		return -ENOEXEC;
	if (h.e_phnum > MAX_SEGMENTS || h.e_phentsize != sizeof(Elf64_Phdr) ||
	    !within(h.e_phoff, h.e_phnum * sizeof(Elf64_Phdr), f->file_bytes))
		return -ENOEXEC;
	/* No count although there are headers: the first one holds the count in its size. */
	if (h.e_shoff && !h.e_shnum &&
	    (pread_all(f->fd, &first, sizeof(first), h.e_shoff) || first.sh_size > MAX_SECTIONS))
		return -ENOEXEC;
	return 0;
}

/* The section's contents as libelf holds them; NULL where it has none in the file. */
static Elf_Data *section_data(const struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *h)
{
	if (h->sh_type == SHT_NOBITS || h->sh_flags & SHF_COMPRESSED ||
	    h->sh_size > MAX_TABLE_BYTES || !within(h->sh_offset, h->sh_size, f->file_bytes))
		return NULL;
	return elf_getdata(scn, NULL);
}

static struct strings load_strings(const struct elf_file *f, size_t section)
{
	Elf_Scn *scn = elf_getscn(f->elf, section);
	Elf_Data *data;
	GElf_Shdr h;

	if (!scn || !gelf_getshdr(scn, &h) || h.sh_type != SHT_STRTAB)
		return (struct strings){0};
	data = section_data(f, scn, &h);
	if (!data || !data->d_buf || !data->d_size || ((const char *)data->d_buf)[data->d_size - 1])
		return (struct strings){0};
	return (struct strings){.text = data->d_buf, .bytes = data->d_size};
}

static void load_symbols(const struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *h,
			 struct symbols *ret)
{
	Elf_Data *data = section_data(f, scn, h);

	if (!data || !data->d_buf || data->d_type != ELF_T_SYM)
		return;
	ret->names = load_strings(f, h->sh_link);
	ret->syms = data->d_buf;
	ret->cnt = data->d_size / sizeof(*ret->syms);
}

static void load_sections(struct elf_file *f)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr h;
	size_t names;

	if (!elf_getshdrstrndx(f->elf, &names))
		f->section_names = load_strings(f, names);
	while ((scn = elf_nextscn(f->elf, scn))) {
		if (!gelf_getshdr(scn, &h))
			continue;
		if (h.sh_type == SHT_SYMTAB && !f->symtab.syms)
			load_symbols(f, scn, &h, &f->symtab);
		else if (h.sh_type == SHT_DYNSYM && !f->dynsym.syms)
			load_symbols(f, scn, &h, &f->dynsym);
	}
}

static void load_build_id(struct elf_file *f, const GElf_Phdr *p)
{
	size_t at = 0, name_at, desc_at;
	GElf_Nhdr note;
	Elf_Data *data;

	if (p->p_filesz > MAX_NOTE_BYTES || !within(p->p_offset, p->p_filesz, f->file_bytes))
		return;
	data = elf_getdata_rawchunk(f->elf, p->p_offset, p->p_filesz,
				    p->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	if (!data)
		return;
	while ((at = gelf_getnote(data, at, &note, &name_at, &desc_at))) {
		const unsigned char *desc = (const unsigned char *)data->d_buf + desc_at;

		if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != sizeof("GNU") ||
		    memcmp((const char *)data->d_buf + name_at, "GNU", sizeof("GNU")) ||
		    note.n_descsz > MAX_BUILD_ID_BYTES)
			continue;
		for (size_t i = 0; i < note.n_descsz; i++) {
			f->build_id[2 * i] = "0123456789abcdef"[desc[i] >> 4];
			f->build_id[2 * i + 1] = "0123456789abcdef"[desc[i] & 15];
		}
		return;
	}
}

static int load_segments(struct elf_file *f)
{
	GElf_Phdr p;
	size_t cnt;

	if (elf_getphdrnum(f->elf, &cnt) || cnt > MAX_SEGMENTS)
		return -ENOEXEC;
	f->loads = calloc(cnt ? cnt : 1, sizeof(*f->loads));
	if (!f->loads)
		return -ENOMEM;
	for (size_t i = 0; i < cnt; i++) {
		if (!gelf_getphdr(f->elf, i, &p))
			return -ENOEXEC;
		if (p.p_type == PT_NOTE && !f->build_id[0])
			load_build_id(f, &p);
		/* The kernel and the dynamic linker refuse the others. */
		if (p.p_type == PT_LOAD && p.p_filesz <= p.p_memsz &&
		    within(p.p_vaddr, p.p_memsz, UINT64_MAX) &&
		    within(p.p_offset, p.p_filesz, INT64_MAX))
			f->loads[f->load_cnt++] = p;
	}
	return 0;
}

static int open_regular(const char *path, struct elf_file *f)
{
	struct stat st;
	int err;

	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (f->fd < 0)
		return -errno;
	if (fstat(f->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	f->file_bytes = st.st_size;
	err = check_header(f);
	if (err)
		return err;
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOEXEC;
	f->elf = elf_begin(f->fd, ELF_C_READ, NULL);
	if (!f->elf || elf_kind(f->elf) != ELF_K_ELF)
		return -ENOEXEC;
	return 0;
}

int elf_file__open(const char *path, struct elf_file **ret)
{
	struct elf_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	err = open_regular(path, f);
	if (!err)
		err = load_segments(f);
	if (err) {
		elf_file__free(f);
		return err;
	}
	load_sections(f);
	*ret = f;
	return 0;
}

void elf_file__free(struct elf_file *f)
{
	if (!f)
		return;
	elf_end(f->elf);
	if (f->fd >= 0)
		close(f->fd);
	free(f->loads);
	free(f);
}

/*
 * A clone is what the compiler made of a function: name.constprop.0, name.part.0.isra.0; .cold is
 * the rest of one.
 */
static bool name_matches(const char *name, const char *want, size_t len, bool clones)
{
	if (strncmp(name, want, len))
		return false;
	return !name[len] || (clones && name[len] == '.' && !strstr(name + len, ".cold"));
}

static bool is_definition(const struct symbols *t, const Elf64_Sym *s)
{
	int type = ELF64_ST_TYPE(s->st_info);

	return s->st_name < t->names.bytes && s->st_shndx != SHN_UNDEF && type != STT_SECTION &&
	       type != STT_FILE && type != STT_TLS;
}

static size_t find_symbols(const struct symbols *t, const char *want, struct elf_symbol *ret,
			   size_t max)
{
	size_t len = strlen(want), n = 0;
	bool clones = len && want[len - 1] == '*';

	len -= clones;
	for (size_t i = 0; len && n < max && i < t->cnt; i++) {
		const Elf64_Sym *s = &t->syms[i];
		size_t known = 0;

		if (!is_definition(t, s) ||
		    !name_matches(t->names.text + s->st_name, want, len, clones))
			continue;
		while (known < n && ret[known].addr != s->st_value)
			known++;
		if (known == n)
			ret[n++] = (struct elf_symbol){.addr = s->st_value, .size = s->st_size};
	}
	return n;
}

size_t elf_file__symbols(const struct elf_file *f, const char *name, struct elf_symbol *ret,
			 size_t max)
{
	size_t n = find_symbols(&f->symtab, name, ret, max);

	return n ? n : find_symbols(&f->dynsym, name, ret, max);
}

int elf_file__symbol(const struct elf_file *f, const char *name, struct elf_symbol *ret)
{
	return elf_file__symbols(f, name, ret, 1) ? 0 : -ENOENT;
}

static bool name_function(const struct symbols *t, uint64_t addr, char *name, size_t len)
{
	for (size_t i = 0; i < t->cnt; i++) {
		const Elf64_Sym *s = &t->syms[i];
		size_t n;

		if (!is_definition(t, s) || ELF64_ST_TYPE(s->st_info) != STT_FUNC || addr < s->st_value ||
		    addr - s->st_value >= s->st_size)
			continue;
		n = strnlen(t->names.text + s->st_name, len - 1);
		memcpy(name, t->names.text + s->st_name, n);
		name[n] = '\0';
		return true;
	}
	return false;
}

int elf_file__function_at(const struct elf_file *f, uint64_t addr, char *name, size_t len)
{
	return name_function(&f->symtab, addr, name, len) || name_function(&f->dynsym, addr, name, len) ? 0 : -ENOENT;
}

size_t elf_file__functions(const struct elf_file *f, struct elf_symbol *ret, size_t max)
{
	const struct symbols *tables[] = {&f->symtab, &f->dynsym};
	size_t n = 0;

	if (!max)
		return f->symtab.cnt + f->dynsym.cnt;
	for (int i = 0; i < 2; i++) {
		for (const Elf64_Sym *s = tables[i]->syms; s < tables[i]->syms + tables[i]->cnt && n < max; s++) {
			if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF && s->st_size)
				ret[n++] = (struct elf_symbol){.addr = s->st_value, .size = s->st_size};
		}
	}
	return n;
}

int elf_file__exported(const struct elf_file *f, const char *name, struct elf_symbol *ret)
{
	return find_symbols(&f->dynsym, name, ret, 1) ? 0 : -ENOENT;
}

static bool imports(const struct elf_file *f, const Elf64_Rela *r, const char *name)
{
	const struct symbols *t = &f->dynsym;
	size_t symbol = ELF64_R_SYM(r->r_info);
	uint32_t type = ELF64_R_TYPE(r->r_info);

	return (type == RELOCATION_JUMP_SLOT || type == RELOCATION_GLOB_DAT) && symbol < t->cnt &&
	       t->syms[symbol].st_shndx == SHN_UNDEF && t->syms[symbol].st_name < t->names.bytes &&
	       !strcmp(t->names.text + t->syms[symbol].st_name, name);
}

/* Calls fn for each relocation that the dynamic linker makes, until it returns false. */
static void each_relocation(const struct elf_file *f, bool (*fn)(const struct elf_file *f, const Elf64_Rela *rela, void *arg),
			    void *arg)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr h;

	while ((scn = elf_nextscn(f->elf, scn))) {
		const Elf64_Rela *rela;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &h) || h.sh_type != SHT_RELA || !(h.sh_flags & SHF_ALLOC))
			continue;
		data = section_data(f, scn, &h);
		rela = data && data->d_type == ELF_T_RELA ? data->d_buf : NULL;
		for (size_t i = 0; rela && i < data->d_size / sizeof(*rela); i++) {
			if (!fn(f, &rela[i], arg))
				return;
		}
	}
}

struct slots {
	const char *name;
	uint64_t *slot;
	size_t n, max;
};

static bool add_slot(const struct elf_file *f, const Elf64_Rela *rela, void *arg)
{
	struct slots *s = arg;

	if (imports(f, rela, s->name))
		s->slot[s->n++] = rela->r_offset;
	return s->n < s->max;
}

size_t elf_file__import_slots(const struct elf_file *f, const char *name, uint64_t *ret, size_t max)
{
	struct slots s = {.name = name, .slot = ret, .max = max};

	if (max)
		each_relocation(f, add_slot, &s);
	return s.n;
}

struct relocated {
	uint64_t addr;
	uint32_t type;
};

static bool is_of_word(const struct elf_file *f, const Elf64_Rela *rela, void *arg)
{
	struct relocated *r = arg;

	(void)f;
	if (rela->r_offset == r->addr)
		r->type = ELF64_R_TYPE(rela->r_info);
	return !r->type;
}

uint32_t elf_file__relocation(const struct elf_file *f, uint64_t addr)
{
	struct relocated r = {.addr = addr};

	each_relocation(f, is_of_word, &r);
	return r.type;
}

static Elf_Scn *find_section(const struct elf_file *f, const char *name, GElf_Shdr *h)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(f->elf, scn))) {
		if (gelf_getshdr(scn, h) && h->sh_name < f->section_names.bytes &&
		    !strcmp(f->section_names.text + h->sh_name, name))
			return scn;
	}
	return NULL;
}

int elf_file__section(const struct elf_file *f, const char *name, struct elf_symbol *ret)
{
	GElf_Shdr h;

	if (!find_section(f, name, &h) || !(h.sh_flags & SHF_ALLOC))
		return -ENOENT;
	*ret = (struct elf_symbol){.addr = h.sh_addr, .size = h.sh_size};
	return 0;
}

/* The text at *at, which is moved behind its null; NULL where none ends before end. */
static const char *next_text(const char **at, const char *end)
{
	const char *text = *at, *null = memchr(text, '\0', end - text);

	if (!null)
		return NULL;
	*at = null + 1;
	return text;
}

/* Addresses of probe, base and semaphore, then provider, name and arguments, each ended by a null.
 */
static bool parse_usdt(const char *desc, size_t len, uint64_t base, const char *provider,
		       const char *name, struct elf_usdt *ret)
{
	const char *end = desc + len, *got_provider, *got_name, *args;
	uint64_t addrs[3];

	if (len < sizeof(addrs))
		return false;
	memcpy(addrs, desc, sizeof(addrs));
	desc += sizeof(addrs);
	got_provider = next_text(&desc, end);
	got_name = got_provider ? next_text(&desc, end) : NULL;
	args = got_name ? next_text(&desc, end) : NULL;
	if (!args || strcmp(got_provider, provider) || strcmp(got_name, name) ||
	    strlen(args) >= sizeof(ret->args))
		return false;
	ret->addr = addrs[0];
	ret->semaphore = addrs[2];
	/* A prelinker moves code and .stapsdt.base alike, but not what notes say. */
	if (base && addrs[1]) {
		ret->addr += base - addrs[1];
		ret->semaphore += addrs[2] ? base - addrs[1] : 0;
	}
	strcpy(ret->args, args);
	return true;
}

int elf_file__usdt(const struct elf_file *f, const char *provider, const char *name,
		   struct elf_usdt *ret)
{
	struct elf_symbol base = {0};
	size_t at = 0, name_at, desc_at;
	GElf_Nhdr note;
	GElf_Shdr h;
	Elf_Scn *scn;
	Elf_Data *data;

	scn = find_section(f, ".note.stapsdt", &h);
	data = scn && h.sh_type == SHT_NOTE ? section_data(f, scn, &h) : NULL;
	if (!data || !data->d_buf)
		return -ENOENT;
	elf_file__section(f, ".stapsdt.base", &base);
	while ((at = gelf_getnote(data, at, &note, &name_at, &desc_at))) {
		const char *text = data->d_buf;

		if (note.n_type == NOTE_STAPSDT && note.n_namesz == sizeof("stapsdt") &&
		    !memcmp(text + name_at, "stapsdt", sizeof("stapsdt")) &&
		    parse_usdt(text + desc_at, note.n_descsz, base.addr, provider, name, ret))
			return 0;
	}
	return -ENOENT;
}

int elf_file__file_offset(const struct elf_file *f, uint64_t addr, uint64_t *ret)
{
	for (size_t i = 0; i < f->load_cnt; i++) {
		const GElf_Phdr *p = &f->loads[i];

		if (addr < p->p_vaddr || addr - p->p_vaddr >= p->p_filesz)
			continue;
		*ret = addr - p->p_vaddr + p->p_offset;
		return 0;
	}
	return -ENOENT;
}

int elf_file__addr_of_offset(const struct elf_file *f, uint64_t offset, uint64_t *ret)
{
	for (size_t i = 0; i < f->load_cnt; i++) {
		const GElf_Phdr *p = &f->loads[i];

		if (offset < p->p_offset || offset - p->p_offset >= p->p_filesz)
			continue;
		*ret = offset - p->p_offset + p->p_vaddr;
		return 0;
	}
	return -ENOENT;
}

int elf_file__addr_of_mapping(const struct elf_file *f, uint64_t offset, bool executable,
			      uint64_t *ret)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < f->load_cnt; i++) {
		const GElf_Phdr *p = &f->loads[i];
		uint64_t first = p->p_offset & ~(page - 1);

		if (!!(p->p_flags & PF_X) != executable || offset < first ||
		    offset >= p->p_offset + p->p_filesz)
			continue;
		*ret = p->p_vaddr - p->p_offset + offset;
		return 0;
	}
	return -ENOENT;
}

int elf_file__read(const struct elf_file *f, uint64_t addr, void *buf, size_t len)
{
	for (size_t i = 0; i < f->load_cnt; i++) {
		const GElf_Phdr *p = &f->loads[i];
		uint64_t at = addr - p->p_vaddr;
		size_t in_file = 0;
		int err;

		if (addr < p->p_vaddr || at >= p->p_memsz || len > p->p_memsz - at)
			continue;
		if (at < p->p_filesz)
			in_file = len < p->p_filesz - at ? len : p->p_filesz - at;
		err = pread_all(f->fd, buf, in_file, p->p_offset + at);
		if (!err)
			memset((char *)buf + in_file, 0, len - in_file);
		return err;
	}
	return -ENOENT;
}

void elf_file__build_id(const struct elf_file *f, char buf[65])
{
	memcpy(buf, f->build_id, sizeof(f->build_id));
}

bool elf_file__has_symtab(const struct elf_file *f)
{
	return f->symtab.cnt > 0;
}

int elf_file__entry(const struct elf_file *f, uint64_t *ret)
{
	GElf_Ehdr ehdr;

	if (!gelf_getehdr(f->elf, &ehdr) || !ehdr.e_entry)
		return -ENOENT;
	return elf_file__file_offset(f, ehdr.e_entry, ret);
}
