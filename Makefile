# Thin: every target is one command of its own, to be run by hand as well.
PYTHON ?= /usr/bin/python3
CARGO ?= cargo
BINARY ?= target/armv7-unknown-linux-gnueabihf/release/larder

.PHONY: help demo test bench bench-engine bench-dedup bench-night bench-sync setup binary image run test-image test-armv7 release

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.* ## /  make \1\t/p' Makefile | expand -t 20

demo: ## a day with Larder in a folder, in less than a minute
	.ci/setup engine
	$(CARGO) build --locked --bin larder --example demo
	$(CARGO) run --locked --quiet --example demo

test: ## everything that is tested, with a summary (PART=name: only that part)
	.ci/test $(PART)

bench: bench-engine bench-dedup bench-night bench-sync ## all figures beside their peers, in a quarter of an hour (ROUNDS= to taste)

bench-engine: ## scan, get, choice and memory beside find and cp (FILES=1000000, ROUNDS=, DIR= on the drive to be measured)
	.ci/setup engine
	$(CARGO) bench --locked --bench engine -- --files $(or $(FILES),100000) --rounds $(or $(ROUNDS),5) $(if $(DIR),--dir $(DIR))

bench-sync: ## a wish, many files and a revoke with real Syncthings (ROUNDS= and FILES= to taste)
	.ci/setup engine
	$(CARGO) bench --locked --bench sync -- --rounds $(or $(ROUNDS),5) --files $(or $(FILES),10000)

bench-dedup: ## joining equal files beside fclones, jdupes and rmlint (FILES= and ROUNDS= to taste)
	.ci/setup engine peers
	test -x build/peers/bin/fclones || $(CARGO) install --locked fclones --root build/peers
	LARDER_BENCH_FILES=$(or $(FILES),6000) LARDER_BENCH_REPEAT=$(or $(ROUNDS),5) $(CARGO) bench --locked --bench dedup

bench-night: ## how soon the night's work rests when something moves, and the memory that joining a million files takes (FILES=, JOINED=, STOPS=)
	.ci/setup engine
	$(CARGO) bench --locked --bench night -- --files $(or $(FILES),100000) --joined $(or $(JOINED),1000000) --stops $(or $(STOPS),100)

setup: ## install what building and testing need (Debian packages)
	.ci/setup

binary: ## the engine for the card, cross compiled (BINARY= names one that is there already)
ifeq ($(origin BINARY),file)
	image/binary.sh
endif

image: binary ## build/image/larder-VERSION.img and what goes with it
	image/build.sh $(BINARY)

run: ## the card in an emulated Pi; ONCE=1 ends when it was ready and did one thing
	$(PYTHON) image/run.py $(if $(ONCE),--once)

test-image: ## the image tests (IMAGE= names another image); LARDER_SLOW=3 on a busy machine
	$(PYTHON) -m pytest -q -rsfE --durations=0 $(if $(TESTS),$(TESTS),tests/image)

test-armv7: ## the tests of the pure rooms, as ARMv7 programs under qemu-user (two minutes, once compiled)
	image/binary.sh test

release: binary ## the card as it is released, built by Buildroot (an hour or two; not as root)
	buildroot/release
