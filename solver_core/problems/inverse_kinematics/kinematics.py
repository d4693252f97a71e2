"""Forward kinematics: where the nodes of a skeleton are, level by level of the tree."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.skeleton import Skeleton


class Posture(NamedTuple):
    """positions (B, N, 3), the root at the origin; orientations (B, J, 3, 3), root_from_joint."""

    positions: np.ndarray
    orientations: np.ndarray


def forward_kinematics(skeleton: Skeleton, offsets: np.ndarray, x: np.ndarray) -> Posture:
    """Posture of bodies with rest offsets (B, N, 3) whose joints are turned by x (B, J, 4) wxyz, each in its parent's frame."""
    local = rotations.matrix_from_wxyz(x)
    positions = np.zeros_like(offsets, dtype=x.dtype)
    orientations = local.copy()
    for level in skeleton.levels:
        parent_orientations = orientations[:, level.parent_joints]
        bones = (parent_orientations @ offsets[:, level.nodes, :, None])[..., 0]
        positions[:, level.nodes] = positions[:, level.parents] + bones
        orientations[:, level.joints] = parent_orientations[:, level.inner] @ local[:, level.joints]
    return Posture(positions, orientations)
