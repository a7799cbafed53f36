# Everything starts here. Each target makes .venv itself when it is not there; a second call starts at once.
# PYTHON names the interpreter to build it with (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help drive test lint format bench clean

help:  ## show this list
	@grep -hE '^[.a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

# The stamp is written last, so an installation that was interrupted is begun again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "worldmodel needs Python 3.11 or newer; $$($(PYTHON) --version) is $(PYTHON). Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

.venv: $(VENV)/.installed  ## make the virtual environment

drive: $(VENV)/.installed  ## a minute's drive in the bundled model, in outputs/drive
	$(BIN)/python rollout.py

# The server's tests are about keeping pace, so they have the machine to themselves.
test: $(VENV)/.installed  ## all tests, the slow ones too, a file to a core at a time
	$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/server
	$(BIN)/python -m pytest tests/server

lint: $(VENV)/.installed  ## ruff, ruff format, pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.installed  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed  ## speeds of loader, tokenizer and dynamics on this machine
	$(BIN)/python benchmarks/speed.py

clean:  ## remove the environment and what runs have written
	rm -rf $(VENV) outputs data/cache
