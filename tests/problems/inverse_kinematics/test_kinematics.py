# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

HALF_TURN = np.sqrt(0.5)


def test_forward_kinematics_gives_hand_computed_positions_of_a_bent_arm():
    arm = Skeleton(["shoulder", "elbow", "hand"], [-1, 0, 1], [[0, 0, 0], [2, 0, 0], [1, 0, 0]])
    quarter_about_z = [HALF_TURN, 0, 0, HALF_TURN]

    posture = forward_kinematics(arm, arm.offsets[None], np.array([[quarter_about_z, quarter_about_z]]))

    np.testing.assert_allclose(posture.positions[0], [[0, 0, 0], [0, 2, 0], [-1, 2, 0]], atol=1e-12)


def test_forward_kinematics_at_rest_adds_up_the_offsets(tree):
    x = np.tile([1.0, 0, 0, 0], (1, tree.num_joints, 1))

    posture = forward_kinematics(tree, tree.offsets[None], x)

    np.testing.assert_allclose(posture.positions[0], tree.rest_positions(), atol=1e-12)


def test_forward_kinematics_turns_with_the_root(tree, rng):
    x = rotations.random_wxyz(rng, 1, tree.num_joints)
    turn = rotations.random_wxyz(rng)
    turned = x.copy()
    turned[:, tree.joint_of_node[tree.root]] = rotations.multiply(turn, x[:, tree.joint_of_node[tree.root]])

    before, after = (forward_kinematics(tree, tree.offsets[None], pose).positions for pose in (x, turned))

    np.testing.assert_allclose(after, rotations.rotate(turn, before), atol=1e-12)


@pytest.mark.torch
def test_torch_and_numpy_give_the_same_positions(tree, rng):
    torch = pytest.importorskip("torch")
    from solver_core.problems.inverse_kinematics.training import torch_kinematics

    x = rotations.random_wxyz(rng, 5, tree.num_joints)
    offsets = rng.normal(size=(5, tree.num_nodes, 3))

    ours = forward_kinematics(tree, offsets, x).positions
    theirs = torch_kinematics.forward_kinematics(
        tree, torch.from_numpy(offsets), torch.from_numpy(rotations.matrix_from_wxyz(x))
    )

    np.testing.assert_allclose(theirs.numpy(), ours, atol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("angle", [0.0, 1e-5, 1.0, 3.0])
def test_torch_rotation_of_a_vector_is_that_of_numpy(angle, rng):
    torch = pytest.importorskip("torch")
    from solver_core.problems.inverse_kinematics.training import torch_kinematics

    rotvec = angle * rotations.rotvec_from_wxyz(rotations.random_wxyz(rng, 4)) / np.pi

    matrix = torch_kinematics.matrix_from_rotvec(torch.from_numpy(rotvec))

    expected = rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(rotvec))
    np.testing.assert_allclose(matrix.numpy(), expected, atol=1e-6)  # the rounding of the norm at zero
