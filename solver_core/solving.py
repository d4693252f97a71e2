# SPDX-License-Identifier: Apache-2.0
"""Solves any problem of the registry: the steps of its networks, then its own classical solver."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from solver_core.errors import ConfigError
from solver_core.loop import LoopSettings, OnStep
from solver_core.loop import solve as run_loop
from solver_core.manifolds import checked_start
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks
from solver_core.options import Options, keyword_options, option
from solver_core.problem import Arrays, InverseProblem, Update, take
from solver_core.problem_kind import Ends, Instance, ProblemKind
from solver_core.problems import find_problem
from solver_core.solution import Cancelled, Iteration, Judgement, StopReason, Verdict

REFINE = LoopSettings(steps=30, halvings=6, min_decrease=1e-6, patience=2)  # for an update that learns from a step that fails


@dataclass(frozen=True)
class ProblemOptions(Options):
    """What a user may choose about a solve."""

    weights: Path | None = option(None, "Weights", "Networks of the learned steps", unset="those of the package, if any")
    steps: int | None = option(None, "Steps", "Number of learned steps", minimum=0, maximum=1000, unset="one a network")
    restarts: int = option(
        8, "Restarts", "Number of other starts that are tried where the answer is poor", minimum=0, maximum=1000
    )
    seed: int = option(0, "Seed", "Random seed; the same seed gives the same result", minimum=0)
    refine: bool = option(True, "Refine", "Goes on with the classical solver, if the problem has one")


@dataclass(frozen=True, eq=False)
class ProblemSolution:
    """Answers (B, ...) to a batch of observations.

    x: the unknowns.  prediction: f(x).  energy: (B,) of the problem.  spread: (B, D) standard deviation of x along each
    direction of a step, None where the problem does not say it.  verdict and explanation: of the worst of the batch.
    alternatives: for each of the batch, other x (K, ...) that explain the observation about as well, the best first; those
    that the starts of the solve led to, so there may be more.
    reasons: why each stopped.  history: all iterations, those of restarts of poor instances alone.  seconds: of the solve.
    """

    x: np.ndarray
    prediction: Arrays
    energy: np.ndarray
    spread: np.ndarray | None
    alternatives: list[np.ndarray]
    verdict: Verdict
    explanation: str
    reasons: list[StopReason]
    history: list[Iteration]
    seconds: float


@keyword_options(ProblemOptions)
def solve(
    problem: str | ProblemKind,
    observation: Any,
    start: Any = None,
    *,
    options: ProblemOptions,
    on_step: OnStep | None = None,
) -> ProblemSolution:
    """The unknowns that explain an observation, by the networks of a problem and then its classical solver.

    Args:
        problem: a name of the registry, or a problem itself, such as inverse_problem gives.
        observation: what the problem's `instance` takes: an array, a batch of them or a dict of arrays.
        start: x or a batch to start from; None = where the problem starts.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every iteration; it ends the solve by raising Cancelled.

    Raises:
        ConfigError: the problem is not known, or has neither weights nor a classical solver.
        ObservationError, SetupError, WeightsError: the observation, the start or the weights cannot be used.
    """
    kind = find_problem(problem)
    instance = kind.instance(observation)
    if start is not None:
        shape = instance.x0.shape if np.ndim(start) == instance.x0.ndim else instance.x0.shape[1:]
        given = checked_start(start, shape, instance.problem.manifold)
        instance = instance._replace(x0=np.broadcast_to(given, instance.x0.shape).astype(instance.x0.dtype))
    return solve_instance(kind, instance, options, on_step)


def solve_instance(
    kind: ProblemKind, instance: Instance, options: ProblemOptions, on_step: OnStep | None = None
) -> ProblemSolution:
    """The same for what is to be solved, as a problem says it; raises what `solve` raises."""
    task = kind.weights_task({})
    path = options.weights or kind.shipped_weights(task)
    networks = [] if path is None else load_networks(path, task, kind.input_layout)
    refinement = kind.refinement(instance) if options.refine else None
    if not networks and refinement is None:
        raise ConfigError(
            f"{kind.name} has no weights; train some with: solver_core train {kind.name}, and give them as weights"
        )
    phases: list[_Phase] = []
    if networks:
        steps = len(networks) if options.steps is None else options.steps
        phases.append(_Phase("network", network_update(instance.problem, networks), LoopSettings(steps=steps)))
    if refinement is not None:
        phases.append(_Phase("refine", refinement, REFINE))

    runs = _Runs(kind, instance, phases, options.restarts > 0, on_step)
    runs.from_start(instance.x0, np.arange(len(instance.x0)))
    rng = np.random.default_rng(options.seed)
    for _ in range(options.restarts):
        poor = runs.poor()
        starts = kind.starts(rng, len(poor)) if len(poor) else None
        if starts is None or runs.is_cancelled:
            break
        runs.from_start(starts.astype(instance.x0.dtype), poor)
    return runs.solution()


class _Phase(NamedTuple):
    name: str
    update: Update
    settings: LoopSettings


class _Runs:
    """The loop from one start after the other, and the best answer to every instance so far."""

    def __init__(
        self, kind: ProblemKind, instance: Instance, phases: list[_Phase], has_restarts: bool, on_step: OnStep | None
    ) -> None:
        self.kind, self.instance, self.phases, self.has_restarts, self.on_step = kind, instance, phases, has_restarts, on_step
        self.x, self.energy = instance.x0.copy(), np.full(len(instance.x0), np.inf)
        self.start_energy = self.energy.copy()
        self.reasons = [StopReason.CANCELLED] * len(self.x)
        self.ends: list[list[tuple[np.ndarray, float]]] = [[] for _ in self.x]
        self.history: list[Iteration] = []
        self.is_cancelled = False
        self.started = time.perf_counter()

    def from_start(self, x: np.ndarray, rows: np.ndarray) -> None:
        """All phases for some of the instances, from x."""
        part = _Part(self.instance.problem, rows)
        observation = take(self.instance.observation, rows)
        reasons: list[StopReason] = []
        for phase in self.phases:
            if self.is_cancelled:
                break
            update = partial(_of_part, phase.update, rows)
            solution = run_loop(part, update, observation, x, phase.settings, self._watch)
            x, energy, reasons = solution.x, solution.energy, solution.reasons
            if np.isinf(self.start_energy[rows]).any():
                self.start_energy[rows] = solution.history[0].energy
            self.history += solution.history
        is_better = energy < self.energy[rows]
        better = rows[is_better]
        self.x[better], self.energy[better] = x[is_better], energy[is_better]
        for row, reason, is_taken, *end in zip(rows, reasons, is_better, x, energy, strict=True):
            self.reasons[row] = reason if is_taken else self.reasons[row]
            self.ends[row].append((end[0], float(end[1])))

    def poor(self) -> np.ndarray:
        """Rows whose answers are not good."""
        return np.array([row for row in range(len(self.x)) if self._judgement(row).verdict is not Verdict.GOOD], dtype=int)

    def solution(self) -> ProblemSolution:
        x, energy, reasons = self.x.copy(), self.energy.copy(), list(self.reasons)
        prediction = self.instance.problem.forward(x, np.arange(len(x)))
        spread, doubts = self.kind.spread(self.instance, x), self.kind.doubts(self.instance, x)
        judgement = self._judgement(slice(None))
        alternatives = self._alternatives(x, energy)
        count = sum(len(others) > 0 for others in alternatives)
        if count:
            whose = "" if len(x) == 1 else f" of {count} of {len(x)} observations"
            doubts = [*doubts, f"other answers{whose} explain it about as well; they are listed as alternatives"]
        return ProblemSolution(
            x=x,
            prediction=prediction,
            energy=energy,
            spread=spread,
            alternatives=alternatives,
            verdict=Verdict.DOUBTFUL if doubts and judgement.verdict is Verdict.GOOD else judgement.verdict,
            explanation="; ".join([judgement.explanation, *doubts]),
            reasons=reasons,
            history=self.history,
            seconds=time.perf_counter() - self.started,
        )

    def _alternatives(self, x: np.ndarray, energy: np.ndarray) -> list[np.ndarray]:
        """Other answers to each instance; where that is good, others are looked for far from it."""
        good = np.setdiff1d(np.arange(len(x)), self.poor())
        starts = self.kind.elsewhere(self.instance, x) if len(good) and self.has_restarts else None
        for start in () if starts is None else starts:
            if not self.is_cancelled:
                self.from_start(start[good].astype(x.dtype), good)
        ends = [Ends(np.stack([x for x, _ in of_one]), np.array([energy for _, energy in of_one])) for of_one in self.ends]
        found = self.kind.alternatives(self.instance, x, energy, ends)
        return [others[:0] if self._judgement(row).verdict is Verdict.BAD else others for row, others in enumerate(found)]

    def _judgement(self, rows: int | slice) -> Judgement:
        rows = slice(rows, rows + 1) if isinstance(rows, int) else rows
        return self.kind.judge(self.energy[rows], self.start_energy[rows])

    def _watch(self, iteration: Iteration) -> None:
        if self.on_step is not None:
            try:
                self.on_step(iteration)
            except Cancelled:
                self.is_cancelled = True
                raise


class _Part:
    """Some instances of a problem, as the loop numbers them."""

    def __init__(self, problem: InverseProblem, rows: np.ndarray) -> None:
        self.problem, self.rows, self.manifold = problem, rows, problem.manifold

    def forward(self, x: np.ndarray, rows: np.ndarray) -> Arrays:
        return self.problem.forward(x, self.rows[rows])

    def energy(self, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        return self.problem.energy(prediction, observation, self.rows[rows])


def _of_part(
    update: Update, part: np.ndarray, stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray
) -> np.ndarray:
    return update(stage, x, prediction, observation, part[rows])
