# Maestrale's front door. `make` lists the targets.
# MODEL=path     the model that `make run` opens       FUZZ_RUNS=n  runs of each fuzz target
# JOBS=n         parallel compile and test jobs        PROMPT=text  what `make run` continues without a terminal
JOBS ?= $(shell nproc)
FUZZ_RUNS ?= 20000
PROMPT ?= Once upon a time
MAESTRALE := build/release/maestrale

.PHONY: help setup build run test bench format fuzz asan tsan docs-check clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | while IFS='	' read -r name what; do \
	  printf '  make %-11s %s\n' "$$name" "$$what"; done

setup:  ## install the Debian packages that are missing (asks for sudo when it must)
	@tools/setup.sh

build: setup  ## the release binaries: build/release/maestrale and build/release/maestrale-golden
	@tools/build.sh release $(JOBS)

run: build  ## talk to a model: make run MODEL=path (without MODEL: a speed measurement on random weights)
	@if [ -z "$(MODEL)" ]; then \
	  echo "No MODEL=path given: measuring speed on random weights of TinyLlama's shape instead."; \
	  $(MAESTRALE) bench --preset tinyllama-1.1b --format q4_0; \
	elif [ -t 0 ] && [ -t 1 ]; then $(MAESTRALE) chat "$(MODEL)"; \
	else $(MAESTRALE) generate "$(MODEL)" --prompt "$(PROMPT)"; fi

test: build  ## every test; the last line is `N passed, N failed`
	@tools/run_tests.py build/release --jobs $(JOBS)

bench: build  ## speed of the kernels and of decoding
	@$(MAESTRALE) bench --preset tinyllama-1.1b --format q4_0

format:  ## clang-format every C++ file in place
	@git ls-files -co --exclude-standard -- '*.cpp' '*.h' | xargs clang-format -i

fuzz:  ## every fuzz target FUZZ_RUNS times under ASan and UBSan
	@tools/fuzz.sh $(FUZZ_RUNS) $(JOBS)

asan: setup  ## every test under ASan and UBSan
	@tools/build.sh asan $(JOBS)
	@tools/run_tests.py build/asan --jobs $(JOBS)

tsan: setup  ## the threaded rooms' tests under TSan
	@tools/build.sh tsan $(JOBS)
	@tools/run_tests.py build/tsan --jobs $(JOBS) --only '^(base|net|ops|engine|chat)$$'

docs-check:  ## every path and command named in the documents exists
	@python3 tools/tidy.py --only docs

clean:  ## remove everything that was built
	@rm -rf build
