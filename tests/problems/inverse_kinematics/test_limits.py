# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.manifolds import SO3Power
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits, LimitedRotations


def test_retract_stays_within_the_limits(arm, rng):
    skeleton, ranges = arm
    limits = JointLimits.from_ranges(skeleton, ranges)
    manifold = LimitedRotations(SO3Power(skeleton.num_joints), limits)
    x = manifold.random(rng, 20)

    moved = manifold.retract(x, rng.normal(size=(20, manifold.dim)))

    turned = rotations.rotvec_from_wxyz(moved)  # each joint has one axis, so these are its angles
    assert (turned >= ranges[skeleton.joints, :, 0] - 1e-9).all()
    assert (turned <= ranges[skeleton.joints, :, 1] + 1e-9).all()


def test_clamp_keeps_the_bits_of_a_pose_within_its_limits(arm, rng):
    skeleton, ranges = arm
    limits = JointLimits.from_ranges(skeleton, ranges)
    x = LimitedRotations(SO3Power(skeleton.num_joints), limits).random(rng, 20)

    assert (limits.clamp(x) == x).all()


def test_limits_leave_other_joints_free(tree, rng):
    ranges = np.tile([-np.inf, np.inf], (tree.num_nodes, 3, 1))
    ranges[tree.joints[2]] = 0
    limits = JointLimits.from_ranges(tree, ranges)
    x = rotations.random_wxyz(rng, 3, tree.num_joints)

    clamped = limits.clamp(x)

    assert (np.delete(clamped, 2, axis=1) == np.delete(x, 2, axis=1)).all()
    np.testing.assert_allclose(np.abs(clamped[:, 2]), [[1, 0, 0, 0]] * 3, atol=1e-12)


def test_free_axes_drop_those_pushed_against_their_bound(arm):
    skeleton, ranges = arm
    limits = JointLimits.from_ranges(skeleton, ranges)
    x = np.tile([1.0, 0, 0, 0], (1, skeleton.num_joints, 1))
    x[0, 1] = [np.cos(1.4), 0, np.sin(1.4), 0]  # 2.8 about y, the bound
    axes = np.tile(np.eye(3), (1, skeleton.num_joints, 1, 1))
    outwards = np.tile([0.0, 1, 0], (1, skeleton.num_joints, 1))

    pushed, pulled = (limits.free_axes(x, axes, sign * outwards)[0, 1] for sign in (1, -1))

    assert (pushed == 0).all()
    np.testing.assert_allclose(pulled, [[0, 0, 0], [0, 1, 0], [0, 0, 0]], atol=1e-12)


def test_unlimited_ranges_are_no_limits(tree):
    assert JointLimits.from_ranges(tree, np.tile([-np.inf, np.inf], (tree.num_nodes, 3, 1))) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda ranges: ranges[:-1], "limits must be (12, 3, 2) radians"),
        (lambda ranges: ranges[..., ::-1] + [0, 0.5], "must be pairs of a lower and an upper angle"),
        (lambda ranges: ranges * np.nan, "must be pairs of a lower and an upper angle"),
    ],
)
def test_limits_raise_a_sentence_when_they_are_no_ranges(tree, change, sentence):
    ranges = np.tile([-1.0, 1.0], (tree.num_nodes, 3, 1))

    with pytest.raises(SetupError, match=re.escape(sentence)):
        JointLimits.from_ranges(tree, change(ranges))


def test_limits_about_other_axes_are_those_of_a_turned_joint(arm, rng):
    skeleton, ranges = arm
    axes = rotations.matrix_from_wxyz(rotations.random_wxyz(rng, skeleton.num_nodes))
    plain, turned = JointLimits.from_ranges(skeleton, ranges), JointLimits.from_ranges(skeleton, ranges, axes)
    frames = rotations.wxyz_from_matrix(axes)[skeleton.joints]
    x = rotations.random_wxyz(rng, 5, skeleton.num_joints)

    clamped = turned.clamp(rotations.multiply(rotations.multiply(frames, x), rotations.inverse(frames)))

    expected = rotations.multiply(rotations.multiply(frames, plain.clamp(x)), rotations.inverse(frames))
    assert rotations.angle_between(clamped, expected).max() < 1e-6


def test_steps_about_other_axes_stay_within_the_limits(arm, rng):
    skeleton, ranges = arm
    axes = rotations.matrix_from_wxyz(rotations.random_wxyz(rng, skeleton.num_nodes))
    limits = JointLimits.from_ranges(skeleton, ranges, axes)
    manifold = LimitedRotations(SO3Power(skeleton.num_joints), limits)

    moved = manifold.retract(manifold.random(rng, 20), rng.normal(size=(20, manifold.dim)))

    turned = np.einsum("jca,bjc->bja", axes[skeleton.joints], rotations.rotvec_from_wxyz(moved))
    assert (turned >= ranges[skeleton.joints, :, 0] - 1e-6).all()
    assert (turned <= ranges[skeleton.joints, :, 1] + 1e-6).all()


def test_axes_that_are_no_rotations_are_refused(arm):
    skeleton, ranges = arm

    with pytest.raises(SetupError, match=re.escape(f"({skeleton.num_nodes}, 3, 3) rotations")):
        JointLimits.from_ranges(skeleton, ranges, np.zeros((skeleton.num_nodes, 3, 3)))
