# Thin targets: each calls cargo or the runner. `make run` and `make test` set up what they need.

export PATH := $(HOME)/.cargo/bin:$(PATH)

# One image for 64-bit guests and one for 32-bit guests.
IMAGE_TARGETS := --target x86_64-unknown-none --target i586-unknown-linux-gnu
IMAGE_CRATES := -p xtf-arch -p xtf-kernel -p xtf-tests
HOST_CRATES  := -p xtf-protocol -p xtf-livepatch -p xtf-runner -p xtf-plugin
# What is checked and tested together, always as this set: cargo compiles a dependency again for
# each set that asks for other features of it.
CHECKED      := --release $(HOST_CRATES) -p xtf-fuzz
RUNNER       := target/release/xtf-runner

# Every form of the results; `make test` writes them all.
REPORTS := $(foreach form,json junit ktap html,--$(form) target/results.$(form))

# What the suite shows, without what depends on the machine: a race that need not come about, and what
# QEMU's version makes of a register.
BASELINE     := $(RUNNER) generate baseline target/results.json --without livepatch-concurrent \
	--without selftest

.PHONY: run bench build image test-build setup test docs-test suites-test test-all test-xl soak coverage \
	fuzzer fuzz fuzz-host test-fuzz test-broken check check-format check-lints check-docs docs unit-test \
	e2e-test e2e-of-run e2e-of-others test-hosts test-upstream dist baseline clean

## run: boot the tests under Debian's Xen 4.17, as PV and as PVH dom0
run: build
	$(RUNNER) run --verbose

## build: the runner and the images
build: setup image
	cargo build --release $(HOST_CRATES)

image: setup
	cargo build --release $(IMAGE_CRATES) $(IMAGE_TARGETS)

# The same with all tests.
test-build: setup image
	cargo build $(CHECKED) --all-targets

setup:
	@scripts/setup

## test: everything that must hold before a change lands; when a step fails, the others still run
test:
	@$(MAKE) --no-print-directory --keep-going check unit-test e2e-test docs-test suites-test

docs-test: test-build
	$(RUNNER) list --markdown | diff -u docs/tests.md - || { echo 'docs/tests.md is stale: make docs'; false; }

suites-test: test-build
	$(RUNNER) run $(REPORTS)
	$(RUNNER) run --xen 4.17 --env hvm32,hvm32pae example selftest livepatch-width
	$(BASELINE) | diff -u tests/baseline.txt - || { echo 'other verdicts than in tests/baseline.txt: if that is right, make baseline'; false; }

## baseline: renews tests/baseline.txt, the verdicts that make test expects of Xen 4.17
baseline: test-build
	$(RUNNER) run --xen 4.17 --json target/results.json
	$(BASELINE) > tests/baseline.txt

## test-all: the suite on every Xen of xtf-runner.toml, as a table
test-all: build
	$(RUNNER) run --xen all

## soak: livepatch-soak, a hundred times as long as `make run` has it
soak: build
	$(RUNNER) run livepatch-soak --timeout 7200 --cmdline times=100

## coverage: which of Xen's livepatch code the suite executes, as a table and as a page
coverage: build
	$(RUNNER) coverage --html target/coverage.html

## test-xl: domains of the real xl, in a Linux dom0 under Xen in QEMU, and Debian's xen-livepatch
test-xl: test-build
	$(RUNNER) run --backend qemu-xl; status=$$?; \
	cargo test $(CHECKED) --test xl_real -- --ignored --test-threads 1 && exit $$status

## fuzzer: the fuzzer, whose many crates `make run` does not need
fuzzer: setup image
	cargo build $(CHECKED)

## fuzz: a minute of fuzzing livepatch calls on Debian's Xen 4.17, guided by coverage
fuzz: fuzzer
	$(RUNNER) fuzz livepatch --seconds 60

## test-fuzz: some fuzzing under real Xen; takes minutes
test-fuzz: test-build
	cargo test $(CHECKED) --test fuzz_real -- --ignored --test-threads 1

## fuzz-host: what reads consoles and files from elsewhere, in-process: TARGET=judge SECONDS=600
TARGET  := judge
SECONDS := 60
# Counters where the code branches, in the runner and all that it uses. With a target named, the
# compiler's own parts get none.
COUNTED := -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=3 \
	-C llvm-args=-sanitizer-coverage-inline-8bit-counters
fuzz-host: setup
	@grep -rqE 'fn fuzz_$(TARGET)\(\)' runner/src || { echo 'TARGET=$(TARGET) is none of:' \
		$$(grep -rhoE 'fn fuzz_[a-z]+' runner/src | sed 's/fn fuzz_//' | sort); false; }
	XTF_FUZZ_SECONDS=$(SECONDS) RUSTFLAGS='$(COUNTED)' cargo test --release \
		--config 'profile.release.package.xtf-runner.opt-level=1' \
		--target "$$(rustc --print host-tuple)" --target-dir target/fuzz-host \
		-p xtf-runner --lib -- --nocapture fuzz_$(TARGET)

## test-broken: a thousand machines that break, SEEDS='0..1000', and KILLS=100 of each of two commands
test-broken: test-build
	SEEDS=$${SEEDS:-0..1000} KILLS=$${KILLS:-100} \
		cargo test $(CHECKED) --test e2e -- broken:: killed::

## test-upstream: upstream's xtf-runner, from UPSTREAM=CHECKOUT, on an exported tree in a Linux dom0
## under Xen in QEMU, or on the Xen host that XEN_HOST='ssh root@box' reaches
test-upstream: test-build
	@test -f '$(UPSTREAM)/xtf-runner' || { echo 'UPSTREAM=PATH must name a checkout of XTF'; false; }
	UPSTREAM='$(abspath $(UPSTREAM))' XEN_HOST='$(XEN_HOST)' \
		cargo test $(CHECKED) --test upstream -- --ignored --nocapture

## test-hosts: `make run` and e2e-test as a newcomer on each of HOSTS='bookworm trixie forky' (Debian
## releases), or other STEPS='run coverage'; needs root and mmdebstrap, and takes an hour or more
test-hosts: setup
	@scripts/test-hosts

## dist: a tarball and a Debian package that work without this tree, in target/dist
dist: fuzzer
	scripts/dist

## bench: boots, hypercalls and the suite, measured and compared
bench: build
	$(RUNNER) bench

## docs: what is generated from the sources; man pages and completions go to target/
docs: test-build
	$(RUNNER) list --markdown > docs/tests.md
	UPDATE_EXPECT=1 cargo test -q $(CHECKED) the_schema_is_documented
	$(RUNNER) generate changes > docs/changes.md
	$(RUNNER) generate payload-checks > docs/payload-checks.md
	$(RUNNER) generate config > docs/config.md
	$(RUNNER) generate cli > docs/cli.md
	$(RUNNER) generate man target/man
	$(RUNNER) generate completions target/completions

## check: formatting, lints, documentation
check: check-format check-lints check-docs

check-format: setup
	cargo fmt --check

check-lints: setup
	cargo clippy $(CHECKED) --all-targets -- -D warnings
	cargo clippy --release $(IMAGE_CRATES) $(IMAGE_TARGETS) -- -D warnings

check-docs: setup
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items $(CHECKED)
	RUSTDOCFLAGS='-D warnings' cargo doc --release --no-deps --document-private-items $(IMAGE_CRATES) $(IMAGE_TARGETS)

unit-test: test-build
	cargo test --no-fail-fast $(CHECKED)

## e2e-test: the runner's verdicts on guests that misbehave on purpose, under real Xen
e2e-test: test-build
	@$(MAKE) --no-print-directory --keep-going -j2 --output-sync=target e2e-of-run e2e-of-others

# Two at a time: much of both is waiting. What each prints comes when it is done.
E2E := cargo test $(CHECKED) --no-fail-fast
e2e-of-run:
	$(E2E) --test real_xen --test replay_real --test coverage_real --test dist_real -- --ignored

e2e-of-others:
	$(E2E) --test new_real --test payload_real --test debug_real --test mutate_real --test loader_real \
		--test grub_real -- --ignored

clean:
	cargo clean
	rm -rf logs
