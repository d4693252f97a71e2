# SPDX-License-Identifier: Apache-2.0
"""The protocols of noisy targets and other rigs measure what they say."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from training.paper.tables.motions import measure_motion, node_positions, summary
from training.paper.tables.noise import DAMAGES, gaps, outliers, slow, swaps, white
from training.paper.tables.rig_cases import rigs
from training.paper.tables.rigs import ours_with_rotations, shortest_arcs

COUNT = 60


@pytest.fixture
def motion() -> Motion:
    """The human swinging all its joints a little, going forward."""
    body, seconds = human(), np.arange(COUNT)[:, None, None] / 60
    amounts = np.random.default_rng(5).uniform(-1, 1, size=(len(body.axes), 3))
    turns = (np.sin(2 * np.pi * 0.7 * seconds + 3 * amounts[:, :1]) * amounts)[..., None, :] @ body.axes
    x = rotations.multiply(body.mean_pose, rotations.wxyz_from_rotvec(turns[..., 0, :]))
    rotation = np.tile([1.0, 0, 0, 0], (COUNT, body.skeleton.num_nodes, 1))
    rotation[:, body.skeleton.joints] = x
    root = np.concatenate([0 * seconds, 0 * seconds + 0.9, seconds], axis=-1)[:, 0]
    return Motion(body.skeleton, rotation, root, 1 / 60, ("ZXY",) * body.skeleton.num_nodes, 0.01)


@pytest.fixture
def positions(motion) -> np.ndarray:
    return node_positions(motion.skeleton, motion.rotations, motion.root)


def test_the_true_motion_has_no_error(motion):
    true = (motion.rotations, motion.root)

    row = summary(measure_motion(motion.skeleton, true, true, np.ones(motion.rotations.shape[:2], bool), motion.frame_time))

    errors = [row[key] for key in ("rotation_deg", "position_cm", "lag", "big_steps", "penetration_mm")]
    np.testing.assert_allclose(errors, 0, atol=1e-9)
    assert row["jitter_over_truth"] == pytest.approx(1)


def test_a_motion_that_comes_late_has_that_lag(motion):
    late = np.maximum(np.arange(COUNT) - 2, 0)
    found = (motion.rotations[late], motion.root[late])
    is_given = np.ones(motion.rotations.shape[:2], bool)

    row = summary(measure_motion(motion.skeleton, found, (motion.rotations, motion.root), is_given, motion.frame_time))

    assert row["lag"] == 2


def test_a_joint_that_turns_over_for_a_frame_is_two_big_steps(motion):
    found = motion.rotations.copy()
    found[30, motion.skeleton.index("chest")] = [0, 0, 1, 0]
    is_given = np.ones(motion.rotations.shape[:2], bool)

    row = summary(
        measure_motion(motion.skeleton, (found, motion.root), (motion.rotations, motion.root), is_given, motion.frame_time)
    )

    assert row["big_steps"] == 2


def test_white_and_slow_noise_are_as_large_as_they_say(motion, positions, rng):
    for damage in (white(0.02), slow(0.02)):
        error = damage(positions, motion.skeleton, rng) - positions
        assert error.std() == pytest.approx(0.02, rel=0.1)
    assert np.diff(error, axis=0).std() < 0.012  # what lasts changes little from frame to frame


def test_gaps_outliers_and_exchanges_touch_what_they_say(motion, positions, rng):
    lost = np.isnan(gaps(8)(positions, motion.skeleton, rng)).any(axis=2)
    wrong = np.linalg.norm(outliers()(positions, motion.skeleton, rng) - positions, axis=2) > 0.49
    swapped = swaps(3)(positions, motion.skeleton, rng)

    assert (lost.any(axis=1).sum(), lost[20].sum()) == (8, 18)  # an arm with its fingers
    assert 0.002 < wrong.mean() < 0.03
    assert (swapped != positions).any(axis=(1, 2)).sum() == 3
    np.testing.assert_array_equal(swapped[30, motion.skeleton.index("lHand")], positions[30, motion.skeleton.index("rHand")])


def test_exact_targets_are_a_row_beside_the_damaged_ones(motion, positions, rng):
    assert (DAMAGES["exact"](positions, motion.skeleton, rng) == positions).all()


def test_every_rig_carries_the_motion_with_bones_of_their_length(motion):
    for name, rig in rigs(motion.rotations[0]).items():
        rotation, root = rig.carried(motion)
        positions = node_positions(rig.skeleton, rotation, root)
        inner = np.flatnonzero(rig.skeleton.parents >= 0)
        lengths = np.linalg.norm(positions[:, inner] - positions[:, rig.skeleton.parents[inner]], axis=-1)
        np.testing.assert_allclose(lengths, np.tile(rig.skeleton.bone_lengths[inner], (COUNT, 1)), atol=1e-9, err_msg=name)


def test_the_renamed_human_carries_the_very_motion(motion, positions):
    rig = rigs(motion.rotations[0])["trained body, other names"]

    rotation, root = rig.carried(motion)

    np.testing.assert_allclose(node_positions(rig.skeleton, rotation, root), positions, atol=1e-9)


def test_other_axes_and_rest_poses_leave_the_positions_as_they_are(motion):
    every = rigs(motion.rotations[0])
    plain = node_positions(every["Mixamo names"].skeleton, *every["Mixamo names"].carried(motion))

    for name in ("a frame as rest pose", "bone-local rest pose"):
        rotation, root = every[name].carried(motion)
        np.testing.assert_allclose(node_positions(every[name].skeleton, rotation, root), plain, atol=1e-9)
    rotation, _ = every["a frame as rest pose"].carried(motion)
    assert rotations.angle_between(rotation[0], np.array([1.0, 0, 0, 0])).max() < 1e-6


@pytest.mark.parametrize("name", ["a frame as rest pose", "bone-local rest pose", "rolled bones"])
def test_rigs_with_other_axes_stand_in_their_rest_pose(motion, name):
    rig = rigs(motion.rotations[0])[name]
    plain = rigs(motion.rotations[0])["Unreal names, A pose, twist bones, root" if "rolled" in name else "Mixamo names"]

    standing = node_positions(rig.skeleton, rig.rest[None], np.zeros((1, 3)))

    np.testing.assert_allclose(standing[0], plain.skeleton.rest_positions(), atol=1e-9)


def test_shortest_arcs_meet_positions_of_a_rig(motion):
    rig = rigs(motion.rotations[0])["arms lowered, two spine bones"]
    targets = node_positions(rig.skeleton, *rig.carried(motion))

    (rotation, root), _ = shortest_arcs(targets, rig, motion)

    np.testing.assert_allclose(node_positions(rig.skeleton, rotation, root), targets, atol=1e-4)


def test_rotations_of_the_human_turn_a_rig(motion):
    rig = rigs(motion.rotations[0])["one spine bone, no collars, no toes"]
    true, _ = rig.carried(motion)

    (rotation, _), _ = ours_with_rotations(node_positions(rig.skeleton, *rig.carried(motion)), rig, motion)

    off = rotations.angle_between(rotation, true)[:, rig.skeleton.joints]
    assert np.degrees(off).mean() < 1
