# SPDX-License-Identifier: CC0-1.0
"""Makes the inverse kinematics demo: a figure of our own walks and waves.

    python assets/demo/make_ik_demo.py

Writes ik_rest.bvh (the figure at rest), ik_targets.csv (where its joints are, without the spine: all the solver sees) and
ik_truth.bvh (the motion it was, for the test).  The motion is written down here as a few waves; everything is CC0.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.files.bvh import write_bvh
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

HERE = Path(__file__).parent
NUM_FRAMES, FRAME_TIME = 72, 1 / 24
STRIDES_A_SECOND = 0.9
WALK_SPEED = 1.1  # metres a second
NOT_GIVEN = ("Spine", "Spine1")

# Name: parent, offset in metres; y up, facing z, arms lowered a little.
CENTRE = {
    "Hips": ("", (0, 0, 0)),
    "Spine": ("Hips", (0, 0.11, -0.01)),
    "Spine1": ("Spine", (0, 0.13, 0)),
    "Neck": ("Spine1", (0, 0.26, -0.02)),
    "Head": ("Neck", (0, 0.1, 0.02)),
    "HeadTop": ("Head", (0, 0.18, 0)),
}
SIDE = {
    "Shoulder": ("Spine1", (0.05, 0.2, 0)),
    "Arm": ("Shoulder", (0.13, 0, -0.01)),
    "ForeArm": ("Arm", (0.22, -0.16, 0)),
    "Hand": ("ForeArm", (0.2, -0.14, 0.02)),
    "HandTip": ("Hand", (0.13, -0.09, 0.01)),
    "UpLeg": ("Hips", (0.1, -0.05, 0)),
    "Leg": ("UpLeg", (0, -0.42, 0.01)),
    "Foot": ("Leg", (0, -0.41, -0.03)),
    "ToeBase": ("Foot", (0, -0.07, 0.14)),
}
SHARED = {parent for parent, _ in SIDE.values()} - set(SIDE)


def figure() -> Skeleton:
    """The figure: the right side is the mirror image of the left."""
    bones = dict(CENTRE)
    for side, sign in (("Left", 1), ("Right", -1)):
        for name, (parent, (x, y, z)) in SIDE.items():
            bones[side + name] = (parent if parent in SHARED else side + parent, (sign * x, y, z))
    names = list(bones)
    parents = [names.index(parent) if parent else -1 for parent, _ in bones.values()]
    return Skeleton(names, parents, np.array([offset for _, offset in bones.values()]))


def walk_and_wave(skeleton: Skeleton) -> Motion:
    """Three seconds: the legs and the left arm swing, the right arm is raised and waves."""
    seconds = FRAME_TIME * np.arange(NUM_FRAMES)
    phase = 2 * np.pi * STRIDES_A_SECOND * seconds
    raised = np.clip((seconds - 0.4) / 0.6, 0, 1)
    raised = raised * raised * (3 - 2 * raised)  # eases in and out
    degrees = {"Spine": {"y": 5 * np.sin(phase)}, "Neck": {"y": -8 * raised}, "Head": {"x": 4 * np.sin(2 * phase)}}
    for side, shift in (("Left", 0.0), ("Right", np.pi)):
        swing = np.sin(phase + shift)
        degrees[f"{side}UpLeg"] = {"x": -24 * swing - 6}
        degrees[f"{side}Leg"] = {"x": 12 + 30 * np.clip(np.cos(phase + shift), 0, None) ** 2}
        degrees[f"{side}Foot"] = {"x": -6 + 12 * swing}
    degrees["LeftArm"] = {"x": 22 * np.sin(phase), "z": np.full(NUM_FRAMES, -32.0)}
    degrees["LeftForeArm"] = {"y": -18 - 8 * np.sin(phase)}
    degrees["RightArm"] = {"x": -20 * np.sin(phase) * (1 - raised), "z": 32 - 60 * raised}
    degrees["RightForeArm"] = {"z": raised * (-75 + 24 * np.sin(2 * np.pi * 1.8 * seconds))}

    every_rotation = np.tile([1.0, 0, 0, 0], (NUM_FRAMES, skeleton.num_nodes, 1))
    for name, turns in degrees.items():
        for axis, angles in turns.items():
            rotvec = np.radians(angles)[:, None] * np.eye(3)["xyz".index(axis)]
            node = skeleton.index(name)
            turned = rotations.multiply(rotations.wxyz_from_rotvec(rotvec), every_rotation[:, node])
            every_rotation[:, node] = turned
    root = np.stack([0.02 * np.sin(phase), 0.95 + 0.015 * np.cos(2 * phase), WALK_SPEED * seconds], axis=1)
    return Motion(skeleton, every_rotation, root, FRAME_TIME, ("ZXY",) * skeleton.num_nodes, 0.01)


def main() -> None:
    skeleton = figure()
    truth = walk_and_wave(skeleton)
    at_rest = np.tile([1.0, 0, 0, 0], (1, skeleton.num_nodes, 1))
    write_bvh(HERE / "ik_rest.bvh", Motion(skeleton, at_rest, np.zeros((1, 3)), FRAME_TIME, truth.orders, 0.01))
    write_bvh(HERE / "ik_truth.bvh", truth)

    offsets = np.broadcast_to(skeleton.offsets, (NUM_FRAMES, *skeleton.offsets.shape))
    positions = forward_kinematics(skeleton, offsets, truth.rotations[:, skeleton.joints]).positions + truth.root[:, None]
    given = [name for name in skeleton.names if name not in NOT_GIVEN]
    with (HERE / "ik_targets.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"{name}_{axis}" for name in given for axis in "xyz"])
        for frame in positions[:, [skeleton.index(name) for name in given]]:
            writer.writerow([f"{value:.5f}" for value in frame.reshape(-1)])


if __name__ == "__main__":
    main()
