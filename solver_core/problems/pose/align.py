"""Closed-form translation: move the object so that its outline's box meets the mask's box.  Rotation stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver_core import rotations
from solver_core.loop import LoopSettings
from solver_core.mesh import Mesh
from solver_core.problem import Arrays, Update

ALIGN_LOOP = LoopSettings(steps=1, halvings=0)
ROUNDS = 3  # moving in depth changes the perspective a little; the box fits to 1e-3 after three rounds
FAR_OFF = 5.0  # a depth wrong by more than this factor is replaced by one at which the object's size about fits
PRIOR = 1e-3  # weight of staying put, against one for a side of the box: decides only what cut-off sides leave open


def align_update(meshes: Sequence[Mesh], sides: np.ndarray, is_cut: np.ndarray) -> Update:
    """Update that proposes the translation for which the projected vertices fill the box.

    sides: (B, 4) left, bottom, right, top of the mask in image coordinates x / -z, y / -z.  is_cut: (B, 4) bool, sides
    that the image border cuts off: they give no equation.
    """

    def update(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        steps = [_fit_box(meshes[row], pose, sides[row], is_cut[row]) for row, pose in zip(rows, x, strict=True)]
        return np.stack(steps)

    return update


def _fit_box(mesh: Mesh, pose: np.ndarray, sides: np.ndarray, is_cut: np.ndarray) -> np.ndarray:
    """(6,) SE3 step without rotation."""
    arms = rotations.matrix_from_wxyz(pose[:4]).astype(np.float32) @ mesh.vertices.T  # (3, V) from the centre
    depth = -pose[6]
    image_point = pose[4:6] / depth
    radius = np.sqrt(np.max(arms[0] ** 2 + arms[1] ** 2 + arms[2] ** 2))
    weights = np.where(is_cut, 0.0, 1.0)
    size = max(sides[2] - sides[0], sides[3] - sides[1])
    fitting_depth = max(2 * radius / size, 2 * radius)
    if depth < 2 * radius or not 1 / FAR_OFF < depth / fitting_depth < FAR_OFF:
        depth, image_point = fitting_depth, (sides[:2] + sides[2:]) / 2
    for _ in range(ROUNDS):
        box = _box(arms, image_point, depth)
        # A side lies at image_point + offset, and the offset grows as the depth falls.
        offset = box - np.tile(image_point, 2)
        design = np.zeros((4, 3))
        design[[0, 2], 0] = 1
        design[[1, 3], 1] = 1
        design[:, 2] = -offset
        normal = design.T @ (design * weights[:, None]) + PRIOR * np.diag([1, 1, size**2])
        shift_x, shift_y, log_depth = np.linalg.solve(normal, design.T @ (weights * (sides - box)))
        image_point = image_point + np.array([shift_x, shift_y])
        depth = max(depth * np.exp(np.clip(log_depth, -1, 1)), 1.2 * radius)
    shift = image_point - pose[4:6] / -pose[6]
    return np.array([0, 0, 0, *shift, np.log(depth / -pose[6])])


def _box(arms: np.ndarray, image_point: np.ndarray, depth: float) -> np.ndarray:
    """(4,) left, bottom, right, top of the projected vertices."""
    point_depth = np.float32(depth) - arms[2]
    x = (np.float32(image_point[0] * depth) + arms[0]) / point_depth
    y = (np.float32(image_point[1] * depth) + arms[1]) / point_depth
    return np.array([x.min(), y.min(), x.max(), y.max()], dtype=np.float64)
