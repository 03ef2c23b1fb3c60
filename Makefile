# Thin: every target is one command of its own, to be run by hand as well.
PYTHON ?= /usr/bin/python3
BINARY ?= target/armv7-unknown-linux-gnueabihf/release/larder

.PHONY: setup binary image run test-image test-armv7

setup: ## install what building and testing need (Debian packages)
	.ci/setup rust image emulator

binary: ## the engine for the card, cross compiled (BINARY= names one that is there already)
ifeq ($(origin BINARY),file)
	image/binary.sh
endif

image: binary ## build/image/larder-VERSION.img and what goes with it
	image/build.sh $(BINARY)

run: ## the card in an emulated Pi; ONCE=1 ends when it was ready and did one thing
	$(PYTHON) image/run.py $(if $(ONCE),--once)

test-image: ## the image tests (IMAGE= names another image); LARDER_SLOW=3 on a busy machine
	$(PYTHON) -m pytest -q --durations=0 tests/image

test-armv7: ## the tests of the library, as ARMv7 programs under qemu-user
	image/binary.sh test --lib

# --- test, demo, bench -------------------------------------------------------------------------------------------
