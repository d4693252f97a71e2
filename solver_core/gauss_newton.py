# SPDX-License-Identifier: Apache-2.0
"""Gauss-Newton steps for any forward process whose predictions are numbers, with derivatives by trying.

The classical solver of problems that bring none of their own.  It asks the forward process D times a step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solver_core.manifolds import Manifold
from solver_core.problem import InverseProblem, Update

DAMPING = 1e-6  # of the normal matrix's diagonal: directions that nothing tells of are left alone


def gauss_newton_update(
    problem: InverseProblem, residual: Callable[[np.ndarray, np.ndarray], np.ndarray], scale: np.ndarray, longest: np.ndarray
) -> Update:
    """Proposes the least squares step of the linearised forward process.

    Args:
        problem: of any space.
        residual: (prediction, observation) -> (B, M) what the step is to bring to zero, in units of its error.
        scale: (D,) a step in each direction that changes the prediction by little, for the derivatives.
        longest: (D,) no step is longer in any direction: a line through f says little of what is far away.
    """

    def update(stage: int, x: np.ndarray, prediction: np.ndarray, observation: np.ndarray, rows: np.ndarray) -> np.ndarray:
        left = residual(prediction, observation)
        jacobian = derivatives(problem, residual, scale, x, left, observation, rows)
        step, _ = least_squares_step(jacobian, left)
        for _ in range(len(scale) - 1):
            is_blocked = leads_nowhere(problem.manifold, x, np.sign(step) * scale)
            if not is_blocked.any():
                break
            jacobian = np.where(is_blocked[:, None], 0, jacobian)  # the others make up for it
            step, _ = least_squares_step(jacobian, left)
        return step / np.maximum(1, np.abs(step / longest).max(axis=1, keepdims=True))

    return update


def derivatives(
    problem: InverseProblem,
    residual: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scale: np.ndarray,
    x: np.ndarray,
    left: np.ndarray,
    observation: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """(B, M, D) change of the residual, which is `left` at x, for a step in each direction.

    Where a step leads nowhere, as at a bound, the other way is tried; where a run fails the derivative counts as zero.
    """
    count, dim = len(x), problem.manifold.dim
    tried = np.repeat(np.arange(count), dim)
    forth = np.where(leads_nowhere(problem.manifold, x, np.broadcast_to(scale, (count, dim))), -1, 1).reshape(-1, 1)
    moved = problem.manifold.retract(x[tried], forth * np.tile(np.diag(scale), (count, 1)))
    change = residual(problem.forward(moved, rows[tried]), observation[tried]) - left[tried]  # (B D, M)
    change = forth * np.where(np.isfinite(change), change, 0)
    return (change.reshape(count, dim, -1) / scale[:, None]).transpose(0, 2, 1)


def leads_nowhere(manifold: Manifold, x: np.ndarray, step: np.ndarray) -> np.ndarray:
    """(B, D) whether each component of a step (B, D), taken alone, ends where it began, as at a bound."""
    count, dim = step.shape
    tried = np.repeat(np.arange(count), dim)
    moved = manifold.retract(x[tried], np.tile(np.eye(dim), (count, 1)) * step[tried])
    return (moved == x[tried]).reshape(count, dim, -1).all(axis=2)


def least_squares_step(jacobian: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step (B, D) that brings a residual (B, M) with derivatives (B, M, D) nearest to zero, and its covariance (B, D, D).

    The covariance is that of errors of size one in the residual.
    """
    left = np.where(np.isfinite(left), left, 0)
    normal = jacobian.transpose(0, 2, 1) @ jacobian
    diagonal = np.einsum("bdd->bd", normal)
    size = np.sqrt(np.where(diagonal > 0, diagonal, 1))  # so that units of the directions do not matter
    scaled = normal / (size[:, :, None] * size[:, None]) + DAMPING * np.eye(normal.shape[1])
    inverse = np.linalg.inv(scaled) / (size[:, :, None] * size[:, None])
    inverse = np.where(diagonal[:, :, None] * diagonal[:, None] > 0, inverse, 0)
    return -np.einsum("bde,bme,bm->bd", inverse, jacobian, left), inverse
