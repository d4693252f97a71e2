# SPDX-License-Identifier: Apache-2.0
"""An image as a lighting problem compares it, and the part of the answer that is linear."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
    """strength: (B, 3) in bright levels, NaN where it is to be fitted.  is_alone: (B,) bool, True without ambient light."""

    strength: np.ndarray
    is_alone: np.ndarray


class Arriving(NamedTuple):
    """What arrives at white points: direct (B, P, C) by a light of strength one and sky (B or 1, P or 1, C) by ambient light of
    one, each with what comes on by other surfaces; C is 1 or 3.
    """

    direct: np.ndarray
    sky: np.ndarray

    @classmethod
    def straight(cls, shading: np.ndarray) -> Arriving:
        """By a light that shades (B, P) and a sky that nothing hides."""
        return cls(shading[..., None], np.ones((1, 1, 1), np.float32))


class Linear(NamedTuple):
    """strength, ambient: (B, 3) such that the image is albedo * (strength * direct + ambient * sky), in bright levels."""

    strength: np.ndarray
    ambient: np.ndarray


class LightingPrediction(NamedTuple):
    """shading: (B, P) by a light of strength one.  strength, ambient: (B, 3), known or fitted.  albedo: (B, P, 3) likewise.
    tint: (B, K, 3) the albedo that was found for K objects, over what was assumed.  image: (B, P, 3) in bright levels.
    """

    shading: np.ndarray
    strength: np.ndarray
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


def fit_linear(arriving: Arriving, albedo: np.ndarray, observation: LightingObservation, known: Known) -> Linear:
    """Non-negative least squares for strength and ambient, robust to highlights and to what is not modelled.

    albedo: (B, P, 3).  Where the strength is known the ambient light is zero.
    """
    is_unknown = np.isnan(known.strength[:, 0])
    fitted = np.where(is_unknown[:, None], 0, known.strength).astype(np.float32)
    ambient = np.zeros_like(fitted)
    rows = np.flatnonzero(is_unknown)
    if len(rows):
        sky = arriving.sky if len(arriving.sky) == 1 else arriving.sky[rows]
        fitted[rows], ambient[rows] = _fit(
            Arriving(arriving.direct[rows], sky),
            albedo[rows],
            observation.image[rows],
            observation.weight[rows],
            known.is_alone[rows],
        )
    return Linear(fitted, ambient)


def fit_tinted(
    arriving: Arriving,
    albedo: np.ndarray,
    is_of: np.ndarray,
    observation: LightingObservation,
    known: Known,
) -> tuple[Linear, np.ndarray]:
    """Strength and ambient as fit_linear finds them, and tints (B, K, 3) >= 0 by which the albedo of K objects is multiplied.

    is_of: (B, K, P) float, 1 where a point is on an object.  The two are fitted by turns, first the light to the points whose
    albedo is not in question.
    """
    is_other = 1 - is_of.sum(axis=1)
    linear = fit_linear(arriving, albedo, observation._replace(weight=observation.weight * is_other), known)
    tint = np.ones((*is_of.shape[:2], 3), np.float32)
    for _ in range(TINT_ROUNDS):
        plain = compose(arriving, albedo, linear)
        tinted = tint_albedo(albedo, is_of, tint)
        weight = observation.weight * robust_weight(compose(arriving, tinted, linear) - observation.image)
        weighted = is_of * weight[:, None]
        tint = _ratio(weighted @ (plain * observation.image), weighted @ (plain * plain))
        linear = fit_linear(arriving, tint_albedo(albedo, is_of, tint), observation, known)
    return linear, tint


def tint_albedo(albedo: np.ndarray, is_of: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """(B, P, 3) albedo, multiplied on K objects; is_of: (B, K, P), tint: (B, K, 3)."""
    return albedo * (1 + is_of.transpose(0, 2, 1) @ (tint - 1))


def compose(arriving: Arriving, albedo: np.ndarray, linear: Linear) -> np.ndarray:
    """The image that a light gives.

    Args:
        arriving: at white points.
        albedo: (B, P, 3) linear RGB.
        linear: strength and ambient.

    Returns:
        (B, P, 3) in bright levels.
    """
    return albedo * (linear.strength[:, None] * arriving.direct + linear.ambient[:, None] * arriving.sky)


def robust_weight(residual: np.ndarray) -> np.ndarray:
    """(B, P) factor by which least squares has to weigh residuals (B, P, 3) to count large ones by their size."""
    return 1 / np.sqrt(1 + mean_square(residual) / ROBUST**2)


def robust_cost(residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(B,) sum over points of a cost that is quadratic for small residuals (B, P, 3) and linear for large ones."""
    cost = np.sqrt(ROBUST**2 + mean_square(residual)) - ROBUST
    return np.einsum("bp,bp->b", weight, cost, dtype=np.float64)


def black_cost(observation: LightingObservation) -> np.ndarray:
    """(B,) robust cost of a black picture."""
    return np.maximum(robust_cost(observation.image, observation.weight), np.finfo(np.float32).tiny)


def unusual_cost(prediction: LightingPrediction, weight: np.ndarray) -> np.ndarray:
    """(B,) what an ambient light that is not the usual one costs, on the scale of robust_cost; weight: (B, P)."""
    off = prediction.ambient - USUAL_AMBIENT * prediction.shading.max(axis=1, keepdims=True) * prediction.strength
    albedo_squared = np.einsum("bp,bpc->bc", weight, prediction.albedo * prediction.albedo)
    return USUAL_WEIGHT * np.mean(albedo_squared * off * off, axis=1) / (2 * ROBUST)


def mean_square(residual: np.ndarray) -> np.ndarray:
    """(B, P) mean over the colours of squared residuals (B, P, 3)."""
    return np.einsum("bpc,bpc->bp", residual, residual) / residual.shape[2]


def _fit(
    arriving: Arriving, albedo: np.ndarray, image: np.ndarray, weight: np.ndarray, is_alone: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    bright, dim = albedo * arriving.direct, albedo * arriving.sky  # (B, P, 3) what a strength of one adds, and ambient light
    squares = dim * dim, dim * bright, bright * bright
    products = dim * image, bright * image
    usual = USUAL_AMBIENT * arriving.direct.max(axis=(1, 2))[:, None]  # (B, 1)
    current = weight
    for _ in range(ROUNDS):
        aa, ab, bb = (np.einsum("bp,bpc->bc", current, term) for term in squares)
        ay, by = (np.einsum("bp,bpc->bc", current, term) for term in products)
        alone = _ratio(by, bb)
        drawn = USUAL_WEIGHT * aa  # weight of (ambient - usual strength)^2 beside the pixels
        aa, ab, bb = aa + drawn, ab - usual * drawn, bb + usual**2 * drawn
        strength, ambient = _non_negative(aa, ab, bb, ay, by)
        strength, ambient = np.where(is_alone[:, None], alone, strength), np.where(is_alone[:, None], 0, ambient)
        current = weight * robust_weight(image - bright * strength[:, None] - dim * ambient[:, None])
    return strength, ambient


def _non_negative(
    aa: np.ndarray, ab: np.ndarray, bb: np.ndarray, ay: np.ndarray, by: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Strength and ambient >= 0 that solve two normal equations in the best way.  All (B, 3)."""
    determinant = aa * bb - ab * ab
    is_regular = determinant > 1e-6 * aa * bb  # float32: below, shading is as good as constant
    safe = np.where(is_regular, determinant, 1)
    strength, ambient = (aa * by - ab * ay) / safe, (bb * ay - ab * by) / safe
    is_dark = ~is_regular | (strength < 0)
    is_black = ~is_dark & (ambient < 0)
    strength = np.where(is_dark, 0, np.where(is_black, _ratio(by, bb), strength))
    ambient = np.where(is_dark, _ratio(ay, aa), np.where(is_black, 0, ambient))
    return strength, ambient


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
