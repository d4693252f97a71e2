# SPDX-License-Identifier: Apache-2.0
"""Where a solve starts."""

from __future__ import annotations

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics


def mean_pose_start(problem: KinematicProblem, targets: Targets) -> np.ndarray:
    """(B, J, 4) the mean pose, turned as a whole towards the targets as far as the limits allow.

    The turn is the best fit (Kabsch 1976) of the nodes, those nearest to the root in the tree counting most: the hips
    are rigid, so where they are given the root is right at once, whichever way the body faces.
    """
    body, skeleton = problem.body, problem.skeleton
    mean_pose = np.broadcast_to(body.mean_pose, (len(targets.positions), *body.mean_pose.shape))
    model = forward_kinematics(skeleton, problem.offsets, mean_pose).positions
    importance = np.zeros(skeleton.num_nodes)
    for depth, level in enumerate(skeleton.levels):
        importance[level.nodes] = 100.0**-depth
    weights = (targets.precision * importance)[..., None]
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30)  # only the root given: any turn will do
    wanted = targets.positions.astype(np.float64)
    is_floating = ~targets.is_exact(skeleton.root)[:, None, None]
    model = model - is_floating * (weights * model).sum(axis=1, keepdims=True)
    wanted = wanted - is_floating * (weights * wanted).sum(axis=1, keepdims=True)
    covariance = (weights * wanted).swapaxes(1, 2) @ model  # (B, 3, 3)
    turn = nearest_rotation(covariance)
    x = mean_pose.copy()
    x[:, skeleton.joint_of_node[skeleton.root]] = rotations.wxyz_from_matrix(turn)
    return problem.within_limits(x.astype(targets.positions.dtype))


def nearest_rotation(covariance: np.ndarray) -> np.ndarray:
    """(B, 3, 3) rotations R that maximise trace(R^T covariance)."""
    left, _, right = np.linalg.svd(covariance)
    handedness = np.ones((len(covariance), 1, 3))
    handedness[:, 0, 2] = np.linalg.det(left @ right)
    return (left * handedness) @ right
