# SPDX-License-Identifier: Apache-2.0
import re
import tracemalloc

import numpy as np
import pytest

from solver_core import rotations
from solver_core.errors import ConfigError, ObservationError, SetupError
from solver_core.problems.inverse_kinematics import solve as solve_module
from solver_core.problems.inverse_kinematics.sampler import effectors
from solver_core.problems.inverse_kinematics.setup import KinematicSetup
from solver_core.problems.inverse_kinematics.skeleton import kinematics
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import (
    KinematicOptions,
    KinematicSession,
    solve_inverse_kinematics,
)
from solver_core.problems.inverse_kinematics.solver.smooth import continuous_signs, smoothed
from solver_core.solution import Cancelled, StopReason

from .conftest import natural_poses, positions_of
from .test_transfer import marionette


@pytest.fixture(scope="session")
def motion(body):
    """(F, J, 4) a slow turn from one natural pose to another."""
    rng = np.random.default_rng(3)
    first, last = natural_poses(body, rng, 2)
    step = rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(first), last))
    shares = np.linspace(0, 0.5, 12)[:, None, None]
    return rotations.multiply(first, rotations.wxyz_from_rotvec(shares * step))


def test_solve_meets_all_targets_and_finds_the_rotations(body, motion):
    targets = positions_of(body.skeleton, motion) + np.array([0.3, 1, -2])

    result = solve_inverse_kinematics(targets, body.skeleton)

    assert result.position_error.max() < 5e-5  # metres
    np.testing.assert_allclose(result.root, targets[:, 0], atol=1e-6)
    angles = np.degrees(rotations.angle_between(result.rotations[:, body.skeleton.joints], motion))
    assert angles.mean() < 2
    found = positions_of(body.skeleton, result.rotations[:, body.skeleton.joints]) + result.root[:, None]
    np.testing.assert_allclose(np.linalg.norm(found - targets, axis=-1), result.position_error, atol=1e-5)


def test_solve_gives_the_same_for_a_body_that_faces_another_way(body, motion):
    turn = rotations.wxyz_from_rotvec(np.array([0, 2.0, 0]))
    targets = positions_of(body.skeleton, motion)

    one, other = (solve_inverse_kinematics(t, body.skeleton, refine=False) for t in (targets, rotations.rotate(turn, targets)))

    difference = rotations.angle_between(one.rotations[:, 1:], other.rotations[:, 1:])
    assert difference.max() < 0.01  # the networks see float32


def test_solve_of_one_frame_has_one_frame(body, motion):
    result = solve_inverse_kinematics(positions_of(body.skeleton, motion)[0], body.skeleton)

    assert result.rotations.shape == (1, body.skeleton.num_nodes, 4)
    assert result.root.shape == (1, 3)


def test_solve_meets_hands_feet_head_and_hip_alone(body, motion):
    given = effectors(body.skeleton)
    targets = np.where(given[:, None], positions_of(body.skeleton, motion), np.nan)

    result = solve_inverse_kinematics(targets, body.skeleton, target_weights=given.astype(float))

    assert result.position_error[:, given].max() < 5e-3
    assert np.isnan(result.position_error[:, ~given]).all()


def test_solve_meets_targets_without_the_root(body, motion):
    targets = positions_of(body.skeleton, motion) + np.array([1.0, 2, 3])
    weights = np.ones(body.skeleton.num_nodes)
    weights[0] = 0

    result = solve_inverse_kinematics(targets, body.skeleton, target_weights=weights)

    assert np.nanmax(result.position_error) < 2e-3
    np.testing.assert_allclose(result.root, targets[:, 0], atol=5e-3)


def test_solve_meets_the_targets_of_another_skeleton_that_faces_another_way(rng):
    skeleton = marionette(rotations.wxyz_from_rotvec(np.array([np.pi / 2, 0, 0])))
    x = np.tile([1.0, 0, 0, 0], (6, skeleton.num_joints, 1))
    x = rotations.multiply(x, rotations.wxyz_from_rotvec(0.25 * rng.normal(size=(6, skeleton.num_joints, 3))))
    targets = positions_of(skeleton, x)

    result = solve_inverse_kinematics(targets, skeleton)

    assert result.position_error.max() < 1e-3


def test_solve_solves_a_robot_arm_within_its_limits_from_the_tip(arm, rng):
    skeleton, limits = arm
    angles = rng.uniform(-2, 2, size=(4, 6))
    x = np.zeros((4, 6, 4))
    x[..., 0] = np.cos(angles / 2)
    for joint, axis in enumerate((2, 1, 1, 2, 1, 2)):
        x[:, joint, 1 + axis] = np.sin(angles[:, joint] / 2)
    weights = np.array([1.0, 0, 0, 0, 0, 1, 1])

    result = solve_inverse_kinematics(positions_of(skeleton, x), skeleton, target_weights=weights, limits=limits)

    assert np.nanmax(result.position_error) < 1e-4
    turned = rotations.rotvec_from_wxyz(result.rotations[:, skeleton.joints])
    assert np.abs(turned * (limits[:6, :, 1] == 0)).max() < 1e-6


def test_solve_keeps_locked_joints_still(body, motion):
    limits = np.tile([-np.inf, np.inf], (body.skeleton.num_nodes, 3, 1))
    locked = body.skeleton.index("lShin")
    limits[locked] = 0

    result = solve_inverse_kinematics(positions_of(body.skeleton, motion), body.skeleton, limits=limits)

    np.testing.assert_allclose(np.abs(result.rotations[:, locked]), [[1, 0, 0, 0]] * len(motion), atol=1e-6)


def test_solve_starts_from_a_given_pose(body, motion):
    start = np.tile([1.0, 0, 0, 0], (len(motion), body.skeleton.num_nodes, 1))
    start[:, body.skeleton.joints] = motion

    result = solve_inverse_kinematics(positions_of(body.skeleton, motion), body.skeleton, start=start)

    assert rotations.angle_between(result.rotations, start).max() < 1e-3


def test_smooth_takes_jitter_off_and_still_meets_the_targets(body, motion, rng):
    targets = positions_of(body.skeleton, motion)
    targets[1:] += 0.002 * rng.normal(size=targets[1:].shape)

    rough, even = (solve_inverse_kinematics(targets, body.skeleton, smooth=smooth) for smooth in (0.0, 2.0))

    jitter = [np.abs(np.diff(result.rotations, n=2, axis=0)).mean() for result in (rough, even)]
    assert jitter[1] <= jitter[0]
    assert even.position_error.mean() < rough.position_error.mean() + 1e-3


def test_rotations_never_change_sign_between_frames(body, motion):
    result = solve_inverse_kinematics(positions_of(body.skeleton, motion), body.skeleton)

    assert ((result.rotations[1:] * result.rotations[:-1]).sum(axis=-1) > 0).all()


def test_smoothing_keeps_a_constant_pose_whatever_its_signs(rng):
    wxyz = rotations.random_wxyz(rng, 1, 3) * rng.choice([-1, 1], size=(8, 3, 1))

    even = smoothed(wxyz, 1.5)

    assert rotations.angle_between(even, wxyz).max() < 1e-7
    assert (continuous_signs(wxyz) == wxyz[:1]).all()


def test_on_step_sees_every_step_and_cancels(body, motion):
    seen = []

    def stop_at_two(step):
        seen.append(step.phase)
        if len(seen) == 3:
            raise Cancelled

    result = solve_inverse_kinematics(positions_of(body.skeleton, motion), body.skeleton, on_step=stop_at_two)

    assert seen == ["start", "network", "network"]
    assert result.reason is StopReason.CANCELLED
    assert result.history[-1].x.shape == motion.shape


def test_missing_markers_become_a_notice(body, motion):
    targets = positions_of(body.skeleton, motion)
    targets[3, 7] = np.nan

    result = solve_inverse_kinematics(targets, body.skeleton)

    assert result.notices == (f"1 target is missing ({body.skeleton.names[7]}, frame 3) and was bridged over time",)
    assert np.isnan(result.position_error[3, 7])
    assert np.nanmax(result.position_error) < 1e-3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda targets: 100 * targets, "the targets are 100 times larger than the skeleton"),
        (lambda targets: targets / 1000, "the targets are 1000 times smaller than the skeleton"),
        (lambda targets: targets[:, :-1], "the skeleton has 57 nodes and the targets have 56"),
        (lambda targets: targets[:0], "the motion is empty"),
        (lambda targets: targets[..., :2], "targets must be (frames, 57, 3)"),
        (lambda targets: np.nan * targets, "no frame has a target at all"),
    ],
)
def test_solve_raises_a_sentence_for_targets_it_cannot_use(change, sentence, body, motion):
    with pytest.raises(ObservationError, match=re.escape(sentence)):
        solve_inverse_kinematics(change(positions_of(body.skeleton, motion)), body.skeleton)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"target_weights": np.ones(3)}, ObservationError, "target_weights must be (57,) or (12, 57)"),
        ({"target_weights": -np.ones(57)}, ObservationError, "finite numbers of at least 0"),
        ({"target_weights": ["a"] * 57}, ObservationError, "target_weights must be an array"),
        ({"start": [[1], [1, 2]]}, SetupError, "start must be an array"),
        ({"limits": [[1], [1, 2]]}, SetupError, "limits must be an array"),
        ({"start": np.ones((57, 3))}, SetupError, "start must be wxyz rotations of shape (57, 4)"),
        ({"start": np.zeros((57, 4))}, SetupError, "unit quaternions"),
        ({"smooth": -1.0}, ConfigError, "smooth must be a number from 0 to 1000, got -1"),
        ({"restarts": 2.5}, ConfigError, "restarts must be a whole number from 0 to 64, got 2.5"),
        ({"mapping": {"hip": "hipp"}}, SetupError, "did you mean 'hip'"),
        ({"mapping": {"lHand": "lHand"}}, SetupError, "the joint that stands for 'hip'"),
    ],
)
def test_solve_raises_a_sentence_for_arguments_it_cannot_use(arguments, error, sentence, body, motion):
    with pytest.raises(error, match=re.escape(sentence)):
        solve_inverse_kinematics(positions_of(body.skeleton, motion), body.skeleton, **arguments)


def test_unreachable_targets_are_a_result(rng):
    chain = Skeleton(["a", "b", "c"], [-1, 0, 1], [[0, 0, 0], [1, 0, 0], [1, 0, 0]])

    result = solve_inverse_kinematics(np.array([[0, 0, 0], [np.nan] * 3, [0, 3, 0]]), chain, target_weights=np.array([1, 0, 1]))

    assert result.position_error[0, 2] == pytest.approx(1, abs=0.01)
    assert result.reason in (StopReason.STALLED, StopReason.NO_DECREASE, StopReason.MAX_STEPS)


def test_a_solve_can_be_taken_step_by_step(arm, rng):
    skeleton, limits = arm
    x = rotations.random_wxyz(rng, 3, skeleton.num_joints)
    arguments = (positions_of(skeleton, x), skeleton)
    expected = solve_inverse_kinematics(*arguments, limits=limits)

    session = KinematicSession(KinematicSetup.checked(*arguments, limits=limits), KinematicOptions())
    steps = list(session)

    np.testing.assert_allclose(session.result().rotations, expected.rotations, atol=1e-6)
    assert len(steps) == len(expected.history)
    energies = np.array([step.energies for step in steps])
    assert (np.diff(energies, axis=0) <= 0).all()


def test_a_solve_that_is_cancelled_during_restarts_keeps_the_best(arm, rng):
    skeleton, limits = arm
    targets = 3 * positions_of(skeleton, rotations.random_wxyz(rng, 2, skeleton.num_joints))  # out of reach
    setup = KinematicSetup.checked(targets, skeleton, limits=limits)
    session = KinematicSession(setup, KinematicOptions())
    step = next(step for step in session if step.phase == "restart")

    session.cancel()
    result = session.result()

    assert result.reason is StopReason.CANCELLED
    assert rotations.angle_between(result.rotations[:, skeleton.joints], step.x).max() < 1e-6  # whatever their signs


def test_the_history_of_a_long_motion_keeps_energies_and_the_latest_poses(body, motion, monkeypatch):
    monkeypatch.setattr(solve_module, "HISTORY_BYTES", 3 * motion.astype(np.float32).nbytes)

    result = solve_inverse_kinematics(positions_of(body.skeleton, motion), body.skeleton)

    assert all(step.energies.shape == (len(motion),) for step in result.history)
    kept = [step.x is not None for step in result.history]
    assert len(kept) > 4
    assert kept == [False] * (len(kept) - 3) + [True] * 3


def test_10_000_frames_fit_into_300_megabytes(body, rng, monkeypatch):
    tenth = 0.1  # of everything: a tenth of the frames, and of what is kept and worked on at once
    monkeypatch.setattr(solve_module, "HISTORY_BYTES", tenth * solve_module.HISTORY_BYTES)
    for module in (solve_module, kinematics):
        monkeypatch.setattr(module, "AT_ONCE", int(tenth * module.AT_ONCE))
    x = natural_poses(body, rng, 1000).astype(np.float32)
    start = np.tile(np.array([1, 0, 0, 0], np.float32), (1000, body.skeleton.num_nodes, 1))
    start[:, body.skeleton.joints] = rotations.multiply(x, rotations.wxyz_from_rotvec(0.01 * rng.normal(size=x[..., 1:].shape)))
    targets = positions_of(body.skeleton, x)

    tracemalloc.start()
    solve_inverse_kinematics(targets, body.skeleton, start=start)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()

    assert megabytes / tenth < 300 - 50  # NumPy and this library take 50


def test_the_nearest_of_other_frames_is_found():
    frames, among = np.array([0, 4, 5, 9]), np.array([2, 6])

    assert solve_module._nearest(frames, among).tolist() == [2, 2, 6, 6]
    assert solve_module._nearest(frames, among[:1]).tolist() == [2, 2, 2, 2]
