# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the bodies that networks are trained for."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.network.weights import SHIPPED
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.files.bvh_motion import DEFAULT_ORDER
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion

HUMAN_PATH = SHIPPED / "inverse_kinematics_human.bvh"
NUM_FRAMES = 4  # of a file with a body
METRES_PER_UNIT = 0.01  # the same


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
    return weights.parent / f"{weights.stem}.body.bvh"  # with_suffix fails for names such as "."


def limits_path(weights: Path) -> Path:
    """Where the limits lie within which a rig was trained, if there were any."""
    return weights.parent / f"{weights.stem}.limits.json"


def human() -> Body:
    """The body of the shipped networks."""
    return read_body(HUMAN_PATH)
