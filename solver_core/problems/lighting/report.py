# SPDX-License-Identifier: Apache-2.0
"""What an image tells about its light and what it does not: probabilities of the answers, and how far off they may be.

An energy E counts as the likelihood (E + FLOOR)^-EVIDENCE, which is that of normal residuals whose size is not known, as if the
image had twice EVIDENCE independent pixels: neighbours err together.  Both constants were set on validation meshes, so that
90 % of the true lights lie within the reported angle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from solver_core.problems.lighting.lights.light import across
from solver_core.problems.lighting.problem import LightingProblem
from solver_core.problems.lighting.refine import linearised

EVIDENCE = 60.0
FLOOR = 0.02  # of the energy: what edges and 8 bits make of any picture
SHARE = 0.9  # of the probability that lies within the reported angle
REACH = 0.02  # radians, or parts of a distance, to which the energy is taken to be quadratic
RING_DEG = np.array([1.5, 3, 6, 12, 24, 45, 75, 105])  # around the answer, to see what else explains the image
PER_RING = 8
ANNULUS = np.array([0.72, 0.84, 0.96, 1.08])  # of a ring's angle: where what it stands for lies, most of it inside
NUM_SAMPLES = 400  # of the nearest answers
MODEL_DEG = 0.3  # standard deviation by which light from other surfaces turns a sun, where there is ambient light
WIDEST_DEG = 90.0  # standard deviation of a light that an image says nothing about
DISTINCT_DEG = 10.0  # answers are at least so far apart
PROBABLE = 0.05  # answers of less probability are not reported
FLAT = 0.02  # smallest spread of normals, of 1, that is no flat surface: a bend of about 15 degrees
LIT = 0.01  # of the points: fewer lit ones show no light


class Answers(NamedTuple):
    """Lights x (B, 3 K) of K lamps each that may be right and their energies (B,), the answer first, lamps in its order."""

    x: np.ndarray
    energy: np.ndarray


@dataclass(frozen=True)
class Report:
    """How well the image determines the light.

    uncertainty_deg: the angle around the answer within which the light lies with a probability of 90 %, all other answers
    counted.  distance_uncertainty: standard deviation of a position's distance, as part of it; 0 for a direction.
    probabilities: (B,) of the distinct answers, the first being that of the light itself.  notes: sentences for the user.
    """

    uncertainty_deg: float
    distance_uncertainty: float
    probabilities: np.ndarray
    notes: list[str]


def log_evidence(energy: np.ndarray) -> np.ndarray:
    """(B,) logarithms of the likelihoods of energies (B,), up to a constant."""
    return -EVIDENCE * np.log(energy + FLOOR)


def examine(fine: LightingProblem, middle: LightingProblem, answers: Answers, lamp: int = 0) -> Report:
    """Report on a lamp of the first of the answers.

    Args:
        fine: problem of one instance on the grid that the answers were found on.
        middle: the same on a grid for many looks.
        answers: all that were found.
        lamp: which one.
    """
    x, lights = answers.x[:1], fine.lamps.each(answers.x)[lamp]
    covariance = _covariance(fine, x, lamp)
    rings, around = _around(middle, x, lamp, covariance[:2, :2])
    near = np.degrees(np.linalg.norm(_normal_pairs() @ np.linalg.cholesky(covariance[:2, :2]).T, axis=1))
    # All answers are taken to be as narrow as the first.
    relative = np.exp(log_evidence(answers.energy) - log_evidence(answers.energy[:1]))
    relative *= 1 + around[rings < DISTINCT_DEG].sum()
    off = np.minimum(np.hypot(_angles_deg(lights[:1], lights)[:, None], near), 180)  # (B, NUM_SAMPLES)
    angles = np.concatenate([off.ravel(), np.outer(ANNULUS, rings).ravel()])
    mass = np.append(1, relative[1:]).repeat(NUM_SAMPLES) / NUM_SAMPLES
    mass = np.concatenate([mass, np.tile(around / len(ANNULUS), len(ANNULUS))])
    order = np.argsort(angles)
    within = np.cumsum(mass[order]) / mass.sum()
    return Report(
        float(angles[order][np.searchsorted(within, SHARE)]),
        float(np.sqrt(covariance[2, 2])) if len(covariance) > 2 else 0.0,
        relative / mass.sum(),
        _notes(fine, middle, x, lamp),
    )


def _covariance(problem: LightingProblem, x: np.ndarray, lamp: int) -> np.ndarray:
    """(K, K) of a lamp of x (1, D), whatever the others do: radians across and, for a position, parts of its distance."""
    row = np.zeros(1, dtype=int)
    prediction = problem.forward(x, row)
    energy = problem.image_energy(prediction, problem.observation)
    curvature = linearised(problem, x, prediction, problem.observation, row, REACH).curvature[0] / REACH**2
    precision = EVIDENCE * curvature / (energy[0] + FLOOR)
    covariance = np.linalg.inv(precision + np.eye(len(precision)) / np.radians(WIDEST_DEG) ** 2)
    own = np.any(problem.lamps.unit_moves(x)[0][:, 3 * lamp : 3 * lamp + 3], axis=1)
    covariance = covariance[own][:, own]
    if not problem.is_alone[0]:
        covariance[:2, :2] += np.eye(2) * np.radians(MODEL_DEG) ** 2
    return covariance


def _around(problem: LightingProblem, x: np.ndarray, lamp: int, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles (R,) of lights on rings around a lamp of x (1, D), degrees, and the probability (R,) around each beside that of x.

    Counted is what goes beyond the normal distribution that the covariance (2, 2) stands for.
    """
    azimuth = 2 * np.pi * np.arange(PER_RING) / PER_RING
    around = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)  # (PER_RING, 2)
    angle = np.radians(RING_DEG)[:, None]
    here = problem.lamps.each(x)[lamp]
    distance = np.linalg.norm(here)
    towards, sideways = here / distance, around @ across(here)[0]  # (PER_RING, 3)
    lights = np.cos(angle)[..., None] * towards + np.sin(angle)[..., None] * sideways  # (rings, PER_RING, 3)
    energy = problem.image_energies(_moved(x, lamp, np.concatenate([here, distance * lights.reshape(-1, 3)])))
    relative = np.exp(log_evidence(energy[1:]) - log_evidence(energy[:1])).reshape(angle.size, PER_RING)
    steps = angle[..., None] * around  # (rings, PER_RING, 2)
    normal = np.exp(-np.einsum("rai,ij,raj->ra", steps, np.linalg.inv(covariance), steps) / 2)
    edges = np.sqrt(RING_DEG[1:] * RING_DEG[:-1])
    edges = np.radians(np.concatenate([[RING_DEG[0] ** 2 / edges[0]], edges, [RING_DEG[-1] ** 2 / edges[-1]]]))
    area = 2 * np.pi * -np.diff(np.cos(edges)) / PER_RING  # of the sphere around each light
    density = np.maximum(relative - normal, 0) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    return np.repeat(RING_DEG, PER_RING), (density * area[:, None]).ravel()


def _moved(x: np.ndarray, lamp: int, lights: np.ndarray) -> np.ndarray:
    """(N, D) x (1, D) with a lamp of it replaced by lights (N, 3)."""
    moved = np.repeat(x, len(lights), axis=0)
    moved[:, 3 * lamp : 3 * lamp + 3] = lights
    return moved


def _normal_pairs() -> np.ndarray:
    """(NUM_SAMPLES, 2) standard normal, spread evenly instead of at random."""
    index = np.arange(NUM_SAMPLES) + 0.5
    radius, azimuth = np.sqrt(-2 * np.log(1 - index / NUM_SAMPLES)), np.pi * (1 + np.sqrt(5)) * index
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1)


def _angles_deg(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(x, others), axis=1), others @ x[0]))


def _notes(fine: LightingProblem, middle: LightingProblem, x: np.ndarray, lamp: int) -> list[str]:
    surface, row = fine.scene.surface, np.zeros(1, dtype=int)
    notes = []
    prediction = fine.forward(x, row)
    is_lit = prediction.shading[0, lamp][surface.weight[0] > 0] > 0
    if is_lit.mean() < LIT or prediction.strength[0, lamp].max() == 0:
        notes.append("No pixel is lit directly: the light is behind what is seen, or there is only ambient light.")
    normals = surface.normal[0]
    spread = np.linalg.eigvalsh(np.cov(normals.T))[-1] if len(normals) > 1 else 0.0
    if spread < FLAT:
        notes.append("What is seen is flat, which leaves open where the light comes from.")
    here = middle.lamps.each(x)[lamp]
    for doubt in middle.lamps.kinds[lamp].doubts(here):
        near, there = log_evidence(middle.image_energies(_moved(x, lamp, np.concatenate([here, doubt.x]))))
        if np.exp(there - near) >= PROBABLE:
            notes.append(doubt.sentence)
    return notes
