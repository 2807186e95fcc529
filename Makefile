# pymemscope: one binary, BPF skeleton embedded. `make help` lists the targets.
#
# V=1 shows commands; SAN=address,undefined builds with sanitizers; BUILD= is the folder for everything made;
# ARCH= is the machine to build for (a folder below vmlinux/).

BUILD ?= build
ARCH ?= $(shell uname -m)
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)
PKG_CONFIG ?= pkg-config
Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-8s%s\n' '$1' '$2')

BPF_ARCH := $(subst x86_64,x86,$(subst aarch64,arm64,$(ARCH)))
PKGS := libbpf libelf zlib sqlite3 json-c
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(CI),-Werror)
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iuser -I$(BUILD) $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) $(CPPFLAGS) -MMD -MP
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
LIBS = $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lZydis -lm -lpthread
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Wextra -Wno-unused-parameter \
	-Wno-missing-declarations -Iinclude -Ivmlinux/$(ARCH) \
	-idirafter /usr/include/$(ARCH)-linux-gnu -MMD -MP

USER_SRC := $(wildcard user/*.c user/*/*.c)
BPF_SRC := $(wildcard bpf/*.bpf.c)
USER_OBJ := $(USER_SRC:%.c=$(BUILD)/%.o)
BPF_OBJ := $(BPF_SRC:%.c=$(BUILD)/%.o)
MAIN_OBJ := $(filter $(BUILD)/user/main.o $(BUILD)/user/cmd_%.o,$(USER_OBJ))
LIB := $(BUILD)/libpymemscope.a
SKEL := $(BUILD)/pymemscope.skel.h
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT := $(UNIT_SRC:%.c=$(BUILD)/%)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: pymemscope ## build ./pymemscope

pymemscope: $(MAIN_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $^ $(LIBS) -o $@

$(LIB): $(filter-out $(MAIN_OBJ),$(USER_OBJ))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/user/%.o: user/%.c | deps
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c $< -o $@

# Text that the binary carries (script and style of the flame graph): each line becomes a C string.
$(BUILD)/user/%.inc: user/%
	$(Q)mkdir -p $(@D) && sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $< > $@
$(BUILD)/user/views/flamegraph.o: $(BUILD)/user/views/flamegraph.css.inc $(BUILD)/user/views/flamegraph.js.inc

# Only the session module includes the skeleton.
$(patsubst %.c,$(BUILD)/%.o,$(wildcard user/capture/session*.c)): $(SKEL)

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c vmlinux/$(ARCH)/vmlinux.h | deps
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(BUILD)/pymemscope.bpf.o: $(BPF_OBJ)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(SKEL): $(BUILD)/pymemscope.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name pymemscope_bpf > $@

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIB) | deps
	$(call say,TEST,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $< $(LIB) $(LIBS) -lcmocka -o $@

$(BUILD)/tests/vm/probe_smoke.bpf.o: tests/vm/probe_smoke.bpf.c vmlinux/$(ARCH)/vmlinux.h | deps
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(BUILD)/tests/vm/probe_smoke.skel.h: $(BUILD)/tests/vm/probe_smoke.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name probe_smoke_bpf > $@

$(BUILD)/tests/vm/probe_smoke: tests/vm/probe_smoke.c $(BUILD)/tests/vm/probe_smoke.skel.h | deps
	$(call say,TEST,$<)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) $< $(LIBS) -o $@

unit: $(UNIT) ## build and run the unit tests (no root)
	$(Q)tests/run --together $(UNIT)

deps: ## install what the build needs (Debian packages), where it is missing
	$(Q)tools/setup.sh build

check: ## install what tests need, build, run every test
	$(Q)tools/setup.sh test
	$(Q)$(MAKE) --no-print-directory all $(UNIT)
	$(Q)tests/run --together $(UNIT) -- $(sort $(wildcard tests/cli/*.t tests/e2e/*.t))

demo: ## install what is missing, build, record a leaking container, show what was found (root)
	$(Q)tools/demo.sh

check-vm: ## run the tool in virtual machines with Debian's kernels (VM_KERNELS="bullseye bookworm trixie sid")
	$(Q)tools/setup.sh vm
	$(Q)$(MAKE) --no-print-directory all $(BUILD)/tests/vm/probe_smoke
	$(Q)BUILD=$(BUILD) tests/run -t 1800 tests/vm/run

bench: all ## measure what tracing costs, print tables, write build/bench.json (root; BENCH=quick: under 3 minutes)
	$(Q)tools/bench $(if $(BENCH),--$(BENCH))

matrix: all ## measure what each signal sees on every interpreter, print the table, write build/matrix.json (root)
	$(Q)tools/matrix

clean: ## remove everything made
	rm -rf $(BUILD) pymemscope

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@printf '\n  V=1 shows commands, SAN=address,undefined adds sanitizers, ARCH= picks vmlinux/ARCH\n'

.PHONY: all unit deps check demo check-vm bench matrix clean help

-include $(USER_OBJ:.o=.d) $(BPF_OBJ:.o=.d) $(UNIT:=.d) $(wildcard $(BUILD)/tests/vm/*.d)
