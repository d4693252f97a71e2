# SPDX-License-Identifier: Apache-2.0
"""An image as a lighting problem compares it, and the part of the answer that is linear."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.problems.lighting.non_negative import non_negative

ROBUST = 0.05  # residuals beyond this, of the image's bright level, count by their size instead of its square
ROUNDS = 3  # of reweighting; the fit moves by less than 1e-3 after them
# Where few faces are seen and no shadow, many lights fit, each with its own ambient light: draw it to what is usual.
USUAL_AMBIENT = 0.2  # of the light's where it is brightest; renders by daylight have 0.1 to 0.3
USUAL_WEIGHT = 0.003  # against the pixels: where they determine the ambient light, it moves by less than a hundredth of the way
TINT_ROUNDS = 4  # of fitting light and albedo by turns
BRIGHT_PERCENTILE = 95.0


class LightingObservation(NamedTuple):
    """image: (B, P, 3) linear RGB, divided by its bright level.  weight: (B, P), 0 where the image says nothing.
    level: (B,) that bright level, in the image's own units.
    """

    image: np.ndarray
    weight: np.ndarray
    level: np.ndarray


class Known(NamedTuple):
    """strength: (B, 3) of the lamp in bright levels, NaN where it is to be fitted.  is_alone: (B,) bool, True without a sky."""

    strength: np.ndarray
    is_alone: np.ndarray


class Sky(NamedTuple):
    """Light from all around, in T parts whose amounts are found.

    radiance: (1, T, P or 1, C) of white points by each part, with what comes on by other surfaces; C is 1 or 3.  Parts of one
    together are a uniform sky of radiance one.  mean: (T,) radiance of each, over all directions.
    """

    radiance: np.ndarray
    mean: np.ndarray


UNIFORM_SKY = Sky(np.ones((1, 1, 1, 1), np.float32), np.ones(1, np.float32))  # that nothing hides


class Linear(NamedTuple):
    """strength: (B, K, 3) of the lamps and sky: (B, T, 3) of its parts, in bright levels."""

    strength: np.ndarray
    sky: np.ndarray


class Arriving(NamedTuple):
    """What arrives at white points: lamps (B, K, P, C), by each of K lamps of strength one and from there on by other surfaces,
    and the sky; C is 1 or 3.
    """

    lamps: np.ndarray
    sky: Sky

    @classmethod
    def straight(cls, shading: np.ndarray, sky: Sky = UNIFORM_SKY) -> Arriving:
        """By lamps that shade (B, K, P), without other surfaces."""
        return cls(shading[..., None], sky)

    def on(self, albedo: np.ndarray) -> Images:
        """Images of surfaces of an albedo (B, P, 3)."""
        count, num_lamps, num_points, colours = self.lamps.shape
        around = np.broadcast_to(self.sky.radiance, (count, len(self.sky.mean), num_points, colours))
        white = np.concatenate([self.lamps, around], axis=1).transpose(0, 3, 1, 2)  # (B, C, K + T, P)
        images = np.multiply(white, albedo.transpose(0, 2, 1)[:, :, None], order="C")
        usual = -USUAL_AMBIENT * self.lamps.max(axis=(2, 3))
        unusual = np.concatenate([usual, np.broadcast_to(self.sky.mean, (count, len(self.sky.mean)))], axis=1)
        return Images(images, unusual, num_lamps)


class Images(NamedTuple):
    """images: (B, 3, K + T, P) by K lamps of strength one, then by T parts of the sky.  unusual: (B, K + T) how amounts of them
    add up to ambient light beyond the usual.
    """

    images: np.ndarray
    unusual: np.ndarray
    num_lamps: int

    def mixed(self, linear: Linear) -> np.ndarray:
        """(B, P, 3) in bright levels, the image by these strengths and this sky."""
        amounts = np.concatenate([linear.strength, linear.sky], axis=1).transpose(0, 2, 1)[:, :, None]  # (B, 3, 1, K + T)
        return np.ascontiguousarray((amounts @ self.images)[:, :, 0].transpose(0, 2, 1))


class LightingPrediction(NamedTuple):
    """shading: (B, K, P) by K lamps of strength one.  strength: (B, K, 3), known or fitted.  sky: (B, T, 3) amounts of its
    parts, which together have the mean radiance ambient (B, 3).  albedo: (B, P, 3), known or fitted.  tint: (B, M, 3) the
    albedo that was found for M objects, over what was assumed.  image: (B, P, 3).  All in bright levels.
    """

    shading: np.ndarray
    strength: np.ndarray
    sky: np.ndarray
    ambient: np.ndarray
    albedo: np.ndarray
    tint: np.ndarray
    image: np.ndarray


def observe(image: np.ndarray, weight: np.ndarray) -> LightingObservation:
    """Observation of linear RGB values (B, P, 3) with weights (B, P)."""
    brightness = np.where(weight > 0, image.mean(axis=2), np.nan)
    has_any = (weight > 0).any(axis=1)
    level = np.ones(len(image), np.float32)
    level[has_any] = np.nanpercentile(brightness[has_any], BRIGHT_PERCENTILE, axis=1)
    level = np.where(level > 0, level, 1).astype(np.float32)
    return LightingObservation((image / level[:, None, None]).astype(np.float32), weight.astype(np.float32), level)


def fit_linear(lights: Images, observation: LightingObservation, known: Known, rounds: int = ROUNDS) -> Linear:
    """Non-negative least squares for strengths and sky, robust to highlights and to what is not modelled.

    rounds: of least squares; after each, points that are explained badly count less.
    """
    images, num_lamps = lights.images, lights.num_lamps
    count, colours, num_terms, _ = images.shape
    is_lamp = np.arange(num_terms) < num_lamps
    is_given = ~np.isnan(known.strength[:, :1])  # (B, 1)
    allowed = np.where(is_lamp, ~is_given, ~known.is_alone[:, None])  # (B, K + T)
    allowed = np.repeat(allowed, colours, axis=0)
    given = np.zeros((count, colours, num_terms))
    given[:, :, :num_lamps] = np.where(is_given, known.strength, 0)[:, :, None]
    unusual = lights.unusual[:, None, :, None] * lights.unusual[:, None, None]
    drawn_to = np.where(known.is_alone, 0, USUAL_WEIGHT)[:, None]
    observed = np.ascontiguousarray(observation.image.transpose(0, 2, 1))[..., None]  # (B, 3, P, 1)
    weight = observation.weight
    if not allowed.any():
        return Linear(*np.split(given.transpose(0, 2, 1).astype(np.float32), [num_lamps], axis=1))
    for remaining in reversed(range(rounds)):
        weighted = images * weight[:, None, None]
        squares = (weighted @ images.transpose(0, 1, 3, 2)).astype(np.float64)  # (B, 3, K + T, K + T)
        sky_squared = squares[:, :, num_lamps:, num_lamps:].sum(axis=(2, 3))
        squares += (drawn_to * sky_squared)[..., None, None] * unusual  # of what is unusual, beside the pixels
        products = (weighted @ observed)[..., 0] - (squares @ given[..., None])[..., 0]
        found, _ = non_negative(squares.reshape(-1, num_terms, num_terms), products.reshape(-1, num_terms), allowed)
        amounts = (found.reshape(given.shape) + given).astype(np.float32)  # (B, 3, K + T)
        if not remaining:
            break
        residual = observed[..., 0] - (amounts[:, :, None] @ images)[:, :, 0]
        weight = observation.weight * _robust_weight(np.einsum("bcp,bcp->bp", residual, residual) / colours)
    return Linear(*np.split(amounts.transpose(0, 2, 1), [num_lamps], axis=1))


def fit_tinted(
    arriving: Arriving,
    albedo: np.ndarray,
    is_of: np.ndarray,
    observation: LightingObservation,
    known: Known,
    rounds: int = ROUNDS,
) -> tuple[Linear, np.ndarray]:
    """Strengths and sky as fit_linear finds them, and tints (B, M, 3) >= 0 by which the albedo of M objects is multiplied.

    is_of: (B, M, P) float, 1 where a point is on an object.  The two are fitted by turns, first the light to the points whose
    albedo is not in question.
    """
    is_other, plain = 1 - is_of.sum(axis=1), arriving.on(albedo)
    linear = fit_linear(plain, observation._replace(weight=observation.weight * is_other), known, rounds)
    tint = np.ones((*is_of.shape[:2], 3), np.float32)
    tinted = plain
    for _ in range(TINT_ROUNDS):
        untinted = plain.mixed(linear)
        weight = observation.weight * robust_weight(tinted.mixed(linear) - observation.image)
        weighted = is_of * weight[:, None]
        tint = _ratio(weighted @ (untinted * observation.image), weighted @ (untinted * untinted))
        tinted = arriving.on(tint_albedo(albedo, is_of, tint))
        linear = fit_linear(tinted, observation, known, rounds)
    return linear, tint


def tint_albedo(albedo: np.ndarray, is_of: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """(B, P, 3) albedo, multiplied on K objects; is_of: (B, K, P), tint: (B, K, 3)."""
    return albedo * (1 + is_of.transpose(0, 2, 1) @ (tint - 1))


def robust_weight(residual: np.ndarray) -> np.ndarray:
    """(B, P) factor by which least squares has to weigh residuals (B, P, 3) to count large ones by their size."""
    return _robust_weight(mean_square(residual))


def robust_cost(residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(B,) sum over points of a cost that is quadratic for small residuals (B, P, 3) and linear for large ones."""
    cost = np.sqrt(ROBUST**2 + mean_square(residual)) - ROBUST
    return np.einsum("bp,bp->b", weight, cost, dtype=np.float64)


def black_cost(observation: LightingObservation) -> np.ndarray:
    """(B,) robust cost of a black picture."""
    return np.maximum(robust_cost(observation.image, observation.weight), np.finfo(np.float32).tiny)


def unusual_cost(prediction: LightingPrediction, weight: np.ndarray) -> np.ndarray:
    """(B,) what an ambient light that is not the usual one costs, on the scale of robust_cost; weight: (B, P)."""
    brightest = np.einsum("bk,bkc->bc", prediction.shading.max(axis=2), prediction.strength)
    off = prediction.ambient - USUAL_AMBIENT * brightest
    albedo_squared = np.einsum("bp,bpc->bc", weight, prediction.albedo * prediction.albedo)
    return USUAL_WEIGHT * np.mean(albedo_squared * off * off, axis=1) / (2 * ROBUST)


def mean_square(residual: np.ndarray) -> np.ndarray:
    """(B, P) mean over the colours of squared residuals (B, P, 3)."""
    return np.einsum("bpc,bpc->bp", residual, residual) / residual.shape[2]


def _robust_weight(squared: np.ndarray) -> np.ndarray:
    """(B, P) of mean squares of residuals."""
    return 1 / np.sqrt(1 + squared / ROBUST**2)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
