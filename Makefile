# Thin: each line of a recipe is a command to be run by hand as well. Each target first installs what it uses
# (.ci/setup GROUP...; tests/front checks that no group is missing) and builds what is missing or older than its sources.
PYTHON ?= /usr/bin/python3
CARGO ?= cargo
BINARY ?= target/armv7-unknown-linux-gnueabihf/release/larder
IMAGE ?=
STEP = @.ci/step
# The engine for the card, unless BINARY= names one that is there already.
COMPILE = $(if $(filter file,$(origin BINARY)),image/binary.sh,true)
# The card, unless IMAGE= names one that is there already.
ASSEMBLE = $(if $(IMAGE),true,image/build.sh "$(BINARY)")
export IMAGE

.PHONY: help run test demo image binary setup bench bench-engine bench-dedup bench-night bench-sync \
	test-image test-armv7 test-nightly test-release test-fresh release

help: ## what can be made
	@sed -n 's/^\([a-z0-9-]*\):.* ## /  make \1\t/p' Makefile | expand -t 22

run: ## the card in an emulated Pi with a drive plugged in (ONCE=1 ends when it was ready and did one thing)
	$(STEP) 1 4 first:3 "install what is missing" .ci/setup rust image emulator
	$(STEP) 2 4 first:6 "compile the engine for the card" $(if $(IMAGE),true,$(COMPILE))
	$(STEP) 3 4 first:3 "put the card together" $(ASSEMBLE)
	$(STEP) 4 4 2 "start it in an emulated Pi, a drive plugged in" $(PYTHON) image/run.py $(if $(ONCE),--once)

test: ## everything that is tested, with a summary (PART=name: only that part)
	@.ci/test $(PART)

demo: ## a day with Larder in a folder
	$(STEP) 1 3 first:2 "install what is missing" .ci/setup engine sync
	$(STEP) 2 3 first:4 "compile the engine" $(CARGO) build --locked --bin larder --example demo
	$(STEP) 3 3 1 "a day with Larder" $(CARGO) run --locked --quiet --example demo

image: ## build/image/larder-VERSION.img and what goes with it
	$(STEP) 1 3 first:3 "install what is missing" .ci/setup rust image
	$(STEP) 2 3 first:6 "compile the engine for the card" $(COMPILE)
	$(STEP) 3 3 first:3 "put the card together" image/build.sh "$(BINARY)"

binary: ## the engine for the card, cross compiled
	$(STEP) 1 2 first:2 "install what is missing" .ci/setup rust
	$(STEP) 2 2 first:6 "compile the engine for the card" $(COMPILE)

setup: ## install what building and testing need: each target does so by itself, this does it for all at once
	.ci/setup

bench: bench-engine bench-dedup bench-night bench-sync ## all figures beside their peers, in a quarter of an hour (ROUNDS= to taste)

bench-engine: ## scan, get, choice and memory beside find and cp (FILES=1000000, ROUNDS=, DIR= on the drive to be measured)
	$(STEP) 1 2 first:2 "install what is missing" .ci/setup engine
	$(STEP) 2 2 8 "compile and measure" $(CARGO) bench --locked --bench engine -- --files $(or $(FILES),100000) --rounds $(or $(ROUNDS),5) $(if $(DIR),--dir "$(DIR)")

bench-dedup: ## joining equal files beside fclones, jdupes and rmlint (FILES= and ROUNDS= to taste)
	$(STEP) 1 2 first:5 "install what is missing" .ci/setup engine peers
	@LARDER_BENCH_FILES=$(or $(FILES),6000) LARDER_BENCH_REPEAT=$(or $(ROUNDS),5) .ci/step 2 2 8 "compile and measure" $(CARGO) bench --locked --bench dedup

bench-night: ## how soon the night's work rests when something moves, and the memory that joining a million files takes (FILES=, JOINED=, STOPS=)
	$(STEP) 1 2 first:2 "install what is missing" .ci/setup engine
	$(STEP) 2 2 8 "compile and measure" $(CARGO) bench --locked --bench night -- --files $(or $(FILES),100000) --joined $(or $(JOINED),1000000) --stops $(or $(STOPS),100)

bench-sync: ## a wish, many files and a revoke with real Syncthings (ROUNDS= and FILES= to taste)
	$(STEP) 1 2 first:2 "install what is missing" .ci/setup engine sync
	$(STEP) 2 2 8 "compile and measure" $(CARGO) bench --locked --bench sync -- --rounds $(or $(ROUNDS),5) --files $(or $(FILES),10000)

test-image: ## the image tests (IMAGE= names another image); LARDER_SLOW=3 on a busy machine
	$(STEP) 1 4 first:3 "install what is missing" .ci/setup rust image emulator sync
	$(STEP) 2 4 first:6 "compile the engine for the card" $(if $(IMAGE),true,$(COMPILE))
	$(STEP) 3 4 first:3 "put the card together" $(ASSEMBLE)
	$(STEP) 4 4 15 "test it in an emulated Pi" $(PYTHON) -m pytest -q -rsfE --durations=0 $(or $(TESTS),tests/image)

test-armv7: ## the tests of all that decides, as ARMv7 programs under qemu-user
	$(STEP) 1 2 first:2 "install what is missing" .ci/setup rust
	$(STEP) 2 2 8 "compile and test" image/binary.sh test

test-nightly: ## what takes too long for every change: real time again and again, other random lives, the card's other tests, a fresh machine
	@.ci/test repeats lives armv7 image-whole fresh

test-release: ## what has to hold before a release: all tests, the whole of them on a fresh machine, the Buildroot card
	@.ci/test all armv7 image-whole fresh-whole release

test-fresh: ## a command on a Debian 12 that has nothing yet (RUN="make demo"); as root
	$(STEP) 1 2 first:1 "install what is missing" .ci/setup fresh
	$(STEP) 2 2 20 "a fresh machine" tests/fresh/machine $(if $(RUN),"$(RUN)")

release: ## the card as it is released, built by Buildroot (an hour or two; not as root)
	$(STEP) 1 3 first:5 "install what is missing" .ci/setup rust buildroot
	$(STEP) 2 3 first:6 "compile the engine for the card" $(COMPILE)
	$(STEP) 3 3 90 "build the card with Buildroot" buildroot/release
