# SPDX-License-Identifier: Apache-2.0
"""Adam, L-BFGS and what runs them, on functions whose answer is known."""

import numpy as np
import pytest

from solver_core.loop import LoopSettings, solve
from solver_core.manifolds import Euclidean
from solver_core.solution import StopReason
from training.paper.baselines.adam import adam_update
from training.paper.baselines.descent import Descent, Slope, descend
from training.paper.baselines.lbfgs import lbfgs_update

LBFGS = LoopSettings(steps=200, halvings=10, patience=2, min_decrease=1e-9, converged_energy=1e-12)


def rosenbrock(x: np.ndarray, rows: np.ndarray) -> Slope:
    bend, offset = x[:, 1:] - x[:, :-1] ** 2, 1 - x[:, :-1]
    gradient = np.zeros_like(x)
    gradient[:, :-1] = -400 * x[:, :-1] * bend - 2 * offset
    gradient[:, 1:] += 200 * bend
    return Slope((100 * bend**2 + offset**2).sum(axis=1), gradient)


def quadratic(centre: float, curvature: np.ndarray) -> Descent:
    def objective(x: np.ndarray, rows: np.ndarray) -> Slope:
        return Slope((curvature * (x - centre) ** 2).sum(axis=1) / 2, curvature * (x - centre))

    return Descent(Euclidean(len(curvature)), objective)


def test_adam_takes_the_steps_of_torch(rng):
    torch = pytest.importorskip("torch")
    start = rng.normal(size=(3, 4))
    x = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=0.02)
    for _ in range(10):
        optimizer.zero_grad()
        (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum().backward()
        optimizer.step()

    settings = LoopSettings(steps=10, halvings=None, patience=10)
    found = solve(Descent(Euclidean(4), rosenbrock), adam_update(3, 0.02), start, start, settings).x

    np.testing.assert_allclose(found, x.detach().numpy(), rtol=1e-9)


def test_adam_finds_the_bottom_of_a_bowl():
    problem = quadratic(1.0, np.array([1.0, 30.0]))
    update = adam_update(2, 0.1, decay=lambda stage: 1 - stage / 400)

    found = descend(problem, update, np.array([[3.0, -2.0], [0.0, 5.0]]), LoopSettings(steps=400, patience=400)).x

    np.testing.assert_allclose(found, 1, atol=1e-3)  # steps shrink to a thousandth of the way


def test_descend_keeps_the_best_of_estimates_that_get_worse():
    problem = quadratic(0.0, np.ones(1))
    steps = iter([-0.5, 2.0, 2.0, 2.0])
    update = lambda stage, x, prediction, observation, rows: np.full((len(x), 1), next(steps))

    solution = descend(problem, update, np.array([[1.0]]), LoopSettings(steps=4, patience=3))

    assert solution.x == pytest.approx(0.5)
    assert [float(iteration.x[0, 0]) for iteration in solution.history] == [1.0, 0.5, 0.5, 0.5, 0.5]
    assert solution.reasons == [StopReason.NO_DECREASE]


def test_descend_ends_each_instance_by_itself():
    """The first finds nothing better twice and may not come back; the second still moves."""
    problem = quadratic(0.0, np.ones(1))
    steps = iter([[2.0, -0.1], [2.0, -0.1], [-5.5, -0.1]])
    update = lambda stage, x, prediction, observation, rows: np.array(next(steps))[rows, None]

    solution = descend(problem, update, np.array([[1.0], [1.0]]), LoopSettings(steps=3, patience=2))

    np.testing.assert_allclose(solution.x[:, 0], [1.0, 0.7])
    assert solution.reasons == [StopReason.NO_DECREASE, StopReason.MAX_STEPS]


def test_lbfgs_finds_the_end_of_rosenbrocks_valley(rng):
    start = rng.normal(size=(4, 6))

    solution = solve(Descent(Euclidean(6), rosenbrock), lbfgs_update(4), start, start, LBFGS)

    np.testing.assert_allclose(solution.x, 1, atol=1e-5)
    assert all(reason == StopReason.CONVERGED for reason in solution.reasons)


def test_lbfgs_needs_no_more_evaluations_than_scipy(rng):
    optimize = pytest.importorskip("scipy.optimize")
    counts = []

    def counted(x: np.ndarray, rows: np.ndarray) -> Slope:
        counts.append(len(x))
        return rosenbrock(x, rows)

    start = rng.normal(size=(6, 6))
    solution = solve(Descent(Euclidean(6), counted), lbfgs_update(6), start, start, LBFGS)
    theirs = [
        optimize.minimize(
            lambda x: tuple(part[0] for part in rosenbrock(x[None], np.zeros(1))), x, jac=True, method="L-BFGS-B",
            options={"ftol": 1e-14, "gtol": 1e-8},
        ) for x in start
    ]  # fmt: skip

    assert solution.energy.max() < 1e-9
    assert sum(counts) < 1.2 * sum(answer.nfev for answer in theirs)


def test_lbfgs_treats_each_instance_as_if_it_were_alone(rng):
    start = rng.normal(size=(3, 4))
    problem = Descent(Euclidean(4), rosenbrock)

    together = solve(problem, lbfgs_update(3), start, start, LBFGS)
    alone = solve(problem, lbfgs_update(1), start[1:2], start[1:2], LBFGS)

    np.testing.assert_allclose(together.x[1], alone.x[0], atol=1e-9)
