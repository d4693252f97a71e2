# SPDX-License-Identifier: Apache-2.0
"""The life of a solve, once for all problems: phases, history, time, cancelling.

    session = PoseSession(setup, options)
    for step in session: ...        one step at a time, for a user interface
    session.result()                the answer; at any time before the end, the best so far
    session.run(on_step)            both at once, for a script

A problem lists its phases; each is a method that yields steps.  Nobody else keeps a history, a clock or a way to stop.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from solver_core.errors import ConfigError, shown
from solver_core.loop import LoopSettings, iterate, summary
from solver_core.problem import Arrays, InverseProblem, Update
from solver_core.solution import Cancelled, Iteration, Solution


class ShownStep(Protocol):
    """What every step of every problem says of itself.  Its arrays, which the solve goes on from, are read-only."""

    @property
    def phase(self) -> str: ...

    @property
    def energy(self) -> Any: ...

    @property
    def seconds(self) -> float: ...


StepT = TypeVar("StepT", bound=ShownStep)
ResultT = TypeVar("ResultT")


class Phase(NamedTuple):
    """A part of a solve.  run: yields its steps, none where there is nothing to do.  steps: at most about this many."""

    run: Callable[[], Iterator[Any]]
    steps: int


class Session(ABC, Generic[StepT, ResultT]):
    """An iterator over the steps of one solve.

    history: the steps so far, in order.  is_cancelled: whether `cancel` ended it.
    """

    def __init__(self) -> None:
        self.history: list[StepT] = []
        self.is_cancelled = False
        self._expected = 1
        self._spent = 0.0
        self._resumed: float | None = time.perf_counter()
        self._steps = self._run_phases()

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases in order."""

    @abstractmethod
    def result(self) -> ResultT:
        """The answer; before the end, and after `cancel`, the best one so far."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StepT:
        self._resumed = self._resumed or time.perf_counter()
        try:
            return next(self._steps)
        finally:
            self._spent, self._resumed = self.seconds, None

    def run(self, on_step: Callable[[StepT], None] | None = None) -> ResultT:
        """Takes all steps.

        Args:
            on_step: called with every step; it ends the solve by raising Cancelled.

        Returns:
            What `result` returns.
        """
        if on_step is not None and not callable(on_step):
            raise ConfigError(f"on_step must be a function of a step, got {shown(on_step)}")
        for step in self:
            if on_step is not None:
                try:
                    on_step(step)
                except Cancelled:
                    self.cancel()
        return self.result()

    def cancel(self) -> None:
        """Ends the solve after the steps taken so far."""
        self._steps.close()
        self.is_cancelled = True

    @property
    def seconds(self) -> float:
        """Time spent in the solve itself; what its user does between two steps does not count."""
        return self._spent if self._resumed is None else self._spent + time.perf_counter() - self._resumed

    @property
    def expected_steps(self) -> int:
        """About how many steps the solve will have had at its end; never fewer than it has had."""
        return max(self._expected, len(self.history))

    def _run_phases(self) -> Generator[StepT, None, None]:
        phases = self.phases()
        for number, phase in enumerate(phases):
            self._expected = max(1, len(self.history)) + sum(later.steps for later in phases[number:])
            for step in phase.run():
                for value in vars(step).values():
                    if isinstance(value, np.ndarray):
                        value.setflags(write=False)
                self.history.append(step)
                yield step

    def _passed(self, iteration: Iteration) -> Iteration:
        """What a loop's Solution keeps of an iteration once there is a later one; problems with large unknowns keep less."""
        return iteration

    def _loop(
        self,
        show: Callable[[Iteration], StepT],
        problem: InverseProblem,
        update: Update,
        observation: Arrays,
        x0: np.ndarray,
        settings: LoopSettings,
    ) -> Generator[StepT, None, Solution]:
        """Runs the feedback loop as part of a phase: yields what `show` makes of its iterations, returns its Solution.

        The loop's start is shown only if it is that of the solve; else it is the end of the phase before.
        """
        history: list[Iteration] = []
        for iteration in iterate(problem, update, observation, x0, settings):
            if history:
                history[-1] = self._passed(history[-1])
            history.append(replace(iteration, prediction=None))
            if iteration.index or not self.history:
                yield show(iteration)
        return summary(history, settings)
