# SPDX-License-Identifier: Apache-2.0
"""Errors of a pose, as the paper's Table 5 counts them, and what the training loss needs."""

from __future__ import annotations

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.problem import KinematicProblem


def measure(problem: KinematicProblem, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """(B,) mean distance of the nodes in centimetres and mean angle of the joints in degrees."""
    return {
        "position_cm": node_distances_cm(problem, x, x_true, rows).mean(axis=1),
        "rotation_deg": joint_angles_deg(x, x_true).mean(axis=1),
    }


def node_distances_cm(problem: KinematicProblem, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(B, N)."""
    difference = problem.forward(x, rows).positions - problem.forward(x_true, rows).positions
    return 100 * np.linalg.norm(difference, axis=-1)


def joint_angles_deg(x: np.ndarray, x_true: np.ndarray) -> np.ndarray:
    """(B, J)."""
    return np.degrees(rotations.angle_between(x, x_true))


def loss_inputs(problem: KinematicProblem, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Rotation matrices of the estimate and the truth, axes (B, J, 3, 3), rest offsets (B, N, 3), parents (B, N)."""
    return {
        "estimate": rotations.matrix_from_wxyz(x).astype(np.float32),
        "truth": rotations.matrix_from_wxyz(x_true).astype(np.float32),
        "axes": np.tile(problem.body.axes.astype(np.float32), (len(x), 1, 1, 1)),
        "offsets": problem.offsets[rows].astype(np.float32),
        "parents": np.tile(problem.skeleton.parents.astype(np.float32), (len(x), 1)),
    }
