# `make demo` and `make test` need Python 3.11, pip and make; the rest follows from them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps
LABEL_STUDIO := .venv-label-studio

.DEFAULT_GOAL := help
.PHONY: help demo run test check engine-check compatibility benchmarks benchmark-history lint format audit docs \
	prove-image release-check lock install install-dev clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 16

demo: install ## Show it all on a real Label Studio with simulated annotators
	@$(VENV)/bin/crowdlab demo --data-dir .demo --label-studio-env $(LABEL_STUDIO) $(ARGS)

run: install ## Run the service against your Label Studio (LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY)
	@$(VENV)/bin/crowdlab start

test: install-dev ## Run all tests, with a real Label Studio, Redis and browser
	@echo "Making sure that there is a Chromium …"
	@$(PY) -m tests.e2e.chromium
	@echo "Making sure that there are a Redis 7 and a Valkey …"
	@$(PY) -m tests.redis_servers
	@echo "Making sure that there is a Label Studio …"
	@$(PY) -m tests.e2e.environment
	@$(PY) -m pytest --numprocesses auto --maxprocesses 4 $(ARGS)

check: install-dev lint audit release-check ## Run lint, pip-audit, release-check and all tests with coverage
	@$(MAKE) --no-print-directory test ARGS="--cov --cov-report=term $(ARGS)"

lint: install-dev ## Run ruff, mypy --strict and bandit
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/bandit --quiet --recursive --configfile pyproject.toml backend crowdlab_engine

format: install-dev ## Format the code
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

engine-check: install-dev ## Test the engine's wheel alone, on each Python there is from 3.10 on
	@$(PY) -m tests.engine_package

compatibility: install-dev ## Run end-to-end tests on the oldest Label Studio, and on PostgreSQL
	@$(PY) -m tests.compatibility --label-studio oldest $(ARGS)
	@$(PY) -m tests.compatibility --database postgresql $(ARGS)

audit: install-dev ## Look for known vulnerabilities in the locked packages
	@$(VENV)/bin/pip-audit --no-deps --disable-pip --requirement requirements.txt \
		--requirement requirements/dask.txt

benchmarks: $(VENV)/.benchmarks ## Run the short form of every benchmark
	@for name in speed memory accuracy multilabel ordinal spans objects texts training features \
		partial_predictions \
		campaign scale distributed hosts pages live soak faults; do \
		echo "benchmarks.$$name --short"; $(PY) -m benchmarks.$$name --short || exit 1; done

benchmark-history: install-dev ## Time the engine, save it, and compare with the run before
	@$(PY) -m pytest benchmarks/history.py -p no:cacheprovider --benchmark-only --benchmark-autosave \
		--benchmark-columns=min,median,ops --benchmark-sort=name \
		$(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

docs: install-dev ## Build the documentation into site/; whatever is wrong in it is an error
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html."

prove-image: install-dev ## Build and run the container image without an engine (needs root on Debian)
	@$(PY) -m docker.prove

release-check: install-dev ## Build wheel and sdist; check them, the docs, the changelog and the version
	@$(PY) -m tools.release_check

COMPILE := $(VENV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header \
	--python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-emit-find-links --upgrade

lock: install-dev ## Compile the locks anew from requirements/
	$(COMPILE) requirements/service.in --override requirements/overrides.txt -o requirements.txt
	$(COMPILE) requirements/dev.in --constraint requirements.txt \
		--override requirements/dev-overrides.txt -o requirements/dev.txt
	$(COMPILE) requirements/benchmarks.in --constraint requirements.txt \
		--constraint requirements/dev.txt -o requirements/benchmarks.txt
	$(COMPILE) requirements/dask.in --constraint requirements.txt \
		--constraint requirements/dev.txt --constraint requirements/benchmarks.txt -o requirements/dask.txt
	$(COMPILE) requirements/label-studio.in -o backend/demo/label-studio-requirements.txt

install: $(VENV)/.service
install-dev: $(VENV)/.dev

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 is missing: install python3.11, or run make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: run make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) has no venv module: install it (apt install python3-venv)"; exit 1; }
	@echo "Making the environment $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.service: $(VENV)/bin/python requirements.txt pyproject.toml crowdlab_engine/pyproject.toml
	@echo "Installing the service (about a minute) …"
	@$(PY) $(PIP_INSTALL) --require-hashes -r requirements.txt
	@PYTHONWARNINGS="ignore:Editable installation" \
		$(PY) $(PIP_INSTALL) --no-build-isolation --editable ./crowdlab_engine --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.service requirements/dev.txt requirements/dask.txt
	@echo "Installing what tests and checks need …"
	@$(PY) $(PIP_INSTALL) --require-hashes -r requirements/dev.txt -r requirements/dask.txt
	@touch $@

$(VENV)/.benchmarks: $(VENV)/.dev requirements/benchmarks.txt
	@echo "Installing what benchmarks compare with …"
	@$(PY) $(PIP_INSTALL) --require-hashes -r requirements/benchmarks.txt
	@touch $@

clean: ## Delete environments, caches and the demo's data
	rm -rf $(VENV) $(LABEL_STUDIO) .demo .cache .benchmarks site .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* build dist *.egg-info
