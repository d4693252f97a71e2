# SPDX-License-Identifier: Apache-2.0
"""What the outline would change of camera and mesh, were they free: one Gauss-Newton step from a settled pose.

It falls short of the truth but goes the right way, and the residuals tell how much of it is noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from solver_core.gauss_newton import least_squares_step
from solver_core.kernel.contour import ContourPoints, contour_points
from solver_core.problems.pose.refine import RefineLevel
from solver_core.problems.pose.settle import noise_scale

POSE_NUMBERS = 6


class FreerFit(NamedTuple):
    """What K numbers beside the pose are moved by.

    step: (K,).  covariance: (K, K) of its noise.  residual_px, left_px: root of the mean squared distance of the outlines
    before it and, as far as that is linear, after it.
    """

    step: np.ndarray
    covariance: np.ndarray
    residual_px: float
    left_px: float


def freer_fit(level: RefineLevel, pose: np.ndarray, derivatives: Callable[[ContourPoints], np.ndarray]) -> FreerFit | None:
    """The step of more numbers together with that of a pose (7,), or None if there is too little outline.

    derivatives: gives (P, K) those of the residuals by the numbers.
    """
    problem, observation = level
    depth = problem.forward(pose[None], np.array([0]))
    points = contour_points(pose[None, 4:], depth, observation.distance, observation.evidence, problem.intrinsics)
    jacobian = np.column_stack([points.jacobian, derivatives(points)])
    if len(jacobian) <= jacobian.shape[1]:
        return None
    weight = points.weight / (1 + (points.residual / noise_scale(points, level)) ** 2)
    step, covariance = least_squares_step(np.sqrt(weight)[None, :, None] * jacobian, (np.sqrt(weight) * points.residual)[None])
    residual_px, left_px = (
        float(np.sqrt(weight @ off**2 / max(weight.sum(), 1e-9)))
        for off in (points.residual, points.residual + jacobian @ step[0])
    )
    free = slice(POSE_NUMBERS, None)
    return FreerFit(step[0, free], residual_px**2 * covariance[0, free, free], residual_px, left_px)


def by_surface_point(points: ContourPoints, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) derivative of the residual by the point on the surface, and (P, 3) where it is from the object's centre.

    Both are in camera axes.  They follow from the derivative by an SE3 step of an object at a position (3,): that by the
    point is seen in the object's shift and depth, and the point in the rotation, but for its part along that derivative,
    which is zero, as the point lies on the ray of a pixel.
    """
    by_shift = points.jacobian[:, 3:5] / -position[2]
    by_depth = (points.jacobian[:, 5] - by_shift @ position[:2]) / position[2]
    by_point = np.column_stack([by_shift, by_depth])
    turned = np.cross(by_point, points.jacobian[:, :3])  # the arm from the centre, by the squared length of by_point
    arm = (turned - by_point * (by_point @ position)[:, None]) / np.maximum(np.sum(by_point**2, axis=1, keepdims=True), 1e-12)
    return by_point, arm
