# SPDX-License-Identifier: Apache-2.0
"""BVH files as Blender reads and writes them."""

import numpy as np
import pytest

from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion

from .conftest import natural_poses

pytestmark = [
    pytest.mark.bpy,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # its importer leaves the file open
]
bpy = pytest.importorskip("bpy", reason="Blender as a module is missing: pip install bpy")

NUM_FRAMES = 3


@pytest.fixture
def motion(body, rng) -> Motion:
    skeleton = body.skeleton
    every = np.tile([1.0, 0, 0, 0], (NUM_FRAMES, skeleton.num_nodes, 1))
    every[:, skeleton.joints] = natural_poses(body, rng, NUM_FRAMES)
    return Motion(skeleton, every, rng.normal(size=(NUM_FRAMES, 3)), 1 / 60, ("ZXY",) * skeleton.num_nodes, 0.01)


@pytest.fixture
def armature(motion, tmp_path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    write_bvh(tmp_path / "ours.bvh", motion)
    bpy.ops.import_anim.bvh(filepath=str(tmp_path / "ours.bvh"), axis_forward="Y", axis_up="Z", global_scale=0.01)
    return bpy.context.object


def positions(motion: Motion) -> np.ndarray:
    skeleton = motion.skeleton
    offsets = np.broadcast_to(skeleton.offsets, (motion.num_frames, *skeleton.offsets.shape))
    return forward_kinematics(skeleton, offsets, motion.rotations[:, skeleton.joints]).positions + motion.root[:, None]


def test_blender_puts_the_joints_of_our_file_where_we_do(motion, armature):
    expected = positions(motion)

    for frame in range(NUM_FRAMES):
        bpy.context.scene.frame_set(frame + 1)
        for name in motion.skeleton.joint_names:
            head = np.array(armature.pose.bones[name].head)
            np.testing.assert_allclose(head, expected[frame, motion.skeleton.index(name)], atol=1e-4)


def test_we_put_the_joints_of_blenders_file_where_it_does(motion, armature, tmp_path):
    bpy.ops.export_anim.bvh(
        filepath=str(tmp_path / "theirs.bvh"), frame_start=1, frame_end=NUM_FRAMES, root_transform_only=True
    )

    again = read_bvh(tmp_path / "theirs.bvh", metres_per_unit=1.0)

    ours, theirs = positions(motion), positions(again)
    for name in motion.skeleton.joint_names:
        np.testing.assert_allclose(theirs[:, again.skeleton.index(name)], ours[:, motion.skeleton.index(name)], atol=1e-3)
