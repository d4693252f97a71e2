# SPDX-License-Identifier: Apache-2.0
"""Gauss-Newton steps for any forward process whose predictions are numbers, with few calls of it.

The classical solver of problems that bring none of their own.  Derivatives at the first x come from the differences between
what is known already near it (as in Dud, Ralston and Jennrich 1978) and, in directions where nothing is, from calls of the
forward process, at most D.  From then on each step corrects them (Broyden 1965), until one brings less than they promised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from solver_core.manifolds import Manifold
from solver_core.problem import InverseProblem, Update

DAMPING = 1e-6  # of the normal matrix's diagonal: directions that nothing tells of are left alone
REACH, LEAST = (
    0.3,
    1e-6,
)  # how far off a known x tells of derivatives, in longest steps; nearer than the other there is only rounding
ANGLE = 0.3  # sine of the least angle between a difference and those that were taken before it
NO_CHANGE = 1e-3  # of the largest change of x by a step: rounding, while a step to a bound and back is half as large
PROMISED = 0.5  # a step that brings less of what the derivatives promised has them measured anew

Residual = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Known(NamedTuple):
    """What the forward process gave for K x of each instance: x and prediction (B, K, ...); nan where there are fewer."""

    x: np.ndarray
    prediction: np.ndarray


def gauss_newton_update(
    problem: InverseProblem,
    residual: Residual,
    scale: np.ndarray,
    longest: np.ndarray,
    known: Callable[[np.ndarray], Known | None] = lambda rows: None,
) -> Update:
    """Proposes the least squares step of the linearised forward process.

    Args:
        problem: of any space.
        residual: (prediction, observation) -> (B, M) what the step is to bring to zero, in units of its error.
        scale: (D,) a step in each direction that changes the prediction by little, for the derivatives.
        longest: (D,) no step is longer in any direction: a line through f says little of what is far away.
        known: what was tried before, of some instances.

    Returns:
        An update for one solve: it keeps the derivatives of every instance from step to step.
    """
    derivatives_of = _Derivatives(problem, residual, scale, longest, known)

    def update(stage: int, x: np.ndarray, prediction: np.ndarray, observation: np.ndarray, rows: np.ndarray) -> np.ndarray:
        left = residual(prediction, observation)
        jacobian = derivatives_of.at(x, left, observation, rows)
        jacobian = jacobian * scale @ tangent(problem.manifold, x, scale) / scale  # those from elsewhere have another tangent
        step, _ = least_squares_step(jacobian, left)
        for _ in range(len(scale) - 1):
            is_blocked = leads_nowhere(problem.manifold, x, np.sign(step) * scale)
            if not is_blocked.any():
                break
            jacobian = np.where(is_blocked[:, None], 0, jacobian)  # the others make up for it
            step, _ = least_squares_step(jacobian, left)
        return step / np.maximum(1, np.abs(step / longest).max(axis=1, keepdims=True))

    return update


class _State(NamedTuple):
    """Where an instance was, what was left there (M,), and the derivatives (M, D)."""

    x: np.ndarray
    left: np.ndarray
    jacobian: np.ndarray


class _Derivatives:
    """Derivatives of every instance, kept from step to step; steps are in units of the longest."""

    def __init__(
        self, problem: InverseProblem, residual: Residual, scale: np.ndarray, longest: np.ndarray, known: Callable
    ) -> None:
        self.problem, self.residual, self.scale, self.longest, self.known = problem, residual, scale, longest, known
        self.states: dict[int, _State] = {}

    def at(self, x: np.ndarray, left: np.ndarray, observation: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(B, M, D) change of the residual, which is `left` at x, for a step in each direction."""
        count, dim = len(x), len(self.scale)
        jacobian = np.zeros((count, left.shape[1], dim))
        is_new, is_poor = np.zeros((2, count), dtype=bool)
        for number, row in enumerate(rows.tolist()):
            state = self.states.get(row)
            if state is None or np.sum(left[number] ** 2) > np.sum(state.left**2):  # the loop goes down; this is another start
                is_new[number] = True
            else:
                step = self.problem.manifold.difference(state.x[None], x[number : number + 1])[0] / self.longest
                jacobian[number], is_poor[number] = _corrected(state, step, left[number])
        if is_new.any():
            part = np.flatnonzero(is_new)
            jacobian[part] = self._from_known(x[part], left[part], observation[part], rows[part])
        if is_poor.any():
            part = np.flatnonzero(is_poor)
            measured = derivatives(self.problem, self.residual, self.scale, x[part], left[part], observation[part], rows[part])
            jacobian[part] = measured * self.longest
        for number, row in enumerate(rows.tolist()):
            self.states[row] = _State(x[number].copy(), left[number], jacobian[number])
        return jacobian / self.longest

    def _from_known(self, x: np.ndarray, left: np.ndarray, observation: np.ndarray, rows: np.ndarray) -> np.ndarray:
        count, dim = len(x), len(self.scale)
        basis = _Basis(count, dim, left.shape[1])
        known = self.known(rows)
        if known is not None:
            number = known.x.shape[1]
            again = np.repeat(np.arange(count), number)
            step = self.problem.manifold.difference(x[again], known.x.reshape(len(again), *x.shape[1:])) / self.longest
            prediction = known.prediction.reshape(len(again), *known.prediction.shape[2:])
            change = self.residual(prediction, observation[again]) - left[again]
            step, change = step.reshape(count, number, dim), change.reshape(count, number, -1)
            length = np.where(np.isfinite(change).all(axis=2), np.linalg.norm(step, axis=2), np.inf)
            length = np.where((length > LEAST) & (length < REACH), length, np.inf)  # nan is neither
            for nearest in np.argsort(length, axis=1).T:
                at = np.arange(count), nearest
                basis.add(np.nan_to_num(step[at]), np.nan_to_num(change[at]), np.isfinite(length[at]))
        axes = basis.missing_axes()
        if axes.any():
            measured = derivatives(self.problem, self.residual, self.scale, x, left, observation, rows, axes) * self.longest
            for axis in range(dim):
                direction = np.broadcast_to(np.eye(dim)[axis], (count, dim))
                basis.add(direction, measured[:, :, axis], axes[:, axis])
        return basis.jacobian()


class _Basis:
    """Directions at right angles along which it is known how the residual changes."""

    def __init__(self, count: int, dim: int, size: int) -> None:
        self.directions, self.changes = np.zeros((count, dim, dim)), np.zeros((count, dim, size))
        self.rank = np.zeros(count, dtype=int)

    def add(self, step: np.ndarray, change: np.ndarray, is_given: np.ndarray) -> None:
        """A step (B, D) and the change (B, M) that it brought, where it is not nearly along earlier ones."""
        along = np.einsum("bid,bd->bi", self.directions, step)
        rest = step - np.einsum("bid,bi->bd", self.directions, along)
        length = np.linalg.norm(rest, axis=1)
        rows = np.flatnonzero(is_given & (length > ANGLE * np.linalg.norm(step, axis=1)) & (self.rank < step.shape[1]))
        unexplained = change - np.einsum("bim,bi->bm", self.changes, along)
        self.directions[rows, self.rank[rows]] = (rest / np.maximum(length, LEAST)[:, None])[rows]
        self.changes[rows, self.rank[rows]] = (unexplained / np.maximum(length, LEAST)[:, None])[rows]
        self.rank[rows] += 1

    def missing_axes(self) -> np.ndarray:
        """(B, D) bool: axes that together with the directions span everything."""
        count, dim, _ = self.directions.shape
        directions, missing = self.directions.copy(), np.zeros((count, dim), dtype=bool)
        for _ in range(dim):
            rows = np.flatnonzero(self.rank + missing.sum(axis=1) < dim)
            if len(rows) == 0:
                break
            rest = np.eye(dim) - np.einsum("bid,bie->bde", directions[rows], directions[rows])  # what is left of each axis
            length = np.linalg.norm(rest, axis=2)
            axis = np.where(missing[rows], -1, length).argmax(axis=1)
            missing[rows, axis] = True
            one = np.arange(len(rows))
            free = (self.rank + missing.sum(axis=1))[rows] - 1
            directions[rows, free] = rest[one, axis] / length[one, axis, None]
        return missing

    def jacobian(self) -> np.ndarray:
        return np.einsum("bim,bid->bmd", self.changes, self.directions)


def _corrected(state: _State, step: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, bool]:
    """Derivatives (M, D) that agree with what a step (D,) brought, and whether that was less than they promised."""
    length = float(step @ step)
    if length == 0:
        return state.jacobian, True
    expected = state.left + state.jacobian @ step
    promised, brought = (float(np.sum(state.left**2) - np.sum(after**2)) for after in (expected, left))
    return state.jacobian + np.outer(left - expected, step / length), not brought > PROMISED * promised


def derivatives(
    problem: InverseProblem,
    residual: Residual,
    scale: np.ndarray,
    x: np.ndarray,
    left: np.ndarray,
    observation: np.ndarray,
    rows: np.ndarray,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """(B, M, D) change of the residual, which is `left` at x, for a step in each direction.

    axes: (B, D) bool, which are asked for; the others are zero.  None = all.
    Where a step leads nowhere, as at a bound, the other way is tried; where a run fails the derivative counts as zero.
    """
    count, dim = len(x), problem.manifold.dim
    tried, axis = np.nonzero(np.ones((count, dim)) if axes is None else axes)
    blocked = leads_nowhere(problem.manifold, x, np.broadcast_to(scale, (count, dim)))
    forth = np.where(blocked, -1, 1)[tried, axis][:, None]
    moved = problem.manifold.retract(x[tried], forth * np.diag(scale)[axis])
    change = residual(problem.forward(moved, rows[tried]), observation[tried]) - left[tried]  # (of what was tried, M)
    found = np.zeros((count, dim, left.shape[1]))
    found[tried, axis] = forth * np.where(np.isfinite(change), change, 0) / scale[axis, None]
    return found.transpose(0, 2, 1)


def leads_nowhere(manifold: Manifold, x: np.ndarray, step: np.ndarray) -> np.ndarray:
    """(B, D) whether each component of a step (B, D), taken alone, ends where it began, as at a bound."""
    count, dim = step.shape
    tried = np.repeat(np.arange(count), dim)
    moved = manifold.retract(x[tried], np.tile(np.eye(dim), (count, 1)) * step[tried])
    return (moved == x[tried]).reshape(count, dim, -1).all(axis=2)


def tangent(manifold: Manifold, x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Projection (B, D, D) of steps, in units of scale, onto those that change x; a turn about a direction does not."""
    count, dim = len(x), len(scale)
    start, step = np.repeat(x, dim, axis=0), np.tile(np.diag(scale), (count, 1))
    change = manifold.difference(manifold.retract(start, -step), manifold.retract(start, step)) / scale
    directions, size, _ = np.linalg.svd(change.reshape(count, dim, dim))
    directions = directions * (size > NO_CHANGE * size.max(axis=1, keepdims=True))[:, None]
    return directions @ directions.transpose(0, 2, 1)


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
