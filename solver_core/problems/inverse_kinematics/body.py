"""The bodies that networks are trained for: a skeleton, the pose every solve starts from, and how its joints turn."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.network.weights import SHIPPED
from solver_core.problems.inverse_kinematics.bvh import DEFAULT_ORDER, Motion, read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.skeleton import Skeleton

HUMAN_PATH = SHIPPED / "ik_human.bvh"
NUM_FRAMES = 4  # of a file with a body
METRES_PER_UNIT = 0.01  # the same
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

        A free root turns anyhow, because which way a body faces says nothing about bodies; one that is not, such as the
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


@functools.cache
def read_body(path: Path) -> Body:
    """A body from a BVH file of four frames: the mean pose, and it turned about each of the three axes of every joint.

    The axes are kept in a file, because the signs of eigenvectors differ between machines and networks depend on them.
    Raises SetupError.
    """
    motion = read_bvh(path, METRES_PER_UNIT)
    if motion.num_frames != NUM_FRAMES:
        raise SetupError(
            f"{path} is no body: it must have {NUM_FRAMES} frames, as `solver_core train ik --rig` writes them, "
            f"and has {motion.num_frames}"
        )
    mean, *turned = motion.rotations[:, motion.skeleton.joints]
    axes = [rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(mean), pose)) for pose in turned]
    return Body(motion.skeleton, mean, np.stack(axes, axis=1))


def write_body(path: Path, body: Body) -> None:
    """Inverse of read_body."""
    skeleton = body.skeleton
    turned = rotations.multiply(body.mean_pose, rotations.wxyz_from_rotvec(body.axes.swapaxes(0, 1)))  # (3, J, 4)
    poses = np.tile([1.0, 0, 0, 0], (NUM_FRAMES, skeleton.num_nodes, 1))
    poses[:, skeleton.joints] = np.concatenate([body.mean_pose[None], turned])
    orders = (DEFAULT_ORDER,) * skeleton.num_nodes
    write_bvh(path, Motion(skeleton, poses, np.zeros((NUM_FRAMES, 3)), 1.0, orders, METRES_PER_UNIT))


def body_path(weights: Path) -> Path:
    """Where the body of a weights file lies: beside it.  Weights without one are for the human."""
    return weights.with_suffix(".body.bvh")


def limits_path(weights: Path) -> Path:
    """Where the limits lie within which a rig was trained, if there were any."""
    return weights.with_suffix(".limits.json")


def human() -> Body:
    """The body of the shipped networks."""
    return read_body(HUMAN_PATH)


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
