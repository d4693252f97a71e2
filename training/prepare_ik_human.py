"""Writes solver_core/weights/ik_human.bvh: six poses with the mean and the covariance of the training motions.

    python training/prepare_ik_human.py ../shared/data

The weights fit the file they were trained with; train them again after this.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.body import HUMAN_PATH, covariance_roots, mean_rotations
from solver_core.problems.inverse_kinematics.bvh import Motion, read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.clips import load_rotations, split_clips
from solver_core.problems.inverse_kinematics.sampler import mirror_joints, mirrored_pose

FRAME_STEP = 3  # neighbouring frames say the same


def main(data: Path) -> None:
    clips = split_clips(data, "train")
    motion = read_bvh(clips[0])
    skeleton = motion.skeleton
    other_side = mirror_joints(skeleton)
    assert other_side is not None
    frames = load_rotations(clips)[::FRAME_STEP].astype(np.float64)
    frames = np.concatenate([frames, mirrored_pose(frames, other_side)])
    mean = mean_rotations(frames)
    axes = covariance_roots(rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(mean), frames)))
    mean[0], axes[0] = [1, 0, 0, 0], np.eye(3) / 2  # the hip, whose directions are not used

    poses = np.tile([1.0, 0, 0, 0], (6, skeleton.num_nodes, 1))
    # Two poses an axis, sqrt(3) standard deviations from the mean: all six together have the covariance.
    signed_axes = np.concatenate([np.sqrt(3) * axes, -np.sqrt(3) * axes], axis=1)  # (J, 6, 3)
    poses[:, skeleton.joints] = rotations.multiply(mean, rotations.wxyz_from_rotvec(signed_axes.swapaxes(0, 1)))
    write_bvh(HUMAN_PATH, Motion(skeleton, poses, np.zeros((6, 3)), motion.frame_time, motion.orders, 0.01))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
