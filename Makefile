# Every target sets up what it needs: a virtual environment in .venv, made anew when the pins change.
#
#   make fuzz            two minutes over every converter; ARGS="--minutes 30 --seed 7" for more (convfuzz fuzz --help)
#   make test            the tests
#   make install-all     further runtimes: OpenVINO, TVM, IREE, MNN, ncnn (a gigabyte); campaigns then use them
#   make check           lint, format, types
#   make sweep           the slow tests, thousands of graphs
#   make bench           the measurements of docs/benchmarks.md, but for the soak; ARGS="routes rate" for some

SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UNFINISHED := $(VENV)/.unfinished
ARGS ?=
# Each test process imports TensorFlow and torch (about 2 GB): not one per core. Each begins with a part of its own, in
# order, so that what the tests of a file share is mostly made once, and takes over what another has left.
TEST_PROCESSES ?= 2

# The tests compare numbers, not speed: one thread per process, and none of TensorFlow's greetings.
export OMP_NUM_THREADS ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: fuzz test install-all check sweep bench clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "error: $(PYTHON) is not here or older than 3.11" >&2; \
		echo "hint: install Python 3.11, or name another one: make $(or $(MAKECMDGOALS),fuzz) PYTHON=/path/to/python3.11" >&2; \
		exit 2; }
	@# An installation that was interrupted leaves packages that pip cannot read: it starts over.
	@test -x $(BIN)/python -a ! -e $(UNFINISHED) || $(PYTHON) -m venv --clear $(VENV) || { \
		echo "error: $(PYTHON) cannot make a virtual environment" >&2; \
		echo "hint: on Debian and Ubuntu: apt install python3.11-venv" >&2; \
		rm -rf $(VENV); exit 2; }
	@touch $(UNFINISHED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@rm $(UNFINISHED)
	@touch $(STAMP)

# convfuzz exits with 1 when it has found something, which is what it is for, and no error of make.
fuzz: $(STAMP)
	@$(BIN)/convfuzz fuzz $(ARGS) || test $$? -eq 1

test: $(STAMP)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -m 'not sweep' $(ARGS)

install-all: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,runtimes]'
	@$(BIN)/convfuzz doctor

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

sweep: $(STAMP)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) -m sweep $(ARGS)

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist ./*.egg-info
