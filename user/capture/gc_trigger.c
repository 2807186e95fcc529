/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "capture/gc_trigger.h"

/*
 * Called by neither gc.collect() nor PyGC_Collect(). What takes modules down, and what the compiler made of a call of
 * PyGC_Collect() within the interpreter, has no Python frame (Py_FinalizeEx and Py_EndInterpreter refuse to run below one) and
 * regards no counts.
 */
static enum gc_trigger by_elimination(uint32_t evidence)
{
	if (evidence & GC_FINALIZING)
		return evidence & GC_NOT_DUE ? GC_TRIGGER_SHUTDOWN : GC_TRIGGER_UNKNOWN;
	return evidence & GC_DUE && evidence & GC_IN_FRAME ? GC_TRIGGER_AUTOMATIC : GC_TRIGGER_UNKNOWN;
}

enum gc_trigger gc_trigger__of(uint32_t evidence, bool callers_known)
{
	if (evidence & GC_SAYS_HEAP)
		return GC_TRIGGER_AUTOMATIC;
	if (evidence & GC_SAYS_SHUTDOWN)
		return GC_TRIGGER_SHUTDOWN;
	if (evidence & GC_IN_COLLECT)
		return GC_TRIGGER_COLLECT;
	if (evidence & GC_IN_API)
		return evidence & GC_FINALIZING ? GC_TRIGGER_SHUTDOWN : GC_TRIGGER_NATIVE;
	if (!callers_known)
		return GC_TRIGGER_UNKNOWN;
	if (evidence & GC_SAYS_MANUAL)
		return evidence & GC_FINALIZING ? GC_TRIGGER_SHUTDOWN : GC_TRIGGER_UNKNOWN;
	return by_elimination(evidence);
}
