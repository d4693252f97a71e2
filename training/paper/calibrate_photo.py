# SPDX-License-Identifier: Apache-2.0
"""Fits how sure a pose from a photograph is, to photographs of validation meshes, and writes what solver_core ships.

OMP_NUM_THREADS=1 python -m training.paper.calibrate_photo --data DATA --parts FOLDER [--samples 150] [--out FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.errors import SolverError
from solver_core.frames import matrix_from_pose
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshPool, load_library
from solver_core.network.weights import SHIPPED
from solver_core.problems.pose.confidence import FEATURES, FILE, PHOTO_FEATURES, PHOTO_FILE, shipped_calibration
from solver_core.problems.pose.photograph import solve_pose_from_image
from training.paper import pasted
from training.paper.calibrate_pose import write
from training.paper.evaluation import Errors, Run
from training.paper.tables.damaged import errors_of

SEED = 43  # of the samples; no table's
RIDGE = 0.02  # ten times that of masks, since there are fewer solves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", type=Path, required=True, help="keeps what was measured, so that a killed run goes on")
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--out", type=Path, default=SHIPPED / PHOTO_FILE)
    args = parser.parse_args()
    render.set_num_threads(1)
    meshes = MeshPool(load_library(args.data, "val")).measured
    run = Run("photo_calibration", args.data, 0, SEED, args.parts)
    errors = run.measure("photographs", args.samples, lambda part: measured(part, meshes), chunk_size=5)
    about = f"fitted by training/paper/calibrate_photo.py, {args.samples} solves"
    slopes = shipped_calibration(FILE, FEATURES).interval[:, :2]  # as for masks: there are too few solves to fit them anew
    write(errors, PHOTO_FEATURES, RIDGE, about, args.out, slopes)


def measured(part: np.ndarray, meshes: list[Mesh]) -> Errors:
    """What solves were worth, and the evidence about them; those that end in an error tell nothing and are left out."""
    each = []
    for row in part.tolist():
        case = pasted.draw(np.random.default_rng([SEED, row]), meshes)
        start = matrix_from_pose(case.start)
        try:
            found = solve_pose_from_image(case.image, case.mesh.vertices, case.mesh.faces, pasted.CAMERA, start)
        except SolverError as error:
            print(f"photograph {row}: {error}", flush=True)
            continue
        each.append(
            {**errors_of(found, case.mesh, case.truth), "image_evidence": np.array(found.image_evidence), "number": row}
        )
    return {name: np.array([one[name] for one in each]) for name in each[0]}


if __name__ == "__main__":
    main()
