# What a newcomer, a contributor and CI run. Everything that is needed is installed by `setup`.

VENV := .venv
PYTHON := $(VENV)/bin/python
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
ONCE_FLAG := $(if $(ONCE),--once)

.PHONY: demo build test unit e2e lint setup bench fuzz clean

demo: setup-demo build
	$(SUDO) target/release/longshore demo $(ONCE_FLAG)

build: setup-build
	cargo build --release --locked --package longshore

# The whole suite, from nothing.
test: setup lint unit e2e

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	cargo xtask check

# With nextest where it is installed; the standard runner elsewhere.
unit: setup
	LONGSHORE_PYTHON=$(abspath $(PYTHON)) $(shell cargo nextest --version >/dev/null 2>&1 && echo 'cargo nextest run' || echo 'cargo test') --workspace --locked

e2e: setup
	cargo build --locked --package longshore
	LONGSHORE_BIN=$(abspath target/debug/longshore) $(PYTHON) e2e/run

bench: setup
	benches/run

# Every parser of bytes from outside, for so many seconds each: fuzz/README.md. Not part of `test`.
SECONDS := 60
TARGETS :=
fuzz: setup-build
	@scripts/install g++
	fuzz/run $(SECONDS) $(TARGETS)

setup: setup-build setup-test $(PYTHON)

setup-build:
	@scripts/install gcc libc6-dev

setup-demo:
	@scripts/install awscli buildah busybox-static ca-certificates curl nftables

setup-test:
	@scripts/install awscli buildah busybox-static ca-certificates chromium chromium-driver curl etcd-server iproute2 nftables openssl python3 python3-venv skopeo

# The SDK for JavaScript comes with npm, and that with the node that pip brings: Debian's is too old for it.
$(PYTHON): e2e/requirements.txt e2e/requirements-cli.txt e2e/javascript/package-lock.json
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --requirement e2e/requirements.txt
	python3 -m venv $(VENV)/cli-v1
	$(VENV)/cli-v1/bin/pip install --quiet --requirement e2e/requirements-cli.txt
	mkdir -p $(VENV)/javascript && cp e2e/javascript/package.json e2e/javascript/package-lock.json $(VENV)/javascript
	PATH="$(abspath $(VENV)/bin):$$PATH" npm ci --prefix $(VENV)/javascript --ignore-scripts --no-audit --no-fund --silent
	@touch $(PYTHON)

clean:
	cargo clean
	rm -rf $(VENV)
