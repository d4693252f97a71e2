# SPDX-License-Identifier: Apache-2.0
"""What differentiable silhouettes have in common: projection with its gradient, and the overlap they are judged by.

A pose is descended as Ma et al. 2020 do for these baselines: a quaternion that need not be of unit length, with a prior that
draws its length to one, and a position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.mesh import Mesh

PRIOR = 1.0  # weight of (length of the quaternion squared - 1) squared; only its direction is seen


class Projected(NamedTuple):
    """Vertices in front of a camera.  points_camera: (V, 3).  pixels: (V, 2) column and row."""

    points_camera: np.ndarray
    pixels: np.ndarray


def project_mesh(mesh: Mesh, pose: np.ndarray, intrinsics: np.ndarray) -> Projected:
    """pose: (7,), its quaternion of any length.  The dtype is that of the pose."""
    rotation = rotations.matrix_from_wxyz(rotations.normalized(pose[:4]))
    points = mesh.vertices.astype(pose.dtype, copy=False) @ rotation.T + pose[4:]
    fx, fy, cx, cy = intrinsics.astype(pose.dtype)
    per_depth = -1 / points[:, 2]
    pixels = np.stack([cx + fx * points[:, 0] * per_depth, cy - fy * points[:, 1] * per_depth], axis=1)
    return Projected(points, pixels)


def pose_gradient(by_pixels: np.ndarray, projected: Projected, pose: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(7,) gradient with respect to quaternion and position from that with respect to the projected vertices (V, 2)."""
    moved = np.flatnonzero(by_pixels.any(axis=1))
    points, by_pixels = projected.points_camera[moved], by_pixels[moved]
    per_depth = -1 / points[:, 2]
    by_x = by_pixels[:, 0] * intrinsics[0] * per_depth
    by_y = by_pixels[:, 1] * -intrinsics[1] * per_depth
    by_z = (points[:, 0] * by_x + points[:, 1] * by_y) * per_depth
    by_points = np.stack([by_x, by_y, by_z], axis=1)
    torque = np.cross(points - pose[4:], by_points).sum(axis=0)  # by a rotation vector in camera axes
    length = np.linalg.norm(pose[:4])
    by_wxyz = 2 * rotations.multiply(np.append(0, torque), pose[:4] / length) / length
    return np.concatenate([by_wxyz, by_points.sum(axis=0)])


class Overlap(NamedTuple):
    """1 - intersection over union of soft silhouettes, and its derivative by every pixel (H, W)."""

    value: float
    by_pixel: np.ndarray


def soft_overlap(silhouette: np.ndarray, observed: np.ndarray) -> Overlap:
    """Liu et al. 2019, eq. 9.  silhouette, observed: (H, W) in [0, 1]."""
    intersection = float(np.sum(silhouette * observed, dtype=np.float64))
    union = max(float(np.sum(silhouette + observed, dtype=np.float64)) - intersection, 1e-12)
    by_pixel = (intersection * (1 - observed) - union * observed) / union**2
    return Overlap(1 - intersection / union, by_pixel)


def quaternion_prior(pose: np.ndarray) -> tuple[float, np.ndarray]:
    """Value and (7,) gradient of the prior."""
    excess = pose[:4] @ pose[:4] - 1
    gradient = np.zeros_like(pose)
    gradient[:4] = 4 * PRIOR * excess * pose[:4]
    return float(PRIOR * excess**2), gradient
