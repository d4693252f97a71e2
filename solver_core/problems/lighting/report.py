"""What an image tells about its light and what it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solver_core.problems.lighting.lights.light import across
from solver_core.problems.lighting.problem import LightingProblem

RING_DEG = (2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 90.0)
PER_RING = 8
SAME_RELATIVE, SAME_ABSOLUTE = 0.1, 0.001  # energies this close are called equal: what noise and 8 bits change
FLAT = 0.02  # smallest spread of normals, of 1, that is no flat surface: a bend of about 15 degrees
LIT = 0.01  # of the points: fewer lit ones show no light


@dataclass(frozen=True)
class Report:
    """How well the image determines the light.

    growth_5_deg, growth_15_deg: by how much the energy grows at least when the light moves by that angle.
    uncertainty_deg: the largest angle at which some light explains the image as well.  notes: sentences for the user.
    """

    growth_5_deg: float
    growth_15_deg: float
    uncertainty_deg: float
    notes: list[str]


def same_energy(energy: float) -> float:
    """Energy up to which another answer explains the image as well as one with this energy."""
    return energy * (1 + SAME_RELATIVE) + SAME_ABSOLUTE


def examine(problem: LightingProblem, x: np.ndarray) -> Report:
    """Report on a light (1, 3) of a single instance, from the image energies around it: what is usual is no evidence."""
    energy = float(problem.image_energies(x)[0])
    growth = {angle: float(ring.min()) - energy for angle, ring in zip(RING_DEG, _rings(problem, x), strict=True)}
    tolerance = same_energy(energy) - energy
    equal = [angle for angle in RING_DEG if growth[angle] <= tolerance]
    within_first = RING_DEG[0] * math.sqrt(tolerance / max(growth[RING_DEG[0]], tolerance))  # growth is quadratic in the angle
    uncertainty = max([within_first, *equal])
    return Report(growth[5.0], growth[15.0], uncertainty, _notes(problem, x, energy))


def _rings(problem: LightingProblem, x: np.ndarray) -> np.ndarray:
    """(rings, PER_RING) energies of lights on circles around x."""
    azimuth = 2 * np.pi * np.arange(PER_RING) / PER_RING
    first, second = across(x)[0]
    axes = np.cos(azimuth)[:, None] * first + np.sin(azimuth)[:, None] * second  # (PER_RING, 3)
    towards = x / np.linalg.norm(x)
    angles = np.radians(RING_DEG)[:, None, None]
    lights = np.cos(angles) * towards + np.sin(angles) * np.cross(axes, towards)
    lights = lights.reshape(-1, 3) * np.linalg.norm(x)
    return problem.image_energies(lights).reshape(len(RING_DEG), PER_RING)


def _notes(problem: LightingProblem, x: np.ndarray, energy: float) -> list[str]:
    surface, row = problem.scene.surface, np.zeros(1, dtype=int)
    notes = []
    prediction = problem.forward(x, row)
    is_lit = prediction.shading[0][surface.weight[0] > 0] > 0
    if is_lit.mean() < LIT or prediction.strength.max() == 0:
        notes.append("No pixel is lit directly: the light is behind what is seen, or there is only ambient light.")
    normals = surface.normal[0]
    spread = np.linalg.eigvalsh(np.cov(normals.T))[-1] if len(normals) > 1 else 0.0
    if spread < FLAT:
        notes.append("What is seen is flat, which leaves open where the light comes from.")
    for doubt in problem.kind.doubts(x):
        if problem.image_energies(doubt.x)[0] <= same_energy(energy):
            notes.append(doubt.sentence)
    return notes
