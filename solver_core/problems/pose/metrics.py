# SPDX-License-Identifier: Apache-2.0
"""Errors of a pose, as the paper's Table 1 counts them, and the training target."""

from __future__ import annotations

import numpy as np

from solver_core import rotations
from solver_core.problems.pose.problem import PoseProblem

OUTLIER_DEG = 30.0
OUTLIER_TRANSLATION = 0.2  # object diagonals


def measure(problem: PoseProblem, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """(B,) errors of poses (B, 7), by name."""
    rotation_deg, translation = pose_errors(x, x_true)
    return {"rotation_deg": rotation_deg, "translation": translation}


def pose_errors(x: np.ndarray, x_true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B,) rotation errors in degrees and translation errors in object diagonals, for poses (B, 7) of unit meshes."""
    rotation_deg = np.degrees(rotations.angle_between(x[:, :4], x_true[:, :4]))
    return rotation_deg, np.linalg.norm(x[:, 4:] - x_true[:, 4:], axis=1)


def is_outlier(rotation_deg: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(B,) bool."""
    return (rotation_deg > OUTLIER_DEG) | (translation > OUTLIER_TRANSLATION)


def loss_inputs(problem: PoseProblem, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The whole remaining residual, in the network's units (B, 6)."""
    step = problem.manifold.difference(x, x_true)
    return {"target": problem.output_from_step(step, x, rows).astype(np.float32)}
