"""A lamp by Adam on differentiable Lambert shading, from several starts. [torch]"""

from __future__ import annotations

import numpy as np
import torch

from solver_core.baselines.adam import adam_update
from solver_core.baselines.autograd import slope
from solver_core.baselines.descent import Descent, Slope, descend
from solver_core.loop import LoopSettings
from solver_core.problem import take
from solver_core.problems.lighting.observation import ROBUST
from solver_core.problems.lighting.problem import LightingProblem
from solver_core.problems.lighting.search import candidate_lights
from solver_core.solution import Solution

ADAM = LoopSettings(steps=100, patience=20, min_decrease=1e-4)
LEARNING_RATE = 0.1  # radians for a sun, units of the scene for a lamp; falls linearly to zero
NUM_STARTS = 6


def adam(problem: LightingProblem, x0: np.ndarray, settings: LoopSettings = ADAM) -> Solution:
    """Solution of each instance from its light x0 (B, 3)."""
    update = adam_update(len(x0), LEARNING_RATE, decay=lambda stage: 1 - stage / settings.steps)
    return descend(lambert_descent(problem), update, x0, settings)


def adam_from_several(problem: LightingProblem, settings: LoopSettings = ADAM) -> Solution:
    """Solutions (NUM_STARTS, 3) of a problem of one instance from lights all around; the one of least energy is the answer."""
    lights = candidate_lights(problem.kind)
    starts = lights[np.linspace(0, len(lights) - 1, NUM_STARTS).astype(int)]
    return adam(problem.of(np.zeros(NUM_STARTS, dtype=int)), starts, settings)


def lambert_descent(problem: LightingProblem) -> Descent:
    """Descent of the problem's own energy.

    Only the shading is differentiated.  What lies in shadow, the strength and the ambient light are those at the estimate.
    """

    def objective(x: np.ndarray, rows: np.ndarray) -> Slope:
        prediction, observation = problem.forward(x, rows), take(problem.observation, rows)
        surface = take(problem.scene.surface, rows)
        light, position, normal, albedo, image, weight, shading = (
            torch.from_numpy(np.ascontiguousarray(array, dtype=x.dtype))
            for array in (
                x, surface.position, surface.normal, prediction.albedo,
                observation.image, observation.weight, prediction.shading,
            )
        )  # fmt: skip
        strength, ambient = (torch.from_numpy(a[:, None].astype(x.dtype)) for a in (prediction.strength, prediction.ambient))
        unshadowed = _lambert(problem.kind, light, position, normal)
        visible = torch.where(unshadowed > 0, shading / unshadowed, 0)
        black = _cost(image, weight)

        def value(step: torch.Tensor) -> torch.Tensor:
            moved = light + (torch.linalg.cross(step, light) if problem.kind == "sun" else step)
            shaded = visible * _lambert(problem.kind, moved, position, normal)
            return _cost(albedo * (strength * shaded[..., None] + ambient) - image, weight) / black

        return slope(value, len(x), 3, light.dtype)

    return Descent(problem.manifold, objective)


def _lambert(kind: str, light: torch.Tensor, position: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """(B, P) irradiance without shadows by a lamp of strength one; light: (B, 3), position and normal: (B, P, 3)."""
    if kind == "sun":
        return (normal @ light[:, :, None])[..., 0].clamp(min=0)
    towards = light[:, None] - position
    return (normal * towards).sum(dim=2).clamp(min=0) / towards.norm(dim=2).clamp(min=1e-3) ** 3  # 1e-3: lamp on the surface


def _cost(residual: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(B,) as observation.robust_cost."""
    return (weight * ((ROBUST**2 + residual.square().mean(dim=2)).sqrt() - ROBUST)).sum(dim=1)
