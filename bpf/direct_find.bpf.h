/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Run once by user space: finds where the kernel maps all memory, and whether reading through it works (direct.bpf.h).
 *
 * The mapping begins at a multiple of 1 GiB that is chosen at random at boot (arch/x86/mm/kaslr.c), and the page tables of
 * the current process are in it: so it begins not far below them. Which multiple, a page with known content at a known
 * physical address tells. What follows from the page tables must be that content, too: on machines whose entries are
 * not plain addresses (memory encryption) it is not.
 *
 * No object of its own, because the linker of bpftool 7.1 takes a kernel function (bpf_rdonly_cast) in one object only.
 */
#ifndef BPF_DIRECT_FIND_H
#define BPF_DIRECT_FIND_H

#include "direct.bpf.h"

/* Memory of up to 16 TiB below the page tables. */
#define MAX_GIB 16384

struct map_search {
	const struct direct_page *page;
	__u64 base;
	bool found;
};

static long look_for_page(__u32 i, void *arg)
{
	struct map_search *s = arg;
	__u64 word[2];

	if (!bpf_probe_read_kernel(word, sizeof(word), (const void *)(s->base + s->page->physical)) &&
	    word[0] == s->page->word[0] && word[1] == s->page->word[1]) {
		s->found = true;
		return 1;
	}
	s->base -= 1ull << 30;
	return 0;
}

static __always_inline bool reads(const struct direct_page *page)
{
	struct page_view v;
	__u64 first = 0, second = 0;

	begin_view(&v);
	return view_word(&v, page->user, &first) && view_word(&v, page->user + 8, &second) && end_view(&v) &&
	       first == page->word[0] && second == page->word[1];
}

SEC("syscall")
int find_direct_map(struct direct_page *ctx)
{
	struct direct_page page = *ctx;
	struct map_search s = { .page = &page };

	s.base = page_tables() & ~((1ull << 30) - 1);
	bpf_loop(MAX_GIB, look_for_page, &s, 0);
	if (!s.found)
		return 1;
	direct_map = s.base;
	page_table_levels = 4;
	if (reads(&page))
		return 0;
	page_table_levels = 5;
	if (reads(&page))
		return 0;
	direct_map = 0;
	return 1;
}

#endif
