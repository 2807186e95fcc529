/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What triggered a collection, from what the kernel side found when it began (enum gc_evidence). Right where it is said,
 * GC_TRIGGER_UNKNOWN elsewhere. CPython (Modules/gcmodule.c, Python/gc.c, Python/pylifecycle.c) runs its collector from four
 * places: when objects were made, from gc.collect(), from PyGC_Collect(), which C code calls and Py_FinalizeEx() too, and while
 * modules are taken down (_PyGC_CollectNoFail). From 3.13 on an argument tells; before, which of them it was not.
 */
#ifndef CAPTURE_GC_TRIGGER_H
#define CAPTURE_GC_TRIGGER_H

#include <stdbool.h>

#include "model/profile.h"
#include "records.h"

/* callers_known: gc.collect() and PyGC_Collect() are probed, so that GC_IN_COLLECT and GC_IN_API are missing only where not so. */
enum gc_trigger gc_trigger__of(uint32_t evidence, bool callers_known);

#endif
