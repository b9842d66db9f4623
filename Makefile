# Every developer command. `make` alone lists them.
#
# One build profile (dev, with the arithmetic optimised: see Cargo.toml) serves demo and tests, so
# that whoever runs one has built the other.

COUNT ?= 1000
DIR   ?= demo
SUITE ?= sm
MAP   ?=

.PHONY: help demo test bench conformance sanitize build setup fmt clean-demo

help:
	@echo "make demo    two throw-away instances, all ceremonies, a batch of $(COUNT) cards, an audit: in $(DIR)/"
	@echo "             (COUNT=120 for fewer cards, CARDS=FILE for a list of your own, DIR=PATH for another place,"
	@echo "             SUITE=intl for AES, P-256 and RSA on SoftHSM, MAP=sansec for hsm-sim in a vendor's numbers)"
	@echo "make test    format, lints, documentation, every test, the independent decoder"
	@echo "make bench   speed of the parts that a batch spends its time in"
	@echo "make conformance  the cryptoki crate's own test-suite against the token simulator"
	@echo "make sanitize  the C interface of the token simulator under AddressSanitizer"
	@echo "make build   the programs: target/debug/kms, kms-server, kms-hsm-worker, libhsm_sim.so"
	@echo "make setup   installs the Debian packages that the tests use, or says which are missing"
	@echo "make fmt     formats the code"

demo:
	@scripts/demo '$(DIR)' '$(COUNT)' '$(CARDS)' '$(SUITE)' '$(MAP)'

test:
	@scripts/test

bench:
	cargo bench --locked --workspace --bench '*'

conformance:
	hsm-sim/conformance/run

sanitize:
	hsm-sim/sanitize

build:
	cargo build --locked -p kms-cli -p kms-server -p kms-hsm -p hsm-sim

setup:
	@scripts/setup test

fmt:
	cargo fmt --all

clean-demo:
	rm -rf demo
