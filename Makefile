# Two commands: `make demo` and `make test`. Everything they install goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test lint types imports pytest format bench torture audit figures clean

help:
	@echo 'make demo    simulate a drive and a table-top, replay them through the live node, write out/demo/report.html'
	@echo 'make test    lint, types, import rules, unit, property and ROS tests, package build'
	@echo 'make bench   measure speed; figures go to out/bench/'
	@echo 'make torture faults against a live node; the report goes to out/torture/'
	@echo 'make audit   look the pinned dependencies up among known vulnerabilities (needs a network)'
	@echo 'make figures DATA=DIR  measure tables of README.md, BENCHMARKS.md and CLASSICAL.md on the evaluation'
	@echo '             frames in DIR (CONTRIBUTING.md), and write them in'
	@echo 'make format  format the code'
	@echo 'make clean   remove .venv and everything that was made'

demo:
	@$(PYTHON) scripts/setup_venv.py --extras embedded
	@$(BIN)/metric-depth demo --out out/demo

test:
	@$(PYTHON) scripts/setup_venv.py --extras embedded,test
	@$(MAKE) --no-print-directory lint types imports pytest

lint:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || (echo 'Run: make format'; exit 1)

types:
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then $(BIN)/mypy; \
	else echo 'types: not checked, the newest NumPy for Python 3.10 does not type shapes'; fi

imports:
	@$(BIN)/lint-imports

pytest:
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup

format:
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench:
	@$(PYTHON) scripts/setup_venv.py --extras embedded
	@$(BIN)/metric-depth bench all --out out/bench

torture:
	@$(PYTHON) scripts/setup_venv.py --extras embedded,test
	@$(BIN)/metric-depth torture --out out/torture

# A tool of its own environment: what it needs is none of what is pinned.
audit:
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/pip install --quiet pip-audit
	@$(PYTHON) scripts/audit.py constraints.txt --pip-audit .venv-audit/bin/pip-audit

figures:
	@$(PYTHON) scripts/setup_venv.py --extras embedded
	@$(BIN)/python scripts/figures.py --data '$(DATA)'

clean:
	rm -rf .venv .venv-audit out build install log .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
