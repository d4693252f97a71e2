# SPDX-License-Identifier: Apache-2.0
"""L-BFGS (Nocedal 1980; Nocedal and Wright 2006, Alg. 7.4) as an update of the loop, for many instances at once."""

from __future__ import annotations

import numpy as np

from solver_core.problem import Arrays, Update
from training.paper.baselines.descent import Slope

MEMORY = 50  # pairs of steps and changes of the gradient: the angles of a chain are coupled, and 10 pairs take twice as long
LEAST_CURVATURE = 1e-10  # of step times change of gradient, relative: less of it is noise and would spoil the next steps


def lbfgs_update(count: int, memory: int = MEMORY) -> Update:
    """Update for `count` instances of a Descent over Euclidean x (B, D); the loop's halving is its line search.

    An instance whose last step was refused forgets its memory and goes down the gradient, so loop.solve should be given
    a patience of 2.
    """
    steps = changes = np.zeros((memory, count, 0))
    curvature = np.zeros((memory, count))  # step . change; 0 = not there
    last_x = last_gradient = np.zeros((count, 0))

    def update(stage: int, x: np.ndarray, prediction: Slope, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        nonlocal steps, changes, last_x, last_gradient
        gradient = prediction.gradient
        if stage == 0:
            steps, changes = (np.zeros((memory, count, x.shape[1])) for _ in range(2))
            curvature[:] = 0
            last_x, last_gradient = (np.zeros((count, x.shape[1])) for _ in range(2))
        else:
            _remember(rows, x - last_x[rows], gradient - last_gradient[rows])
        last_x[rows], last_gradient[rows] = x, gradient
        return -_times_inverse_hessian(gradient, steps[:, rows], changes[:, rows], curvature[:, rows])

    def _remember(rows: np.ndarray, step: np.ndarray, change: np.ndarray) -> None:
        """Puts the newest pair first where it has curvature; clears the memory where nothing moved."""
        product = np.sum(step * change, axis=1)
        scale = np.linalg.norm(step, axis=1) * np.linalg.norm(change, axis=1)
        good = product > LEAST_CURVATURE * scale
        for store, newest in ((steps, step), (changes, change), (curvature, product)):
            store[:, rows[good]] = np.concatenate([newest[None, good], store[:-1, rows[good]]])
        curvature[:, rows[scale == 0]] = 0

    return update


def _times_inverse_hessian(gradient: np.ndarray, steps: np.ndarray, changes: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """(B, D) by the two loops over the memory (M, B, D), newest pair first; the gradient, at most one long, without any."""
    inverse = np.where(curvature > 0, 1 / np.where(curvature > 0, curvature, 1), 0)  # (M, B)
    result = gradient.astype(np.float64)
    amounts = np.zeros_like(curvature)
    used = int((curvature > 0).any(axis=1).sum())
    for pair in range(used):
        amounts[pair] = inverse[pair] * np.sum(steps[pair] * result, axis=1)
        result = result - amounts[pair][:, None] * changes[pair]
    newest = np.sum(changes[0] ** 2, axis=1)
    length = np.maximum(np.linalg.norm(gradient, axis=1), 1)
    result = result * np.where(curvature[0] > 0, curvature[0] / np.where(newest > 0, newest, 1), 1 / length)[:, None]
    for pair in reversed(range(used)):
        correction = inverse[pair] * np.sum(changes[pair] * result, axis=1)
        result = result + (amounts[pair] - correction)[:, None] * steps[pair]
    return result
