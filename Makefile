# `make test` and `make eval` need Python 3.11 or newer and a package registry, nothing else.
# Everything they make stays in this folder: .venv, .cache, results.

PYTHON ?= python3
UV ?= uv
GOLDEN ?= ../shared/golden
# Golden files that `talkbench verify` can compute.
GOLDEN_FILES = facevid2vid metrics evalnets pcavs atvgnet hdtf hdtf_animation makeittalk_nets makeittalk_audio makeittalk_landmarks makeittalk_image

# pip leaves the compiling of modules to their first import; a process that may not keep the result takes 10 s to start.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
MADE := .venv/made

.PHONY: eval test golden lint lock env clean

eval: $(MADE)
	$(BIN)/talkbench eval --all

test: $(MADE)
	$(BIN)/python -m pytest

golden: $(MADE)
	@for name in $(GOLDEN_FILES); do \
	  if [ -f "$(GOLDEN)/$$name.npz" ]; then found="$$found $(GOLDEN)/$$name.npz"; \
	  else echo "make golden: skipped $$name: there is no $(GOLDEN)/$$name.npz (GOLDEN=DIR names another folder)"; fi; \
	done; [ -z "$$found" ] || $(BIN)/talkbench verify --golden $$found

lint: $(MADE)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

env: $(MADE)

# The project itself is built by the locked hatchling: nothing that the lock does not name is downloaded.
$(MADE): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; say which to use: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Keeps the versions that are locked and fit; `make lock UPGRADE=--upgrade` takes the newest.
lock:
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(UPGRADE) --output-file requirements.lock --quiet

clean:
	rm -rf .venv .cache .pytest_cache .ruff_cache build dist
