# SPDX-License-Identifier: Apache-2.0
"""Descending the gradient of an objective, as an inverse problem that the loop can run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from solver_core.loop import LoopSettings, iterate, summary
from solver_core.manifolds import Manifold
from solver_core.problem import Arrays, Update
from solver_core.solution import Iteration, Solution


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

    An instance ends after settings.patience steps in a row without a new best one; the history holds the best so far.
    settings.halvings is not used.
    """
    history: list[Iteration] = []
    for iteration in iterate(problem, update, x0, x0, replace(settings, halvings=None)):
        x, energy = iteration.x, iteration.energy
        if history:
            best, is_better = history[-1], iteration.accepted
            x = np.where(is_better.reshape(-1, *[1] * (x.ndim - 1)), x, best.x)
            energy = np.where(is_better, energy, best.energy)
        history.append(replace(iteration, x=x, prediction=None, energy=energy))
    return summary(history, settings)
