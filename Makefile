# Every target makes .venv first when it is missing or older than pyproject.toml.
#
#   make install   .venv with the project and all that tests and documentation need
#   make demo      a whole search on the built-in synthetic corpus
#   make test      the tests that take a few minutes
#   make test-all  the slow ones too
#   make test-cluster  `ray up` and searches on hosts made of namespaces; needs root, iproute2, openssh-server and
#                      rsync, and slurm-wlm and munge for a Slurm of their own
#   make check     style, types and import rules
#   make docs      the documentation into site/, warnings are errors
#   make bench     the benchmarks
#
# make install PYTHON=python3.12   uses another interpreter (3.11 to 3.13)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)
CODE := benchmarks docs examples search ser_core spaces tests
CHECK_PYTHON = $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
  echo "Python 3.11 to 3.13 is needed; $(VENV) has $$($(BIN)/python --version). Remove it and name another:" \
    "rm -r $(VENV) && make install PYTHON=python3.12" >&2; exit 1; }
REGISTRIES := py[p]i\.org|python[h]osted\.org|download\.py[t]orch\.org|npm[j]s\.(org|com)|conda\.ana[c]onda\.org

.PHONY: install demo test test-all test-cluster check docs bench

install: $(INSTALLED)

# A virtual environment that works is brought up to date; a missing or broken one is made anew. uv finds a fitting
# interpreter by itself.
$(INSTALLED): pyproject.toml
	@echo 'Installing into $(VENV); PyTorch with its CUDA libraries is several GB.'
ifdef UV
	@$(BIN)/python -c '' 2>/dev/null || uv venv --clear $(if $(PYTHON),--python $(PYTHON)) $(VENV)
	@$(CHECK_PYTHON)
	uv pip install --python $(BIN)/python --editable '.[test,docs]'
else
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(or $(PYTHON),python3) -m venv --clear $(VENV)
	@$(CHECK_PYTHON)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[test,docs]'
endif
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python search/run.py --model mlp --data demo --trials 12 --run-dir runs/demo-$$(date +%Y%m%d-%H%M%S)

# Two processes share the files of tests: much of a test's time is spent waiting for Ray, a browser or a server to start.
test: $(INSTALLED)
	$(BIN)/python -m pytest -m 'not slow and not cluster' -n 2 --dist loadfile

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -m 'not cluster'

test-cluster: $(INSTALLED)
	$(BIN)/python -m pytest -m cluster -rs tests/cluster

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@! grep -rsnIE '$(REGISTRIES)' .ci Makefile *.md *.toml $(CODE) || \
	  { echo "The files above name a package registry: leave the choice to the user's pip or uv settings." >&2; exit 1; }

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(INSTALLED)
	@set -e; for file in benchmarks/[!_]*.py; do echo "== $$file"; $(BIN)/python "$$file"; done
