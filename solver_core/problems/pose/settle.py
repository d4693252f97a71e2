# SPDX-License-Identifier: Apache-2.0
"""The last bit where a mask is not clean: the pose for which the outlines lie on each other on average.

Where the edge of a mask trembles, one pose fits about as well as another to the energy, and the weighted mean over the
outline is nearer to the truth.  Where all of the edge lies outside or inside of the object's outline, the offset is fitted
with the pose: else the object would be turned and moved to make up for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.kernel.contour import ContourPoints, contour_points
from solver_core.loop import LoopSettings
from solver_core.problem import Arrays, Update
from solver_core.problems.pose.contour import DAMPING, MIN_CURVATURE
from solver_core.problems.pose.refine import RefineLevel

# Whole steps: next to the answer the energy goes up and down with every pixel.
SETTLE_LOOP = LoopSettings(steps=8, halvings=None, patience=8, converged_energy=-1.0)
CAUCHY_DEVIATIONS = 2.4  # Cauchy weights of this many standard deviations lose 5 % where the noise is normal
MAD_TO_DEVIATION = 1.48
MIN_SCALE_PX = 0.7
OFFSET_PRIOR = 5e-3  # of the outline's length: the offset stays zero where nothing tells it from a move in depth
TOLERANCE = 0.005  # of energy, that an average may cost
MUCH_BETTER = 0.7  # the outline has to fit so much better with an offset, or there is none
ROW = np.array([0])


class Fit(NamedTuple):
    """How the outline of a pose fits: its part of the energy, after the offset of the mask's edge, outwards."""

    outline: float
    offset_px: float


def settling_update(level: RefineLevel, has_offset: bool) -> Update:
    """Gauss-Newton on a single pose (1, 7), with weights by the noise of the outline, and an offset of all of it."""

    def update(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        points = contour_points(x[:, 4:], prediction, observation.distance, observation.evidence, level.problem.intrinsics)
        if len(points.residual) == 0:
            return np.zeros((1, 6))
        jacobian = points.jacobian
        if has_offset:
            jacobian = np.concatenate([jacobian, np.ones((len(jacobian), 1))], axis=1)
        scale = noise_scale(points, level)
        weight = points.weight / (1 + (points.residual / scale) ** 2)
        weighted = jacobian * weight[:, None]
        hessian = weighted.T @ jacobian
        diagonal = np.diag(hessian)
        damping = DAMPING * diagonal + MIN_CURVATURE * diagonal[:6].max()
        damping[6:] = OFFSET_PRIOR * weight.sum()
        return -np.linalg.solve(hessian + np.diag(damping), weighted.T @ points.residual)[None, :6]

    return update


def noise_scale(points: ContourPoints, level: RefineLevel) -> float:
    """Cauchy scale in pixels at which the outline of one pose counts in full, by how far it typically is off."""
    return max(CAUCHY_DEVIATIONS * MAD_TO_DEVIATION * _typical(points, level), MIN_SCALE_PX)


def fit_of(level: RefineLevel, pose: np.ndarray, has_offset: bool) -> Fit:
    """How the outline at a pose (7,) fits."""
    problem, observation = level
    depth = problem.forward(pose[None], ROW)
    points = contour_points(pose[None, 4:], depth, observation.distance, observation.evidence, problem.intrinsics)
    near = points.residual[np.abs(points.residual) < _reach(level)]
    if len(near) == 0:
        return Fit(1.0, 0.0)
    offset = float(np.median(near)) if has_offset else 0.0
    off = np.minimum(np.abs(points.residual - offset) / _cut(level), 1)
    return Fit(float(np.average(off, weights=points.weight + 1e-9)), -offset)


def _typical(points: ContourPoints, level: RefineLevel) -> float:
    """Median distance of the outline that lies near the mask's, pixels."""
    near = np.abs(points.residual)
    near = near[near < _reach(level)]
    return float(np.median(near)) if len(near) else _cut(level)


def _cut(level: RefineLevel) -> float:
    return level.problem.cut_px or 1.0


def _reach(level: RefineLevel) -> float:
    return 1.5 * _cut(level)
