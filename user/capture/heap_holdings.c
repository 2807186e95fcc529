/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a sample of live blocks tells of the heap, by stack: what lives, and what is free but kept by what lives. */
#include "capture/heap_samples_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "capture/heap_holders.h"
#include "capture/pool_pins.h"

int heap_samples_impl__pin(struct heap_samples *s, const struct pymalloc_pools *pools, uint32_t pool_bytes)
{
	uint64_t *addrs = malloc((s->n + 1) * sizeof(*addrs));
	float *pins = malloc((s->n + 1) * sizeof(*pins));
	int err = addrs && pins ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; i < s->n && !err; i++)
		addrs[i] = s->at[i].block.addr;
	err = err ? err : pool_pins__find(pools, pool_bytes, addrs, s->n, pins);
	for (i = 0; i < s->n && !err; i++)
		s->at[i].pinned_bytes = pins[i];
	free(addrs);
	free(pins);
	return err;
}

/* Free blocks of a class, by the replicates of who keeps them. */
static void add_pinned(struct heap_sum *sum, const struct heap_blocks *blocks, const struct heap_blocks *scale, const struct sample *sample)
{
	struct heap_blocks pinned;
	double each = sample->pinned_bytes / pymalloc__block_bytes(sample->block.szidx);

	for (int r = 0; r <= HEAP_REPLICATES; r++)
		pinned.at[r] = blocks->at[r] * scale->at[r] * each;
	heap_sum__add(sum, &pinned, pymalloc__block_bytes(sample->block.szidx));
}

/*
 * How many free blocks of each class there are is known, and what part of what lives nobody stands for: by as much what the sample
 * keeps is to be multiplied (a ratio estimate).
 */
static void scale_pins(struct heap_samples *s, const struct heap_scales *scales, struct heap_blocks scale[HEAP_CLASSES])
{
	struct heap_blocks kept[HEAP_CLASSES] = {};
	struct heap_holdings *all = &s->holdings;

	for (size_t i = 0; i < s->n; i++) {
		const struct sample *sample = &s->at[i];
		struct heap_blocks blocks;

		heap_weights__apply(scales, &sample->weight, &blocks);
		for (int r = 0; r <= HEAP_REPLICATES; r++)
			kept[sample->block.szidx].at[r] += blocks.at[r] * sample->pinned_bytes;
	}
	for (int c = 0; c < HEAP_CLASSES; c++) {
		double bytes = (double)s->totals.class[c].free * pymalloc__block_bytes(c), live = s->totals.class[c].live;
		struct heap_blocks unknown = {};

		for (int r = 0; r <= HEAP_REPLICATES && live > 0; r++) {
			double part = fmin(fmax(scales->unknown[c].at[r] / live, 0), 1);

			scale[c].at[r] = kept[c].at[r] > 0 ? (1 - part) * bytes / kept[c].at[r] : 0;
			unknown.at[r] = bytes - scale[c].at[r] * kept[c].at[r];
		}
		heap_sum__add(&all->unknown_pinned, &unknown, 1);
	}
}

static int add_up_holders(struct heap_samples *s, const struct heap_scales *scales, bool pin)
{
	struct heap_holdings *all = &s->holdings;
	struct heap_blocks scale[HEAP_CLASSES] = {};
	struct heap_holders holders;
	int err = heap_holders__begin(&holders, all, s->n);

	if (err)
		return err;
	if (pin)
		scale_pins(s, scales, scale);
	for (size_t i = 0; i < s->n; i++) {
		const struct sample *sample = &s->at[i];
		double block_bytes = pymalloc__block_bytes(sample->block.szidx);
		struct heap_blocks blocks;
		struct heap_holder *holder;

		heap_weights__apply(scales, &sample->weight, &blocks);
		if (sample->weight.old) {
			heap_sum__add(&all->before, &blocks, block_bytes);
			if (pin)
				add_pinned(&all->before_pinned, &blocks, &scale[sample->block.szidx], sample);
			continue;
		}
		holder = heap_holders__of(&holders, &sample->stack);
		heap_sum__add(&holder->sum, &blocks, sample->bytes);
		if (pin)
			add_pinned(&holder->pinned, &blocks, &scale[sample->block.szidx], sample);
		all->rounded_bytes += blocks.at[0] * (block_bytes - sample->bytes);
	}
	heap_holders__end(&holders);
	return 0;
}

int heap_samples_impl__estimate(struct heap_samples *s, double pools, bool pin)
{
	struct heap_holdings *all = &s->holdings;
	const struct heap_weight_list list = heap_samples_impl__weights(s);
	struct heap_scales scales;
	int c, err;

	err = heap_weights__calibrate(&list, s->draws, s->n_draws, &s->windows, pools, &scales);
	*all = (struct heap_holdings){ .holders = all->holders };
	for (c = 0; c < HEAP_CLASSES; c++) {
		all->block_bytes += s->windows.class[c].live * pymalloc__block_bytes(c);
		heap_sum__add(&all->unknown, &scales.unknown[c], pymalloc__block_bytes(c));
	}
	err = err ? err : add_up_holders(s, &scales, pin);
	heap_scales__free(&scales);
	return err;
}
