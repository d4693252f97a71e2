# SPDX-License-Identifier: Apache-2.0
"""Least squares over time: series that stay near what was measured and are as smooth as motions are."""

from __future__ import annotations

from math import comb

import numpy as np

NOTHING = 1e-12  # of a typical weight: where nothing is measured, a series is as smooth as it can be


def smooth_series(values: np.ndarray, weights: np.ndarray, stiffness: np.ndarray, order: int) -> np.ndarray:
    """(F, M) series s that minimise sum weights * (values - s)^2 + sum stiffness * (difference of that order of s)^2.

    values, weights: (F, M); a weight of 0 leaves a gap to bridge.  stiffness: (M,).  order: 1 holds still, 2 keeps its
    speed, 3 its acceleration.  The normal equations are a band, solved for all series at once (Whittaker 1923).
    """
    count, order = len(values), min(order, len(values) - 1)
    if order == 0:
        return values.copy()
    difference = np.array([(-1) ** (order - k) * comb(order, k) for k in range(order + 1)], dtype=float)
    band = np.zeros((count, order + 1))  # entries (f, f + k) of the sum over differences
    for k in range(order + 1):
        products = np.convolve(difference[k:] * difference[: order + 1 - k], np.ones(max(count - order, 0)))
        band[: len(products), k] = products[:count]
    weights = weights + NOTHING * np.maximum(weights.max(axis=0), 1)
    pivots = np.empty(values.shape)
    factors = np.zeros((count, order, *values.shape[1:]))
    solved = np.empty(values.shape)
    for frame in range(count):
        pivot = weights[frame] + stiffness * band[frame, 0]
        right = weights[frame] * values[frame]
        row = stiffness * band[frame, 1:, None]
        for back in range(1, min(order, frame) + 1):
            factor = factors[frame - back, back - 1]
            pivot = pivot - factor**2 * pivots[frame - back]
            right = right - factor * solved[frame - back]
            row[: order - back] -= factors[frame - back, back:] * (factor * pivots[frame - back])
        pivots[frame], solved[frame] = pivot, right
        factors[frame] = row / pivot
    solved /= pivots
    for frame in range(count - 2, -1, -1):
        ahead = min(order, count - 1 - frame)
        solved[frame] -= (factors[frame, :ahead] * solved[frame + 1 : frame + 1 + ahead]).sum(axis=0)
    return solved


def frequencies(count: int, order: int) -> np.ndarray:
    """(F,) what the squared differences of that order make of each cosine of `cosine_transform`."""
    return (2 - 2 * np.cos(np.pi * np.arange(count) / count)) ** order


def cosine_transform(values: np.ndarray) -> np.ndarray:
    """(F, ...) amounts of cosines in series (F, ...): an orthonormal transform along the first axis (DCT-II)."""
    count = len(values)
    spectrum = np.fft.rfft(np.concatenate([values, values[::-1]]), axis=0)[:count]
    return (_phases(values, -1) * spectrum).real / _scales(values)


def inverse_cosine_transform(amounts: np.ndarray) -> np.ndarray:
    """(F, ...) inverse of cosine_transform."""
    count = len(amounts)
    spectrum = _phases(amounts, 1) * (amounts * _scales(amounts))
    padded = np.concatenate([spectrum, np.zeros_like(spectrum[:1])])
    return np.fft.irfft(padded, n=2 * count, axis=0)[:count]


def _phases(values: np.ndarray, sign: int) -> np.ndarray:
    steps = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    return np.exp(sign * 0.5j * np.pi * steps / len(values))


def _scales(values: np.ndarray) -> np.ndarray:
    scales = np.full(len(values), np.sqrt(2 * len(values)))
    scales[0] = np.sqrt(4 * len(values))
    return scales.reshape(-1, *[1] * (values.ndim - 1))
