# SPDX-License-Identifier: Apache-2.0
"""Gauss-Newton on contours: how to move the object so that its rendered outline lies on the observed one.

Where the render changes from object to background between two neighbouring pixels, the surface point seen there should
lie on the observed contour, that is where the signed distance of the mask is zero.  Linearised over the six numbers of
an SE3 step this is a small weighted least-squares problem per instance.  The points and their sums are found in
kernel/contour.py.
"""

from __future__ import annotations

import numpy as np

from solver_core.kernel.contour import ContourPoints, contour_points, normal_equations, sum_by_instance
from solver_core.problem import Arrays, Update

DAMPING = 1e-3  # of the diagonal: keeps steps finite along directions the outline does not see
MIN_CURVATURE = 1e-6  # relative to the largest diagonal entry, for outlines without any information on a direction


def gauss_newton_step(points: ContourPoints, robust_px: np.ndarray) -> np.ndarray:
    """(B, 6) damped, robustly weighted Gauss-Newton step; zero for an instance without outline.

    robust_px: (B,) residuals beyond this many pixels lose influence (Cauchy weights).
    """
    return step_of(*damped_normal_equations(points, robust_px))


def step_of(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """(B, 6) the step to where the gradient (B, 6) is zero, for a damped Hessian (B, 6, 6)."""
    return -np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]


def damped_normal_equations(points: ContourPoints, robust_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Damped Gauss-Newton Hessian (B, 6, 6) and gradient (B, 6) of half the weighted squared distances.

    The inverse Hessian is the covariance that an SE3 step has if every pixel of outline is off by one on its own.
    """
    hessian, gradient = normal_equations(points, robust_px)
    return damped(hessian), gradient


def damped(hessian: np.ndarray) -> np.ndarray:
    """A Hessian (B, 6, 6) whose diagonal is raised a little, so that it can be inverted."""
    diagonal = np.einsum("bii->bi", hessian)
    floor = MIN_CURVATURE * diagonal.max(axis=1, keepdims=True) + 1e-12
    return hessian + np.eye(6) * (DAMPING * diagonal + floor)[:, None, :]


def mean_distance(points: ContourPoints, num_instances: int) -> np.ndarray:
    """(B,) mean distance of the rendered outline from the observed contour, pixels."""
    values = np.stack([points.weight * np.abs(points.residual), points.weight])
    total, weight = sum_by_instance(values, points.instance, num_instances).T
    return total / np.maximum(weight, 1e-12)


def contour_update(intrinsics: np.ndarray, robust_px: tuple[float, ...]) -> Update:
    """The step as an Update for the loop; the stages take the robust scales in turn.

    intrinsics: (B, 4) of the problem's instances.
    """

    def update(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        points = contour_points(x[:, 4:], prediction, observation.distance, observation.evidence, intrinsics[rows])
        scale = robust_px[stage % len(robust_px)]
        return gauss_newton_step(points, np.full(len(x), scale))

    return update
