# SPDX-License-Identifier: Apache-2.0
"""The bodies that networks are trained for: a skeleton, the pose every solve starts from, and how its joints turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

LEAST_SPREAD = 0.005  # radians; a joint or axis that never turned in training still can


@dataclass(frozen=True, eq=False)
class Body:
    """A skeleton and what its motions have in common.

    mean_pose: (J, 4) wxyz; the root's is the identity.  axes: (J, 3, 3) principal axes of each joint's deviation from the
    mean pose, one a row, in the joint's own frame and as long as the standard deviation in radians.  An elbow has one
    long axis.  Steps are counted along these axes, so that both least squares and networks turn joints as motions do.
    """

    skeleton: Skeleton
    mean_pose: np.ndarray
    axes: np.ndarray

    @classmethod
    def of_poses(cls, skeleton: Skeleton, poses: np.ndarray, is_root_free: bool = True) -> Body:
        """What poses (F, J, 4) have in common.

        A free root may turn any way, because which way a body faces says nothing about bodies; one that is not, such as the
        base of a crane, turns as in the poses.
        """
        root = skeleton.joint_of_node[skeleton.root]
        mean = mean_rotations(poses)
        mean[root] = [1, 0, 0, 0]
        axes = principal_axes(rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(mean), poses)))
        if is_root_free:
            axes[root] = np.eye(3)
        return cls(skeleton, mean, axes)

    @classmethod
    def at_rest(cls, skeleton: Skeleton) -> Body:
        """Without motions: the rest pose, and every axis alike."""
        count = skeleton.num_joints
        return cls(skeleton, np.tile([1.0, 0, 0, 0], (count, 1)), np.tile(np.eye(3), (count, 1, 1)))


def mean_rotations(wxyz: np.ndarray) -> np.ndarray:
    """(J, 4) mean over the first axis of (F, J, 4): the quaternion nearest to all, whatever their signs."""
    products = np.einsum("fji,fjk->jik", wxyz, wxyz)
    mean = np.linalg.eigh(products)[1][..., -1]
    return rotations.normalized(np.where(mean[:, :1] < 0, -mean, mean))


def principal_axes(deviations: np.ndarray) -> np.ndarray:
    """(J, 3, 3) of rotation vectors (F, J, 3): one axis a row, as long as the standard deviation."""
    covariance = np.einsum("fji,fjk->jik", deviations, deviations) / len(deviations)
    variances, vectors = np.linalg.eigh(covariance)
    spreads = np.sqrt(np.maximum(variances, LEAST_SPREAD**2))
    return spreads[..., None] * vectors.swapaxes(1, 2)
