"""The bodies that networks are trained for: a skeleton, the pose every solve starts from, and how its joints turn."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.network.weights import SHIPPED
from solver_core.problems.inverse_kinematics.bvh import Motion, read_bvh
from solver_core.problems.inverse_kinematics.skeleton import Skeleton

HUMAN_PATH = SHIPPED / "ik_human.bvh"
LEAST_SPREAD = 0.005  # radians; a joint or axis that never turned in training still can


@dataclass(frozen=True, eq=False)
class Body:
    """A skeleton and what its motions have in common.

    mean_pose: (J, 4) wxyz; the root's is the identity.  axes: (J, 3, 3) square root of the covariance of each joint's
    deviation from the mean pose, in the joint's own frame, radians: a step counted along its rows is as likely in every
    direction.  An elbow has its hinge only.  So both least squares and networks turn joints as motions do.
    """

    skeleton: Skeleton
    mean_pose: np.ndarray
    axes: np.ndarray

    @classmethod
    def of_motion(cls, motion: Motion) -> Body:
        skeleton = motion.skeleton
        if motion.num_frames == 1:  # says where the joints stand, not how they turn
            return replace(cls.at_rest(skeleton), mean_pose=motion.rotations[0, skeleton.joints])
        x = motion.rotations[:, skeleton.joints]
        root = skeleton.joint_of_node[skeleton.root]
        mean = mean_rotations(x)
        axes = covariance_roots(rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(mean), x)))
        mean[root], axes[root] = [1, 0, 0, 0], np.eye(3)  # which way a body faces says nothing about bodies
        return cls(skeleton, mean, axes)

    @classmethod
    def at_rest(cls, skeleton: Skeleton) -> Body:
        """Without motions: the rest pose, and every axis alike."""
        count = skeleton.num_joints
        return cls(skeleton, np.tile([1.0, 0, 0, 0], (count, 1)), np.tile(np.eye(3), (count, 1, 1)))


@functools.cache
def human() -> Body:
    """The body of the shipped networks."""
    return Body.of_motion(read_bvh(HUMAN_PATH))


@functools.cache
def rig(path: str | Path) -> Body:
    """A body of one's own: its BVH file gives the skeleton, and its frames how it moves."""
    return Body.of_motion(read_bvh(path))


def mean_rotations(wxyz: np.ndarray) -> np.ndarray:
    """(J, 4) mean over the first axis of (F, J, 4): the quaternion nearest to all, whatever their signs."""
    products = np.einsum("fji,fjk->jik", wxyz, wxyz)
    mean = np.linalg.eigh(products)[1][..., -1]
    return rotations.normalized(np.where(mean[:, :1] < 0, -mean, mean))


def covariance_roots(deviations: np.ndarray) -> np.ndarray:
    """(J, 3, 3) symmetric square roots of the covariances of rotation vectors (F, J, 3) with mean zero.

    Symmetric, because there is only one: eigenvectors come with signs that differ between machines.
    """
    covariance = np.einsum("fji,fjk->jik", deviations, deviations) / len(deviations)
    variances, vectors = np.linalg.eigh(covariance)
    spreads = np.sqrt(np.maximum(variances, LEAST_SPREAD**2))
    return (vectors * spreads[:, None]) @ vectors.swapaxes(1, 2)
