/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Of which strata of page faults (struct stratum, include/records.h) how many are looked at. Pure.
 *
 * What is told at last is who holds what is there. A stratum that brings in n pages a second, of which live stay, of which one
 * in w is looked at, costs n / w, and makes what is told unsure by live * w (squared). For a given cost in all that is least where w
 * goes with the root of n / live: so memory that comes and goes is looked at little, and what stays, much. Whatever is chosen, one
 * that is looked at stands for as many as its chance was small: sums stay right.
 */
#ifndef CAPTURE_STRATA_H
#define CAPTURE_STRATA_H

#include <stddef.h>
#include <stdint.h>

struct stratum_use {
	double hits; /* page faults in a second */
	double looks; /* of these, were looked at */
	double usual_looks; /* as many as would be, if nothing were favoured */
	double live; /* pages that it brought in and that have been there for a while */
};

/* favour: of each stratum, as it is, and as it is to be. One that has no hits is no more favoured, step by step. */
void strata__share_out(const struct stratum_use *use, int32_t *favour, size_t n);

#endif
