# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics: where the nodes of a skeleton are, level by level of the tree."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

AT_ONCE = 1024  # bodies; their matrices are 4 MB, and those of 10,000 frames would be 40


class Posture(NamedTuple):
    """positions (B, N, 3), the root at the origin; orientations (B, J, 3, 3), root_from_joint."""

    positions: np.ndarray
    orientations: np.ndarray


def forward_kinematics(skeleton: Skeleton, offsets: np.ndarray, x: np.ndarray) -> Posture:
    """Posture of bodies with rest offsets (B, N, 3) whose joints are turned by x (B, J, 4) wxyz, each in its parent's frame."""
    if len(x) > AT_ONCE:
        parts = [slice(first, first + AT_ONCE) for first in range(0, len(x), AT_ONCE)]
        postures = [forward_kinematics(skeleton, offsets[part], x[part]) for part in parts]
        return Posture(*(np.concatenate(arrays) for arrays in zip(*postures, strict=True)))
    parent_from_node = np.zeros((*offsets.shape[:2], 4, 4), x.dtype)
    parent_from_node[:, skeleton.joints, :3, :3] = rotations.matrix_from_wxyz(x)
    parent_from_node[..., :3, 3] = offsets
    parent_from_node[..., 3, 3] = 1
    parent_from_node[:, skeleton.root, :3, 3] = 0
    root_from_node = parent_from_node.copy()
    for level in skeleton.levels:
        root_from_node[:, level.nodes] = root_from_node[:, level.parents] @ parent_from_node[:, level.nodes]
    orientations = np.ascontiguousarray(root_from_node[:, skeleton.joints, :3, :3])
    return Posture(np.ascontiguousarray(root_from_node[..., :3, 3]), orientations)


def local_rotations(skeleton: Skeleton, orientations: np.ndarray) -> np.ndarray:
    """(B, J, 4) wxyz in the parents' frames, of joints with orientations (B, J, 3, 3)."""
    parents = skeleton.parents[skeleton.joints]
    above = orientations[:, skeleton.joint_of_node[parents]].swapaxes(2, 3)
    local = np.where((parents >= 0)[:, None, None], above @ orientations, orientations)
    return rotations.wxyz_from_matrix(local)
