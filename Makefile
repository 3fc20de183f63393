# Lockstep. `make` builds, `make demo` shows it, `make test` proves it.
#
#   BUILD=dir      where everything goes (build)
#   SANITIZE=1     with AddressSanitizer and UndefinedBehaviorSanitizer
BUILD ?= build
PREFIX ?= /usr/local
CC ?= cc
PKG_CONFIG ?= pkg-config
LIBS_WANTED = jansson yaml-0.1 zlib libdeflate libxxhash

VERSION := $(shell sed -n 's/.*LOCKSTEP_VERSION_[MP][A-Z]* \([0-9]*\)$$/\1/p' include/lockstep/capture.h | paste -sd.)
WARNINGS = -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla
CPPFLAGS += -Iinclude -Isrc -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 $(WARNINGS) -fPIC -fvisibility=hidden -ffp-contract=off -pthread -MMD -MP
LDLIBS = $(shell $(PKG_CONFIG) --libs $(LIBS_WANTED)) -lm -ldl
ifdef SANITIZE
override CFLAGS += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif

LIB_SRC := $(wildcard src/*/*.c)
CLI_SRC := $(wildcard cli/*.c)
# What runs in observed processes: libc alone. The hook preloads the writer of frames; an
# engine, or a hook in another language, has the C API as well.
WIRE_SRC := $(addprefix src/wire/,channel.c filters.c frame_writer.c strided.c) \
  $(addprefix src/base/,element_type.c error.c escape.c pattern.c ranges.c role.c text.c)
HOOK_SRC := $(wildcard hooks/ggml/*.c) $(WIRE_SRC) src/op/op.c src/base/map.c
CAPTURE_SRC := $(WIRE_SRC) src/wire/capture_api.c src/wire/hook_api.c src/base/version.c
TEST_SRC := $(wildcard tests/unit/test_*.c)
FUZZ_SRC := $(wildcard fuzz/fuzz_*.c)
# idle_engine needs a prebuilt ggml, which there is for x86-64
BENCH_SRC := $(filter-out bench/null_callback.c $(if $(filter x86_64,$(shell uname -m)),,bench/idle_engine.c),$(wildcard bench/*.c))

comma := ,
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))
TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(TEST_SRC))
FUZZ_REPLAYS := $(patsubst fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
BENCHES := $(patsubst bench/%.c,$(BUILD)/bench/%,$(BENCH_SRC))

.PHONY: all install examples bench benches asan fuzz faults soak deps demo test check-deps clean unit-tests fuzz-replays test-deps
all: $(BUILD)/lockstep $(BUILD)/liblockstep.a $(BUILD)/liblockstep.so $(BUILD)/liblockstep-ggml.so $(BUILD)/liblockstep-capture.so examples

check-deps:
	@$(PKG_CONFIG) --exists $(LIBS_WANTED) || { echo "missing libraries ($(LIBS_WANTED)): run 'make deps'" >&2; exit 1; }

$(BUILD)/obj/%.o: %.c | check-deps
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/lockstep: $(call obj,$(CLI_SRC)) $(BUILD)/liblockstep.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/obj/maps.c: $(wildcard maps/*.yaml) scripts/embed-maps
	@mkdir -p $(@D)
	scripts/embed-maps $(sort $(wildcard maps/*.yaml)) > $@.part && mv $@.part $@
$(BUILD)/obj/maps.o: $(BUILD)/obj/maps.c
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/liblockstep.a: $(call obj,$(LIB_SRC)) $(BUILD)/obj/maps.o
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/liblockstep.so: $(call obj,$(LIB_SRC)) $(BUILD)/obj/maps.o
	$(CC) -shared $(CFLAGS) $(LDFLAGS) -Wl,-Bsymbolic-functions -Wl,-soname,liblockstep.so.0 $^ $(LDLIBS) -o $@

# Nothing may stay undefined in what is loaded into other programs, except what a
# sanitizer's runtime gives.
DEFINED = $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs)

$(BUILD)/liblockstep-ggml.so: $(call obj,$(HOOK_SRC))
	$(CC) -shared $(CFLAGS) $(LDFLAGS) $(DEFINED) $^ -ldl -o $@

# Bound to its own functions: a program may have liblockstep.so, too.
$(BUILD)/liblockstep-capture.so: $(call obj,$(CAPTURE_SRC))
	$(CC) -shared $(CFLAGS) $(LDFLAGS) $(DEFINED) -Wl,-Bsymbolic-functions -Wl,-soname,liblockstep-capture.so.0 $^ -o $@
	ln -sf liblockstep-capture.so $@.0

# --- tests: see tests/run.py for the suites and how long each should take
unit-tests: $(TESTS)
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) $(shell $(PKG_CONFIG) --libs cmocka) -o $@

# A fuzz target replayed over its seeds, without a fuzzer.
fuzz-replays: $(FUZZ_REPLAYS)
$(BUILD)/fuzz/%: $(BUILD)/obj/fuzz/%.o $(BUILD)/obj/fuzz/replay.o $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=1 all unit-tests fuzz-replays

fuzz:
	@scripts/fuzz

# Campaigns, not part of `make test`: every planted fault and 100 random kills; then
# the same engines over and over.
faults: test-deps all
	@.deps/venv/bin/python -m pytest -q tests/e2e/test_faults.py
	@LOCKSTEP_KILLS=100 .deps/venv/bin/python -m pytest -q tests/capture/test_robustness.py -k kill

soak: test-deps all
	@for round in 1 2 3 4 5 6 7 8 9 10; do \
	  .deps/venv/bin/python -m pytest -q tests/capture && .deps/venv/bin/python -m pytest -q tests/e2e/test_clean.py || exit 1; done

deps:
	@scripts/deps build

test-deps:
	@scripts/deps build test

test: test-deps
	@$(MAKE) --no-print-directory all
	@python3 tests/run.py

demo:
	@scripts/deps build
	@$(MAKE) --no-print-directory all
	@scripts/demo

examples: $(EXAMPLES)
# An engine records through the small library; the example reads its weights with the other.
$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/liblockstep-capture.so $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $< -L$(BUILD) -llockstep-capture $(BUILD)/liblockstep.a -Wl,-rpath,'$$ORIGIN/..' $(LDLIBS) -o $@

# Prints figures beside their targets (bench/run.py); needs a quiet machine.
bench: test-deps
	@$(MAKE) --no-print-directory all benches
	@.deps/venv/bin/python bench/run.py
benches: $(BENCHES) $(BUILD)/bench/null_callback.so
$(BUILD)/bench/null_callback.so: $(call obj,bench/null_callback.c hooks/ggml/ggml_abi.c)
	@mkdir -p $(@D)
	$(CC) -shared $(CFLAGS) $(LDFLAGS) $^ -ldl -o $@
$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
# Linked against a real ggml, so that its calls can be interposed.
GGML_LIBS = .deps/llama-v0.5.0/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64
$(BUILD)/bench/idle_engine: $(BUILD)/obj/bench/idle_engine.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -L$(GGML_LIBS) -l:libggml-base.so -Wl,-rpath,$(abspath $(GGML_LIBS)) -ldl -o $@

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/lockstep \
	  $(DESTDIR)$(PREFIX)/share/lockstep/maps $(DESTDIR)$(PREFIX)/share/lockstep/python/lockstep_debug
	install -m 755 $(BUILD)/lockstep $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/liblockstep.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/liblockstep.so $(DESTDIR)$(PREFIX)/lib/liblockstep.so.0
	ln -sf liblockstep.so.0 $(DESTDIR)$(PREFIX)/lib/liblockstep.so
	install -m 755 $(BUILD)/liblockstep-ggml.so $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/liblockstep-capture.so $(DESTDIR)$(PREFIX)/lib/liblockstep-capture.so.0
	ln -sf liblockstep-capture.so.0 $(DESTDIR)$(PREFIX)/lib/liblockstep-capture.so
	install -m 644 include/lockstep/*.h $(DESTDIR)$(PREFIX)/include/lockstep/
	install -m 644 maps/*.yaml $(DESTDIR)$(PREFIX)/share/lockstep/maps/
	install -m 644 python/lockstep_debug/*.py $(DESTDIR)$(PREFIX)/share/lockstep/python/lockstep_debug/
	install -m 644 python/sitecustomize.py $(DESTDIR)$(PREFIX)/share/lockstep/python/
	for each in lockstep lockstep-capture; do \
	  sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' scripts/$$each.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/$$each.pc || exit 1; done

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
