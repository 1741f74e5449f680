# `make` prints what there is. Python only: a virtual environment in .venv, packages from the lock files.
.DEFAULT_GOAL := help
SHELL := /bin/bash
comma := ,
PY    := .venv/bin/python
DESK  ?=
ONCE  ?=
TESTS ?= tests
VERSION  := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
TOOLS    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/carteiro/tools/bin
BASE       ?= python:3.13-slim
BUILD_BASE ?= $(BASE)

# uv where it is on PATH (seconds), pip else (about half a minute)
define install
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.11 or newer"; exit 78; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, found $$(python3 -V)"; exit 78; }
	@test -x $(PY) || python3 -m venv .venv \
	  || { echo "python3 cannot make a virtual environment: install the package python3-venv"; rm -rf .venv; exit 78; }
	@echo "packages of $(1) ..."
	@if command -v uv >/dev/null; then \
	  uv pip install -q --compile-bytecode --python $(PY) --require-hashes --no-deps -r $(1) -r requirements-build.lock; \
	else \
	  $(PY) -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r $(1) -r requirements-build.lock; \
	fi || { echo "packages could not be installed: is the package registry reachable?"; exit 69; }
	@$(PY) -m pip install -q --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
endef

##@ Use
run: .venv/.local ## start everything, send one mail through; ONCE=1 stops by itself; DESK=my.yaml takes your accounts
	@$(PY) -m ops.stack $(if $(ONCE),--once) $(if $(DESK),--desk $(DESK))

test: .venv/.dev ## every test, in parallel, on real servers (TESTS=path for a part)
	@$(PY) -m pytest -n 3 --dist worksteal -q --ignore=tests/manifests --ignore=tests/containers --ignore=tests/foreign $(TESTS)

foreign: .venv/.dev ## what we send, read by Python, Go and Node (needs Go, npm and their registries)
	@command -v go >/dev/null || echo "not run: tests/foreign (go)"; \
	reader="$${XDG_CACHE_HOME:-$$HOME/.cache}/carteiro/reader"; \
	if command -v npm >/dev/null; then mkdir -p "$$reader" && cp tests/foreign/node/* "$$reader" && \
	  npm ci --prefix "$$reader" --silent --no-audit --no-fund --ignore-scripts || exit 69; \
	else echo "not run: tests/foreign (node)"; fi; \
	CARTEIRO_NODE_READER="$$reader" $(PY) -m pytest -q tests/foreign

test-containers: .venv/.dev ## the same on containers, and the built image (needs Docker and `make image`)
	@CARTEIRO_REQUIRE_DOCKER=1 $(PY) -m pytest -n 2 --dist worksteal -q --ignore=tests/manifests $(TESTS)

check: .venv/.dev ## lint, types, boundaries, unit and contract tests; Python only, no server
	@.venv/bin/ruff check -q . && .venv/bin/ruff format -q --check . && echo "ruff: clean"
	@.venv/bin/mypy . 2>&1 | tail -n 20; exit $${PIPESTATUS[0]}
	@.venv/bin/lint-imports --no-cache 2>&1 | tail -n 15; exit $${PIPESTATUS[0]}
	@$(PY) -m ops.pages --check
	@$(PY) -m pytest -n 2 -q tests/unit tests/contract

manifests: .venv/.dev ## render and judge the deployment files; a real API server and Prometheus take them (needs kubectl, Go)
	@tools="$$(tools/kube.sh)" || { status=$$?; [ $$status = 69 ] || exit $$status; \
	  echo "not run: tests/manifests/test_api_server.py"; without=--ignore=tests/manifests/test_api_server.py; }; \
	tools/debian.sh promtool=prometheus prometheus=prometheus >/dev/null \
	  || { command -v promtool && command -v prometheus; } >/dev/null || { \
	  echo "not run: tests/manifests/test_alerts.py, test_scraping.py (promtool and prometheus)"; \
	  without="$$without --ignore=tests/manifests/test_alerts.py --ignore=tests/manifests/test_scraping.py"; }; \
	command -v go >/dev/null || { echo "not run: tests/manifests/test_schemas.py (go brings the schemas)"; \
	  without="$$without --ignore=tests/manifests/test_schemas.py"; }; \
	PATH="$$PATH:$(TOOLS)" $(PY) -m pytest -q tests/manifests $$without

##@ Deploy
image: ## the image carteiro:VERSION, also called carteiro:dev (needs Docker; BASE=name@digest for a release)
	@docker build -q --build-arg BASE=$(BASE) --build-arg BUILD_BASE=$(BUILD_BASE) --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$(REVISION) $(if $(SSL_CERT_FILE),--secret id=ca$(comma)src=$(SSL_CERT_FILE)) \
	  -t carteiro:$(VERSION) -t carteiro:dev .

release: .venv/.dev image ## wheel, image, SBOM and checksums in dist/
	@tools/release.sh $(VERSION)

##@ Look closer
mutants: .venv/.dev ## take each protection of tests/mutations.toml out: a test must fail (ONLY="words" for a part)
	@PATH="$$PATH:$(TOOLS)" $(PY) -m tests.mutants $(ONLY)

bench: .venv/.dev ## mails per second and CPU per mail through the whole path (N=20000 RUNS=3 PARTITIONS=)
	@$(PY) -m bench.path $(or $(N),20000) $(or $(RUNS),3) $(or $(PARTITIONS),0)

pages: .venv/.dev ## write the generated pages of docs/ anew
	@$(PY) -m ops.pages

##@ House-keeping
setup: .venv/.dev ## install everything a developer needs into .venv

locks: .venv/.dev ## compile the lock files anew (needs uv)
	uv pip compile -q --universal --generate-hashes pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --extra local pyproject.toml -o requirements-local.lock
	uv pip compile -q --universal --generate-hashes --extra dev pyproject.toml -o requirements-dev.lock
	uv pip compile -q --universal --generate-hashes build.in -o requirements-build.lock

clean-data: ## delete what the local stack has stored (mails, tickets, topics)
	rm -rf var

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.local: requirements-local.lock requirements-build.lock pyproject.toml
	$(call install,requirements-local.lock)
	@touch $@

.venv/.dev: requirements-dev.lock requirements-build.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch $@ .venv/.local

.PHONY: run test foreign test-containers check manifests image release mutants bench pages setup locks clean-data help
