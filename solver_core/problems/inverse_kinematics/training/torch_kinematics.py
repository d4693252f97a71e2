# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics in torch, for losses. [torch]"""

from __future__ import annotations

import numpy as np
import torch

from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton


def forward_kinematics(skeleton: Skeleton, offsets: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
    """(B, N, 3) positions of bodies with rest offsets (B, N, 3) whose joints are turned by matrices (B, J, 3, 3)."""
    positions = [torch.zeros_like(offsets[:, :1])]
    joint_positions = positions[0]
    orientations = local[:, [skeleton.joint_of_node[skeleton.root]]]
    for level in skeleton.levels:
        parent_orientations = orientations[:, level.family]
        bones = (parent_orientations @ offsets[:, level.nodes, :, None])[..., 0]
        positions.append(joint_positions[:, level.family] + bones)
        joint_positions = positions[-1][:, level.inner]
        orientations = parent_orientations[:, level.inner] @ local[:, level.joints]
    order = np.concatenate([[skeleton.root], *(level.nodes for level in skeleton.levels)])
    return torch.cat(positions, dim=1)[:, np.argsort(order)]


def matrix_from_rotvec(rotvec: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotation matrices of (..., 3) rotation vectors, differentiable at zero."""
    squared = (rotvec**2).sum(-1)[..., None, None]
    angle = (squared + 1e-12).sqrt()  # 1e-12: keeps the gradient of the root finite at zero
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    half_sine_ratio = torch.sin(angle / 2) / (angle / 2)
    return identity + torch.sin(angle) / angle * cross + half_sine_ratio**2 / 2 * (cross @ cross)
