# SPDX-License-Identifier: Apache-2.0
"""How Adam on differentiable silhouettes was tuned: errors of settings on meshes of the validation split, canonical view.

OMP_NUM_THREADS=1 python -m training.paper.tune_pose_baselines --data DATA [--samples 24]
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.pose.sampler import PoseSampling
from training.paper.baselines.pose_descent import PoseDescent
from training.paper.evaluation import Run
from training.paper.tables.pose_cases import (
    PoseMethod,
    draw_cases,
    draw_from,
    measure,
    neural_mesh_renderer,
    soft_rasterizer,
    summary,
)

SEED = 77  # of the samples; no table's
RATES = ((0.005, 0.005), (0.005, 0.01), (0.01, 0.01), (0.02, 0.02))  # of quaternion and position
SIGMAS = (1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
PROMISING_SIGMAS = (1e-5, 3e-6, 1e-6)  # tried at all rates, the others at the first ones only
FINER = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=24)
    args = parser.parse_args()
    render.set_num_threads(1)
    meshes = MeshPool(load_library(args.data, "val")).measured
    cases = draw_cases(meshes, draw_from(PoseSampling(canonical=1.0)), np.random.default_rng(SEED), args.samples)
    run = Run("tuning", args.data, len(cases))
    tried: list[tuple[str, PoseMethod, PoseDescent]] = []
    for rates, finer in itertools.product(RATES, FINER):
        settings = PoseDescent(*rates, finer=finer)
        tried.append(("neural mesh renderer", neural_mesh_renderer(settings), settings))
    for rates, sigma in itertools.product(RATES, SIGMAS):
        if rates != RATES[0] and sigma not in PROMISING_SIGMAS:
            continue
        settings = PoseDescent(*rates, sigma=sigma)
        tried.append(("soft rasteriser", soft_rasterizer(settings), settings))
    for name, method, settings in tried:
        row = summary(measure(run, name, cases, method, settings))
        numbers = ", ".join(f"{key} {value:.4g}" for key, value in row.items() if not isinstance(value, str))
        print(f"{name}, {settings}: {numbers}", flush=True)


if __name__ == "__main__":
    main()
