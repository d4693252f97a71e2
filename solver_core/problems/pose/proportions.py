# SPDX-License-Identifier: Apache-2.0
"""Whether a mesh with other proportions would explain the mask or photograph better than the given one.

A mesh that is a little too long or too short is turned to fit, by several degrees, and then fits well enough to be called
good.  What is left at its outline goes where a stretched mesh would take it away.
"""

from __future__ import annotations

import numpy as np

from solver_core.frames import matrix_from_pose
from solver_core.kernel.contour import ContourPoints
from solver_core.problems.pose.freedom import FreerFit, by_surface_point, freer_fit
from solver_core.problems.pose.refine import RefineLevel

# Stretches along x, y and z that leave the size as it is, which goes with the distance.
STRETCHES = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])
# Other proportions are told by a step of so many standard deviations, so large, from an outline that is off by more than
# pixels alone: of right meshes under damaged validation masks none comes to all three.
SURE_DEVIATIONS, SURE_STRETCH, SURE_PX = 3.5, 0.008, 0.1
# In photographs the mask that was found by colours and the edges along the outline must both tell it, about alike: of 75 right
# meshes in photographs of validation meshes one comes to that.
SURE_PHOTO_DEVIATIONS, ALIKE = 5.0, 0.75  # cosine
LEAST_PX = 1e-6  # of which no step is told from rounding
ABOUT_AS_WELL = 1.2  # times what an edge that lies off leaves of the distances


def doubted_axis(level: RefineLevel, pose: np.ndarray, has_offset: bool) -> str | None:
    """The mesh's axis along which it is most likely too long or too short, from a settled pose (7,); None if none is.

    has_offset: whether all of the mask's edge was found to lie off; other proportions may look like that.
    """
    fit = _stretched(level, pose)
    if fit is None or not _is_sure(fit, SURE_DEVIATIONS):
        return None
    if has_offset:
        with_offset = freer_fit(level, pose, lambda points: np.ones((len(points.residual), 1)))
        if with_offset is None or fit.left_px > ABOUT_AS_WELL * with_offset.left_px:
            return None
    return _axis(fit)


def doubted_axis_in_photo(by_colours: RefineLevel, by_edges: RefineLevel, pose: np.ndarray) -> str | None:
    """The same of a pose (7,) in a photograph.

    by_colours: of the mask that was found.  by_edges: of what the mesh covers, whose edge is where the photograph has it.
    """
    fit, edges = _stretched(by_colours, pose), _stretched(by_edges, pose)
    if fit is None or edges is None or not _is_sure(fit, SURE_PHOTO_DEVIATIONS) or _deviations(edges) < SURE_PHOTO_DEVIATIONS:
        return None
    alike = fit.step @ edges.step / (np.linalg.norm(fit.step) * np.linalg.norm(edges.step))
    return _axis(fit) if alike >= ALIKE else None


def _stretched(level: RefineLevel, pose: np.ndarray) -> FreerFit | None:
    return freer_fit(level, pose, lambda points: by_stretch(points, pose) @ STRETCHES.T)


def _is_sure(fit: FreerFit, sure_deviations: float) -> bool:
    is_large = fit.residual_px >= SURE_PX and np.linalg.norm(fit.step) >= SURE_STRETCH
    return bool(is_large and _deviations(fit) >= sure_deviations)


def _deviations(fit: FreerFit) -> float:
    if fit.residual_px < LEAST_PX:
        return 0.0
    return float(np.sqrt(fit.step @ np.linalg.solve(fit.covariance, fit.step)))


def _axis(fit: FreerFit) -> str:
    return "xyz"[int(np.argmax(np.abs(STRETCHES.T @ fit.step)))]


def by_stretch(points: ContourPoints, pose: np.ndarray) -> np.ndarray:
    """(P, 3) derivative of the residual by the log of the mesh's length along its own x, y and z, at a pose (7,)."""
    camera_from_mesh = matrix_from_pose(pose)[:3, :3]
    by_point, arm = by_surface_point(points, pose[4:])
    return (by_point @ camera_from_mesh) * (arm @ camera_from_mesh)
