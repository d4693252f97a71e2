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
SURE = 0.32  # doublings: a size is never known better than within a quarter, as samples and light from other surfaces have it


class SunSize(NamedTuple):
    """angle_deg: across the disc.  low_deg, high_deg: sizes that explain the image nearly as well."""

    angle_deg: float
    low_deg: float
    high_deg: float


def sun_size(problem: LightingProblem, x: np.ndarray, lamp: int = 0) -> SunSize:
    """Size of a sun in the light x (1, D), from the image of a problem of one instance.

    Strengths and sky are fitted to each size, those around the best twice as close.  lamp: which one of the light's is meant.
    """
    energies = _energies(problem, x, lamp, SIZES_DEG)
    best = int(np.argmin(energies))
    near = SIZES_DEG[max(best - 1, 0) : best + 2]
    between = np.sqrt(near[1:] * near[:-1])
    sizes, energies = np.append(SIZES_DEG, between), np.append(energies, _energies(problem, x, lamp, between))
    order = np.argsort(sizes)
    return _size(sizes[order], energies[order])


def softness(problem: LightingProblem, x: np.ndarray) -> tuple[float, SunSize]:
    """Logarithm of how much likelier the image is if the sun x (1, 3) is wide than if it is not, at least 0, and its size."""
    energies, is_wide = _energies(problem, x, 0, SIZES_DEG), SIZES_DEG >= WIDE_DEG
    wide, narrow = (log_evidence(energies[part].min(keepdims=True))[0] for part in (is_wide, ~is_wide))
    return max(float(wide - narrow), 0.0), _size(SIZES_DEG, energies)


def _size(sizes_deg: np.ndarray, energies: np.ndarray) -> SunSize:
    """The likeliest of rising sizes, which are as far from each other around it."""
    place, index, best = np.log2(sizes_deg), np.arange(len(sizes_deg)), int(np.argmin(energies))
    middle = best
    if 0 < best < index[-1]:  # the lowest point of a parabola through three sizes
        before, here, after = energies[best - 1 : best + 2]
        middle = best + 0.5 * (before - after) / max(before - 2 * here + after, np.finfo(float).tiny)
    angle = np.interp(middle, index, place)
    likely = np.flatnonzero(np.exp(log_evidence(energies) - log_evidence(energies[[best]])) >= LIKELY)
    low, high = np.interp([likely[0] - 0.5, likely[-1] + 0.5], index, place)
    low, high = max(min(low, angle - SURE), place[0]), min(max(high, angle + SURE), place[-1])
    return SunSize(*(float(2**value) for value in (angle, low, high)))


def _energies(problem: LightingProblem, x: np.ndarray, lamp: int, sizes_deg: np.ndarray) -> np.ndarray:
    """Of the image with a lamp of each size."""
    shading = problem.lamps.shade(problem.scene, x, problem.map_size)
    return np.array([_energy(problem, x, size, lamp, shading) for size in sizes_deg])


def _energy(problem: LightingProblem, x: np.ndarray, size_deg: float, lamp: int, shading: np.ndarray) -> float:
    """Of the image with a lamp of this size; shading: (1, K, P) by the lamps without size."""
    kind, direction = problem.lamps.kinds[lamp], problem.lamps.each(x)[lamp][0]
    suns = disc(direction, size_deg, SAMPLES).astype(np.float32)
    soft = shading.copy()
    soft[0, lamp] = kind.shade(problem.scene.of(np.zeros(len(suns), int)), suns, problem.map_size).mean(axis=0)
    prediction = problem.explain(soft, np.zeros(1, dtype=int))
    return float(problem.image_energy(prediction, problem.observation)[0])
