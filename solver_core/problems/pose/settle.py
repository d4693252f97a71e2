# SPDX-License-Identifier: Apache-2.0
"""The last bit where a mask is not clean: the pose for which the outlines lie on each other on average.

Where the edge of a mask trembles, one pose fits about as well as another to the energy, and the weighted mean over the
outline is nearer to the truth; nearer still where mask and render are smoothed alike, because the nearest point of a ragged
edge says less than where the edge runs on average.  Where all of the edge lies outside or inside of the object's outline,
the offset is fitted with the pose: else the object would be turned and moved to make up for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from solver_core.images import gaussian_blur
from solver_core.kernel.contour import ContourPoints, contour_points
from solver_core.loop import LoopSettings
from solver_core.problem import Arrays, Update
from solver_core.problems.pose.contour import DAMPING, MIN_CURVATURE
from solver_core.problems.pose.crop import coverage_distance
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.refine import RefineLevel

# Whole steps: next to the answer the energy goes up and down with every pixel.
SETTLE_LOOP = LoopSettings(steps=8, halvings=None, patience=8, converged_energy=-1.0)
OFFSET_LOOP = replace(SETTLE_LOOP, steps=40, patience=40)  # an offset goes a long way with a move in depth
CAUCHY_DEVIATIONS = 2.4  # Cauchy weights of this many standard deviations lose 5 % where the noise is normal
MAD_TO_DEVIATION = 1.48
MIN_SCALE_PX = 0.7
OFFSET_PRIOR = 1e-3  # of the outline's length: the offset stays zero where nothing tells it from a move in depth
TOLERANCE = 0.005  # of energy, that an average may cost
RAGGED_PX = 0.5  # an edge that is typically off by so much is ragged: it is smoothed
SMOOTH = 5.0  # standard deviation of the smoothing in units of how far the edge typically is off
RAGGED_TOLERANCE = 0.1  # of the energy itself: the best fit to a ragged edge follows it farther than the truth does
# An offset is within these and brings the outline nearer by this factor, or there is none.
OFFSETS_PX, MUCH_BETTER = (0.3, 5.0), 0.75
LEAST_REACH_PX = 3.0  # what is farther off is not near
CLOSE_PX = 0.15  # an outline that is as near as that lies on the mask's: there is no offset
SHARP_PX = 0.1  # no outline is nearer than that
ROW = np.array([0])


class Fit(NamedTuple):
    """How the outline of a pose fits, after the offset of the mask's edge, outwards.

    outline: its part of the energy.  deviation_px: root mean square distance of its points, cut where they are not near.
    """

    outline: float
    deviation_px: float
    offset_px: float

    def needs_offset(self, without: Fit) -> bool:
        """Whether an offset explains so much more than none that the edge must lie off."""
        is_nearer = np.hypot(self.deviation_px, SHARP_PX) < MUCH_BETTER * np.hypot(without.deviation_px, SHARP_PX)
        least_px, most_px = OFFSETS_PX
        return bool(is_nearer and least_px < abs(self.offset_px) < most_px)


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


class Smoothing:
    """Compares outlines after mask and render are smoothed alike.

    Smoothing rounds corners and shortens what is thin; it does so to both, so the difference of their outlines stays
    unbiased.  Where it moves the render's own outline far, there is nothing to compare, and the mask counts as it is.
    """

    def __init__(self, observation: PoseObservation, deviation_px: float) -> None:
        self.observation, self.deviation_px = observation, deviation_px
        self.evidence = observation.evidence[0].astype(np.float32)
        self.known = np.maximum(gaussian_blur(self.evidence, deviation_px), 1e-3)
        self.distance = self._smooth_distance(observation.coverage[0])

    def before(self, depth: np.ndarray) -> PoseObservation:
        """The mask with the distances at which a render (1, H, W) is settled."""
        render = np.isfinite(depth).astype(np.float32)
        moved = self._smooth_distance(render[0]) - coverage_distance(render)
        is_comparable = np.abs(moved) < self.deviation_px / 2
        return self.observation._replace(distance=np.where(is_comparable, self.distance - moved, self.observation.distance))

    def _smooth_distance(self, image: np.ndarray) -> np.ndarray:
        """(1, H, W) signed distance to the outline of a smoothed image (H, W), of what is known of it."""
        return coverage_distance((gaussian_blur(image * self.evidence, self.deviation_px) / self.known)[None])


def smoothing(level: RefineLevel, pose: np.ndarray) -> Smoothing | None:
    """How to compare a ragged mask with renders near a pose (7,); None if its edge is not ragged."""
    typical = _typical(_outline(level, pose), level)
    return Smoothing(level.observation, SMOOTH * typical) if typical > RAGGED_PX else None


def smoothing_update(level: RefineLevel, smoothed: Smoothing) -> Update:
    """As settling_update without an offset, on smoothed outlines."""
    settle = settling_update(level, has_offset=False)

    def update(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        return settle(stage, x, prediction, smoothed.before(prediction), rows)

    return update


def noise_scale(points: ContourPoints, level: RefineLevel) -> float:
    """Cauchy scale in pixels at which the outline of one pose counts in full, by how far it typically is off."""
    return max(CAUCHY_DEVIATIONS * MAD_TO_DEVIATION * _typical(points, level), MIN_SCALE_PX)


def fit_of(level: RefineLevel, pose: np.ndarray, has_offset: bool) -> Fit:
    """How the outline at a pose (7,) fits."""
    points = _outline(level, pose)
    if len(points.residual) == 0:
        return Fit(1.0, _reach(level), 0.0)
    offset = float(np.median(points.residual)) if has_offset else 0.0
    off = np.abs(points.residual - offset)
    outline = float(np.average(np.minimum(off / _cut(level), 1), weights=points.weight + 1e-9))
    return Fit(outline, float(np.sqrt(np.mean(np.minimum(off, _reach(level)) ** 2))), -offset)


def _outline(level: RefineLevel, pose: np.ndarray) -> ContourPoints:
    """Points on the outline of a pose (7,)."""
    problem, observation = level
    depth = problem.forward(pose[None], ROW)
    return contour_points(pose[None, 4:], depth, observation.distance, observation.evidence, problem.intrinsics)


def _typical(points: ContourPoints, level: RefineLevel) -> float:
    """Median distance of the outline that lies near the mask's, pixels."""
    near = np.abs(points.residual)
    near = near[near < _reach(level)]
    return float(np.median(near)) if len(near) else _cut(level)


def _cut(level: RefineLevel) -> float:
    return level.problem.cut_px or 1.0


def _reach(level: RefineLevel) -> float:
    return max(1.5 * _cut(level), LEAST_REACH_PX)
