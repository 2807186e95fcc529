/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Errors of recordings in words. */
#include <errno.h>
#include <string.h>

#include "model/recording.h"

const char *recording__strerror(int err)
{
	switch (-err) {
	case EEXIST:
		return "a file that is not a recording of pymemscope is there; choose another name "
		       "or remove it";
	case EBUSY:
		return "another program is using this recording; end that one or choose another name";
	case EACCES:
	case EPERM:
		return "no permission; choose a folder and file that you may use, or run as their "
		       "owner";
	case EROFS:
		return "the file system is read-only; choose a folder that can be written to";
	case ENOSPC:
		return "the disk or quota is full; free some space or choose another disk";
	case ENOENT:
		return "there is no such folder; check the path or make the folder first";
	case EISDIR:
		return "this is a folder; name a file in it";
	case ENOTDIR:
		return "a part of the path is not a folder; check the path";
	case EMEDIUMTYPE:
		return "not a recording of pymemscope; give a file that `pymemscope record` wrote";
	case EPROTONOSUPPORT:
		return "made by another version of pymemscope; read it with that one";
	case EBADMSG:
		return "the recording is damaged or cut off; take another copy or record again";
	case ENOMEM:
		return "out of memory; read a shorter span of time or free some memory";
	case EINVAL:
		return "the span of time ends before it begins; swap its ends";
	case EIO:
		return "the disk reports an error; check it and record to another one";
	default:
		return strerror(-err);
	}
}

const char *recording__load_strerror(int err)
{
	switch (-err) {
	case ENOENT:
		return "there is no such file; check its name, or make one with `pymemscope record`";
	case EACCES:
	case EPERM:
		return "no permission to read it; run as its owner or as root";
	default:
		return recording__strerror(err);
	}
}
