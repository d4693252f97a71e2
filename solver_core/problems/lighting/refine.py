# SPDX-License-Identifier: Apache-2.0
"""The classical updates of a light: least squares on the shading equation, and Gauss-Newton on the image.

Shading alone has derivatives on paper, shadows have not: their edges move.  So the image is rendered with the light moved
to either side, by turns far, which sees the edges of large shadows come, and near, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core.loop import LoopSettings
from solver_core.problem import Update, take
from solver_core.problems.lighting.least_squares import shading_solution
from solver_core.problems.lighting.observation import (
    ROBUST,
    LightingObservation,
    LightingPrediction,
    black_cost,
    robust_weight,
)
from solver_core.problems.lighting.problem import LightingProblem

MAX_STEP = 3.0  # of the reach: farther, the derivative says nothing
DAMPING = 1e-3  # of the curvature: keeps steps finite along directions the image does not see
# Reaches, radians or parts of a light's distance: how far it is moved, in turn; and loops with them.
REACHES = (0.12, 0.04, 0.012)
SORT_LOOP = LoopSettings(steps=2, halvings=2, patience=2)
REFINE_LOOP = LoopSettings(steps=12, halvings=2, patience=len(REACHES), min_decrease=1e-3)
FINE_REACHES = (0.04, 0.012)
# Few take more than 6 steps.
FINE_LOOP = LoopSettings(steps=12, halvings=2, patience=len(FINE_REACHES), min_decrease=1e-3)


def shading_update(problem: LightingProblem) -> Update:
    """Update that goes to where least squares on the shading equation puts the light."""

    def update(
        stage: int, x: np.ndarray, prediction: LightingPrediction, observation: LightingObservation, rows: np.ndarray
    ) -> np.ndarray:
        surface = take(problem.scene.surface, rows)
        return problem.manifold.difference(x, shading_solution(problem.kind, x, surface, prediction, observation))

    return update


class Linearised(NamedTuple):
    """The robust energy around a light, as a quadratic of moves.  moves: (B, K, D) steps; curvature: (B, K, K), slope: (B, K).

    Amounts a (K,) of the moves add slope . a + a . curvature a / 2 to the energy.
    """

    moves: np.ndarray
    curvature: np.ndarray
    slope: np.ndarray


def linearised(
    problem: LightingProblem,
    x: np.ndarray,
    prediction: LightingPrediction,
    observation: LightingObservation,
    rows: np.ndarray,
    reach: float,
) -> Linearised:
    """The energy around lights (B, D), by images of lights moved by the reach to either side."""
    moves = reach * problem.lamps.unit_moves(x)  # (B, K, D)
    count, num_moves, numbers = moves.shape
    both_ways = np.stack([moves, -moves], axis=2).reshape(-1, numbers)  # (B K 2, D)
    probes = problem.manifold.retract(np.repeat(x, 2 * num_moves, axis=0), both_ways).astype(np.float32)
    residual = prediction.image - observation.image
    weight = observation.weight * robust_weight(residual)
    images = problem.forward(probes, np.repeat(rows, 2 * num_moves), np.repeat(weight, 2 * num_moves, axis=0)).image
    images = images.reshape(count, num_moves, 2, *images.shape[1:])
    slopes = (images[:, :, 0] - images[:, :, 1]) / 2  # (B, K, P, 3) change of the image by one move
    curvature = np.einsum("bp,bkpc,blpc->bkl", weight, slopes, slopes, optimize=True).astype(np.float64)
    slope = np.einsum("bp,bkpc,bpc->bk", weight, slopes, residual, optimize=True).astype(np.float64)
    unit = residual.shape[2] * ROBUST * black_cost(observation)  # of the squares, in energies
    return Linearised(moves, curvature / unit[:, None, None], slope / unit[:, None])


def gauss_newton_update(problem: LightingProblem, reaches: Sequence[float] = REACHES) -> Update:
    """Update that moves the light to where the linearised, robust difference of the images is least."""

    def update(
        stage: int, x: np.ndarray, prediction: LightingPrediction, observation: LightingObservation, rows: np.ndarray
    ) -> np.ndarray:
        near = linearised(problem, x, prediction, observation, rows, reaches[stage % len(reaches)])
        largest = np.maximum(np.trace(near.curvature, axis1=1, axis2=2), np.finfo(np.float32).tiny)
        curvature = near.curvature + (DAMPING * largest)[:, None, None] * np.eye(near.curvature.shape[1])
        amounts = np.linalg.solve(curvature, -near.slope[..., None])  # (B, K, 1) in moves
        amounts /= np.maximum(np.linalg.norm(amounts, axis=1, keepdims=True) / MAX_STEP, 1)
        return np.sum(amounts * near.moves, axis=1)

    return update
