/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the argument of a USDT probe is: the text that sys/sdt.h leaves in the file ("-4@112(%rsp)": signed, 4 bytes, at
 * rsp + 112), as the fields arg_* of a site's cookie.
 */
#ifndef PYTHON_USDT_ARG_H
#define PYTHON_USDT_ARG_H

#include "site_cookie.h"

/* The first argument of `args`. -ENOENT: there is none; -EINVAL: not understood. Other fields of *ret stay. */
int usdt_arg__parse(const char *args, union site_cookie *ret);

#endif
