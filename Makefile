# `make demo` and `make test` need a fresh clone, Python and make; everything else goes into .venv-demo and .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SOURCES := $(shell find solver_core -name '*.py' -o -name '*.c' -o -name '*.safetensors')

.PHONY: demo test lint check bench kernels clean

demo: .venv-demo/installed  ## Solves the shipped examples: demo/result.json, result.png, steps.gif, motion.bvh, motion.png, motion.gif
	mkdir -p demo
	.venv-demo/bin/solver_core solve pose --mesh assets/demo/pose_model.ply --mask assets/demo/pose_mask.png \
	    --photo assets/demo/pose_photo.jpg --camera assets/demo/camera.json --start assets/demo/start.json \
	    --out demo/result.json --picture demo/result.png --animation demo/steps.gif
	.venv-demo/bin/solver_core solve ik --skeleton assets/demo/ik_rest.bvh --targets assets/demo/ik_targets.csv \
	    --out demo/motion.bvh --picture demo/motion.png --animation demo/motion.gif

test: .venv/installed  ## Runs all tests
	$(BIN)/pytest

lint: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

check: lint test  ## What has to pass before a commit

bench: .venv/installed  ## Times, on this machine
	for benchmark in training/benchmarks/*.py; do OMP_NUM_THREADS=1 $(BIN)/python $$benchmark || exit 1; done

kernels: .venv/installed  ## The compiled renderer for every platform, from this one
	$(BIN)/python -m solver_core.render.build --all

clean:
	rm -rf .venv-demo demo build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find solver_core tests -name __pycache__ -prune -exec rm -rf {} +

# A copy, not an editable install: what a user gets, with the weights and the kernel inside.
.venv-demo/installed: pyproject.toml $(wildcard setup.py) $(SOURCES)
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet '.[cli]'
	touch $@

.venv/installed: pyproject.toml $(wildcard setup.py) solver_core/render/kernel.c tests/constraints.txt tests/install_system_packages.sh
	tests/install_system_packages.sh
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint tests/constraints.txt --editable '.[dev]'
	touch $@
