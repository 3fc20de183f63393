# Lockstep. `make` builds, `make demo` shows it, `make test` proves it.
#
# `make help` lists the targets: a target's comment after "##" is its line there.
#
#   BUILD=dir        where everything goes (build)
#   CC=clang         another compiler; give it another BUILD, too
#   SANITIZE=KINDS   with these sanitizers: address,undefined or thread
#   V=1              shows the commands
#   WERROR=1         a warning is an error
BUILD ?= build
PREFIX ?= /usr/local
CC ?= cc
PKG_CONFIG ?= pkg-config
LIBS_WANTED = jansson yaml-0.1 zlib libdeflate libxxhash

VERSION := $(shell sed -n 's/.*LOCKSTEP_VERSION_[MP][A-Z]* \([0-9]*\)$$/\1/p' include/lockstep/capture.h | paste -sd.)
WARNINGS = -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla \
  -Wconversion -Wcast-qual -Wnull-dereference -Wswitch-enum $(if $(WERROR),-Werror)
CPPFLAGS += -Iinclude -Isrc -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 $(WARNINGS) -fPIC -fvisibility=hidden -ffp-contract=off -pthread -MMD -MP
LDLIBS = $(shell $(PKG_CONFIG) --libs $(LIBS_WANTED)) -lm -ldl
# Read pictures, and draw PNG; all else works without them.
IMAGE_LIBS := $(foreach library,libpng libjpeg,$(shell $(PKG_CONFIG) --exists $(library) && echo $(library)))
IMAGE_CPPFLAGS := $(if $(IMAGE_LIBS),$(shell $(PKG_CONFIG) --cflags $(IMAGE_LIBS))) $(patsubst libpng,-DLS_HAVE_PNG,$(patsubst libjpeg,-DLS_HAVE_JPEG,$(IMAGE_LIBS)))
LDLIBS += $(if $(IMAGE_LIBS),$(shell $(PKG_CONFIG) --libs $(IMAGE_LIBS)))
ifdef SANITIZE
override CFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=$(SANITIZE)
endif

# One short line a step, or with V=1 the commands: $(call say,STEP,WHAT), then $(Q)command.
V ?=
Q = $(if $(filter-out 0,$(V)),,@)
say = $(if $(filter-out 0,$(V)),,@printf '  %-6s %s\n' '$(1)' '$(2)')

LIB_SRC := $(wildcard src/*/*.c)
CLI_SRC := $(wildcard cli/*.c)
# What runs in observed processes: libc alone. The hook preloads the writer of frames; an
# engine, or a hook in another language, has the C API as well.
WIRE_SRC := $(addprefix src/wire/,channel.c filters.c frame_writer.c strided.c) \
  $(addprefix src/base/,element_type.c error.c escape.c pattern.c ranges.c role.c text.c)
HOOKS := $(notdir $(patsubst %/,%,$(wildcard hooks/*/)))
HOOK_LIBS := $(HOOKS:%=liblockstep-%.so)
HOOK_BASE := $(WIRE_SRC) src/op/op.c src/base/map.c src/base/sampled.c
CAPTURE_SRC := $(WIRE_SRC) src/wire/capture_api.c src/wire/hook_api.c src/base/sampled.c src/base/version.c
COMMANDS := $(patsubst cli/cmd_%.c,%,$(wildcard cli/cmd_*.c))
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

.PHONY: all asan bench benches build-tsan check check-deps clang clean clean-runs coverage demo deps examples faults fuzz fuzz-replays help install kernels pages \
  soak test test-deps tsan uninstall unit-tests vision zoo
.SECONDARY: # keep the objects of programs
all: ## build the command, the libraries, the hook and the examples
all: $(BUILD)/lockstep $(BUILD)/liblockstep.a $(BUILD)/liblockstep.so $(addprefix $(BUILD)/,$(HOOK_LIBS)) $(BUILD)/liblockstep-capture.so examples pages

check-deps:
	@$(PKG_CONFIG) --exists $(LIBS_WANTED) || { echo "missing libraries ($(LIBS_WANTED)): run 'make deps'" >&2; exit 1; }

$(BUILD)/obj/%.o: %.c | check-deps
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(addprefix $(BUILD)/obj/,cli/png_file.o src/image/png_image.o src/image/jpeg_image.o): override CPPFLAGS += $(IMAGE_CPPFLAGS)
$(BUILD)/lockstep: $(call obj,$(CLI_SRC)) $(BUILD)/liblockstep.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/obj/maps.c: $(wildcard maps/*.yaml) scripts/embed-maps
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)scripts/embed-maps $(sort $(wildcard maps/*.yaml)) > $@.part && mv $@.part $@
$(BUILD)/obj/maps.o: $(BUILD)/obj/maps.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# The HTML report's template.
$(BUILD)/obj/page_template.c: $(wildcard src/report/page/*) scripts/embed-page
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)scripts/embed-page src/report/page/page.html > $@.part && mv $@.part $@
$(BUILD)/obj/page_template.o: $(BUILD)/obj/page_template.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

EMBEDDED := $(BUILD)/obj/maps.o $(BUILD)/obj/page_template.o
$(BUILD)/liblockstep.a: $(call obj,$(LIB_SRC)) $(EMBEDDED)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/liblockstep.so: $(call obj,$(LIB_SRC)) $(EMBEDDED)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) -Wl,-Bsymbolic-functions -Wl,-soname,liblockstep.so.0 $^ $(LDLIBS) -o $@
	$(Q)ln -sf liblockstep.so $@.0

# Nothing may stay undefined in what is loaded into other programs, except what a
# sanitizer's runtime gives.
DEFINED = $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs)

# A folder below hooks/ is a library that is preloaded.
define hook_rule
$$(BUILD)/liblockstep-$(1).so: $$(call obj,$$(wildcard hooks/$(1)/*.c) $$(HOOK_BASE))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) -shared $$(CFLAGS) $$(LDFLAGS) $$(DEFINED) $$^ -ldl -o $$@
endef
$(foreach hook,$(HOOKS),$(eval $(call hook_rule,$(hook))))

# Bound to its own functions: a program may have liblockstep.so, too.
$(BUILD)/liblockstep-capture.so: $(call obj,$(CAPTURE_SRC))
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) $(DEFINED) -Wl,-Bsymbolic-functions -Wl,-soname,liblockstep-capture.so.0 $^ -o $@
	$(Q)ln -sf liblockstep-capture.so $@.0

# Manual pages and completion, from the tables of options.
MAN_PAGES := $(BUILD)/man/lockstep.1 $(COMMANDS:%=$(BUILD)/man/lockstep-%.1)
COMPLETIONS := $(BUILD)/completion/lockstep $(BUILD)/completion/_lockstep $(BUILD)/completion/lockstep.fish
pages: ## build the manual pages (build/man) and the completion of shells (build/completion)
pages: $(MAN_PAGES) $(COMPLETIONS)
$(BUILD)/pages: $(call obj,$(wildcard cli/pages/*.c) $(filter-out cli/main.c,$(CLI_SRC))) $(BUILD)/liblockstep.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(BUILD)/man/lockstep.1: PAGE = man
$(BUILD)/man/lockstep-%.1: PAGE = man $(patsubst lockstep-%.1,%,$(notdir $@))
$(BUILD)/completion/lockstep: PAGE = bash
$(BUILD)/completion/_lockstep: PAGE = zsh
$(BUILD)/completion/lockstep.fish: PAGE = fish
$(MAN_PAGES) $(COMPLETIONS): $(BUILD)/pages
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(BUILD)/pages $(PAGE) > $@.part && mv $@.part $@

# --- tests: see tests/run.py for the suites and how long each should take
unit-tests: ## build the unit tests (build/tests)
unit-tests: $(TESTS)
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/obj/tests/unit/trace_builder.o $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) $(shell $(PKG_CONFIG) --libs cmocka) -o $@

# A fuzz target replayed over its seeds, without a fuzzer.
fuzz-replays: ## build the fuzz targets that replay their seeds (build/fuzz)
fuzz-replays: $(FUZZ_REPLAYS)
$(BUILD)/fuzz/%: $(BUILD)/obj/fuzz/%.o $(BUILD)/obj/fuzz/replay.o $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

asan: ## build all with AddressSanitizer and UndefinedBehaviorSanitizer (build/asan)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=address,undefined all unit-tests fuzz-replays

tsan: ## run what uses threads under ThreadSanitizer (build/tsan)
	@python3 tests/run.py threads

# The channel, the pool, and comparisons that run on it. fuzz_live is too slow under it.
THREADED = tests/test_channel tests/test_metrics tests/test_recorder fuzz/fuzz_diff fuzz/fuzz_recorder
build-tsan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SANITIZE=thread CFLAGS="-O1 -g" $(addprefix $(BUILD)/tsan/,$(THREADED))

clang: ## build all with clang, where a warning is an error (build/clang)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/clang CC=clang WERROR=1 all unit-tests fuzz-replays

coverage: ## print which lines of src/ the unit tests and the fuzz seeds run (build/coverage)
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/coverage CC=gcc CFLAGS="-O0 -g --coverage" unit-tests fuzz-replays
	@scripts/coverage $(BUILD)/coverage

fuzz: ## run each fuzz target under libFuzzer for a minute
	@scripts/fuzz

# Campaigns, not part of `make test`: planted faults (TYPE: of the weights; TWO=1: two in each case; FOLDER=1:
# against a folder of a third of the reference's tensors, too; REFERENCE=bfloat16: against a reference in this type, too;
# CLEAN=1: against folders, without a fault) and 100 random kills;
# then the same engines over and over.
SEED := 1
CASES := 400
faults: ## run the longer campaigns: planted faults (SEED=n CASES=n TYPE=q4_0 TWO=1 FOLDER=1 REFERENCE=bfloat16 CLEAN=1), and 100 random kills
faults: test-deps all
	@.deps/venv/bin/python -m pytest -q tests/e2e/test_faults.py
	@.deps/venv/bin/python tests/e2e/faults.py --seed $(SEED) --cases $(CASES) $(if $(TYPE),--type $(TYPE)) $(if $(TWO),--two) $(if $(FOLDER),--folder) $(if $(REFERENCE),--reference $(REFERENCE)) $(if $(CLEAN),--clean)
	@LOCKSTEP_KILLS=100 .deps/venv/bin/python -m pytest -q tests/capture/test_robustness.py -k kill

kernels: ## run the longer campaign of wrong kernels and wrong recordings (SEED=n CASES=n)
kernels: test-deps all
	@.deps/venv/bin/python tests/e2e/kernel_faults.py --seed $(SEED) --cases $(CASES)

FIRST := 1
RUNS := 1000
clean-runs: ## run correct conversions, in which nothing may be found (FIRST=n RUNS=n): under an hour
clean-runs: test-deps all
	@.deps/venv/bin/python tests/e2e/clean_runs.py --first $(FIRST) --runs $(RUNS)

zoo: ## convert, run and compare every architecture that llama.cpp's converter knows (ONLY=bloom,mpt TABLE=docs/zoo.md; CHECKPOINTS=1: the files alone, minutes; FAULTS=1 SEED=n: with planted faults): half an hour
zoo: test-deps all
	@.deps/venv/bin/python tests/zoo/zoo.py $(if $(CHECKPOINTS),--checkpoints) $(if $(FAULTS),--faults $(SEED)) $(if $(TYPES),--types $(TYPES)) $(if $(ONLY),--only $(ONLY)) $(if $(TABLE),--table $(TABLE))

vision: ## make vision towers and whole models, run them in two engines, and compare, with and without planted faults (ONLY=gemma3,mllama): a quarter of an hour
vision: test-deps all
	@.deps/venv/bin/python tests/vision/vision.py $(if $(ONLY),--only $(ONLY))

soak: ## run the engines' tests ten times
soak: test-deps all
	@for round in 1 2 3 4 5 6 7 8 9 10; do \
	  .deps/venv/bin/python -m pytest -q tests/capture && .deps/venv/bin/python -m pytest -q tests/e2e/test_clean.py || exit 1; done

deps: ## install the libraries that a build needs, or list them
	@scripts/deps build

test-deps:
	@scripts/deps build test

check: ## run the tests of a minute: layers, operations, units, the command line
check: test-deps
	@$(MAKE) --no-print-directory all
	@python3 tests/run.py layers op unit cli

test: ## run every test; half an hour
test: test-deps
	@$(MAKE) --no-print-directory all
	@python3 tests/run.py

demo: ## build, and compare recorded traces
	@scripts/deps build
	@$(MAKE) --no-print-directory all
	@scripts/demo

examples: ## build the examples (build/examples)
examples: $(EXAMPLES)
# An engine records through the small library; the example reads its weights with the other.
$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/liblockstep-capture.so $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $< -L$(BUILD) -llockstep-capture $(BUILD)/liblockstep.a -Wl,-rpath,'$$ORIGIN/..' $(LDLIBS) -o $@

# Prints figures beside their targets (bench/run.py); needs a quiet machine.
bench: ## measure, beside targets; needs a quiet machine
bench: test-deps
	@$(MAKE) --no-print-directory all benches
	@.deps/venv/bin/python bench/run.py
benches: ## build the programs that bench runs (build/bench)
benches: $(BENCHES) $(BUILD)/bench/null_callback.so
$(BUILD)/bench/null_callback.so: $(call obj,bench/null_callback.c hooks/ggml/ggml_abi.c)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) $^ -ldl -o $@
$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(BUILD)/liblockstep.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
# Linked against a real ggml, so that its calls can be interposed.
GGML_LIBS = .deps/llama-v0.5.0/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64
$(BUILD)/bench/idle_engine: $(BUILD)/obj/bench/idle_engine.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -L$(GGML_LIBS) -l:libggml-base.so -Wl,-rpath,$(abspath $(GGML_LIBS)) -ldl -o $@

COMPLETION_FOLDERS = bash-completion/completions zsh/site-functions fish/vendor_completions.d
install: ## install below $(DESTDIR)$(PREFIX)
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/lockstep \
	  $(DESTDIR)$(PREFIX)/share/lockstep/maps $(DESTDIR)$(PREFIX)/share/lockstep/python/lockstep_debug $(DESTDIR)$(PREFIX)/share/man/man1 \
	  $(addprefix $(DESTDIR)$(PREFIX)/share/,$(COMPLETION_FOLDERS))
	install -m 755 $(BUILD)/lockstep $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/liblockstep.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/liblockstep.so $(DESTDIR)$(PREFIX)/lib/liblockstep.so.0
	ln -sf liblockstep.so.0 $(DESTDIR)$(PREFIX)/lib/liblockstep.so
	install -m 755 $(addprefix $(BUILD)/,$(HOOK_LIBS)) $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/liblockstep-capture.so $(DESTDIR)$(PREFIX)/lib/liblockstep-capture.so.0
	ln -sf liblockstep-capture.so.0 $(DESTDIR)$(PREFIX)/lib/liblockstep-capture.so
	install -m 644 include/lockstep/*.h $(DESTDIR)$(PREFIX)/include/lockstep/
	install -m 644 maps/*.yaml $(DESTDIR)$(PREFIX)/share/lockstep/maps/
	install -m 644 python/lockstep_debug/*.py $(DESTDIR)$(PREFIX)/share/lockstep/python/lockstep_debug/
	install -m 644 python/sitecustomize.py $(DESTDIR)$(PREFIX)/share/lockstep/python/
	install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 $(BUILD)/completion/lockstep $(DESTDIR)$(PREFIX)/share/bash-completion/completions/
	install -m 644 $(BUILD)/completion/_lockstep $(DESTDIR)$(PREFIX)/share/zsh/site-functions/
	install -m 644 $(BUILD)/completion/lockstep.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/
	for each in lockstep lockstep-capture; do \
	  sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' -e 's|@IMAGE_LIBS@|$(IMAGE_LIBS)|' scripts/$$each.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/$$each.pc || exit 1; done

uninstall: ## remove what install installed
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/lockstep lib/pkgconfig/lockstep.pc lib/pkgconfig/lockstep-capture.pc lib/liblockstep.a \
	  lib/liblockstep.so lib/liblockstep.so.0 lib/liblockstep-capture.so lib/liblockstep-capture.so.0 $(HOOK_LIBS:%=lib/%) \
	  share/bash-completion/completions/lockstep share/zsh/site-functions/_lockstep share/fish/vendor_completions.d/lockstep.fish \
	  $(addprefix share/man/man1/,$(notdir $(MAN_PAGES))))
	rm -rf $(DESTDIR)$(PREFIX)/include/lockstep $(DESTDIR)$(PREFIX)/share/lockstep

help: ## list the targets
	@sed -n 's/^\([a-z-]*\): ## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | sort | expand -t 16
	@echo
	@sed -n 's/^#   \([A-Z]*=\)/  \1/p' $(firstword $(MAKEFILE_LIST))

clean: ## remove what was built
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
