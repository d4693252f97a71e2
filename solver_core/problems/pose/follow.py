# SPDX-License-Identifier: Apache-2.0
"""The pose in the next frame of a shot, from about where the object is: Gauss-Newton along lines across its outline.

A step looks at some hundred lines instead of a whole image.  Lines are long at first, as the object may have turned, and short
in the end, where every pixel counts.  Points of the outline are found anew where the object has moved a little.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix, project
from solver_core.kernel.contour import ContourPoints, normal_equations
from solver_core.kernel.lines import Lines, MeshEdges, edges_of, follow_lines, outline_points
from solver_core.mesh import Mesh
from solver_core.problems.pose.contour import damped
from solver_core.problems.pose.evidence import MAX_GAP, PIXEL_NOISE, Evidence, Looked, spreads
from solver_core.problems.pose.likelihood import CUT, HIDDEN_WEIGHT
from solver_core.problems.pose.symmetry import Symmetries, find_symmetries

FIRST_PX, SMALL_PX = (
    128,
    256,
)  # pixels across the object in the silhouettes that tell which edges are seen, at first and in the end
SPACING_PX = 1.5  # of such a silhouette, between two lines
MARGIN = 0.3  # of the object's longer side, around it: what is looked at
MIN_MARGIN_PX, MIN_WINDOW_PX = 8, 16
REACHES = (0.12, 0.05)  # of the object's longer side, to each side of the outline: lines of the first steps
NUM_COARSE_SAMPLES = 32  # of such a line
STEPS = 3  # at most, with each kind of lines and each set of points
ROUNDS = 4  # sets of points at most, with the last kind of lines
ROBUST = 0.25  # of a line's reach: scale of what is off, in the first steps
FINE_ROBUST_PX = 1.0
FINE_REACH_PX = 6.0
MOVED_PX = 0.1  # of the silhouette: the outline's points are found anew where the object moved by more
SETTLED_PX = 0.02  # a step that moves the outline by less is the last
COARSELY_SETTLED = 0.3  # of the pixels between samples: the same with long lines
DAMPING = 1e-4  # of the diagonal: steps lead nearly to the answer
FREE_VARIANCE = 1e6  # of a step that no line sees


class View(NamedTuple):
    """What a frame shows around the object.

    image: (h, w) uint8.  log_odds: (256,) that a pixel of a value is object.  camera: of the image.
    """

    image: np.ndarray
    log_odds: np.ndarray
    camera: Camera


class Followed(NamedTuple):
    """pose: (7,) of the unit mesh.  looked: what speaks for it.  is_object, is_seen: (h, w) bool, the view and the silhouette
    with larger pixels, as many as the reduction a side.
    """

    pose: np.ndarray
    looked: Looked
    is_object: np.ndarray
    is_seen: np.ndarray
    reduction: int


class Follower:
    """Follows one unit mesh from frame to frame."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.edges: MeshEdges = edges_of(mesh)
        low, high = mesh.bounds
        self.box = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])], float)
        self.symmetries: Symmetries = find_symmetries(mesh)

    def window(self, camera: Camera, pose: np.ndarray) -> tuple[int, int, int, int] | None:
        """left, top, width and height of what is looked at with the object at a pose (7,); None if it is out of view."""
        corners = rotations.rotate(pose[:4], self.box) + pose[4:]
        if (corners[:, 2] >= 0).any():
            return None
        seen = project(corners, camera.intrinsics)
        low, high = seen.min(axis=0), seen.max(axis=0)
        margin = MARGIN * float((high - low).max()) + MIN_MARGIN_PX
        left, top = (max(0, math.floor(one)) for one in low - margin)
        right, bottom = (
            min(size, math.ceil(one)) for one, size in zip(high + margin, (camera.width, camera.height), strict=True)
        )
        return None if right - left < MIN_WINDOW_PX or bottom - top < MIN_WINDOW_PX else (left, top, right - left, bottom - top)

    def follow(self, view: View, pose: np.ndarray) -> Followed:
        """The pose near a pose (7,) whose outline fits the view."""
        across, matrix = self._across(view, pose), matrix_from_pose(pose)
        reduction, moved_px = max(1, math.ceil(across / FIRST_PX)), np.inf
        for reach in REACHES:
            if moved_px > reduction:
                points, _ = self._points(view, matrix, reduction)
            step_px = 2 * reach * across / NUM_COARSE_SAMPLES
            lines = Lines(step_px, NUM_COARSE_SAMPLES, ROBUST * reach * across, DAMPING, COARSELY_SETTLED * step_px)
            matrix, _, moved_px = self._steps(view, points, matrix, lines)
        reduction = max(1, math.ceil(across / SMALL_PX))
        lines = Lines(1.0, 2 * math.ceil(max(FINE_REACH_PX, CUT * across)), FINE_ROBUST_PX, DAMPING, SETTLED_PX)
        for _ in range(ROUNDS):
            points, is_seen = self._points(view, matrix, reduction)
            matrix, matches, moved_px = self._steps(view, points, matrix, lines)
            if moved_px < MOVED_PX * reduction:
                break
        pose, is_object = pose_from_matrix(matrix), _shown(view, reduction)
        looked = self._looked(across, reduction, pose, matches, is_object, is_seen)
        return Followed(pose, looked, is_object, is_seen, reduction)

    def _across(self, view: View, pose: np.ndarray) -> float:
        """The object's size in the image, pixels."""
        return max(view.camera.fx, view.camera.fy) / -pose[6]

    def _points(self, view: View, matrix: np.ndarray, reduction: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, 6) points of the outline at camera_from_object (4, 4), and (h, w) bool the silhouette, with larger pixels."""
        height, width = (size // reduction for size in view.image.shape)
        # The centres of its pixels are those of the view's that _shown takes.
        intrinsics = (view.camera.intrinsics - [0, 0, *[(reduction // 2 + 0.5) - reduction / 2] * 2]) / reduction
        return outline_points(self.edges, matrix, intrinsics, (height, width), SPACING_PX)

    def _steps(
        self, view: View, points: np.ndarray, matrix: np.ndarray, lines: Lines
    ) -> tuple[np.ndarray, ContourPoints, float]:
        """camera_from_object (4, 4) after some steps, the lines then, and how far the outline moved, pixels."""
        return follow_lines(points, matrix, view.camera.intrinsics, view.image, view.log_odds, lines, STEPS)

    def _looked(
        self,
        size_px: float,
        reduction: int,
        pose: np.ndarray,
        matches: ContourPoints,
        is_object: np.ndarray,
        is_seen: np.ndarray,
    ) -> Looked:
        """Evidence for a pose (7,) of an object of this size, from its lines, and view and silhouette with larger pixels."""
        both, observed, seen = (int(np.count_nonzero(one)) for one in (is_object & is_seen, is_object, is_seen))
        cut_px = max(CUT * size_px, 1.0)
        is_known = matches.weight > 0
        off = np.abs(matches.residual[is_known]) / cut_px
        outline, inliers = (float(off.clip(max=1).mean()), float(np.mean(off < 1))) if len(off) else (1.0, 0.0)
        unexplained, hidden = 1 - both / max(observed, 1), 1 - both / max(seen, 1)
        covariance = _covariance(matches, cut_px, SPACING_PX * reduction)
        rotation_deg, across, along = spreads(covariance, pose, self.symmetries)
        evidence = Evidence(
            iou=both / max(observed + seen - both, 1),
            outline=outline,
            unexplained=unexplained,
            hidden=hidden,
            inliers=inliers,
            edge_px=0.0,
            energy=outline + unexplained + HIDDEN_WEIGHT * hidden,
            gap=MAX_GAP,
            size_px=size_px / reduction,
            rotation_deg=rotation_deg,
            across=across,
            along=along,
        )
        return Looked(evidence, covariance)


def _shown(view: View, reduction: int) -> np.ndarray:
    """(h, w) bool whether the middles of larger pixels show the object."""
    rows, columns = (slice(reduction // 2, size // reduction * reduction, reduction) for size in view.image.shape)
    return view.image[rows, columns] >= 128


def _covariance(matches: ContourPoints, cut_px: float, spacing_px: float) -> np.ndarray:
    """(6, 6) of an SE3 step, from how far lines are off that stand so far apart, if each pixel of outline is off on its own."""
    near = np.minimum(np.abs(matches.residual), cut_px)
    if not matches.weight.any():
        return np.eye(6) * FREE_VARIANCE
    noise = np.average(near**2, weights=matches.weight) + PIXEL_NOISE**2
    hessian, _ = normal_equations(matches, np.array([FINE_ROBUST_PX]))
    return noise * np.linalg.inv(damped(spacing_px * hessian)[0])
