# SPDX-License-Identifier: Apache-2.0
"""No start: poses from a clean silhouette alone, whichever axis of the mesh is up."""

from __future__ import annotations

import numpy as np

from solver_core import render, rotations
from solver_core.mesh import Mesh
from solver_core.problems.pose.solve import PoseOptions, solve_pose
from training.paper.evaluation import Errors, Row, Run
from training.paper.tables.damaged import DamagedCase, Kind, draw_damaged, errors_of, summary
from training.paper.tables.pose_cases import load_test_meshes

TITLE = "No start: poses from a silhouette alone"
NUM_SAMPLES = 200  # a row
QUICK_SAMPLES = 6
Y_FROM_Z = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # makes a mesh that is z up y up
# Which axis is up, what the solver is told, and whether networks are used.
ROWS = {
    "z up": ("z", "z", 5),
    "z up, no network": ("z", "z", 0),
    "z up, either": ("z", "either", 5),
    "y up": ("y", "y", 5),
    "y up, either": ("y", "either", 5),
    "y up, either, no network": ("y", "either", 0),
    "any": ("tumbled", "any", 5),
    "any, no network": ("tumbled", "any", 0),
}


def rows(run: Run) -> list[Row]:
    """Errors on the same samples, whatever is known of the axes."""
    render.set_num_threads(1)
    cases = draw_damaged(load_test_meshes(run.data), Kind(), np.random.default_rng([run.seed, 60]), run.num_samples)
    table: list[Row] = []
    for name, (up, told, steps) in ROWS.items():
        options = PoseOptions(steps=steps)
        errors = run.measure(
            name,
            len(cases),
            lambda part, up=up, told=told, options=options: measure(cases, part, up, told, options),
            (up, told, options),
            10,
        )
        table.append({"up": name, **summary(errors)})
    return table


def measure(cases: list[DamagedCase], part: np.ndarray, up: str, told: str, options: PoseOptions) -> Errors:
    """Errors of solves without a start, of meshes turned to be up along z, y or any direction."""
    each = []
    for row in part:
        case, rng = cases[row], np.random.default_rng(int(row))
        turn = {"z": np.eye(3), "y": Y_FROM_Z}.get(up, rotations.matrix_from_wxyz(rotations.random_wxyz(rng)))
        mesh = Mesh((case.mesh.vertices @ turn.T).astype(np.float32), case.mesh.faces)
        placed = mesh.unit()  # a mesh that was turned at random has another box
        truth = case.truth.copy()
        truth[:4] = rotations.multiply(truth[:4], rotations.inverse(rotations.wxyz_from_matrix(turn)))
        truth[4:] = (truth[4:] + rotations.rotate(truth[:4], placed.centre)) / placed.diagonal
        vertices, faces = placed.mesh.vertices, placed.mesh.faces
        solution = solve_pose(case.mask, vertices, faces, case.camera, up=told, options=options, rng=rng)
        each.append(errors_of(solution, placed.mesh, truth))
    return {name: np.array([one[name] for one in each]) for name in each[0]}
