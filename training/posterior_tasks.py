# SPDX-License-Identifier: Apache-2.0
"""Four tasks of the benchmark of simulation-based inference (Lueckmann et al. 2021, app. T), as inverse problems.

There the simulators are random and the answer is a posterior.  Here f is the simulator's mean, or the simulator for one draw of
its random numbers, with noise as large as its own, and the answer is the x that explains y best; x is uniform in a box.
Written from the formulas in the paper.
"""

from __future__ import annotations

import numpy as np

import solver_core as sc

MOON_RADIUS = 0.1
BINS, LAGS = 100, 9  # of the stimulus and of the filter that it passes
DRAWS = np.random.default_rng(7).normal(size=(4, 2))  # of the four points of SLCP
STIMULUS = np.random.default_rng(8).normal(size=BINS + LAGS - 1)
DESIGN = np.column_stack([np.ones(BINS), np.lib.stride_tricks.sliding_window_view(STIMULUS, LAGS)])  # (T, 10)


def two_moons(x: np.ndarray) -> np.ndarray:
    """(B, 2) the middle of the moon for (B, 2); two x share it."""
    middle_of_arc = MOON_RADIUS * 2 / np.pi
    return np.column_stack([0.25 + middle_of_arc - np.abs(x.sum(axis=1)) / np.sqrt(2), (x[:, 1] - x[:, 0]) / np.sqrt(2)])


def gaussian_linear(x: np.ndarray) -> np.ndarray:
    """(B, 10) the mean, which is x itself."""
    return x.copy()


def slcp(x: np.ndarray) -> np.ndarray:
    """(B, 8) four points of a normal distribution whose mean and covariance x (B, 5) gives; four x share it."""
    first, second = x[:, 2] ** 2, x[:, 3] ** 2
    correlation = np.tanh(x[:, 4])
    across = x[:, :1] + first[:, None] * DRAWS[:, 0]
    mixed = correlation[:, None] * DRAWS[:, 0] + np.sqrt(1 - correlation**2)[:, None] * DRAWS[:, 1]
    return np.column_stack([across, x[:, 1:2] + second[:, None] * mixed])


def bernoulli_glm(x: np.ndarray) -> np.ndarray:
    """(B, 10) expected sufficient statistics of spikes, for an offset and the nine numbers of a filter, (B, 10)."""
    return 1 / (1 + np.exp(-x @ DESIGN.T)) @ DESIGN


def _box(size: int, half_width: float) -> sc.Box:
    return sc.Box([-half_width] * size, [half_width] * size)


KINDS = {
    "two_moons": sc.inverse_problem(two_moons, _box(2, 1), name="two_moons", noise=0.05, is_batched=True),
    "gaussian_linear": sc.inverse_problem(
        gaussian_linear, _box(10, 1), name="gaussian_linear", noise=np.sqrt(0.1), is_batched=True
    ),
    "slcp": sc.inverse_problem(slcp, _box(5, 3), name="slcp", noise=0.1, is_batched=True),
    "bernoulli_glm": sc.inverse_problem(bernoulli_glm, _box(10, 2), name="bernoulli_glm", noise=2.0, is_batched=True),
}
