# SPDX-License-Identifier: Apache-2.0
"""The continuous minimum cut and the mixtures, on what can be computed by hand."""

import numpy as np

from solver_core.segmentation.cut import minimum_cut
from solver_core.segmentation.mixture import fit_mixture, log_density


def test_cut_follows_the_cost_where_outline_costs_nothing(rng):
    cost = rng.uniform(0.2, 1, (50, 70)) * rng.choice([-1, 1], (50, 70))

    cut = minimum_cut(cost, np.full(cost.shape, 1e-3))

    np.testing.assert_array_equal(cut >= 0.5, cost < 0)


def test_cut_leaves_out_what_costs_more_outline_than_it_gains():
    cost = np.full((40, 60), 1.0)
    cost[5:35, 5:30] = -1.0  # gains 750 and has an outline of 110
    cost[18:21, 50:53] = -1.0  # gains 9 and has an outline of 12

    cut = minimum_cut(cost, np.full(cost.shape, 4.0))

    assert (cut[10:30, 10:25] > 0.9).all()
    assert (cut[:, 40:] < 0.1).all()


def test_cut_is_where_outline_is_cheap():
    weight = np.full((30, 60), 5.0)
    weight[:, 40] = 0.1
    cost = np.zeros((30, 60))
    cost[:, :10], cost[:, 50:] = -3.0, 3.0

    cut = minimum_cut(cost, weight)

    np.testing.assert_array_equal(cut[15] >= 0.5, np.arange(60) <= 40)


def test_mixture_finds_two_clouds_and_their_weights(rng):
    samples = np.concatenate([rng.normal([0.2, 0.3], 0.05, (3000, 2)), rng.normal([0.8, 0.5], 0.02, (1000, 2))])

    mixture = fit_mixture(samples, np.ones(4000), 2, np.full(2, 1e-3), 20, rng)

    order = np.argsort(mixture.mean[:, 0])
    np.testing.assert_allclose(mixture.mean[order], [[0.2, 0.3], [0.8, 0.5]], atol=0.01)  # 0.05 / sqrt(3000)
    # At the mean of the second: its weight over 2 pi times its variance; the first is 12 deviations away.
    expected = np.log(0.25 / (2 * np.pi * (0.02**2 + 1e-6)))
    np.testing.assert_allclose(log_density(mixture, np.array([[0.8, 0.5]])), expected, atol=0.15)


def test_mixture_counts_samples_by_their_weights(rng):
    samples = np.concatenate([rng.normal(0.2, 0.02, (500, 1)), rng.normal(0.8, 0.02, (500, 1))])

    mixture = fit_mixture(samples, np.repeat([0.0, 1.0], 500), 1, np.full(1, 1e-3), 3, rng)

    np.testing.assert_allclose(mixture.mean, [[0.8]], atol=0.01)
