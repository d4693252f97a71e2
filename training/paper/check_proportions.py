# SPDX-License-Identifier: Apache-2.0
"""How often photographs of validation meshes make a mesh doubted that is 5 % longer on an axis, and how often the right one.

OMP_NUM_THREADS=1 python -m training.paper.check_proportions --data DATA [--samples 60]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.errors import SolverError
from solver_core.frames import matrix_from_pose
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.pose.photograph import solve_pose_from_image
from solver_core.problems.pose.verdict import GOOD_CONFIDENCE
from solver_core.solution import Verdict
from training.paper import pasted

SEED = 4711
LONGER = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=60)
    args = parser.parse_args()
    render.set_num_threads(1)
    meshes = MeshPool(load_library(args.data, "val")).measured
    for words, length in (("right", 1.0), ("longer", LONGER)):
        sure = doubted = 0
        for row in range(args.samples):
            rng = np.random.default_rng([SEED, row])
            case = pasted.draw(rng, meshes)
            stretch = np.where(np.arange(3) == rng.integers(3), length, 1.0)
            start = matrix_from_pose(case.start)
            try:
                found = solve_pose_from_image(case.image, case.mesh.vertices * stretch, case.mesh.faces, pasted.CAMERA, start)
            except SolverError:  # which is no confident answer
                continue
            is_sure = found.confidence >= GOOD_CONFIDENCE
            sure += is_sure
            doubted += is_sure and found.verdict is not Verdict.GOOD
        print(
            f"{words} mesh, N = {args.samples}: confidence of {GOOD_CONFIDENCE} or more {sure}, of these doubted {doubted}",
            flush=True,
        )


if __name__ == "__main__":
    main()
