# Two commands: `make repro` computes everything, `make test` checks everything.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
INSTALLED := $(VENV)/installed
RUN := PATH="$(BIN):$$PATH"

.PHONY: help repro test tests check format pictures lock lowest

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

repro: $(INSTALLED)  ## check the choices, compute what is missing or changed, then show every store
	@$(RUN) featbank check
	@# DVC watches no other package: a new version of a trusted one shows in code/
	@$(RUN) python stages/code.py
	$(RUN) dvc repro
	@$(RUN) featbank summary

test: check tests  ## run every check: format, lint, types, import layers, tests

# tests wait for processes and files: three workers keep two processors busy
tests: $(INSTALLED)
	$(RUN) pytest --numprocesses 3 --dist worksteal

check: $(INSTALLED)  ## the checks that take seconds
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) lint-imports

format: $(INSTALLED)  ## put the code in form
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

pictures: $(INSTALLED)  ## draw the pictures of the README anew, of the demo's report, too (needs chromium)
	$(RUN) python -m benchmarks.pictures --report reports/demo/report.html

lock: $(INSTALLED)  ## renew requirements.lock from pyproject.toml
	$(RUN) pip install --quiet pip-tools
	$(RUN) pip-compile --quiet --upgrade --extra archive --extra bpe --extra dev --extra docs --extra http --extra huggingface --extra import --extra kaldi --extra lhotse --extra pitch --extra ray --extra report --extra s3 --extra slurm --extra speechbrain --extra ssh --extra textgrid --extra transformers --extra zarr --extra zstd --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--constraint constraints.txt --output-file requirements.lock pyproject.toml

lowest:  ## test the encoders and stores with the lowest versions that pyproject.toml allows (minutes, 8 GB)
	bash .ci/lowest

# the lock is whole, so nothing is left to resolve
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("featbank needs Python 3.11 to 3.13, got " + sys.version.split()[0] + "; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --requirement requirements.lock
	@# on all processors; some packages hold files that are no Python, on purpose
	-@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(INSTALLED)
