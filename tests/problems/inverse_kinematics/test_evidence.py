# SPDX-License-Identifier: Apache-2.0
"""What a solve takes from targets: their size, their noise, what is lost."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.evidence import Given, gather, measured_scale, smoothed_positions

from .conftest import positions_of


def swinging(skeleton: Skeleton, count: int) -> np.ndarray:
    """(F, N, 3) positions of a skeleton whose joints all swing slowly."""
    seconds = np.arange(count)[:, None, None] / 60
    axis = np.random.default_rng(3).normal(size=(skeleton.num_joints, 3))
    x = rotations.wxyz_from_rotvec(0.5 * np.sin(2 * np.pi * 0.4 * seconds) * axis)
    return positions_of(skeleton, x) + np.array([0, 1, 1]) * seconds


def gathered(positions, skeleton, weights=None, noise=None, scale=None):
    weights = np.ones(positions.shape[:2]) if weights is None else weights
    return gather(Given(positions, weights), skeleton, noise, scale)


def test_exact_targets_stay_as_they_are(tree):
    positions = swinging(tree, 30)

    evidence = gathered(positions, tree)

    assert evidence.noise == 0
    assert evidence.scale == 1
    assert evidence.notices == ()
    assert (evidence.observation.noise == 0).all()
    np.testing.assert_allclose(evidence.observation.positions + evidence.origin, positions, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1.2])
def test_noise_makes_no_body_larger(body, rng, size):
    positions = size * swinging(body.skeleton, 60)
    noisy = positions + 0.03 * rng.normal(size=positions.shape)

    found = measured_scale(Given(noisy, np.ones(noisy.shape[:2])), body.skeleton)

    assert found == pytest.approx(size, rel=0.015)


@pytest.mark.parametrize("size", [0.8, 1.15, 1.25])
def test_the_size_of_a_body_is_found_and_its_ways_are_scaled_along(size, tree, rng):
    positions = swinging(tree, 30)

    evidence = gathered(size * positions + 0.002 * rng.normal(size=positions.shape), tree)

    assert evidence.scale == pytest.approx(size, rel=0.02)
    assert f"{evidence.scale:.2f} times" in evidence.notices[0]
    np.testing.assert_allclose(evidence.positions, positions, atol=0.1)


def test_a_size_that_is_given_is_taken_without_a_word(tree):
    evidence = gathered(2 * swinging(tree, 10), tree, scale=2.0)

    assert evidence.scale == 2
    assert evidence.notices == ()


def test_a_few_percent_and_a_few_bones_tell_no_other_size(tree):
    positions = swinging(tree, 10)
    few = np.zeros(positions.shape[:2])
    few[:, :2] = 1

    assert measured_scale(Given(1.02 * positions, np.ones(positions.shape[:2])), tree) == 1
    assert measured_scale(Given(2 * positions, few), tree) == 1


def test_smoothing_takes_most_of_white_noise_and_says_how_much_is_left(tree, rng):
    positions = swinging(tree, 200)
    noisy = positions + 0.02 * rng.normal(size=positions.shape)

    smooth, left = smoothed_positions(noisy, np.ones(positions.shape[:2], bool), 0.02)

    error = (smooth - positions)[10:-10].std(axis=(0, 2))
    assert error.mean() < 0.02 / 2
    np.testing.assert_allclose(error.mean(), 0.02 * np.sqrt(left).mean(), rtol=0.5)


def test_a_node_that_moves_much_is_smoothed_less(tree, rng):
    positions = swinging(tree, 200)
    positions[:, 5] += 0.3 * np.sin(np.arange(200) * 2 * np.pi / 12)[:, None]

    smooth, left = smoothed_positions(positions + 0.01 * rng.normal(size=positions.shape), np.ones((200, 12), bool), 0.01)

    assert left[5] == left.max()
    assert np.abs(smooth - positions)[20:-20, 5].max() < 0.05


def test_gaps_are_guessed_and_doubted_the_more_the_longer_they_are(tree):
    positions, weights = swinging(tree, 60), np.ones((60, 12))
    weights[10:14, 4] = 0
    weights[30:50, 7] = 0
    holes = np.where(weights[..., None] > 0, positions, 0)

    evidence = gathered(holes, tree, weights)

    guessed = evidence.observation.positions + evidence.origin
    assert (evidence.is_lost == (weights == 0)).all()
    assert (evidence.observation.weights == 1).all()
    assert (evidence.known.weights == weights).all()
    assert np.isinf(evidence.variance[weights == 0]).all()
    assert np.linalg.norm(guessed - positions, axis=-1)[10:14, 4].max() < 0.01
    assert evidence.observation.noise[12, 4] < evidence.observation.noise[40, 7]
    assert "24 targets are missing (node4, node7, frames 10 to 13, 30 to 49) and were bridged" in evidence.notices[0]


def test_a_frame_without_any_target_keeps_its_guesses(tree):
    positions, weights = swinging(tree, 30), np.ones((30, 12))
    weights[15] = 0

    evidence = gathered(positions, tree, weights)

    assert (evidence.known.weights[15] == 1).all()
    assert np.isfinite(evidence.observation.positions).all()


def test_noise_that_is_given_counts_instead_of_what_is_found(tree, rng):
    positions = swinging(tree, 30) + 0.01 * rng.normal(size=(30, 12, 3))

    exact, noisy = (gathered(positions, tree, noise=noise) for noise in (0.0, 0.03))

    assert exact.noise == 0
    np.testing.assert_allclose(exact.observation.positions + exact.origin, positions, atol=1e-6)
    assert noisy.noise == 0.03
    np.testing.assert_allclose(noisy.variance, 0.03**2)


def test_noise_is_told_of_few_frames_and_at_the_size_of_the_skeleton(tree):
    few = gathered(swinging(tree, 2), tree, noise=0.02)
    larger = gathered(2 * swinging(tree, 30), tree, noise=0.02, scale=2.0)

    np.testing.assert_allclose(few.observation.noise, 0.02)
    assert larger.noise == pytest.approx(0.01)
    np.testing.assert_allclose(larger.variance, 0.01**2)
