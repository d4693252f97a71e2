# SPDX-License-Identifier: Apache-2.0
"""Writes the body that the human networks are trained for, from the train clips: its mean pose and how its joints turn.

    python training/prepare_human_body.py ../shared/data solver_core/weights/inverse_kinematics_human.bvh

Networks fit the body file they were trained with; train them again after this.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from solver_core.problems.inverse_kinematics.files.bodies import write_body
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.sampler import mirror_joints, mirrored_pose
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.training.clips import load_rotations, split_clips

FRAME_STEP = 3  # neighbouring frames say the same


def main(data: Path, out: Path) -> None:
    """All train clips and their mirror images count."""
    clips = split_clips(data, "train")
    skeleton = read_bvh(clips[0]).skeleton
    frames = load_rotations(clips)[::FRAME_STEP].astype(np.float64)
    other_side = mirror_joints(skeleton)
    assert other_side is not None
    poses = np.concatenate([frames, mirrored_pose(frames, other_side)])
    write_body(out, Body.of_poses(skeleton, poses))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
