# SPDX-License-Identifier: Apache-2.0
"""The life of a solve, on a problem of one number: phases, history, time, cancelling."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from solver_core.loop import LoopSettings
from solver_core.manifolds import Euclidean
from solver_core.session import Phase, Session
from solver_core.solution import Cancelled, StopReason


class Number(NamedTuple):
    """f(x) = x, E = |x - y|."""

    manifold: Euclidean = Euclidean(1)

    def forward(self, x, rows):
        return x

    def energy(self, prediction, observation, rows):
        return np.abs(prediction - observation)[:, 0]


@dataclass(frozen=True)
class Step:
    phase: str
    x: float
    energy: float
    seconds: float


class Climb(Session[Step, tuple[float, list[StopReason]]]):
    """Climbs towards y in two phases of whole and half steps."""

    def __init__(self, y=5.0, coarse=3):
        super().__init__()
        self.y, self.coarse, self.x, self.reasons = np.array([[y]]), coarse, np.zeros((1, 1)), []

    def phases(self):
        return [Phase(lambda: self.climb("coarse", 1.0, self.coarse), 3), Phase(lambda: self.climb("fine", 0.5, 2), 2)]

    def climb(self, name, stride, steps):
        def show(iteration):
            self.x = iteration.x
            phase = name if iteration.index else "start"
            return Step(phase, float(iteration.x[0, 0]), float(iteration.energy[0]), self.seconds)

        def update(stage, x, prediction, observation, rows):
            return np.full_like(x, stride)

        solution = yield from self._loop(show, Number(), update, self.y, self.x, LoopSettings(steps=steps))
        self.reasons = solution.reasons

    def result(self):
        return float(self.x[0, 0]), [StopReason.CANCELLED] if self.is_cancelled else self.reasons


def test_phases_follow_each_other_and_the_start_is_shown_once():
    climb = Climb()

    result = climb.run()

    assert [step.phase for step in climb.history] == ["start", "coarse", "coarse", "coarse", "fine", "fine"]
    assert result == (4.0, [StopReason.MAX_STEPS])


def test_stepping_by_hand_equals_running():
    by_hand, at_once = Climb(), Climb()

    steps = list(by_hand)
    result = at_once.run()

    assert [step.x for step in steps] == [step.x for step in at_once.history]
    assert by_hand.result() == result


def test_cancelled_session_keeps_what_it_had():
    climb = Climb()

    def stop_at_two(step):
        if step.x == 2:
            raise Cancelled

    assert climb.run(stop_at_two) == (2.0, [StopReason.CANCELLED])
    assert next(climb, None) is None


def test_other_errors_of_on_step_come_through():
    def fail(step):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Climb().run(fail)


def test_result_before_the_end_is_the_best_so_far():
    climb = Climb()
    next(climb)
    next(climb)

    assert climb.result()[0] == 1.0


def test_time_of_whoever_watches_does_not_count():
    climb = Climb()

    climb.run(lambda step: time.sleep(0.05))

    assert climb.seconds < 0.05
    assert [step.seconds for step in climb.history] == sorted(step.seconds for step in climb.history)


def test_expected_steps_shrink_where_a_phase_is_shorter():
    climb = Climb(coarse=1)

    expected = [climb.expected_steps for _ in climb]

    assert expected == [1 + 3 + 2, 1 + 3 + 2, 2 + 2, 2 + 2]  # known to be shorter once the first phase has ended
    assert len(climb.history) == 4
