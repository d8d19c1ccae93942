# The face of the project: what a newcomer types. Meson and Ninja do the work.
#
#   make            build                    make run      serve the bundled example
#   make test       everything there is      make unit     only the unit tests
#   make bench      measure against others   make fuzz     every fuzz target, 60 s each
#   make tsan       a minute of ThreadSanitizer under load
#   make format     clang-format in place    make tidy     clang-tidy
#   make install    to PREFIX (DESTDIR is respected)
#
# Each target installs the Debian packages it needs, when some are missing (tools/packages.txt); the
# tests also need one of npm, which goes into the build folder (tools/install-npm).

BUILD   ?= build
PREFIX  ?= /usr/local
HARNESS ?= ../shared/bench
FUZZ_SECONDS ?= 60
TSAN_SECONDS ?= 60

ASAN = $(BUILD)/asan
TSAN = $(BUILD)/tsan
SOURCES = git ls-files --cached --others --exclude-standard '*.[ch]'

# One compiler builds what is installed, the other what is instrumented: warnings are errors in both.
PLAIN_OPTIONS = --werror --prefix=$(PREFIX) -Dwhole_program=true
CLANG_OPTIONS = --werror -Db_lundef=false -Doptimization=1 -Ddebug=false -Dc_args=-gline-tables-only

# Quiet unless something is wrong.
build = ninja -C $(1) >$(1)/build.log || { cat $(1)/build.log; exit 1; }

.PHONY: all run test unit asan tsan fuzz format format-check tidy bench install clean \
        packages-build

all: packages-build $(BUILD)/build.ninja
	@$(call build,$(BUILD))

packages-build:
	@tools/install-packages build

$(BUILD)/build.ninja:
	@meson setup $(BUILD) $(PLAIN_OPTIONS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

$(ASAN)/build.ninja: | $(BUILD)/build.ninja
	@CC=clang meson setup $(ASAN) $(CLANG_OPTIONS) -Db_sanitize=address,undefined -Dfuzz=true \
	    >$(BUILD)/asan.log 2>&1 || { cat $(BUILD)/asan.log; exit 1; }

$(TSAN)/build.ninja: | $(BUILD)/build.ninja
	@CC=clang meson setup $(TSAN) $(CLANG_OPTIONS) -Db_sanitize=thread \
	    >$(BUILD)/tsan.log 2>&1 || { cat $(BUILD)/tsan.log; exit 1; }

run: all
	@tools/install-packages run
	@examples/demo/run $(BUILD)

test: all
	@tools/install-packages test
	@tools/install-npm $(BUILD) || true # its own tests say that it is missing; the others go on
	@tools/run-tests $(BUILD)

unit: all
	@meson test -C $(BUILD) --suite unit --print-errorlogs

asan: packages-build $(ASAN)/build.ninja
	@$(call build,$(ASAN))

tsan-build: packages-build $(TSAN)/build.ninja
	@$(call build,$(TSAN))

tsan:
	@tools/install-packages build test
	@$(MAKE) --no-print-directory tsan-build
	@SLUICE_LOAD_SECONDS=$(TSAN_SECONDS) tools/run-tests $(BUILD) tsan

fuzz:
	@tools/install-packages build test
	@$(MAKE) --no-print-directory asan
	@tools/run-fuzz $(ASAN) $(FUZZ_SECONDS)

format:
	@$(SOURCES) | xargs clang-format -i

format-check:
	@$(SOURCES) | xargs clang-format --dry-run -Werror

tidy: all
	@tools/install-packages tidy
	@git ls-files 'src/*.c' | xargs clang-tidy -p $(BUILD) --quiet

bench: all
	@tools/install-packages bench
	@bench/run $(BUILD) $(HARNESS)

# A later PREFIX than that of the first build counts too.
install: all
	@grep -qx 'prefix = $(PREFIX)' $(BUILD)/meson-private/cmd_line.txt || \
	    meson configure $(BUILD) -Dprefix=$(PREFIX)
	@meson install -C $(BUILD)

clean:
	rm -rf $(BUILD)
