"""The bodies that networks are trained for: a skeleton and the pose every solve starts from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.network.weights import SHIPPED
from solver_core.problems.inverse_kinematics.bvh import Motion, read_bvh
from solver_core.problems.inverse_kinematics.skeleton import Skeleton

HUMAN_PATH = SHIPPED / "ik_human.bvh"


@dataclass(frozen=True, eq=False)
class Body:
    """A skeleton and the mean pose of its motions, (J, 4) wxyz; the root's is the identity."""

    skeleton: Skeleton
    mean_pose: np.ndarray

    @classmethod
    def of_motion(cls, motion: Motion) -> Body:
        mean = mean_rotations(motion.rotations[:, motion.skeleton.joints])
        mean[motion.skeleton.joint_of_node[motion.skeleton.root]] = [1, 0, 0, 0]
        return cls(motion.skeleton, mean)

    @classmethod
    def at_rest(cls, skeleton: Skeleton) -> Body:
        """Without motions, the rest pose is the mean pose."""
        return cls(skeleton, np.tile([1.0, 0, 0, 0], (skeleton.num_joints, 1)))


@functools.cache
def human() -> Body:
    """The body of the shipped networks."""
    return Body.of_motion(read_bvh(HUMAN_PATH))


@functools.cache
def rig(path: str | Path) -> Body:
    """A body of one's own: its BVH file gives the skeleton and, by its frames, the mean pose."""
    return Body.of_motion(read_bvh(path))


def mean_rotations(wxyz: np.ndarray) -> np.ndarray:
    """(J, 4) mean over the first axis of (F, J, 4): the quaternion nearest to all, whatever their signs."""
    products = np.einsum("fji,fjk->jik", wxyz, wxyz)
    mean = np.linalg.eigh(products)[1][..., -1]
    return rotations.normalized(np.where(mean[:, :1] < 0, -mean, mean))
