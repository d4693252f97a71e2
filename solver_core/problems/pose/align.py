# SPDX-License-Identifier: Apache-2.0
"""Closed-form translation: move the object so that its outline's box meets the mask's box.  Rotation stays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from solver_core import rotations
from solver_core.loop import LoopSettings
from solver_core.mesh import Mesh
from solver_core.problem import Arrays, Update

ALIGN_LOOP = LoopSettings(steps=1, halvings=0)
ROUNDS = 3  # moving in depth changes the perspective a little; the box fits to 1e-3 after three rounds
FAR_OFF = 5.0  # a depth wrong by more than this factor is replaced by one at which the object's size about fits
VERTICES_AT_ONCE = 1 << 18  # of all instances together; a larger mesh is moved alone
PRIOR = 1e-3  # weight of staying put, against one for a side of the box: decides only what cut-off sides leave open


def align_update(meshes: Sequence[Mesh], sides: np.ndarray, is_cut: np.ndarray) -> Update:
    """Update that proposes the translation for which the projected vertices fill the box.

    sides: (B, 4) left, bottom, right, top of the mask in image coordinates x / -z, y / -z.  is_cut: (B, 4) bool, sides
    that the image border cuts off: they give no equation.
    """

    def update(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        steps = np.empty((len(x), 6))
        for part in _parts([len(meshes[row].vertices) for row in rows]):
            vertices = np.stack([meshes[row].vertices for row in rows[part]])
            steps[part] = _fit_boxes(vertices, x[part], sides[rows[part]], is_cut[rows[part]])
        return steps

    return update


def _parts(num_vertices: list[int]) -> Iterator[slice]:
    """Slices of instances that are fitted at once: their meshes have equally many vertices, and not too many in all."""
    start = 0
    for count, group in itertools.groupby(num_vertices):
        stop, size = start + len(list(group)), max(1, VERTICES_AT_ONCE // count)
        yield from (slice(first, min(first + size, stop)) for first in range(start, stop, size))
        start = stop


def _fit_boxes(vertices: np.ndarray, pose: np.ndarray, sides: np.ndarray, is_cut: np.ndarray) -> np.ndarray:
    """(B, 6) SE3 steps without rotation, for vertices (B, V, 3) at poses (B, 7)."""
    arms = rotations.matrix_from_wxyz(pose[:, :4]).astype(np.float32) @ vertices.transpose(0, 2, 1)  # (B, 3, V)
    depth = -pose[:, 6]
    image_point = pose[:, 4:6] / depth[:, None]
    radius = np.sqrt(np.max(arms[:, 0] ** 2 + arms[:, 1] ** 2 + arms[:, 2] ** 2, axis=1)).astype(np.float64)
    weights = np.where(is_cut, 0.0, 1.0)
    size = np.maximum(sides[:, 2] - sides[:, 0], sides[:, 3] - sides[:, 1])
    fitting_depth = np.maximum(2 * radius / size, 2 * radius)
    is_off = (depth < 2 * radius) | (depth * FAR_OFF <= fitting_depth) | (depth >= FAR_OFF * fitting_depth)
    depth = np.where(is_off, fitting_depth, depth)
    image_point = np.where(is_off[:, None], (sides[:, :2] + sides[:, 2:]) / 2, image_point)
    prior = PRIOR * np.stack([np.ones_like(size), np.ones_like(size), size**2], axis=1)[:, :, None] * np.eye(3)
    for _ in range(ROUNDS):
        box = _boxes(arms, image_point, depth)
        # A side lies at image_point + offset, and the offset grows as the depth falls.
        design = np.zeros((len(pose), 4, 3))
        design[:, [0, 2], 0] = 1
        design[:, [1, 3], 1] = 1
        design[:, :, 2] = np.tile(image_point, 2) - box
        weighted = (design * weights[:, :, None]).transpose(0, 2, 1)
        shift = np.linalg.solve(weighted @ design + prior, weighted @ (sides - box)[:, :, None])[:, :, 0]
        image_point = image_point + shift[:, :2]
        depth = np.maximum(depth * np.exp(np.clip(shift[:, 2], -1, 1)), 1.2 * radius)
    steps = np.zeros((len(pose), 6))
    steps[:, 3:5] = image_point - pose[:, 4:6] / -pose[:, 6:]
    steps[:, 5] = np.log(depth / -pose[:, 6])
    return steps


def _boxes(arms: np.ndarray, image_point: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(B, 4) left, bottom, right, top of the projected vertices."""
    point_depth = depth.astype(np.float32)[:, None] - arms[:, 2]
    centre = (image_point * depth[:, None]).astype(np.float32)
    points = (centre[:, :, None] + arms[:, :2]) / point_depth[:, None]  # (B, 2, V)
    return np.concatenate([points.min(axis=2), points.max(axis=2)], axis=1).astype(np.float64)
