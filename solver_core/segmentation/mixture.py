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
    products = _products(samples)
    share = _nearest(samples, spread_out(samples, weights, count, noise, rng), noise) if before is None else None
    mixture = before
    for _ in range(rounds):
        if share is None:
            assert mixture is not None
            by_gaussian = _log_densities(mixture, products)
            share = np.exp(by_gaussian - _log_sum(by_gaussian))
        mixture, share = _maximised(products, share * weights, noise), None
    assert mixture is not None
    return mixture


def log_density(mixture: Mixture, samples: np.ndarray) -> np.ndarray:
    """(N,) float32 of samples (N, D)."""
    return _log_sum(_log_densities(mixture, _products(samples)))[0]


def spread_out(samples: np.ndarray, weights: np.ndarray, count: int, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K, D) samples that are far from each other, as k-means++ draws them (Arthur and Vassilvitskii 2007)."""
    scaled = samples / noise
    chance, chosen = weights, []
    far = np.full(len(samples), np.inf)
    for _ in range(count):
        up_to = np.cumsum(chance)
        is_spread = up_to[-1] > 0
        row = np.searchsorted(up_to, rng.uniform() * up_to[-1], "right") if is_spread else rng.integers(len(samples))
        chosen.append(min(int(row), len(samples) - 1))
        apart = scaled - scaled[chosen[-1]]
        far = np.minimum(far, np.einsum("nd,nd->n", apart, apart))
        chance = weights * far
    return samples[chosen]


def _nearest(samples: np.ndarray, centres: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(K, N) 1 for the centre that is nearest to a sample, 0 for the others."""
    far = (((samples[None] - centres[:, None]) / noise) ** 2).sum(axis=2)
    return (far == far.min(axis=0)).astype(np.float64)


def _products(samples: np.ndarray) -> np.ndarray:
    """(N, F) of samples (N, D): the products of two of their numbers, the numbers, and 1."""
    i, j = np.triu_indices(samples.shape[1])
    return np.concatenate([samples[:, i] * samples[:, j], samples, np.ones_like(samples[:, :1])], axis=1)


def _maximised(products: np.ndarray, share: np.ndarray, noise: np.ndarray) -> Mixture:
    """The Gaussians of samples, given as products, that belong to them by shares (K, N)."""
    dim = len(noise)
    i, j = np.triu_indices(dim)
    sums = share @ products
    mass = sums[:, -1] + LEAST_WEIGHT
    moments = sums[:, :-1] / mass[:, None]
    mean = moments[:, -dim:]
    covariance = np.empty((len(mean), dim, dim))
    covariance[:, i, j] = covariance[:, j, i] = moments[:, :-dim]
    covariance += np.diag(noise**2) - mean[:, :, None] * mean[:, None]
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).transpose(0, 2, 1)
    log_density_at_mean = np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(axis=1) - dim / 2 * np.log(2 * np.pi)
    return Mixture(mean, whiten, np.log(mass / mass.sum()) + log_density_at_mean)


def _log_densities(mixture: Mixture, products: np.ndarray) -> np.ndarray:
    """(K, N) of each Gaussian, weight included, at samples that are given as products."""
    i, j = np.triu_indices(mixture.mean.shape[1])
    precision = mixture.whiten @ mixture.whiten.transpose(0, 2, 1)
    pull = np.einsum("kij,kj->ki", precision, mixture.mean)
    at_zero = mixture.log_scale - np.einsum("ki,ki->k", pull, mixture.mean) / 2
    factors = np.column_stack([np.where(i == j, -0.5, -1) * precision[:, i, j], pull, at_zero])
    return factors.astype(products.dtype) @ products.T


def _log_sum(values: np.ndarray) -> np.ndarray:
    """(1, N) log of the sum of exponentials over the first axis."""
    highest = values.max(axis=0, keepdims=True)
    return highest + np.log(np.exp(values - highest).sum(axis=0, keepdims=True))
