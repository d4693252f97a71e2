# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver_core.loop import LoopSettings, iterate, solve
from solver_core.manifolds import SE3, Euclidean, Manifold, SO3Power, UnitSphere
from solver_core.solution import Cancelled, StopReason


class Target(NamedTuple):
    """Observation in two arrays, one of which may be missing."""

    point: np.ndarray
    nothing: None = None


@dataclass
class DistanceProblem:
    """f is the identity and E the distance from the target, plus ripples that make it go up and down on the way."""

    manifold: Manifold
    ripple: float = 0.0
    forward_rows: list[list[int]] = field(default_factory=list)

    def forward(self, x, rows):
        self.forward_rows.append(rows.tolist())
        return x

    def energy(self, prediction, observation, rows):
        distance = self.manifold.distance(prediction, observation.point)
        return distance + self.ripple * np.sin(20 * distance) ** 2


class FixedSteps:
    """An update that proposes the same step at every stage and notes what it was asked."""

    def __init__(self, *steps: float) -> None:
        self.steps = np.array(steps)[:, None]
        self.calls: list[tuple[int, list[int]]] = []

    def __call__(self, stage, x, prediction, observation, rows):
        self.calls.append((stage, rows.tolist()))
        return self.steps[rows]


def on_a_line(*targets: float) -> tuple[DistanceProblem, Target, np.ndarray]:
    """Instances with E = |x - target|, all starting at 0."""
    return DistanceProblem(Euclidean(1)), Target(np.array(targets)[:, None]), np.zeros((len(targets), 1))


def solve_on_a_line(targets, proposals, on_step=None, **settings):
    problem, target, x0 = on_a_line(*targets)
    update = FixedSteps(*proposals)
    solution = solve(problem, update, target, x0, LoopSettings(**settings), on_step)
    return solution, update


@pytest.mark.parametrize("manifold", [Euclidean(4), UnitSphere(), SE3(), SO3Power(3)], ids=repr)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 5),
    halvings=st.integers(0, 5),
    size=st.floats(0.01, 5),
    ripple=st.floats(0, 2),
)
def test_energy_never_rises_whatever_the_update_proposes(manifold, seed, count, halvings, size, ripple):
    rng = np.random.default_rng(seed)
    problem, target = DistanceProblem(manifold, ripple), Target(manifold.random(rng, count))
    settings = LoopSettings(steps=6, halvings=halvings)

    def update(stage, x, prediction, observation, rows):
        return rng.uniform(-size, size, (len(x), manifold.dim))

    history = list(iterate(problem, update, target, manifold.random(rng, count), settings))

    for before, after in zip(history[:-1], history[1:], strict=True):
        assert (after.energy <= before.energy).all()
        assert (after.energy[after.accepted] < before.energy[after.accepted]).all()
        np.testing.assert_array_equal(after.accepted, after.damping > 0)
        np.testing.assert_array_equal(after.x[~after.accepted], before.x[~after.accepted])
        assert not after.accepted[~before.is_active].any()
        energy = problem.energy(after.prediction, target, np.arange(count))
        np.testing.assert_allclose(after.energy, energy, rtol=1e-12)  # products of matrices round by the size of the batch
        np.testing.assert_array_equal(after.prediction, after.x)


def test_damping_is_the_first_halving_that_lowers_the_energy():
    solution, _ = solve_on_a_line([1.0], [6.0], steps=1, halvings=3)  # 6 and 3 overshoot; 1.5 brings E from 1 to 0.5

    assert solution.history[1].damping == [0.25]
    assert solution.x == [[1.5]]


def test_damping_differs_between_instances():
    solution, _ = solve_on_a_line([1.0, 6.0, -1.0], [6.0, 6.0, 6.0], steps=1, halvings=3)

    np.testing.assert_array_equal(solution.history[1].damping, [0.25, 1, 0])


def test_step_is_computed_once_however_often_it_is_halved():
    _, update = solve_on_a_line([1.0], [6.0], steps=1, halvings=3)

    assert update.calls == [(0, [0])]


def test_solve_keeps_x_when_no_halving_lowers_the_energy():
    solution, _ = solve_on_a_line([1.0], [-2.0], steps=3, halvings=4)

    assert solution.x == [[0.0]]
    assert solution.reasons == [StopReason.NO_DECREASE]
    assert len(solution.history) == 2


def test_step_that_is_not_a_number_is_refused():
    solution, _ = solve_on_a_line([1.0], [np.nan], steps=3)

    assert solution.x == [[0.0]]
    assert solution.reasons == [StopReason.NO_DECREASE]


def test_every_step_is_taken_whole_without_damping():
    solution, _ = solve_on_a_line([1.0], [-2.0], steps=3, halvings=None, patience=4)

    assert solution.x == [[-6.0]]
    assert solution.reasons == [StopReason.MAX_STEPS]


@pytest.mark.parametrize(
    ("target", "step", "settings", "reason"),
    [
        pytest.param(0.0, 1.0, {}, StopReason.CONVERGED, id="there already"),
        pytest.param(2.0, 1.0, {"steps": 2}, StopReason.CONVERGED, id="arrived with the last step"),
        pytest.param(9.0, 1.0, {"steps": 8, "converged_energy": 1.5}, StopReason.CONVERGED, id="near enough"),
        pytest.param(100.0, 1.0, {"min_decrease": 0.02}, StopReason.STALLED, id="hardly any decrease"),
        pytest.param(9.0, 1.0, {"steps": 5}, StopReason.MAX_STEPS, id="steps used up"),
        pytest.param(9.0, 1.0, {"steps": 0}, StopReason.MAX_STEPS, id="no steps allowed"),
        pytest.param(9.0, -1.0, {}, StopReason.NO_DECREASE, id="wrong way"),
    ],
)
def test_reason_says_why_it_stopped(target, step, settings, reason):
    solution, _ = solve_on_a_line([target], [step], **settings)

    assert solution.reasons == [reason]


def test_reasons_differ_between_instances():
    solution, _ = solve_on_a_line([0.0, 9.0, 9.0], [1.0, 1.0, -1.0], steps=3)

    assert solution.reasons == [StopReason.CONVERGED, StopReason.MAX_STEPS, StopReason.NO_DECREASE]


def test_rows_that_stopped_are_not_touched_again():
    problem, target, x0 = on_a_line(0.0, 9.0, 9.0)
    update = FixedSteps(1.0, -1.0, 1.0)

    solution = solve(problem, update, target, x0, LoopSettings(steps=3, halvings=1))

    assert update.calls == [(0, [1, 2]), (1, [2]), (2, [2])]
    assert problem.forward_rows == [[0, 1, 2], [1, 2], [1], [2], [2]]  # the start; stage 0 and its halving; stages 1, 2
    np.testing.assert_array_equal(solution.x, [[0.0], [0.0], [3.0]])


def test_patience_tries_the_next_stages_before_an_instance_stops():
    problem, target, x0 = on_a_line(2.0)
    proposals = [-1.0, 1.0, -1.0, -1.0, 1.0]  # stage 1 is the only one that helps before two fail in a row

    def update(stage, x, prediction, observation, rows):
        return np.full_like(x, proposals[stage])

    solution = solve(problem, update, target, x0, LoopSettings(steps=5, halvings=0, patience=2))

    assert [iteration.accepted[0] for iteration in solution.history[1:]] == [False, True, False, False]
    assert solution.x == [[1.0]]
    assert solution.reasons == [StopReason.NO_DECREASE]


def test_patience_of_whole_steps_counts_from_the_lowest_energy():
    """The energies are 2, 1, 3, 2.5, 2.2: after the first step none is lower than all before."""
    problem, target, x0 = on_a_line(2.0)
    proposals = [1.0, -2.0, 0.5, 0.3, 9.0]

    def update(stage, x, prediction, observation, rows):
        return np.full_like(x, proposals[stage])

    solution = solve(problem, update, target, x0, LoopSettings(steps=5, halvings=None, patience=3))

    assert len(solution.history) == 5
    np.testing.assert_allclose([iteration.energy[0] for iteration in solution.history], [2, 1, 3, 2.5, 2.2])
    assert [iteration.accepted[0] for iteration in solution.history[1:]] == [True, False, False, False]
    assert solution.reasons == [StopReason.NO_DECREASE]


def test_solve_stops_when_every_row_has_stopped():
    solution, update = solve_on_a_line([1.0, 2.0], [1.0, 1.0], steps=9)

    assert len(update.calls) == 2
    assert len(solution.history) == 3


def test_solve_leaves_the_start_as_it_was():
    problem, target, x0 = on_a_line(3.0, 3.0)

    solve(problem, FixedSteps(1.0, -1.0), target, x0, LoopSettings())

    np.testing.assert_array_equal(x0, [[0.0], [0.0]])


def test_solve_keeps_float32():
    problem, target, x0 = on_a_line(3.0)

    solution = solve(problem, FixedSteps(1.0), target, x0.astype(np.float32), LoopSettings())

    assert solution.x.dtype == np.float32


def test_on_step_sees_every_iteration_with_its_prediction():
    seen = []

    solve_on_a_line([3.0], [1.0], on_step=seen.append, steps=5)

    assert [iteration.index for iteration in seen] == [0, 1, 2, 3]
    np.testing.assert_array_equal([iteration.prediction for iteration in seen], [[[0.0]], [[1.0]], [[2.0]], [[3.0]]])


def test_history_keeps_no_predictions():
    solution, _ = solve_on_a_line([3.0], [1.0])

    assert all(iteration.prediction is None for iteration in solution.history)


def test_solve_ends_with_the_last_accepted_x_when_on_step_cancels():
    def cancel(iteration):
        if iteration.index == 2:
            raise Cancelled

    solution, update = solve_on_a_line([9.0], [1.0], on_step=cancel, steps=5)

    assert solution.reasons == [StopReason.CANCELLED]
    assert solution.x == [[2.0]]
    assert len(update.calls) == 2


def test_cancelled_solve_still_says_which_instances_had_stopped():
    def cancel(iteration):
        if iteration.index == 1:
            raise Cancelled

    solution, _ = solve_on_a_line([0.0, 9.0, 9.0], [1.0, 1.0, -1.0], on_step=cancel)

    assert solution.reasons == [StopReason.CONVERGED, StopReason.CANCELLED, StopReason.NO_DECREASE]


def test_other_errors_of_on_step_come_through():
    def fail(iteration):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        solve_on_a_line([9.0], [1.0], on_step=fail)


def test_iterate_computes_nothing_more_once_it_is_abandoned():
    problem, target, x0 = on_a_line(9.0)
    update = FixedSteps(1.0)

    iterations = iterate(problem, update, target, x0, LoopSettings())
    first, second = next(iterations), next(iterations)
    iterations.close()

    assert (first.index, second.index) == (0, 1)
    assert update.calls == [(0, [0])]
    assert len(problem.forward_rows) == 2


def test_seconds_grow_from_step_to_step():
    solution, _ = solve_on_a_line([9.0], [1.0])

    seconds = [iteration.seconds for iteration in solution.history]
    assert seconds == sorted(seconds)
    assert solution.seconds == seconds[-1]


def test_of_several_proposals_the_one_that_lowers_the_energy_most_is_taken():
    problem, target, x0 = on_a_line(1.0, -2.0)
    proposals = np.array([[[0.4], [0.9], [1.5]], [[1.0], [-1.0], [-1.9]]])

    last = list(iterate(problem, lambda *_: proposals, target, x0, LoopSettings(steps=1)))[-1]

    np.testing.assert_allclose(last.x, [[0.9], [-1.9]])
    np.testing.assert_allclose(last.prediction, last.x)
    np.testing.assert_allclose(last.energy, 0.1)


def test_proposals_are_halved_together_until_one_lowers_the_energy():
    problem, target, x0 = on_a_line(1.0)
    proposals = np.array([[[-1.0], [4.8], [6.0]]])

    last = list(iterate(problem, lambda *_: proposals, target, x0, LoopSettings(steps=1)))[-1]

    np.testing.assert_allclose(last.x, 1.2)  # a quarter of the second; halves end at -0.5, 2.4 and 3
    assert last.damping == 0.25


def test_one_proposal_is_the_same_as_a_plain_step():
    problem, target, x0 = on_a_line(1.0, -0.3, 5.0)
    step = np.array([[1.7], [-0.2], [-1.0]])

    plain, proposed = (
        list(iterate(problem, lambda *_, step=each: step, target, x0, LoopSettings(steps=1)))[-1]
        for each in (step, step[:, None])
    )

    np.testing.assert_allclose(plain.x, proposed.x, atol=1e-12)
    np.testing.assert_allclose(plain.energy, proposed.energy, atol=1e-12)
    np.testing.assert_array_equal(plain.damping, proposed.damping)
