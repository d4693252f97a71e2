# SPDX-License-Identifier: Apache-2.0
"""How fast batches come from a worker to the trainer, by shared memory and by pipes: a batch is made once and sent again.

python -m training.benchmarks.batches DATA        (default: the folder that SOLVER_CORE_DATA names)
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded

from solver_core.problems import find_problem
from solver_core.training import blocks, examples, read_settings
from solver_core.training.examples import PREFETCH_PER_WORKER, Examples, StageSource, Workers
from solver_core.training.memory import keep_freed_memory
from training.benchmarks.samples import RECIPES

BATCHES = 40
make, prepare, new_block = examples._make, examples._prepare, blocks._new_block
_made: list[Examples] = []  # in the worker


def make_once(source: StageSource, index: int) -> Examples:
    if not _made:
        _made.append(make(source, index))
    return _made[0]


def prepare_to_make_once() -> None:
    prepare()
    examples._make = make_once


def time_batches(source: StageSource) -> tuple[float, float]:
    """Samples a second, and milliseconds of the trainer's processor a batch."""
    with TemporaryDirectory() as folder, Workers(1, Path(folder)) as workers:
        stream = workers.stream(source, range(BATCHES + 2 * PREFETCH_PER_WORKER))
        for _ in range(2 * PREFETCH_PER_WORKER):  # until blocks are there
            next(stream)
        started, started_cpu = time.perf_counter(), time.process_time()
        for _ in stream:
            pass
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    return BATCHES * source.settings.batch_size / seconds, 1000 * cpu_seconds / BATCHES


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SOLVER_CORE_DATA", "../shared/data"))
    if not data.is_dir():
        print(f"there is no data in {data}: batches are not timed")
        return
    keep_freed_memory()
    examples._prepare = prepare_to_make_once  # by name, in the workers, too
    print("| recipe | through | samples a second | ms of the trainer a batch |")
    print("|---|---|---|---|")
    for recipe, name in RECIPES.items():
        kind = find_problem(name)
        settings = read_settings(kind, recipe, [])
        source = StageSource(kind, settings, kind.network_spec(settings.network), data, [])
        for how, make_block in {"pipe": lambda size: None, "shared memory": new_block}.items():
            blocks._new_block = make_block
            speed, milliseconds = time_batches(source)
            print(f"| {recipe} | {how} | {speed:.0f} | {milliseconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
