# SPDX-License-Identifier: Apache-2.0
"""Errors of a light, as the paper's Table 4 counts them, and the training target."""

from __future__ import annotations

import numpy as np

from solver_core.problems.lighting.problem import LightingProblem

OUTLIER_SQUARED = 0.2  # the paper gives no threshold for light; 26 degrees for a sun


def measure(problem: LightingProblem, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """(B,) errors of lights (B, 3), by name."""
    return {"squared": squared_error(x, x_true), "angle_deg": angle_deg(x, x_true)}


def squared_error(x: np.ndarray, x_true: np.ndarray) -> np.ndarray:
    """(B,) squared distance between directions or positions (B, 3)."""
    return np.sum((x - x_true) ** 2, axis=1)


def angle_deg(x: np.ndarray, x_true: np.ndarray) -> np.ndarray:
    """(B,) angle between directions, or between positions as the middle of the object sees them."""
    sine = np.linalg.norm(np.cross(x, x_true), axis=1)
    return np.degrees(np.arctan2(sine, np.sum(x * x_true, axis=1)))


def is_outlier(squared: np.ndarray) -> np.ndarray:
    """(B,) bool."""
    return squared > OUTLIER_SQUARED


def loss_inputs(problem: LightingProblem, x: np.ndarray, x_true: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The whole remaining residual, in the network's units (B, 3)."""
    step = problem.manifold.difference(x, x_true)
    return {"target": problem.output_from_step(step, x, rows).astype(np.float32)}
