# SPDX-License-Identifier: Apache-2.0
"""Least squares over time."""

import numpy as np
import pytest

from solver_core.problems.inverse_kinematics.solver.series import (
    cosine_transform,
    frequencies,
    inverse_cosine_transform,
    smooth_series,
)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_smooth_series_solves_the_normal_equations(count, order, rng):
    values, weights = rng.normal(size=(count, 7)), rng.uniform(0.1, 1, size=(count, 7))
    stiffness = rng.uniform(0.1, 5, size=7)
    difference = np.diff(np.eye(count), n=min(order, count - 1), axis=0) if count > 1 else np.zeros((1, 1))

    smooth = smooth_series(values, weights, stiffness, order)

    for column in range(7):
        normal = np.diag(weights[:, column]) + stiffness[column] * difference.T @ difference
        np.testing.assert_allclose(
            smooth[:, column], np.linalg.solve(normal, weights[:, column] * values[:, column]), atol=1e-8
        )


def test_smooth_series_bridges_a_gap_of_a_parabola_exactly():
    values = (np.linspace(-1, 2, 30) ** 2)[:, None]
    weights = np.ones((30, 1))
    weights[10:18] = 0

    smooth = smooth_series(np.where(weights > 0, values, 0), weights, np.array([1e-6]), order=3)

    np.testing.assert_allclose(smooth, values, atol=1e-4)


def test_smooth_series_without_any_weight_is_flat_at_zero():
    assert np.abs(smooth_series(np.ones((6, 1)), np.zeros((6, 1)), np.ones(1), order=2)).max() < 2


@pytest.mark.parametrize("count", [1, 2, 33])
def test_cosine_transform_is_orthonormal_and_has_an_inverse(count, rng):
    values = rng.normal(size=(count, 2, 3))

    amounts = cosine_transform(values)

    assert (amounts**2).sum() == pytest.approx((values**2).sum())
    np.testing.assert_allclose(inverse_cosine_transform(amounts), values, atol=1e-12)


def test_frequencies_are_the_squared_differences_of_single_cosines():
    wave = inverse_cosine_transform(np.eye(40)[:, [3]])

    inside = np.diff(wave, n=1, axis=0)  # a cosine is level at both ends, so nothing is lost there

    assert (inside**2).sum() == pytest.approx(frequencies(40, 1)[3])
