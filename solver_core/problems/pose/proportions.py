# SPDX-License-Identifier: Apache-2.0
"""Whether a mesh with other proportions would explain the mask better than the given one.

A mesh that is a little too long or too short is turned to fit, by several degrees, and then fits well enough to be called
good.  What is left at its outline goes where a stretched mesh would take it away.
"""

from __future__ import annotations

import numpy as np

from solver_core.frames import matrix_from_pose
from solver_core.kernel.contour import ContourPoints
from solver_core.problems.pose.freedom import by_surface_point, freer_fit
from solver_core.problems.pose.refine import RefineLevel

# Stretches along x, y and z that leave the size as it is, which goes with the distance.
STRETCHES = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])
# Other proportions are told by a step of so many standard deviations, so large, from an outline that is off by more than
# pixels alone: of right meshes under damaged validation masks none comes to all three.
SURE_DEVIATIONS, SURE_STRETCH, SURE_PX = 3.5, 0.008, 0.1
ABOUT_AS_WELL = 1.2  # times what an edge that lies off leaves of the distances


def doubted_axis(level: RefineLevel, pose: np.ndarray, has_offset: bool) -> str | None:
    """The mesh's axis along which it is most likely too long or too short, from a settled pose (7,); None if none is.

    has_offset: whether all of the mask's edge was found to lie off; other proportions may look like that.
    """
    fit = freer_fit(level, pose, lambda points: by_stretch(points, pose) @ STRETCHES.T)
    if fit is None or fit.residual_px < SURE_PX:
        return None
    if has_offset:
        with_offset = freer_fit(level, pose, lambda points: np.ones((len(points.residual), 1)))
        if with_offset is None or fit.left_px > ABOUT_AS_WELL * with_offset.left_px:
            return None
    deviations = np.sqrt(fit.step @ np.linalg.solve(fit.covariance, fit.step))
    if deviations < SURE_DEVIATIONS or np.linalg.norm(fit.step) < SURE_STRETCH:
        return None
    return "xyz"[int(np.argmax(np.abs(STRETCHES.T @ fit.step)))]


def by_stretch(points: ContourPoints, pose: np.ndarray) -> np.ndarray:
    """(P, 3) derivative of the residual by the log of the mesh's length along its own x, y and z, at a pose (7,)."""
    camera_from_mesh = matrix_from_pose(pose)[:3, :3]
    by_point, arm = by_surface_point(points, pose[4:])
    return (by_point @ camera_from_mesh) * (arm @ camera_from_mesh)
