# SPDX-License-Identifier: Apache-2.0
"""Adam (Kingma and Ba 2015, Alg. 1) as an update of the loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solver_core.problem import Arrays, Update
from training.paper.baselines.descent import Slope


def adam_update(
    count: int,
    learning_rate: float | np.ndarray,
    decay: Callable[[int], float] = lambda stage: 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> Update:
    """Update for `count` instances of a Descent; run it with descent.descend.

    learning_rate: about the length of a step, one for all or (D,) one for each component of the tangent space.  decay:
    factor on it at each stage.  Betas and epsilon default to the paper's.  The moments stay in the tangent space's own
    axes and are not carried along the manifold.
    """
    mean = np.zeros((count, 1))
    square = np.zeros((count, 1))

    def update(stage: int, x: np.ndarray, prediction: Slope, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        nonlocal mean, square
        gradient = prediction.gradient
        if stage == 0:
            mean, square = (np.zeros((count, gradient.shape[1]), gradient.dtype) for _ in range(2))
        mean[rows] = betas[0] * mean[rows] + (1 - betas[0]) * gradient
        square[rows] = betas[1] * square[rows] + (1 - betas[1]) * gradient**2
        unbiased_mean = mean[rows] / (1 - betas[0] ** (stage + 1))
        unbiased_square = square[rows] / (1 - betas[1] ** (stage + 1))
        return -decay(stage) * learning_rate * unbiased_mean / (np.sqrt(unbiased_square) + epsilon)

    return update
