# SPDX-License-Identifier: Apache-2.0
"""`solver_core evaluate pose`: masks of objects whose poses are known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_rigid
from solver_core.command.evaluation import Case, Measured, listed_cases
from solver_core.problems.pose.inputs import CONVENTIONS, add_inputs, read_inputs
from solver_core.problems.pose.metrics import pose_errors
from solver_core.problems.pose.setup import PoseSetup
from solver_core.problems.pose.solve import PoseOptions, PoseSession
from solver_core.problems.pose.symmetry import find_symmetries

OPTIONS = PoseOptions
DATA = "a folder with cases.json: mesh, mask, camera and the true camera_from_object of each case"
TRUTH = "camera_from_object"
MAX_POINTS = 1000  # of a mesh, whose distances are compared


def cases(folder: Path, options: PoseOptions) -> list[Case]:
    """The cases that a folder lists.  Raises ConfigError."""
    listed = listed_cases(folder, add_inputs, "mask", TRUTH)
    return [Case(name, partial(_measure, inputs, truth, options)) for name, inputs, truth in listed]


def _measure(inputs: Any, truth: Any, options: PoseOptions) -> Measured:
    """Errors to the nearest pose that looks like the true one: of the rotation; of the place and, over the surface, of its
    points from the nearest true ones (ADD-S), both in percent of the object's diagonal.
    """
    true_matrix = CONVENTIONS[inputs.convention] @ checked_rigid(truth, TRUTH)
    setup = PoseSetup.checked(**read_inputs(inputs))
    result = PoseSession(setup, options).run()
    true = setup.unit_pose(true_matrix)
    found = find_symmetries(setup.mesh).nearest(setup.unit_pose(result.camera_from_object), true[:4])
    rotation_deg, translation = pose_errors(found[None], true[None])
    points = setup.mesh.vertices[:: -(-len(setup.mesh.vertices) // MAX_POINTS)]
    placed, wanted = (rotations.rotate(pose[:4], points) + pose[4:] for pose in (found, true))
    nearest = np.linalg.norm(placed[:, None] - wanted, axis=2).min(axis=1)
    errors = {
        "rotation_deg": float(rotation_deg[0]),
        "translation_percent": 100 * float(translation[0]),
        "surface_percent": 100 * float(nearest.mean()),
    }
    return Measured(errors, result.verdict, result.seconds)
