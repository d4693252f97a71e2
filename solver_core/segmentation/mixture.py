# SPDX-License-Identifier: Apache-2.0
"""Gaussian mixtures with full covariances: what colours a part of an image has, and where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_WEIGHT = 1e-6  # of a Gaussian that no sample is near


class Mixture(NamedTuple):
    """K Gaussians in D dimensions.

    mean: (K, D).  whiten: (K, D, D), a sample's difference from the mean times it is standard normal.  log_scale: (K,) log of
    the weight and of the density at the mean.
    """

    mean: np.ndarray
    whiten: np.ndarray
    log_scale: np.ndarray


def fit_mixture(
    samples: np.ndarray,
    weights: np.ndarray,
    count: int,
    noise: np.ndarray,
    rounds: int,
    rng: np.random.Generator,
    before: Mixture | None = None,
) -> Mixture:
    """The likeliest mixture, by expectation maximisation.

    Args:
        samples: (N, D).
        weights: (N,) how much each counts, not all 0.
        count: of Gaussians.
        noise: (D,) standard deviations that no Gaussian is narrower than.
        rounds: of expectation maximisation.
        rng: draws where to begin.
        before: a mixture to begin from.
    """
    samples = samples.astype(np.float64)
    share = _nearest(samples, spread_out(samples, weights, count, noise, rng), noise) if before is None else None
    mixture = before
    for _ in range(rounds):
        if share is None:
            assert mixture is not None
            by_gaussian = _log_densities(mixture, samples)
            share = np.exp(by_gaussian - _log_sum(by_gaussian))
        mixture, share = _maximised(samples, share * weights, noise), None
    assert mixture is not None
    return mixture


def log_density(mixture: Mixture, samples: np.ndarray) -> np.ndarray:
    """(N,) float32 of samples (N, D)."""
    return _log_sum(_log_densities(mixture, samples))[0]


def spread_out(samples: np.ndarray, weights: np.ndarray, count: int, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K, D) samples that are far from each other, as k-means++ draws them (Arthur and Vassilvitskii 2007)."""
    chance, centres = weights, []
    far = np.full(len(samples), np.inf)
    for _ in range(count):
        total = chance.sum()
        centres.append(samples[rng.choice(len(samples), p=chance / total) if total > 0 else rng.integers(len(samples))])
        far = np.minimum(far, (((samples - centres[-1]) / noise) ** 2).sum(axis=1))
        chance = weights * far
    return np.array(centres)


def _nearest(samples: np.ndarray, centres: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(K, N) 1 for the centre that is nearest to a sample, 0 for the others."""
    far = (((samples[None] - centres[:, None]) / noise) ** 2).sum(axis=2)
    return (far == far.min(axis=0)).astype(np.float64)


def _maximised(samples: np.ndarray, share: np.ndarray, noise: np.ndarray) -> Mixture:
    """The Gaussians of samples that belong to them by shares (K, N)."""
    mass = share.sum(axis=1) + LEAST_WEIGHT
    mean = share @ samples / mass[:, None]
    apart = samples[None] - mean[:, None]  # (K, N, D)
    covariance = np.einsum("kn,kni,knj->kij", share, apart, apart, optimize=True) / mass[:, None, None] + np.diag(noise**2)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).transpose(0, 2, 1)
    log_density_at_mean = np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(axis=1) - samples.shape[1] / 2 * np.log(2 * np.pi)
    return Mixture(mean, whiten, np.log(mass / mass.sum()) + log_density_at_mean)


def _log_densities(mixture: Mixture, samples: np.ndarray) -> np.ndarray:
    """(K, N) of each Gaussian, weight included."""
    mean, whiten = mixture.mean.astype(samples.dtype), mixture.whiten.astype(samples.dtype)
    white = (samples[None] - mean[:, None]) @ whiten
    return mixture.log_scale.astype(samples.dtype)[:, None] - np.einsum("knd,knd->kn", white, white) / 2


def _log_sum(values: np.ndarray) -> np.ndarray:
    """(1, N) log of the sum of exponentials over the first axis."""
    highest = values.max(axis=0, keepdims=True)
    return highest + np.log(np.exp(values - highest).sum(axis=0, keepdims=True))
