"""Writes the body that inverse kinematics networks are trained for: its mean pose and how its joints turn.

    python training/prepare_ik_body.py ../shared/data solver_core/weights/ik_human.bvh     the human, from the train clips
    python training/prepare_ik_body.py rig.bvh my_rig.bvh                                  a rig, from its own motion

Networks fit the body file they were trained with; train them again after this.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from solver_core.problems.inverse_kinematics.body import Body, write_body
from solver_core.problems.inverse_kinematics.bvh import Motion, read_bvh
from solver_core.problems.inverse_kinematics.clips import load_rotations, split_clips
from solver_core.problems.inverse_kinematics.sampler import mirror_joints, mirrored_pose

FRAME_STEP = 3  # neighbouring frames say the same


def human_motion(data: Path) -> Motion:
    """All train clips and their mirror images as one motion."""
    clips = split_clips(data, "train")
    motion = read_bvh(clips[0])
    frames = load_rotations(clips)[::FRAME_STEP].astype(np.float64)
    other_side = mirror_joints(motion.skeleton)
    assert other_side is not None
    frames = np.concatenate([frames, mirrored_pose(frames, other_side)])
    every_rotation = np.tile([1.0, 0, 0, 0], (len(frames), motion.skeleton.num_nodes, 1))
    every_rotation[:, motion.skeleton.joints] = frames
    return replace(motion, rotations=every_rotation)


def main(source: Path, out: Path) -> None:
    motion = human_motion(source) if source.is_dir() else read_bvh(source)
    write_body(out, Body.of_motion(motion))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
