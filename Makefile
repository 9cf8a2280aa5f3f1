# belljar: the targets a person or a machine calls. `make help` lists them.
BUILD ?= build
BELLJAR_STATE ?= /var/lib/belljar
BELLJAR_API_PORT ?= 3000
BELLJAR_EDGE_PORT ?= 3002
export BELLJAR_STATE BELLJAR_API_PORT BELLJAR_EDGE_PORT

PROGRAMS = belljar belljar-control belljar-engine belljar-edge belljar-agent belljar-interp belljar-unpack belljar-pull
.DEFAULT_GOAL := help
.PHONY: help deps build debug up down check lint bench fuzz sim churn format docs golden install clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

deps: ## install the packages that building and running need (root, Debian or Ubuntu)
	@scripts/deps run

$(BUILD)/build.ninja:
	@echo "building into $(BUILD) (half a minute, once) ..."
	@meson setup $(BUILD) --buildtype=release -Db_ndebug=false >/dev/null

build: $(BUILD)/build.ninja ## build the release programs into build/bin
	@ninja -C $(BUILD) --quiet
	@scripts/stage $(BUILD) $(PROGRAMS)

debug: ## build with ASan and UBSan into build-debug (not the static agent)
	@test -f build-debug/build.ninja || meson setup build-debug --buildtype=debug -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@# cmocka may have come after the set-up
	@test -d build-debug/tests/unit || ! pkg-config --exists cmocka || meson setup --reconfigure build-debug >/dev/null
	@ninja -C build-debug --quiet

up: ## install packages, build, make the templates, start the server, prove it with a sandbox
	@scripts/deps run
	@$(MAKE) --no-print-directory build
	@scripts/up $(BUILD)/bin

down: ## stop the server and end its sandboxes
	@if [ -x $(BUILD)/bin/belljar ]; then $(BUILD)/bin/belljar down; else echo "nothing was built here"; fi

check: ## install what the tests need, run all of them, end with 'N passed, N failed'
	@scripts/deps test
	@$(MAKE) --no-print-directory build
	@tests/run $(SUITES)

lint: ## layers, sizes, headers alone, generated pages fresh, format
	@scripts/lint

bench: ## measure against the peers; prints a table and writes build/bench.json
	@scripts/deps bench
	@$(MAKE) --no-print-directory build
	@tests/perf/bench $(BUILD)/bin

fuzz: ## every parser of foreign bytes, FUZZ_SECONDS (60) each
	@scripts/deps test
	@tests/fuzz/run

sim: debug ## simulate lives of sandboxes for SIM_SECONDS (3600); a failure prints its seed
	@SIM_SECONDS=$(or $(SIM_SECONDS),3600) build-debug/tests/unit/test-life-sim

churn: ## create, use and kill CHURN (10000) sandboxes while the server's processes are killed; before and after
	@scripts/deps test
	@$(MAKE) --no-print-directory build
	@tests/run churn

format: ## clang-format the tree (version 14, that of Debian 12: others break lines elsewhere)
	@clang-format --version | grep -q 'version 14\.' || { echo "this is not clang-format 14: it would restyle the tree" >&2; exit 1; }
	@scripts/sources | xargs clang-format -i

docs: build ## make docs/reference from defs/ and from the commands of the program
	@scripts/gendefs --docs docs/reference defs/*.def
	@$(BUILD)/bin/belljar --markdown >docs/reference/cli.md

golden: debug ## rewrite the golden files and show what changed
	@GOLDEN_UPDATE=1 tests/run unit && git --no-pager diff --stat -- tests/golden

INTO = $(DESTDIR)$(or $(PREFIX),/usr/local)
install: build ## copy programs, manual pages, completions, client library and header to PREFIX (/usr/local)
	install -d $(INTO)/lib/belljar $(INTO)/lib/pkgconfig $(INTO)/bin $(INTO)/include
	install -m 0755 $(addprefix $(BUILD)/bin/,$(PROGRAMS)) $(INTO)/lib/belljar/
	ln -sf ../lib/belljar/belljar $(INTO)/bin/belljar
	@scripts/pages $(BUILD)/bin/belljar $(INTO)
	install -m 0644 $(BUILD)/src/client/libbelljar.so.0.1.0 $(INTO)/lib/
	ln -sf libbelljar.so.0.1.0 $(INTO)/lib/libbelljar.so.0
	ln -sf libbelljar.so.0 $(INTO)/lib/libbelljar.so
	install -m 0644 src/client/belljar.h $(INTO)/include/
	install -m 0644 $(BUILD)/src/client/belljar.pc $(INTO)/lib/pkgconfig/
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

clean: ## remove the build directories
	rm -rf build build-debug
