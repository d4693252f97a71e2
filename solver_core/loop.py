# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1 of Ma et al. 2020: a few steps, each proposed from the feedback of the forward process.

The update says which way, the damping says how far.  No other place in the project loops over steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np

from solver_core.problem import Arrays, InverseProblem, Update, put, take
from solver_core.solution import Cancelled, Iteration, Solution, StopReason

OnStep = Callable[[Iteration], None]


@dataclass(frozen=True)
class LoopSettings:
    """How the loop runs.

    steps: at most this many steps (the paper: 5 for pose, 7 for lighting, 4 for inverse kinematics).
    halvings: how often a step that does not lower the energy is halved before the instance stops (sec. 3.3);
        None takes every step whole; with patience above steps that is the paper's loop without its adaptive update.
    patience: an instance stops after this many steps in a row without an energy lower than all before; more than one
        helps where the update of the next stage is another one.
    converged_energy: an instance at or below this energy stops.
    min_decrease: a step that lowers the energy by less than this fraction counts as none.
    """

    steps: int = 5
    halvings: int | None = 3
    patience: int = 1
    converged_energy: float = 0.0
    min_decrease: float = 0.0


def iterate(
    problem: InverseProblem, update: Update, observation: Arrays, x0: np.ndarray, settings: LoopSettings
) -> Generator[Iteration, None, None]:
    """Takes steps until no instance moves or the steps are used up (Ma et al. 2020, Alg. 1).

    Args:
        problem: the forward process and the energy.
        update: proposes the steps.
        observation: of B instances.
        x0: (B, ...) where they start.
        settings: how long, and how steps are damped.

    Yields:
        Iteration 0, the start, then one a step.  The energy of an instance never rises (unless halvings is None).
    """
    started = time.perf_counter()
    rows = np.arange(len(x0))
    x, prediction = x0, problem.forward(x0, rows)
    energy = problem.energy(prediction, observation, rows)
    is_active = energy > settings.converged_energy
    nothing = np.zeros(len(x0), dtype=bool)
    lowest = energy
    failures = np.zeros(len(x0), dtype=int)  # steps in a row without a lower energy
    yield Iteration(0, x, prediction, energy, np.zeros(len(x0)), nothing, is_active, time.perf_counter() - started)

    for stage in range(settings.steps):
        active = np.flatnonzero(is_active)
        if len(active) == 0:
            return
        step = update(stage, x[active], take(prediction, active), take(observation, active), active)
        x, prediction, energy, damping = _damped_step(problem, observation, x, prediction, energy, active, step, settings)
        accepted = energy < lowest
        has_progressed = accepted & (lowest - energy >= settings.min_decrease * lowest)
        lowest = np.minimum(lowest, energy)
        failures = np.where(has_progressed, 0, failures + 1)
        is_active = is_active & (failures < settings.patience) & (energy > settings.converged_energy)
        seconds = time.perf_counter() - started
        yield Iteration(stage + 1, x, prediction, energy, damping, accepted, is_active, seconds)


def _damped_step(
    problem: InverseProblem,
    observation: Arrays,
    x: np.ndarray,
    prediction: Arrays,
    energy: np.ndarray,
    active: np.ndarray,
    step: np.ndarray,
    settings: LoopSettings,
) -> tuple[np.ndarray, Arrays, np.ndarray, np.ndarray]:
    """x, prediction, energy and damping after one adaptive update (sec. 3.3): halve the step until the energy falls.

    Of several proposals (B, K, D) the one that lowers the energy most is taken.
    """
    step = step if step.ndim == 3 else step[:, None]
    num_proposals = step.shape[1]
    damping = np.zeros(len(x))
    pending = np.arange(len(active))  # positions within `active` whose step is not accepted yet
    for halving in range((settings.halvings or 0) + 1):
        rows = active[pending]
        factor = 0.5**halving
        tried = np.repeat(rows, num_proposals)
        candidate = problem.manifold.retract(x[tried], factor * step[pending].reshape(len(tried), -1)).astype(x.dtype)
        candidate_prediction = problem.forward(candidate, tried)
        candidate_energy = problem.energy(candidate_prediction, take(observation, tried), tried)
        if num_proposals > 1:
            best = np.arange(0, len(tried), num_proposals) + candidate_energy.reshape(len(rows), -1).argmin(axis=1)
            candidate, candidate_energy = candidate[best], candidate_energy[best]
            candidate_prediction = take(candidate_prediction, best)
        is_better = candidate_energy < energy[rows]
        if settings.halvings is None:
            is_better[:] = True
        better_rows = rows[is_better]
        if len(better_rows) == len(x):
            x, prediction, energy = candidate, candidate_prediction, candidate_energy
        elif len(better_rows) > 0:
            x = put(x, better_rows, candidate[is_better])
            prediction = put(prediction, better_rows, take(candidate_prediction, is_better))
            energy = put(energy, better_rows, candidate_energy[is_better])
        damping[better_rows] = factor
        pending = pending[~is_better]
        if len(pending) == 0:
            break
    return x, prediction, energy, damping


def solve(
    problem: InverseProblem,
    update: Update,
    observation: Arrays,
    x0: np.ndarray,
    settings: LoopSettings,
    on_step: OnStep | None = None,
) -> Solution:
    """Runs the loop to its end.

    Args:
        problem: as for iterate; so are update, observation, x0 and settings.
        update: g.
        observation: y.
        x0: (B, ...).
        settings: of the loop.
        on_step: called with every Iteration, the start included; it cancels the solve by raising Cancelled.

    Returns:
        A Solution with B answers.
    """
    history: list[Iteration] = []
    is_cancelled = False
    for iteration in iterate(problem, update, observation, x0, settings):
        history.append(replace(iteration, prediction=None))
        if on_step is not None:
            try:
                on_step(iteration)
            except Cancelled:
                is_cancelled = True
                break
    return summary(history, settings, is_cancelled)


def summary(history: list[Iteration], settings: LoopSettings, is_cancelled: bool = False) -> Solution:
    """The Solution of a loop.

    Args:
        history: all its iterations, the start first.
        settings: with which it ran.
        is_cancelled: whether it was ended before its end.
    """
    last = history[-1]
    reasons = [_stop_reason(history, row, settings, is_cancelled) for row in range(len(last.energy))]
    return Solution(last.x, last.energy, reasons, history, last.seconds)


def _stop_reason(history: list[Iteration], row: int, settings: LoopSettings, is_cancelled: bool) -> StopReason:
    last = history[-1]
    if last.energy[row] <= settings.converged_energy:
        return StopReason.CONVERGED
    if last.is_active[row]:
        return StopReason.CANCELLED if is_cancelled else StopReason.MAX_STEPS
    ended = next(index for index, iteration in enumerate(history) if not iteration.is_active[row])
    tried = history[max(1, ended + 1 - settings.patience) : ended + 1]
    return StopReason.STALLED if any(iteration.accepted[row] for iteration in tried) else StopReason.NO_DECREASE
