/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the kernel side knows of native code: rules by address (include/native.h). */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "capture/session_impl.h"

int session__set_native(struct session *s, uint32_t proc_id, uint64_t at, const struct native_rule *rule)
{
	const struct native_key key = { .at = at, .proc_id = proc_id };

	return bpf_map_update_elem(bpf_map__fd(s->bpf->maps.native_rules), &key, rule, BPF_ANY) ? -errno : 0;
}

void session__forget_native(struct session *s, uint32_t proc_id, uint64_t at)
{
	const struct native_key key = { .at = at, .proc_id = proc_id };

	bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.native_rules), &key);
}
