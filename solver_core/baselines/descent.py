"""Descending the gradient of an objective, as an inverse problem that the loop can run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from solver_core.loop import LoopSettings, iterate
from solver_core.manifolds import Manifold
from solver_core.problem import Arrays, Update
from solver_core.solution import Iteration, Solution, StopReason


class Slope(NamedTuple):
    """value (B,) of an objective and its gradient (B, D) with respect to a step in the tangent space."""

    value: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True, eq=False)
class Descent:
    """An inverse problem whose f gives the objective and its gradient in one go, and whose E is the objective.

    objective(x (B, ...), rows (B,)) knows the observations; the loop's own observation is not looked at.
    """

    manifold: Manifold
    objective: Callable[[np.ndarray, np.ndarray], Slope]

    def forward(self, x: np.ndarray, rows: np.ndarray) -> Slope:
        return self.objective(x, rows)

    def energy(self, prediction: Slope, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        return prediction.value


def descend(problem: Descent, update: Update, x0: np.ndarray, settings: LoopSettings) -> Solution:
    """Takes every step whole, and keeps the best estimate of each instance: its objective may rise on the way.

    An instance ends after settings.patience steps in a row without a new best one, lower by the fraction
    settings.min_decrease; the history holds the best so far.  settings.halvings is not used.
    """
    history: list[Iteration] = []
    failures = np.zeros(len(x0), dtype=int)
    for iteration in iterate(problem, update, x0, x0, replace(settings, halvings=None)):
        x, energy = iteration.x, iteration.energy
        is_better = np.ones(len(x0), dtype=bool)
        if history:
            best = history[-1]
            is_better = best.is_active & (energy < (1 - settings.min_decrease) * best.energy)
            x = np.where(is_better.reshape(-1, *[1] * (x.ndim - 1)), x, best.x)
            energy = np.where(is_better, energy, best.energy)
            failures = np.where(is_better, 0, failures + 1)
        is_active = (failures < settings.patience) & (energy > settings.converged_energy)
        best = replace(iteration, x=x, prediction=None, energy=energy, accepted=is_better, is_active=is_active)
        history.append(best)
        if not is_active.any():
            break
    last = history[-1]
    reasons = [
        StopReason.CONVERGED if energy <= settings.converged_energy
        else StopReason.MAX_STEPS if active
        else StopReason.NO_DECREASE
        for energy, active in zip(last.energy, last.is_active, strict=True)
    ]  # fmt: skip
    return Solution(last.x, last.energy, reasons, history, last.seconds)
