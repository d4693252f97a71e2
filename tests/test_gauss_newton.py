# SPDX-License-Identifier: Apache-2.0
"""Gauss-Newton steps without derivatives: right ones, with few calls of the forward process."""

import numpy as np
import pytest

from solver_core.gauss_newton import Known, gauss_newton_update
from solver_core.loop import LoopSettings, solve
from solver_core.manifolds import Euclidean

DIM = 4
MATRIX = np.random.default_rng(0).normal(size=(6, DIM))


class Counted:
    """Numbers of four numbers, and how often they were asked for."""

    def __init__(self, function):
        self.function, self.calls, self.manifold = function, 0, Euclidean(DIM)

    def forward(self, x, rows):
        self.calls += len(x)
        return self.function(x)

    def energy(self, prediction, observation, rows):
        return np.square(prediction - observation).sum(axis=1)


def straight(x):
    return x @ MATRIX.T


def bent(x):
    return np.column_stack([straight(x), 10 * (x[:, 1] - x[:, 0] ** 2), np.exp(x[:, 2]), x[:, 3] * x[:, 0]])


def update_of(problem, **known):
    return gauss_newton_update(problem, lambda y, seen: y - seen, np.full(DIM, 1e-5), np.full(DIM, 5.0), **known)


def test_step_of_a_straight_process_ends_at_the_answer_with_a_call_a_direction(rng):
    problem, truth, x0 = Counted(straight), rng.normal(size=(3, DIM)), np.zeros((3, DIM))
    rows = np.arange(3)

    step = update_of(problem)(0, x0, straight(x0), straight(truth), rows)

    np.testing.assert_allclose(x0 + step, truth, atol=1e-5)  # the damping of the normal matrix
    assert problem.calls == 3 * DIM


@pytest.mark.parametrize("count", [1, 2, DIM])
def test_what_is_known_near_the_start_is_not_asked_for_again(count, rng):
    problem, truth, x0 = Counted(straight), rng.normal(size=(1, DIM)), np.zeros((1, DIM))
    near = rng.normal(size=(1, DIM, DIM)) * 0.1
    predictions = straight(near[0])[None]
    predictions[:, count:] = np.nan  # a run that failed

    step = update_of(problem, known=lambda rows: Known(near, predictions))(0, x0, straight(x0), straight(truth), np.array([0]))

    np.testing.assert_allclose(x0 + step, truth, atol=1e-4)
    assert problem.calls == DIM - count


def test_what_is_far_off_or_says_the_same_twice_is_not_relied_on(rng):
    problem, truth, x0 = Counted(bent), np.full((1, DIM), 0.5), np.full((1, DIM), 0.4)
    one = x0[:, None] + 1e-4 * rng.normal(size=(1, 1, DIM))
    far = x0[:, None] + rng.normal(size=(1, 1, DIM)) * 10
    again = x0[:, None] + 1.01 * (one - x0[:, None])
    near = np.concatenate([one, far, again], axis=1)

    update = update_of(problem, known=lambda rows: Known(near, bent(near[0])[None]))
    step = update(0, x0, bent(x0), bent(truth), np.array([0]))

    expected = update_of(Counted(bent))(0, x0, bent(x0), bent(truth), np.array([0]))
    np.testing.assert_allclose(step, expected, atol=2e-3)  # differences over 1e-4 instead of 1e-5
    assert problem.calls == DIM - 1


def test_later_steps_take_a_call_each_and_end_at_the_answer():
    problem, truth = Counted(bent), np.array([[0.6, 0.5, -0.3, 0.8]])
    settings = LoopSettings(steps=30, halvings=6, min_decrease=1e-9, patience=2, converged_energy=1e-16)

    solution = solve(problem, update_of(problem), bent(truth), np.zeros((1, DIM)), settings)

    np.testing.assert_allclose(solution.x, truth, atol=1e-6)
    steps = len(solution.history) - 1
    assert problem.calls < steps * (DIM + 1) * 0.7  # a call for each direction and one for the step, where all is measured


def test_a_step_that_fails_has_its_derivatives_measured(rng):
    problem, truth, x0 = Counted(straight), rng.normal(size=(1, DIM)), np.zeros((1, DIM))
    near = np.eye(DIM)[None] * 0.1
    wrong = Known(near, -straight(near[0])[None])  # as if all went the other way
    update = update_of(problem, known=lambda rows: wrong)

    solution = solve(problem, update, straight(truth), x0, LoopSettings(steps=3, halvings=2, patience=2))

    np.testing.assert_allclose(solution.x, truth, atol=1e-5)
