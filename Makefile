# The front door. Each recipe is one or two lines; what is longer is a script under tests/ or etc/.

# cmake put here by etc/build-tools.sh where neither the machine nor apt has one.
export PATH := $(CURDIR)/target/tools/cmake/data/bin:$(PATH)

.PHONY: help demo build test check deny pcap capture-scenes capture-live scenes e2e interop srtp load hostile \
        mutations fuzz-world fuzz bench-sip bench-observing bench-captures bench bench-media doc install-tools install \
        deb dist papers reference clean

help: ## what can be asked of this Makefile
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: build ## build, then place one call in each direction on this machine and show what was heard
	@target/release/wa-sbc demo

build: ## the release binary, target/release/wa-sbc
	@etc/build-tools.sh
	cargo build --release --locked -p wa-sbc

test: ## everything: units, scenes, end to end, independent software (installs its Debian packages where it may)
	@tests/run.sh

check: ## formatting, clippy, the shape of the house, licences
	@tests/check.sh

deny: ## licences, advisories, sources and banned crates by cargo-deny, where it is installed
	@command -v cargo-deny >/dev/null || { echo "make deny: cargo-deny is not installed; get it by: cargo install cargo-deny --locked"; exit 1; }
	cargo deny --locked check

pcap: ## every capture under pcaps/ through the cores: what comes of it is what is expected
	cargo test --locked -p wa-sbc --test pcaps -- --nocapture

capture-scenes: ## write those captures anew from the simulated world; look at the difference
	cargo run --locked -p wa-sbc --example capture-scenes

capture-live: build install-tools ## captures of the real binary between SIPp, Kamailio and baresip anew; look at the difference
	WA_SBC_KEEP_CAPTURES=1 WA_SBC_BIN=target/release/wa-sbc cargo test --locked -p tests --test interop_live_capture --test interop_capture_sipp

scenes: ## whole calls in virtual time
	cargo test --locked -p tests --test scenes

e2e: build ## the real binary between our simulated Meta and PBX, on real sockets
	WA_SBC_BIN=target/release/wa-sbc cargo test --locked -p tests --test 'e2e*'

interop: build install-tools ## the real binary between SIPp, Kamailio, baresip, tshark, OpenSSL, PostgreSQL and Pebble
	WA_SBC_BIN=target/release/wa-sbc cargo test --locked -p tests --test 'interop*'

srtp: ## a million packets under every SRTP suite, with loss and wraps, before libsrtp (needs libsrtp2-dev)
	SRTP_PACKETS=1000000 cargo test --locked --release -p tests --test interop_libsrtp

load: build ## 1,000 calls in each direction at 50 calls/s, then look for what was left behind
	WA_SBC_BIN=target/release/wa-sbc cargo test --locked -p tests --test e2e_load -- --nocapture

hostile: build ## 100,000 mutated messages and packets at the open ports while a call talks
	WA_SBC_BIN=target/release/wa-sbc cargo test --locked -p tests --test e2e_hostile -- --nocapture

mutations: ## break core and media on purpose, a rule at a time: tests have to notice each (no part of test: 20 to 60 minutes)
	@tests/mutations.sh

fuzz-world: ## 100,000 random worlds in virtual time against the reference model, for half an hour at most
	WORLD_COUNT=100000 WORLD_SECONDS=1800 cargo test --release --locked -p tests --test world_fuzz -- --nocapture

fuzz: ## guided fuzzing of everything that reads strangers' bytes, FUZZ_SECONDS=600 in all; a finding is an error
	@tests/fuzz.sh

bench-sip: build ## calls a second on one core with TLS and digest, latency from Meta's INVITE to ours, memory of a call
	WA_SBC_BIN=target/release/wa-sbc cargo bench --locked -p tests --bench signalling

bench-observing: build ## what records, traces and metrics add to the processor time of a call
	WA_SBC_BIN=target/release/wa-sbc cargo bench --locked -p tests --bench signalling -- observing

bench-captures: build ## what it costs to capture one, 20 and 200 of 200 calls
	WA_SBC_BIN=target/release/wa-sbc cargo bench --locked -p tests --bench signalling -- captures

bench: ## packets and messages per second
	cargo bench --locked --workspace

bench-media: build ## calls through the binary, beside rtpengine and a bare forwarder (needs rtpengine-daemon, espeak-ng)
	WA_SBC_BIN=target/release/wa-sbc cargo run --release --locked -p bench-media

doc: ## the documentation of every crate, target/doc
	cargo doc --locked --workspace --no-deps

install-tools: ## the independent programs the interop tests need (root and apt), else their names
	@tests/install-tools.sh

install: build ## into PREFIX (/usr/local) below DESTDIR; says what is left to do
	@etc/install.sh target/release/wa-sbc

deb: build ## a Debian package, target/dist
	@etc/package.sh target/release/wa-sbc target/dist

dist: build ## sources, binaries and the Debian package with their sums, target/dist
	@etc/dist.sh target/release/wa-sbc target/dist

papers: build ## man pages, completions and the reference of the configuration, target/papers
	@target/release/wa-sbc papers target/papers

reference: ## docs/configuration.md anew, after a change of etc/wa-sbc.toml
	WA_SBC_WRITE_REFERENCE=1 cargo test --locked -q -p wa-sbc --lib papers::reference

clean: ## forget everything built
	cargo clean
