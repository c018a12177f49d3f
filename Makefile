# The two commands everybody needs: `make demo` and `make test`. Nothing here needs root or a service.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
# Compiled modules are kept, whatever the environment says: else each worker, and each program a test starts, compiles
# everything for itself. The first run compiles the tests once, ahead of the workers.
TESTING := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

.PHONY: help venv demo test check docs bench bench-rewrite bench-relay bench-tracker bench-reports soak fuzz clean

help:            ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

venv: $(STAMP)   ## .venv with the project and its development tools

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; PYTHON=python3.12 make … names another"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv       ## see the main job work, with mail that reaches nobody
	@$(BIN)/candor demo

test: venv       ## run the tests, on SQLite and PostgreSQL
	@test -d tests/__pycache__ || $(TESTING) --collect-only -qq >/dev/null
	$(TESTING) --numprocesses 4 --dist worksteal

check: venv      ## lint, types, import contracts, example configuration
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/candor config check --config config.example.toml
	$(BIN)/python -m pytest tests/relay/test_config.py

docs: venv       ## make the tables of the documentation anew
	$(BIN)/candor rewrite rules --page docs/rewriting.md
	$(BIN)/candor api operations --page docs/api.md
	$(BIN)/candor lint --page docs/compatibility.md
	$(BIN)/python -c 'from tracker.glossary import as_page; print(as_page(), end="")' > docs/glossary.md

soak: venv       ## at full size: a bad day, a long queue, kill -9 under load, the rules of consent, other examples
	CANDOR_SOAK_MESSAGES=20000 CANDOR_SOAK_KILLS=30 CANDOR_SOAK_WAITING=100000 $(BIN)/python -m pytest -s tests/flows/test_soak.py
	CANDOR_CRASH_MESSAGES=20000 CANDOR_CRASH_ROUNDS=20 $(BIN)/python -m pytest tests/flows/test_crash.py
	CANDOR_RULES_EXAMPLES=300 CANDOR_RULES_STEPS=60 $(BIN)/python -m pytest --hypothesis-profile chance tests/flows/test_rules.py
	CANDOR_EXAMPLES_TIMES=20 $(BIN)/python -m pytest --hypothesis-profile chance -m hypothesis

fuzz: venv       ## invent hostile mail for FUZZ_SECONDS (an hour) and put it to the proof; FUZZ_SEED repeats a run
	PYTHONPATH=tests $(BIN)/python -m fuzz.run

bench-rewrite: venv  ## measure what rewriting costs beside other ways to rewrite HTML mail
	PYTHONPATH=tests $(BIN)/python tests/bench/rewriting.py

bench-relay: venv  ## measure messages a second beside Postfix, where it is installed (--profile: where the time goes)
	$(BIN)/python tests/bench/relaying.py $(BENCH_OPTIONS)

bench-tracker: venv  ## measure durable hits a second beside a bare aiohttp handler and nginx; needs wrk
	PYTHONPATH=tests/bench $(BIN)/python tests/bench/hits.py $(BENCH_OPTIONS)

bench-reports: venv  ## measure reports over ten million events (CANDOR_REPORT_EVENTS); seeds a store once, in a scratch folder
	$(BIN)/python tests/bench/reporting.py

bench: bench-rewrite bench-relay bench-tracker ## measure what a message costs, as ratios within one run
	$(BIN)/python tests/bench/signing.py
	$(BIN)/python tests/bench/storing.py
	$(BIN)/python tests/bench/importing.py

clean:           ## remove what was made here
	find relay tracker tests -name __pycache__ -prune -exec rm -rf {} +
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
