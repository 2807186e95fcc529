/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The forms: [-]BYTES@OPERAND (<sys/sdt.h>), the operand as the assembler of the machine writes it. x86-64: %reg, D(%reg),
 * $N. AArch64: xN, wN, [sp], [xN, D], N. Forms with an index register (D(%a,%b,4)) or a symbol are not understood.
 */
#include "python/usdt_arg.h"

#include <asm/ptrace.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
static int find_register(const char *name)
{
	static const struct {
		const char *names[4]; /* of 8, 4, 2, 1 bytes */
		size_t offset;
	} registers[] = {
		{{"rax", "eax", "ax", "al"}, offsetof(struct pt_regs, rax)},
		{{"rbx", "ebx", "bx", "bl"}, offsetof(struct pt_regs, rbx)},
		{{"rcx", "ecx", "cx", "cl"}, offsetof(struct pt_regs, rcx)},
		{{"rdx", "edx", "dx", "dl"}, offsetof(struct pt_regs, rdx)},
		{{"rsi", "esi", "si", "sil"}, offsetof(struct pt_regs, rsi)},
		{{"rdi", "edi", "di", "dil"}, offsetof(struct pt_regs, rdi)},
		{{"rbp", "ebp", "bp", "bpl"}, offsetof(struct pt_regs, rbp)},
		{{"rsp", "esp", "sp", "spl"}, offsetof(struct pt_regs, rsp)},
		{{"r8", "r8d", "r8w", "r8b"}, offsetof(struct pt_regs, r8)},
		{{"r9", "r9d", "r9w", "r9b"}, offsetof(struct pt_regs, r9)},
		{{"r10", "r10d", "r10w", "r10b"}, offsetof(struct pt_regs, r10)},
		{{"r11", "r11d", "r11w", "r11b"}, offsetof(struct pt_regs, r11)},
		{{"r12", "r12d", "r12w", "r12b"}, offsetof(struct pt_regs, r12)},
		{{"r13", "r13d", "r13w", "r13b"}, offsetof(struct pt_regs, r13)},
		{{"r14", "r14d", "r14w", "r14b"}, offsetof(struct pt_regs, r14)},
		{{"r15", "r15d", "r15w", "r15b"}, offsetof(struct pt_regs, r15)},
	};

	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		for (size_t j = 0; j < 4; j++) {
			if (!strcmp(name, registers[i].names[j]))
				return registers[i].offset / 8;
		}
	}
	return -1;
}

static enum site_arg_form parse_operand(const char *op, char name[8], long *value)
{
	int end = 0;

	if (sscanf(op, "$%ld%n", value, &end) == 1 && end && !op[end])
		return SITE_ARG_CONSTANT;
	if (sscanf(op, "%%%7[a-z0-9]%n", name, &end) == 1 && end && !op[end])
		return SITE_ARG_REGISTER;
	if (sscanf(op, "(%%%7[a-z0-9])%n", name, &end) == 1 && end && !op[end])
		return SITE_ARG_MEMORY;
	end = 0;
	if (sscanf(op, "%ld(%%%7[a-z0-9])%n", value, name, &end) == 2 && end && !op[end])
		return SITE_ARG_MEMORY;
	return SITE_ARG_NONE;
}
#elif defined(__aarch64__)
/* struct user_pt_regs: regs[31], sp. */
static int find_register(const char *name)
{
	char *end;
	long n;

	if (!strcmp(name, "sp"))
		return 31;
	n = strtol(name + 1, &end, 10);
	return (name[0] == 'x' || name[0] == 'w') && end != name + 1 && !*end && n >= 0 && n < 31 ? n : -1;
}

static enum site_arg_form parse_operand(const char *op, char name[8], long *value)
{
	int end = 0;

	if (sscanf(op, "%ld%n", value, &end) == 1 && end && !op[end])
		return SITE_ARG_CONSTANT;
	if (sscanf(op, "%7[a-z0-9]%n", name, &end) == 1 && end && !op[end])
		return SITE_ARG_REGISTER;
	if (sscanf(op, "[%7[a-z0-9]]%n", name, &end) == 1 && end && !op[end])
		return SITE_ARG_MEMORY;
	end = 0;
	if (sscanf(op, "[%7[a-z0-9],%ld]%n", name, value, &end) == 2 && end && !op[end])
		return SITE_ARG_MEMORY;
	return SITE_ARG_NONE;
}
#else
#error "usdt_arg: this architecture is not known"
#endif

/* "[x0, 60]" has a blank inside an operand: it ends at the closing bracket. */
static int copy_operand(const char *from, char *to, size_t size)
{
	size_t n = 0;

	for (bool inside = false; *from && (*from != ' ' || inside); from++) {
		inside = *from == '[' || (inside && *from != ']');
		if (*from == ' ')
			continue;
		if (n + 1 >= size)
			return -EINVAL;
		to[n++] = *from;
	}
	to[n] = 0;
	return 0;
}

int usdt_arg__parse(const char *args, union site_cookie *ret)
{
	enum site_arg_form form;
	char op[64], name[8] = "";
	int bytes, at = 0, reg = 0;
	long value = 0;

	while (*args == ' ')
		args++;
	if (!*args)
		return -ENOENT;
	if (sscanf(args, "%d@%n", &bytes, &at) != 1 || !at || copy_operand(args + at, op, sizeof(op)))
		return -EINVAL;
	if (abs(bytes) != 1 && abs(bytes) != 2 && abs(bytes) != 4 && abs(bytes) != 8)
		return -EINVAL;
	form = parse_operand(op, name, &value);
	if (form == SITE_ARG_NONE || labs(value) > SITE_ARG_VALUE_MAX)
		return -EINVAL;
	if (form != SITE_ARG_CONSTANT)
		reg = find_register(name);
	if (reg < 0)
		return -EINVAL;
	ret->arg_form = form;
	ret->arg_signed = bytes < 0;
	ret->arg_log2_bytes = __builtin_ctz(abs(bytes));
	ret->arg_register = reg;
	ret->arg_value = value;
	return 0;
}
