# Limner: everything a developer does. Needs make and Python 3.11 or newer; `make help` lists the targets.

SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
PROMPT ?= a fox in the snow
OUT ?= picture.png
COMPOSE ?= docker compose

ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && { echo $$python; exit; }; \
	done; echo python3)
endif

# Half as many again as there are cores: many tests wait for a process or a lease.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) * 3 // 2)')

# The folder http/ must never stand in front of the standard library's.
export PYTHONSAFEPATH = 1
export PROMPT OUT SIZE

# An environment is up to date when the stamp named after the content of its lock is there; then pip is not even started.
RUN_STAMP := $(VENV)/.run-$(shell cat requirements.lock pyproject.toml | cksum | tr ' ' '-')
DEV_STAMP := $(VENV)/.dev-$(shell cat requirements-dev.lock pyproject.toml | cksum | tr ' ' '-')
PIP := $(PY) -m pip --disable-pip-version-check -qq install --no-deps
LOCKED := $(PIP) --require-hashes --no-build-isolation --only-binary :all:

MIGRATIONS = $(wildcard sql/migrations/*.sql)
# Time-outs are set for the whole session; a new release is migrated to while the old one is still serving.
SQUAWK := --assume-in-transaction --exclude=require-lock-timeout,require-statement-timeout,require-timeout-settings,prefer-bigint-over-int,prefer-bigint-over-smallint

.PHONY: help setup cli up demo test check format css css-check lock faults bench bot-page pictures containers clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1#/p' $(MAKEFILE_LIST) | awk -F'#' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(RUN_STAMP) ## bring everything up and paint: PROMPT="a fox in the snow" OUT=fox.png SIZE=1024x1024 ONCE=1
	@exec $(VENV)/bin/limner demo --prompt "$$PROMPT" --out "$$OUT" $(if $(SIZE),--size "$$SIZE") $(if $(filter-out 0,$(ONCE)),--once)

up: $(RUN_STAMP) ## bring everything up; Ctrl-C stops it
	@exec $(VENV)/bin/limner up

setup: $(DEV_STAMP) ## the environment for tests and checks

cli: $(RUN_STAMP) ## only the command limner for this server, in .venv/bin

test: $(DEV_STAMP) ## the whole suite; ARGS="-k word" for a part
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(DEV_STAMP) ## formatting, lint, types, house rules, migrations, CSS, Dockerfile
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	MYPYPATH=.types $(VENV)/bin/mypy -p limner
	$(PY) -m pytest -q tests/test_house.py
	$(VENV)/bin/squawk $(SQUAWK) $(MIGRATIONS)
	@$(MAKE) --no-print-directory css-check
	$(VENV)/bin/hadolint Dockerfile

format: $(DEV_STAMP) ## format, and mend what lint can mend
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

css: node_modules/.package-lock.json ## compile the style sheet (needs Node)
	npm run --silent css

css-check: ## is the committed style sheet the compiled one?
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory css-fresh; \
	else echo "SKIPPED: there is no Node here, so nobody looked whether http/static/limner.css is stale" >&2; fi

.PHONY: css-fresh
css-fresh: node_modules/.package-lock.json
	@npm run --silent css:check || { echo "http/static/limner.css is stale: run 'make css' and commit it" >&2; exit 1; }

node_modules/.package-lock.json: package-lock.json
	npm install --no-save --loglevel=error --no-audit --no-fund
	@touch $@

lock: ## renew both locks from pyproject.toml
	@set -e; made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; \
	$(PYTHON) -m venv "$$made/venv"; "$$made/venv/bin/python" -m pip --disable-pip-version-check -qq install uv; \
	echo 'psycopg2 ; python_version < "0"' > "$$made/override"; \
	printf 'psycopg2-binary>=2.9\nsetuptools>=77\n' > "$$made/more"; \
	compile() { "$$made/venv/bin/uv" pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --no-emit-index-url --override "$$made/override" pyproject.toml "$$made/more" "$$@"; }; \
	compile --extra dev -o "$$made/dev.lock"; \
	compile -c "$$made/dev.lock" -o "$$made/run.lock"; \
	mv "$$made/dev.lock" requirements-dev.lock; mv "$$made/run.lock" requirements.lock

faults: $(DEV_STAMP) ## the long forms: kill, freeze and cut everything; the seeds are on the terminal
	FAULT_FULL=1 FAULT_ORDERS=200 $(PY) -m pytest -s --durations=20 tests/faults tests/runtime/test_properties.py \
		tests/runtime/test_scale.py $(ARGS)

bench: $(DEV_STAMP) ## how long from click to picture
	PYTHONPATH=. $(PY) -m benchmarks.click_to_picture $(ARGS)

bot-page: $(DEV_STAMP) ## make docs/reference/bot.md again from the bot's menus
	TRANSCRIBE=1 $(PY) -m pytest -q -n 0 tests/bot/test_transcript.py

pictures: $(DEV_STAMP) ## take the pictures of docs/images again: every screen of the admin, both themes (needs Chromium)
	$(PY) docs/images/retake.py $(ARGS)

containers: $(RUN_STAMP) ## the whole Compose file for real: build, paint, kill, restart, upgrade, roll back, bundle (needs Docker)
	@COMPOSE="$(COMPOSE)" tests/containers/run
	@COMPOSE="$(COMPOSE)" LIMNER="$(CURDIR)/$(VENV)/bin/limner" tests/containers/upgrade

clean: ## remove what was made here; the data folder stays
	rm -rf $(VENV) .types build dist node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis limner.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_STAMP): LOCK := requirements.lock
$(DEV_STAMP): LOCK := requirements-dev.lock
$(RUN_STAMP) $(DEV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || { \
		echo "Limner needs Python 3.11 to 3.14; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Say which: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make environments: install venv (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "making $(VENV) from $(LOCK); the next start skips this"
	@$(PY) -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^setuptools==/,/[^\\]$$/p' $(LOCK) > $(VENV)/build.lock
	@$(LOCKED) -r $(VENV)/build.lock
	@$(LOCKED) --no-binary yandex-pgmigrate -r $(LOCK)
	@$(PIP) --no-build-isolation -e .
	@mkdir -p .types/limner && for room in runtime sql actors http; do ln -sfn ../../$$room .types/limner/$$room; done
	@rm -f $(VENV)/.run-* $(if $(filter $(DEV_STAMP),$@),$(VENV)/.dev-*)
	@touch $(RUN_STAMP) $@
