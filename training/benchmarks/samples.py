# SPDX-License-Identifier: Apache-2.0
"""Training samples a second and core, with the recipes that ship: what bounds a training run on a machine with a GPU.

python -m training.benchmarks.samples DATA        (default: the folder that SOLVER_CORE_DATA names)
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded

import numpy as np
import torch

from solver_core import render
from solver_core.network.weights import load_weights
from solver_core.problems import find_problem
from solver_core.training import read_settings
from solver_core.training.examples import StageSource, make_examples
from solver_core.training.memory import keep_freed_memory

BATCHES = 5
RECIPES = {"pose": "pose", "lighting_sun": "lighting", "lighting_point": "lighting", "inverse_kinematics": "inverse_kinematics"}


def samples_per_second(recipe: str, stage: int, data: Path) -> float:
    """Median over batches, by the processor's time; samples of later stages go through the shipped networks before."""
    kind = find_problem(RECIPES[recipe])
    settings = read_settings(kind, recipe, [])
    task = kind.weights_task(settings.sampling)
    path = kind.shipped_weights(task)
    assert path is not None
    stages, info = load_weights(path, task, kind.input_layout)
    source = StageSource(kind, settings, info.spec, data, stages[:stage])
    sampler = source.sampler("train")
    speeds = []
    for index in range(BATCHES + 1):
        started = time.process_time()
        make_examples(source, sampler, index)
        speeds.append(settings.batch_size / (time.process_time() - started))
    return float(np.median(speeds[1:]))  # the first reads what the others find in memory


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SOLVER_CORE_DATA", "../shared/data"))
    if not (data / "meshes").is_dir():
        print(f"there is no data in {data}: samples are not timed")
        return
    keep_freed_memory()
    render.set_num_threads(1)
    torch.set_num_threads(1)
    print("| recipe | samples a second, first stage | second stage |")
    print("|---|---|---|")
    for recipe in RECIPES:
        first, second = (samples_per_second(recipe, stage, data) for stage in (0, 1))
        print(f"| {recipe} | {first:.0f} | {second:.0f} |", flush=True)


if __name__ == "__main__":
    main()
