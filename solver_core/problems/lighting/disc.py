# SPDX-License-Identifier: Apache-2.0
"""How large a sun is: the wider its disc, the softer the edges of shadows, and the softer the farther from what throws them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.problems.lighting.lights.sun import disc
from solver_core.problems.lighting.problem import LightingProblem
from solver_core.problems.lighting.report import log_evidence

SIZES_DEG = np.array([0.5, 1, 2, 4, 8, 16, 32])  # across; the real sun has half a degree
WIDE_DEG = 8  # shadows of so wide a sun, or of two suns so far apart, are soft in any picture
SAMPLES = 24  # suns that stand for a disc
LIKELY = 0.15  # of the likelihood of the best: about what a normal distribution has at the ends of its 90 %


class SunSize(NamedTuple):
    """angle_deg: across the disc.  low_deg, high_deg: sizes that explain the image nearly as well."""

    angle_deg: float
    low_deg: float
    high_deg: float


def sun_size(problem: LightingProblem, x: np.ndarray, lamp: int = 0) -> SunSize:
    """Size of a sun in the light x (1, D), from the image of a problem of one instance.

    Strengths and sky are fitted to each size.  lamp: which one of the light's is meant.
    """
    return _size(_energies(problem, x, lamp))


def softness(problem: LightingProblem, x: np.ndarray) -> tuple[float, SunSize]:
    """Logarithm of how much likelier the image is if the sun x (1, 3) is wide than if it is not, at least 0, and its size."""
    energies, is_wide = _energies(problem, x, 0), SIZES_DEG >= WIDE_DEG
    wide, narrow = (log_evidence(energies[part].min(keepdims=True))[0] for part in (is_wide, ~is_wide))
    return max(float(wide - narrow), 0.0), _size(energies)


def _size(energies: np.ndarray) -> SunSize:
    """The likeliest size, from the energies of all."""
    best = int(np.argmin(energies))
    place = np.log2(SIZES_DEG)
    middle = best
    if 0 < best < len(SIZES_DEG) - 1:  # the lowest point of a parabola through three sizes
        before, here, after = energies[best - 1 : best + 2]
        middle = best + 0.5 * (before - after) / max(before - 2 * here + after, np.finfo(float).tiny)
    relative = np.exp(log_evidence(energies) - log_evidence(energies[[best]]))
    likely = np.flatnonzero(relative >= LIKELY)
    low, high = (np.interp(edge, np.arange(len(place)), place) for edge in (likely[0] - 0.5, likely[-1] + 0.5))
    return SunSize(*(float(2**value) for value in (np.interp(middle, np.arange(len(place)), place), low, high)))


def _energies(problem: LightingProblem, x: np.ndarray, lamp: int) -> np.ndarray:
    """Of the image with a lamp of each size."""
    shading = problem.lamps.shade(problem.scene, x, problem.map_size)
    return np.array([_energy(problem, x, size, lamp, shading) for size in SIZES_DEG])


def _energy(problem: LightingProblem, x: np.ndarray, size_deg: float, lamp: int, shading: np.ndarray) -> float:
    """Of the image with a lamp of this size; shading: (1, K, P) by the lamps without size."""
    kind, direction = problem.lamps.kinds[lamp], problem.lamps.each(x)[lamp][0]
    suns = disc(direction, size_deg, SAMPLES).astype(np.float32)
    soft = shading.copy()
    soft[0, lamp] = kind.shade(problem.scene.of(np.zeros(len(suns), int)), suns, problem.map_size).mean(axis=0)
    prediction = problem.explain(soft, np.zeros(1, dtype=int))
    return float(problem.image_energy(prediction, problem.observation)[0])
