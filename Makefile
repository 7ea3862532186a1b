# Everything lives in .venv/ and var/; nothing else of this machine is touched.
PYTHON ?= python3
PIP = .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt
VOCALITY = .venv/bin/vocality

.PHONY: demo serve test fuzz bench drill evaluate clean

demo: .venv/ready ## start the platform, analyse a take over HTTP, show the result, stop
	$(VOCALITY) demo

serve: .venv/ready ## run the platform until Ctrl-C
	$(VOCALITY) serve

test: .venv/ready-dev ## style, types, import contracts, tests on real servers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/pytest -q

fuzz: .venv/ready-dev ## 10 000 requests made up from the OpenAPI document: fails on any wrong answer
	.venv/bin/python -m tests.fuzz 10000

bench: .venv/ready-peers ## speed and memory beside the peers: writes BENCHMARKS.md
	$(VOCALITY) bench

drill: .venv/ready ## break what can break, under load: shows what held
	$(VOCALITY) drill

evaluate: .venv/ready-peers ## accuracy beside the peers, on ../shared/data: writes EVALUATION.md
	$(VOCALITY) evaluate

clean: ## stop what runs here and remove all that was made
	if [ -x $(VOCALITY) ]; then $(VOCALITY) stop; fi
	rm -rf .venv var *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing into .venv (a few minutes the first time)"
	$(PIP) --editable .
	@touch $@

.venv/ready-dev: .venv/ready
	$(PIP) --editable '.[dev,train]'
	@touch $@

.venv/ready-peers: .venv/ready
	$(PIP) --editable '.[peers,train]'
	@touch $@
