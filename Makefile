# `make demo` and `make test` need a fresh clone, Python and make; everything else goes into .venv-demo and .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DATA ?= $(or $(SOLVER_CORE_DATA),../shared/data)
# The tables `noise` and `damaged` take too long even on few samples: `python -m training.paper noise` by hand.
TABLES ?= table1 table2 table3 table4 table5 figure5 ablations no_start light_trust light_real rigs
SOURCES := $(shell find solver_core -name '*.py' -o -name '*.[ch]' -o -name '*.safetensors')

# The Blenders of `make test-gui` and `make pictures`: these versions, installed if need be, or BLENDER=/path/to/blender.
BLENDERS := $(if $(BLENDER),$(BLENDER),4.3 5.2)

.PHONY: options job-schema demo test test-sanitizers test-processors test-faults test-cycles fuzz test-gui lint check bench docs kernels extension release test-release pictures blenders readme-numbers quick-tables clean

demo: .venv-demo/installed  ## Solves the shipped examples into demo/, and the scenes of the Blender extension into demo/blender/
	mkdir -p demo
	.venv-demo/bin/solver_core solve pose --mesh assets/demo/pose_model.ply --photo assets/demo/pose_photo.jpg \
	    --camera assets/demo/camera.json --start assets/demo/start.json \
	    --out demo/photo.json --picture demo/photo.png --animation demo/photo.gif --mask-out demo/photo_mask.png
	.venv-demo/bin/solver_core solve pose --mesh assets/demo/pose_model.ply --photo 'assets/demo/shot/*.jpg' \
	    --camera assets/demo/shot/camera.json --start assets/demo/start.json \
	    --track --out demo/shot --smooth demo/shot.json --quiet > /dev/null || test $$? -eq 1  # doubtful behind the hand
	.venv-demo/bin/python assets/demo/picture_shot.py demo/shot demo/shot.jpg
	.venv-demo/bin/solver_core solve pose --mesh assets/demo/pose_model.ply --mask assets/demo/pose_mask.png \
	    --photo assets/demo/pose_photo.jpg --camera assets/demo/camera.json --start assets/demo/start.json \
	    --out demo/result.json --picture demo/result.png --animation demo/steps.gif
	.venv-demo/bin/solver_core solve inverse_kinematics --skeleton assets/demo/ik_rest.bvh --targets assets/demo/ik_targets.csv \
	    --out demo/motion.bvh --picture demo/motion.png --animation demo/motion.gif
	.venv-demo/bin/solver_core solve lighting --mesh assets/demo/light/*.ply --image assets/demo/light/photo.jpg \
	    --camera assets/demo/light/camera.json --pose assets/demo/light/pose.json \
	    --out demo/light.json --picture demo/light.png --animation demo/light.gif
	@if .venv-demo/bin/python -c 'import bpy' 2> /dev/null; then \
	    OMP_NUM_THREADS=1 .venv-demo/bin/python addon/batch.py assets/demo/job.json --out demo/blender && \
	    .venv-demo/bin/python assets/demo/picture_scenes.py demo/blender && \
	    { OMP_NUM_THREADS=1 .venv-demo/bin/python addon/batch.py assets/demo/shot/job.json --out demo/blender/shot || test $$? -eq 1; }; \
	else echo "Blender as a module needs Python 3.11: its part of the demo is left out."; fi

test: .venv/installed  ## Runs all tests
	$(BIN)/pytest

# The tests of the kernel and of what calls it; they need nothing but NumPy, which the sanitizers leave as it is.
SANITIZED_TESTS := tests/kernel/test_border.py tests/kernel/test_parity.py tests/kernel/test_threads.py \
    tests/render/test_rasterize.py tests/render/test_gbuffer.py tests/render/test_signed_distance.py \
    tests/problems/pose/test_contour.py tests/problems/pose/test_polish.py tests/problems/pose/test_solve.py \
    $(addprefix tests/problems/inverse_kinematics/,test_least_squares.py test_skeleton.py test_solve.py)

# What runs with a kernel that ends the process where it errs with memory or numbers; needs gcc.
SANITIZED := export CC="gcc -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"; \
	SOLVER_CORE_KERNEL=$$($(BIN)/python -m solver_core.kernel.build --out $(CURDIR)/build/sanitizers) \
	LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0

test-sanitizers: .venv/installed  ## Tests with such a kernel
	$(SANITIZED) $(BIN)/python -m pytest -m "not torch and not bpy and not egl and not data" $(SANITIZED_TESTS)

test-faults: .venv/installed  ## Full disks, 100 kills at random moments, files that vanish; FAULT_MOMENTS=2 for a short look
	$(BIN)/pytest tests/hostile/faults.py

INPUTS ?= 50000

fuzz: .venv/installed  ## Bad inputs for all that reads, other ones every time, and numbers for the kernel; INPUTS=N
	$(BIN)/python -m tests.hostile.fuzz --inputs $(INPUTS)
	$(SANITIZED) $(BIN)/python -m tests.hostile.fuzz --inputs $$(($(INPUTS) / 10)) kernel

test-cycles: .venv/installed  ## Enables and disables the extension a thousand times, and tells what that leaves
	ADDON_CYCLES=1000 $(BIN)/pytest -s tests/blender/test_register.py -k many_times

test-processors: .venv/installed  ## Numeric tests on the code that other processors run; LONG=1 runs all of them
	$(BIN)/python tests/processors/run.py $(if $(LONG),--long)

lint: .venv/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

check: lint test  ## What has to pass before a commit

bench: .venv/installed  ## Times, on this machine
	for file in training/benchmarks/*.py; do \
	    OMP_NUM_THREADS=1 $(BIN)/python -m training.benchmarks.$$(basename $$file .py) || exit 1; done

quick-tables: $(TABLES:%=quick-%)  ## Every table of training/RESULTS.md on few samples, into build/tables; -j2 uses two cores

$(TABLES:%=quick-%): quick-%: .venv/installed
	mkdir -p build/tables
	OMP_NUM_THREADS=1 $(BIN)/python -m training.paper $* --quick --data $(DATA) \
	    --json build/tables/$*.json --markdown build/tables/$*.md --plot build/tables > /dev/null

readme-numbers: .venv/installed  ## Fails if the numbers in README.md are not those of training/RESULTS.md
	$(BIN)/python -m training.paper.readme_numbers

kernels: .venv/installed  ## The compiled kernel for every platform, from this one
	$(BIN)/python -m solver_core.kernel.build --all

options: .venv/installed  ## docs/options.md, from the classes that declare the options
	$(BIN)/python docs/make_options.py

job-schema: .venv/installed  ## The JSON Schemas of batch jobs and of their records, from the classes that declare them
	$(BIN)/python -m addon.batch --schema > addon/job.schema.json.part
	mv addon/job.schema.json.part addon/job.schema.json
	$(BIN)/python -m addon.batch --record-schema > addon/record.schema.json.part
	mv addon/record.schema.json.part addon/record.schema.json

extension: .venv/installed  ## The Blender extension, a zip for every platform, in dist/
	$(BIN)/python build_extension.py

docs: .venv/installed  ## The docs site, in build/site; fails where it would warn
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(BIN)/python -m mkdocs build --strict --quiet

release: .venv/installed  ## All that a release publishes, with checksums, in dist/release
	rm -rf dist/release
	$(BIN)/python build_release.py --out dist/release

test-release: .venv/installed  ## Bare environments, kernels for other machines, validators; PYTHONS="3.11 3.12", SHORT=1: one package, no Wine
	tests/release/install_emulators.sh $(if $(SHORT),,wine64)
	$(BIN)/pytest -rs tests/release/installs.py tests/release/kernels.py tests/release/validators.py $(if $(SHORT),-k "wheel or validators or cross_compiled and not windows")

test-gui: blenders  ## Clicks the buttons in real Blender windows; pictures of it in build/gui
	TEST_BLENDER="$(BLENDERS)" $(BIN)/pytest tests/gui

pictures: blenders  ## The pictures of docs/user-guide.md and of the extensions site, from a real Blender window
	$(BIN)/python docs/make_pictures.py $(lastword $(BLENDERS))

blenders: .venv/installed
	$(if $(BLENDER),,for version in $(BLENDERS); do tests/gui/install_blender.sh $$version || exit 1; done)
	$(BIN)/python build_extension.py --platform linux-x64

clean:
	rm -rf .venv-demo demo build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find solver_core tests -name __pycache__ -prune -exec rm -rf {} +

# A copy, not an editable install: what a user gets, with the weights and the kernel inside.
.venv-demo/installed: pyproject.toml $(wildcard setup.py) $(SOURCES)
	$(PYTHON) -m venv .venv-demo
	tests/install_system_packages.sh
	.venv-demo/bin/python -m pip install --quiet '.[cli,blender]'
	touch $@

.venv/installed: pyproject.toml $(wildcard setup.py) $(wildcard solver_core/kernel/*.[ch]) tests/constraints.txt tests/install_system_packages.sh
	tests/install_system_packages.sh
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint tests/constraints.txt --editable '.[dev]'
	touch $@
