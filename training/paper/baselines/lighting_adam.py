# SPDX-License-Identifier: Apache-2.0
"""A light by Adam on differentiable Lambert shading, from several starts."""

from __future__ import annotations

import numpy as np

from solver_core.loop import LoopSettings
from solver_core.problem import take
from solver_core.problems.lighting.observation import ROBUST, black_cost, mean_square
from solver_core.problems.lighting.problem import LightingProblem
from solver_core.solution import Solution
from training.paper.baselines.adam import adam_update
from training.paper.baselines.descent import Descent, Slope, descend

ADAM = LoopSettings(steps=100, patience=20, min_decrease=1e-4)
LEARNING_RATE = 0.1  # radians for a sun, units of the scene for a point light; falls linearly to zero
NUM_STARTS = 6


def adam(problem: LightingProblem, x0: np.ndarray, settings: LoopSettings = ADAM) -> Solution:
    """Solution of each instance from its light x0 (B, 3)."""
    update = adam_update(len(x0), LEARNING_RATE, decay=lambda stage: 1 - stage / settings.steps)
    return descend(lambert_descent(problem), update, x0, settings)


def adam_from_several(problem: LightingProblem, settings: LoopSettings = ADAM) -> Solution:
    """Solutions (NUM_STARTS, 3) of a problem of one instance from lights all around; the one of least energy is the answer."""
    lights = problem.kind.basis.x
    starts = lights[np.linspace(0, len(lights) - 1, NUM_STARTS).astype(int)]
    return adam(problem.of(np.zeros(NUM_STARTS, dtype=int)), starts, settings)


def lambert_descent(problem: LightingProblem) -> Descent:
    """Descent of the problem's own energy.

    Only the shading is differentiated.  What lies in shadow, the strength and the ambient light are those at the estimate.
    """

    def objective(x: np.ndarray, rows: np.ndarray) -> Slope:
        prediction, observation = problem.forward(x, rows), take(problem.observation, rows)
        residual = prediction.image - observation.image
        # Of the robust cost by the shading: residual / sqrt(ROBUST^2 + residual^2), by way of albedo and strength.
        outer = observation.weight / np.sqrt(ROBUST**2 + mean_square(residual))
        by_shading = outer * np.mean(residual * prediction.albedo * prediction.strength, axis=2)  # (B, P)
        slopes = problem.kind.slopes(take(problem.scene.surface, rows), x)
        unshadowed, shading = problem.kind.irradiance(take(problem.scene.surface, rows), x), prediction.shading[:, 0]
        visible = np.divide(shading, unshadowed, out=np.zeros_like(shading), where=unshadowed > 0)
        gradient = np.einsum("bp,bpk->bk", by_shading * visible, slopes) / black_cost(observation)[:, None]
        return Slope(problem.image_energy(prediction, observation), gradient)

    return Descent(problem.kind.manifold, objective)
