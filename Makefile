# The whole of it:  make run  ·  make test  ·  make check  ·  make bench
# Needs Python 3.11+ with venv and pip; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test check format bench fuzz faults load audit constraints clean
.DEFAULT_GOAL := run

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# CPU=1: PyTorch without CUDA, from its own index where that can be reached; pip's index as it is set otherwise.
CPU_INDEX ?= https://download.pytorch.org/whl/cpu
ifdef CPU
$(VENV)/.installed $(VENV)/.installed-dev: $(VENV)/.torch-cpu
endif

$(VENV)/.torch-cpu: | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 \
		--index-url $(CPU_INDEX) torch torchvision \
		|| echo "$(CPU_INDEX) cannot be reached: PyTorch comes from pip's own index, with what that has."
	touch $@

$(VENV)/.installed: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $(VENV)/.installed $@

run: $(VENV)/.installed  ## open the lab on the built-in data, offline
	$(BIN)/python -m lab ui

test: $(VENV)/.installed-dev  ## all tests; real data with LAB_REAL_DATA, browser tests with Chromium
	# Two processes of one thread each: small networks gain nothing from two threads, and each process
	# needs over 1 GB. tests/conftest.py says what stays in one process, and what comes first.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	# Once more with the run store in PostgreSQL, where that is installed.
	LAB_TEST_DATABASE=postgresql OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
		tests/runs tests/experiments/sweeps/test_driver.py \
		--ignore tests/runs/test_postgresql.py \
		--ignore tests/runs/executors/test_ray.py --ignore tests/runs/executors/test_ray_trainer.py

check: $(VENV)/.installed-dev  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

fuzz: $(VENV)/.installed-dev  ## nonsense for the readers, settings and the API; some 20 minutes
	LAB_FUZZ=long OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --timeout 0 tests/fuzz

faults: $(VENV)/.installed-dev  ## kill -9 a hundred times, flip bits, cut files; prints a table
	$(BIN)/python -m benchmarks faults
	$(BIN)/python -m benchmarks.store_faults
	$(BIN)/python -m benchmarks.server_faults

load: $(VENV)/.installed-dev  ## thirty viewers, a thousand runs, a million steps, 25,000 pictures, two hours of clicks
	$(BIN)/python -m benchmarks load

audit: $(VENV)/.installed  ## known weaknesses of what is installed, by pip-audit; needs pypi.org
	@test -x $(VENV)/audit/bin/pip-audit || \
	  { $(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet pip-audit; }
	# A mirror without advisories would pass everything: one that has been known for years must be there.
	@$(BIN)/python -c "import json, urllib.request as u; \
	  assert json.load(u.urlopen('https://pypi.org/pypi/jinja2/2.4/json', timeout=20))['vulnerabilities']" \
	  2>/dev/null || { echo "Nothing was audited: the advisories of https://pypi.org cannot be read from here."; exit 2; }
	$(VENV)/audit/bin/pip-audit --progress-spinner off \
	  --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

constraints: $(VENV)/.installed-dev  ## the versions installed here, for who wants them: constraints.txt
	@# torch itself names its CUDA libraries; "+cpu" is another build of the same version.
	@{ echo "# Versions with which all tests passed, $$($(BIN)/python -V), $$(date -u +%F); made by: make constraints"; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' | grep -Ev '@|^(nvidia|cuda|triton)'; } >constraints.txt

clean:  ## remove what was made here, but not LAB_HOME
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
