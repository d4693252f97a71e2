# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.bodies import read_body, write_body
from solver_core.problems.inverse_kinematics.files.bvh import write_bvh
from solver_core.problems.inverse_kinematics.skeleton.body import LEAST_SPREAD, Body
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion


@pytest.fixture
def hinged_motion(tree, rng):
    """A motion in which the first joint turns about one axis only, around a pose of its own."""
    resting = rotations.random_wxyz(rng, tree.num_joints)
    turns = np.zeros((200, tree.num_joints, 3))
    resting[tree.joint_of_node[tree.root]] = [1, 0, 0, 0]
    turns[:, 0] = 0.4 * rng.normal(size=(200, 1)) * [0, 0.6, 0.8]
    x = np.tile([1.0, 0, 0, 0], (200, tree.num_nodes, 1))
    x[:, tree.joints] = rotations.multiply(resting, rotations.wxyz_from_rotvec(turns))
    return Motion(tree, x, np.zeros((200, 3)), 0.1, ("ZXY",) * tree.num_nodes, 1.0)


def body_of(motion: Motion, is_root_free: bool = True) -> Body:
    return Body.of_poses(motion.skeleton, motion.rotations[:, motion.skeleton.joints], is_root_free)


def test_a_hinge_has_one_long_axis(hinged_motion):
    body = body_of(hinged_motion)

    lengths = np.linalg.norm(body.axes[0], axis=1)
    np.testing.assert_allclose(lengths[:2], LEAST_SPREAD)
    assert 0.3 < lengths[2] < 0.5
    np.testing.assert_allclose(np.abs(body.axes[0, 2] / lengths[2]), [0, 0.6, 0.8], atol=1e-6)


def test_the_root_turns_anyhow(hinged_motion):
    body = body_of(hinged_motion)

    root = body.skeleton.joint_of_node[body.skeleton.root]
    assert (body.mean_pose[root] == [1, 0, 0, 0]).all()
    assert (body.axes[root] == np.eye(3)).all()


@pytest.mark.parametrize("size", [1, 0.01])  # the smaller one would pass for metres
def test_a_body_file_gives_the_body_back(size, hinged_motion, tmp_path):
    body = body_of(replace(hinged_motion, skeleton=hinged_motion.skeleton.scaled(size)))
    write_body(tmp_path / "body.bvh", body)

    again = read_body(tmp_path / "body.bvh")

    np.testing.assert_allclose(np.sort(again.skeleton.bone_lengths), np.sort(body.skeleton.bone_lengths), rtol=1e-4)
    order = [again.skeleton.joint_names.index(name) for name in body.skeleton.joint_names]  # files go depth first
    assert rotations.angle_between(again.mean_pose[order], body.mean_pose).max() < 1e-7
    np.testing.assert_allclose(again.axes[order], body.axes, atol=1e-7)  # a file holds millionths of a degree


def test_a_root_that_is_not_free_turns_as_in_the_poses(hinged_motion):
    body = body_of(hinged_motion, is_root_free=False)

    root = body.skeleton.joint_of_node[body.skeleton.root]
    np.testing.assert_allclose(np.linalg.norm(body.axes[root], axis=1)[:2], LEAST_SPREAD)


def test_read_body_raises_a_sentence_for_a_plain_motion(hinged_motion, tmp_path):
    write_bvh(tmp_path / "motion.bvh", hinged_motion)

    with pytest.raises(SetupError, match="is no body: it must have 4 frames"):
        read_body(tmp_path / "motion.bvh")
