# SPDX-License-Identifier: Apache-2.0
"""Poses of finished shots, smoothed both ways: jitter, lost frames, jumps."""

from dataclasses import replace

import numpy as np
import pytest

from solver_core import ObservationError, TrackedPose, Verdict, rotations, smooth_poses
from solver_core.frames import Camera
from solver_core.manifolds import SE3
from solver_core.problems.pose.confidence import PoseInterval
from solver_core.problems.pose.track import checked_setup

from .conftest import BOX_CORNERS, BOX_FACES

CAMERA = Camera.from_fov(64, 48, np.radians(30))
NOISE = np.array([0.02, 0.02, 0.02, 0.002, 0.002, 0.01])  # standard deviations of a step: a degree in rotation
SAFE = 3.0  # times as large are those that poses come with


@pytest.fixture
def setup(chair):
    vertices = 40 * chair.vertices + [3, -2, 5]  # neither of the size nor at the place of the unit mesh
    return checked_setup(vertices, chair.faces, CAMERA, None, "z", None)


@pytest.fixture
def cube_setup():
    return checked_setup(BOX_CORNERS, BOX_FACES, CAMERA, None, "z", None)


def motion_of(num_frames, rng, change=0.001) -> np.ndarray:
    """(F, 7) poses of an object that turns and drifts, a little different in each frame."""
    pose, step, poses = np.array([0.8, 0.3, 0.5, 0.1, 0, 0, -2.7]), np.array([0.03, 0.05, -0.02, 0.003, 0.001, 0.004]), []
    pose[:4] /= np.linalg.norm(pose[:4])
    for _ in range(num_frames):
        poses.append(pose)
        step = step + change * rng.normal(size=6) * [1, 1, 1, 0.1, 0.1, 0.1]
        pose = SE3().retract(pose[None], step[None])[0]
    return np.stack(poses)


def shot_of(setup, poses, rng, noise=NOISE, lost=()) -> list[TrackedPose]:
    """Results whose poses are off by noise, and far off where they are lost."""
    found = SE3().retract(poses, noise * rng.normal(size=(len(poses), 6)))
    found[list(lost)] = found[0]
    good = TrackedPose(
        frame=0,
        camera_from_object=np.eye(4),
        verdict=Verdict.GOOD,
        explanation="It fits.",
        confidence=0.99,
        interval=PoseInterval(10.0, 2.0, 4.0),
        covariance=np.diag((SAFE * NOISE) ** 2),
        iou=0.98,
        lost=False,
        is_repaired=False,
        seconds=0.01,
        setup=setup,
    )
    bad = {"verdict": Verdict.BAD, "lost": True, "confidence": 0.1}
    return [
        replace(good, frame=number, camera_from_object=setup.user_matrix(pose), **(bad if number in lost else {}))
        for number, pose in enumerate(found)
    ]


def degrees_off(setup, results, poses) -> np.ndarray:
    found = np.stack([setup.unit_pose(one.camera_from_object) for one in results])
    return np.degrees(rotations.angle_between(found[:, :4], poses[:, :4]))


def test_jitter_becomes_less_than_half(setup, rng):
    poses = motion_of(80, rng)
    results = shot_of(setup, poses, rng)

    smooth = smooth_poses(results)

    assert degrees_off(setup, smooth, poses).mean() < 0.5 * degrees_off(setup, results, poses).mean()
    assert all(one.verdict is Verdict.GOOD and not one.is_filled for one in smooth)
    assert [one.interval for one in smooth] == [one.interval for one in results]


def test_what_the_motion_itself_does_is_kept(setup, rng):
    poses = motion_of(60, rng, change=0.02)  # a degree a frame, of poses that are hardly off

    smooth = smooth_poses(shot_of(setup, poses, rng, 0.01 * NOISE))

    assert degrees_off(setup, smooth, poses).max() < 0.2


def test_poses_with_wide_covariances_count_less(setup, rng):
    poses = motion_of(60, rng)
    results = shot_of(setup, poses, rng)
    off = SE3().retract(poses[30][None], np.array([[0.2, 0, 0, 0, 0, 0]]))[0]
    placed = replace(results[30], camera_from_object=setup.user_matrix(off))
    unsure = replace(placed, covariance=400 * placed.covariance)

    errors = [degrees_off(setup, smooth_poses([*results[:30], one, *results[31:]]), poses)[30] for one in (placed, unsure)]

    assert errors[1] < 1.0
    assert errors[1] < 0.5 * errors[0]


def test_lost_frames_are_filled_and_stay_lost(setup, rng):
    poses = motion_of(60, rng)
    lost = range(20, 30)

    smooth = smooth_poses(shot_of(setup, poses, rng, lost=lost))

    filled = [one for one in smooth if one.is_filled]
    assert [one.frame for one in filled] == list(lost)
    assert all(one.lost and one.verdict is Verdict.DOUBTFUL and one.confidence == 0 for one in filled)
    assert "between the frames before and after" in filled[0].explanation
    errors = degrees_off(setup, smooth, poses)[20:30]
    assert errors.max() < 10  # of 35 that the object turns meanwhile
    assert all(error < one.interval.rotation_deg for error, one in zip(errors, filled, strict=True))
    assert filled[5].interval.rotation_deg > filled[0].interval.rotation_deg


def test_frames_lost_at_the_end_go_on_and_are_bad(setup, rng):
    poses = motion_of(40, rng)

    smooth = smooth_poses(shot_of(setup, poses, rng, lost=range(36, 40)))

    assert all(one.verdict is Verdict.BAD and one.is_filled for one in smooth[36:])
    assert degrees_off(setup, smooth, poses)[36:].max() < 10
    assert np.all(np.diff([one.interval.rotation_deg for one in smooth[36:]]) > 0)


def test_jump_stays_a_jump(setup, rng):
    poses = motion_of(60, rng)
    jump = rotations.wxyz_from_rotvec(np.radians([30.0, -40, 20]))
    poses[30:, :4] = rotations.multiply(np.tile(jump, (30, 1)), poses[30:, :4])
    results = shot_of(setup, poses, rng)

    smooth = smooth_poses(results)

    assert degrees_off(setup, smooth, poses).mean() < 0.6 * degrees_off(setup, results, poses).mean()
    assert degrees_off(setup, smooth, poses)[28:32].max() < 3


def test_pose_that_does_not_go_with_the_others_is_no_longer_good(setup, rng):
    poses = motion_of(60, rng)
    results = shot_of(setup, poses, rng, 0.1 * NOISE)
    off = SE3().retract(poses[30][None], np.array([[0.14, 0, 0, 0, 0, 0]]))[0]  # eight degrees, less than a jump
    results[30] = replace(results[30], camera_from_object=setup.user_matrix(off), interval=PoseInterval(1.0, 0.2, 0.4))

    smooth = smooth_poses(results)

    assert [one.frame for one in smooth if one.lost] == [30]
    assert "does not go with those around it" in smooth[30].explanation


@pytest.mark.parametrize("outliers", [[12], [12, 13, 14], [12, 17]])
def test_outliers_become_what_lies_between(setup, rng, outliers):
    poses = motion_of(30, rng)
    seen = poses.copy()
    seen[outliers] = SE3().retract(poses[outliers], np.tile([0.5, 0.3, 0, 0, 0, 0], (len(outliers), 1)))

    smooth = smooth_poses(shot_of(setup, seen, rng))

    assert [one.frame for one in smooth if one.verdict is not Verdict.GOOD] == outliers
    assert all(smooth[frame].lost and smooth[frame].is_filled for frame in outliers)
    assert "does not go with those around it" in smooth[12].explanation
    assert degrees_off(setup, smooth, poses).max() < 2


@pytest.mark.parametrize("end", [0, 29])
def test_pose_at_an_end_that_stands_out_is_doubtful_and_stays(setup, rng, end):
    poses = motion_of(30, rng)
    poses[end] = SE3().retract(poses[[end]], np.array([[0.5, 0.3, 0, 0, 0, 0]]))[0]

    smooth = smooth_poses(shot_of(setup, poses, rng, 0.1 * NOISE))

    assert [one.frame for one in smooth if one.verdict is not Verdict.GOOD] == [end]
    assert "at an end of the shot" in smooth[end].explanation
    assert smooth[end].lost
    assert not smooth[end].is_filled
    assert smooth[end].confidence <= 0.5
    assert degrees_off(setup, smooth, poses).max() < 2


ABRUPT = {"turns back": [15] * 5 + [-15] * 5, "stops": [25] * 6 + [0] * 6, "shakes": [12, 12, -12, -12]}  # degrees a frame


@pytest.mark.parametrize("outliers", [[], [10, 17]])
@pytest.mark.parametrize("degrees", ABRUPT.values(), ids=ABRUPT)
def test_abrupt_motion_has_no_outliers_of_its_own(setup, rng, degrees, outliers):
    poses = [motion_of(1, rng)[0]]
    for turn in np.radians(np.resize(degrees, 29)):
        poses.append(SE3().retract(poses[-1][None], turn * np.array([[0.6, 0, 0.8, 0, 0, 0]]))[0])
    seen = np.stack(poses)
    seen[outliers] = SE3().retract(seen[outliers], np.tile([0.7, 0.9, -0.4, 0, 0, 0], (len(outliers), 1)))

    smooth = smooth_poses(shot_of(setup, seen, rng, 0.2 * NOISE))

    assert [one.frame for one in smooth if one.verdict is not Verdict.GOOD] == outliers


@pytest.mark.parametrize("lost", [range(0), range(13, 17)])
def test_twins_of_a_symmetric_object_are_no_jump(cube_setup, rng, lost):
    poses = motion_of(30, rng)
    quarter = rotations.wxyz_from_rotvec(np.array([0, 0, np.pi / 2]))
    twins = poses.copy()
    twins[15:, :4] = rotations.multiply(poses[15:, :4], np.tile(quarter, (15, 1)))

    smooth = smooth_poses(shot_of(cube_setup, twins, rng, 0.3 * NOISE, lost))

    assert degrees_off(cube_setup, smooth, poses).max() < 2


def test_interval_reaches_where_the_object_went_in_a_gap(setup, rng):
    poses = motion_of(40, rng)
    poses[20:, 4] += 1.0  # diagonals
    lost = range(18, 22)

    smooth = smooth_poses(shot_of(setup, poses, rng, 0.1 * NOISE, lost))

    for frame in lost:
        place = setup.unit_pose(smooth[frame].camera_from_object)[4:]
        assert np.linalg.norm(place - poses[frame, 4:]) * setup.diagonal < 1.2 * smooth[frame].interval.across
    assert smooth[18].interval.across < 1.2 * setup.diagonal


def test_fast_turn_in_a_gap_may_have_gone_either_way(setup, rng):
    poses = [motion_of(1, rng)[0]]
    for _ in range(29):
        poses.append(SE3().retract(poses[-1][None], np.array([[0, 0.4, 0, 0, 0, 0]]))[0])

    smooth = smooth_poses(shot_of(setup, np.stack(poses), rng, lost=range(10, 19)))

    assert all(one.interval.rotation_deg == 180 for one in smooth if one.lost)


def test_frames_of_two_objects_are_told(setup, cube_setup, rng):
    poses = motion_of(6, rng)
    with pytest.raises(ObservationError, match="frame 3 is of another object than frame 0"):
        smooth_poses([*shot_of(setup, poses, rng)[:3], *shot_of(cube_setup, poses, rng)[3:]])


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (lambda shot: None, "what track_pose gives"),
        (lambda shot: shot[0], "what track_pose gives"),
        (lambda shot: [replace(shot[0], covariance=np.full((6, 6), np.nan)), *shot[1:]], "frame 0 must be finite"),
        (lambda shot: shot[:1], "two at least"),
        (lambda shot: [shot[0], "frame"], "what track_pose gives"),
        (lambda shot: [shot[0], shot[2]], "one after the other"),
        (lambda shot: [replace(one, lost=True) for one in shot], "lost in every frame"),
    ],
)
def test_what_cannot_be_smoothed_is_told(setup, rng, chosen, words):
    with pytest.raises(ObservationError, match=words):
        smooth_poses(chosen(shot_of(setup, motion_of(3, rng), rng)))


def test_doubtful_poses_count_where_the_object_may_have_been(setup, rng):
    poses = motion_of(60, rng, change=0.02)
    results = shot_of(setup, poses, rng, noise=0.1 * NOISE)
    for number in range(20, 32):  # lost, and right, but for one that is turned by 40 degrees
        results[number] = replace(results[number], verdict=Verdict.DOUBTFUL, lost=True)
    wrong = SE3().retract(poses[[26]], np.array([[0, 0.7, 0, 0, 0, 0]]))[0]
    results[26] = replace(results[26], camera_from_object=setup.user_matrix(wrong))

    smooth = smooth_poses(results)

    off = degrees_off(setup, smooth, poses)
    assert off[20:32].max() < 3
    assert [one.is_filled for one in smooth[20:32]] == [number == 26 for number in range(20, 32)]
    assert all(one.lost and one.verdict is Verdict.DOUBTFUL for one in smooth[20:32])


def test_bad_poses_do_not_count_wherever_they_are(setup, rng):
    poses = motion_of(40, rng)
    results = shot_of(setup, poses, rng, lost=(20,))
    results[20] = replace(results[20], camera_from_object=setup.user_matrix(poses[20]))

    assert smooth_poses(results)[20].is_filled
