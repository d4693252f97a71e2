# SPDX-License-Identifier: Apache-2.0
"""Noise, outliers and exchanged sides, found by what bones and motions allow."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.solver.faults import find_faults, measured_noise, mirrored_limbs

from .conftest import positions_of


@pytest.fixture
def walk(body, rng):
    """(F, N, 3) two seconds in which every joint of the human swings, and it goes forward."""
    seconds = np.arange(120)[:, None, None] / 60
    swing = np.sin(
        2 * np.pi * (rng.uniform(0.3, 1.2, size=(len(body.axes), 1)) * seconds + rng.uniform(size=(len(body.axes), 1)))
    )
    turns = (swing * rng.uniform(0.3, 1, size=(len(body.axes), 3)))[..., None, :] @ body.axes
    x = rotations.multiply(body.mean_pose, rotations.wxyz_from_rotvec(turns[..., 0, :]))
    return positions_of(body.skeleton, x) + np.array([0, 0.9, 1.2]) * np.concatenate(
        [0 * seconds, 0 * seconds + 1, seconds], -1
    )


def faults_of(positions, body, weights=None):
    return find_faults(positions, np.ones(positions.shape[:2]) if weights is None else weights, body.skeleton)


def test_nothing_is_wrong_with_exact_positions(walk, body):
    faults = faults_of(walk, body)

    assert faults.noise == faults.drift == 0
    assert not faults.is_outlier.any()
    assert not faults.is_swapped.any()
    assert (faults.positions == walk).all()


def test_frames_that_are_no_motion_are_left_as_they_are(walk, body, rng):
    poses = walk[rng.permutation(len(walk))[:24]]
    mirrored = poses * (-1, 1, 1)  # so that sides change from frame to frame

    faults = faults_of(np.where((np.arange(24) % 2 == 0)[:, None, None], poses, mirrored), body)

    assert not faults.is_swapped.any()


@pytest.mark.parametrize("noise", [0.002, 0.01, 0.03])
def test_white_noise_is_measured_by_the_lengths_of_bones(noise, walk, body, rng):
    faults = faults_of(walk + noise * rng.normal(size=walk.shape), body)

    assert faults.noise == pytest.approx(noise, rel=0.15)
    assert faults.drift < 0.4 * noise
    assert not faults.is_swapped.any()
    assert faults.is_outlier.mean() < 1e-3


def test_noise_that_lasts_is_told_from_noise_of_each_frame(walk, body, rng):
    drift = np.zeros(walk.shape)
    drift[0] = rng.normal(size=walk.shape[1:])
    for frame in range(1, len(walk)):
        drift[frame] = 0.95 * drift[frame - 1] + np.sqrt(1 - 0.95**2) * rng.normal(size=walk.shape[1:])

    faults = faults_of(walk + 0.02 * drift, body)

    assert faults.drift == pytest.approx(0.02, rel=0.3)
    assert faults.noise < 0.008


def test_rounding_in_a_file_is_no_noise(walk, body):
    assert measured_noise(np.round(walk, 4), np.ones(walk.shape[:2], bool), body.skeleton) == (0.0, 0.0)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_outliers_are_found_and_their_neighbours_are_not(noise, walk, body, rng):
    is_wrong = rng.uniform(size=walk.shape[:2]) < 0.01
    away = rng.normal(size=(is_wrong.sum(), 3))
    positions = walk + noise * rng.normal(size=walk.shape)
    positions[is_wrong] += 0.5 * away / np.linalg.norm(away, axis=1, keepdims=True)

    faults = faults_of(positions, body)

    assert faults.is_outlier[is_wrong].mean() > 0.95
    assert faults.is_outlier[~is_wrong].sum() <= 1
    assert (faults.weights == ~faults.is_outlier).all()
    assert faults.noise == pytest.approx(noise, abs=0.002)


@pytest.mark.parametrize("frames", [slice(40, 43), slice(0, 10), slice(100, 120)])
def test_sides_that_are_exchanged_are_exchanged_back(frames, walk, body):
    positions = walk.copy()
    for left, right in mirrored_limbs(body.skeleton):
        positions[frames, left], positions[frames, right] = walk[frames, right], walk[frames, left]

    faults = faults_of(positions, body)

    np.testing.assert_array_equal(faults.positions, walk)
    assert faults.is_swapped[frames].any(axis=1).all()
    assert faults.is_swapped.any(axis=1).sum() == len(walk[frames])


@pytest.mark.parametrize("first", [10, 60, 100])
def test_another_take_that_faces_elsewhere_is_not_exchanged(first, walk, body):
    hips = walk[first:, [body.skeleton.root]]
    positions = np.concatenate([walk[:first], hips + (walk[first:] - hips) * (-1, 1, -1)])  # about the vertical

    assert not faults_of(positions, body).is_swapped.any()


def test_exchanged_legs_leave_the_arms_alone(walk, body):
    skeleton, positions = body.skeleton, walk.copy()
    legs = next(pair for pair in mirrored_limbs(skeleton) if "Buttock" in skeleton.names[pair[0][0]])
    positions[60:64, legs[0]], positions[60:64, legs[1]] = walk[60:64, legs[1]], walk[60:64, legs[0]]

    faults = faults_of(positions, body)

    np.testing.assert_array_equal(faults.positions, walk)
    assert {skeleton.names[node] for node in np.flatnonzero(faults.is_swapped.any(axis=0))} == {
        skeleton.names[node] for node in np.concatenate(legs)
    }


def test_gaps_are_neither_outliers_nor_noise(walk, body):
    weights = np.ones(walk.shape[:2])
    weights[30:50, 10:14] = 0
    walk[30:50, 10:14] = 0

    faults = faults_of(walk, body, weights)

    assert faults.noise == 0
    assert not faults.is_outlier.any()
    assert (faults.weights == weights).all()


def test_mirrored_limbs_are_arms_legs_and_eyes_in_the_same_order(body):
    skeleton = body.skeleton
    pairs = {(skeleton.names[left[0]], skeleton.names[right[0]]) for left, right in mirrored_limbs(skeleton)}

    assert pairs == {("rButtock", "lButtock"), ("rCollar", "lCollar"), ("leftEye", "rightEye")}
    for left, right in mirrored_limbs(skeleton):
        for one, other in zip(left, right, strict=True):
            assert skeleton.names[one].lower().removeprefix("left").removeprefix("r") == skeleton.names[
                other
            ].lower().removeprefix("right").removeprefix("l")
