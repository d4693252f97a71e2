# SPDX-License-Identifier: Apache-2.0
"""Any function as the forward process of an inverse problem."""

import pickle

import numpy as np
import pytest

import solver_core as sc
from solver_core.errors import ConfigError, ObservationError, SetupError
from solver_core.inverse import FAILED
from solver_core.solution import Cancelled
from solver_core.testing import (
    ContractError,
    check_batches,
    check_energy,
    check_features,
    check_measures,
    check_problem,
    check_round_trips,
)

BOX = sc.Box(low=[0.5, -1.0], high=[2.0, 1.0])


def curve(x):
    """Three numbers of two."""
    return np.array([x[0] * np.exp(x[1]), x[0] + x[1], x[0] ** 2])


def blot(x):
    """A picture that is not square."""
    column, row = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 8))
    return np.exp(-((column - x[1]) ** 2 + (row - x[0] + 1) ** 2))


def root(x):
    """Has no answer for half of the box."""
    if x[1] < 0:
        raise ValueError("negative")
    return np.array([x[0], np.sqrt(x[1]), x[1]])


def facing(x):
    """A direction as a picture's brightness on three walls."""
    return np.maximum(x, -0.5)


KINDS = {
    "numbers": sc.inverse_problem(curve, BOX),
    "noise": sc.inverse_problem(curve, BOX, noise=0.01),
    "picture": sc.inverse_problem(blot, BOX),
    "failures": sc.inverse_problem(root, BOX),
    "directions": sc.inverse_problem(facing, sc.UnitSphere()),
}


def drawn(kind, count=8):
    from pathlib import Path

    return kind.make_sampler(Path(), "train", {}).draw(np.random.default_rng(0), count)


@pytest.mark.parametrize("name", KINDS)
def test_problems_of_functions_keep_the_contract(name):
    samples = drawn(KINDS[name])

    check_energy(samples, exactly=name != "noise")
    check_round_trips(samples)
    check_batches(samples)
    check_features(KINDS[name], samples)
    check_measures(KINDS[name], samples)


@pytest.mark.torch
def test_training_of_a_function_lowers_its_loss():
    pytest.importorskip("torch")

    check_problem(KINDS["numbers"])


@pytest.mark.parametrize("name", ["numbers", "noise", "picture"])
def test_solve_finds_what_was_observed_without_any_weights(name, rng):
    kind = KINDS[name]
    x = kind.space.random(rng, 4)

    result = sc.solve(kind, kind.run(x))

    np.testing.assert_allclose(result.x, x, atol=1e-4)
    assert result.verdict is sc.Verdict.GOOD


def test_solve_never_asks_twice_for_the_same_unknown(rng):
    asked = []

    def counted(x):
        asked.append(tuple(x))
        return curve(x)

    kind = sc.inverse_problem(counted, BOX, noise=0.01)
    observed = curve(BOX.random(rng, 1)[0])
    kind.usual  # noqa: B018  (asked for once, and not of this observation)
    asked.clear()

    sc.solve(kind, observed)

    assert len(set(asked)) == len(asked) > 4


def test_spread_is_that_of_answers_to_noisy_observations(rng):
    kind = KINDS["noise"]
    x = np.repeat([[1.2, 0.3]], 200, axis=0)

    result = sc.solve(kind, kind.run(x) + 0.01 * rng.normal(size=(200, 3)))

    np.testing.assert_allclose(result.x.std(axis=0), result.spread.mean(axis=0), rtol=0.25)  # 200 draws: 5 % one sigma


def test_an_observation_that_nothing_explains_is_bad():
    result = sc.solve(KINDS["noise"], [10.0, -10.0, 3.0])

    assert result.verdict is sc.Verdict.BAD
    assert "times the noise" in result.explanation


def test_runs_that_fail_are_answers():
    kind = KINDS["failures"]
    problem = kind.instance([1.0, 1.0, 1.0]).problem
    x = np.array([[1.0, 0.5], [1.0, -0.5]])

    prediction = problem.forward(x, np.arange(2))
    energy = problem.energy(prediction, np.ones((2, 3)), np.arange(2))
    features = problem.features(x, prediction, np.ones((2, 3)), np.arange(2))

    assert np.isnan(prediction[1]).all()
    assert energy[0] < 10 < energy[1] == FAILED
    assert np.isfinite(features.vector).all()
    assert (drawn(kind, 64).x_true[:, 1] >= 0).all()


def test_solve_leaves_a_start_that_fails(rng):
    kind = sc.inverse_problem(root, BOX, start=[1.0, 0.01])

    result = sc.solve(kind, [1.5, 0.5, 0.25])

    np.testing.assert_allclose(result.x, [[1.5, 0.25]], atol=1e-4)


def two_valleys(x):
    """One of two minima explains nothing."""
    return np.array([np.cos(3 * x[1]) + 0.3 * x[1], x[0]])


def test_poor_answers_are_tried_again_from_elsewhere():
    kind = sc.inverse_problem(two_valleys, BOX, noise=0.01, start=[1.0, 0.9])
    observed = two_valleys([1.0, -0.8])

    stuck, found = (sc.solve(kind, observed, restarts=restarts) for restarts in (0, 8))

    assert stuck.verdict is sc.Verdict.BAD
    assert found.verdict is sc.Verdict.GOOD
    np.testing.assert_allclose(kind.run(found.x)[0], observed, atol=0.02)


def test_solve_is_ended_by_its_caller(rng):
    def stop(iteration):
        if iteration.index == 1:
            raise Cancelled

    result = sc.solve(KINDS["numbers"], curve([1.9, 0.9]), on_step=stop)

    assert len(result.history) == 2
    assert result.reasons == [sc.StopReason.CANCELLED]


def test_a_problem_travels_to_workers_with_what_is_known_of_it():
    kind = KINDS["numbers"]
    usual = kind.usual

    again = pickle.loads(pickle.dumps(kind))

    np.testing.assert_array_equal(again.usual.size, usual.size)
    assert again.input_layout == kind.input_layout


@pytest.mark.parametrize(
    ("observation", "sentence"),
    [
        ([1.0, 2.0], r"finite numbers of shape \(3,\)"),
        ([1.0, 2.0, np.nan], r"finite numbers of shape \(3,\)"),
        ({"z": [1.0]}, "under the key y"),
        ("text", "must be an array"),
        ([[1.0], [1.0, 2.0]], "rows of different length"),
    ],
)
def test_an_observation_of_another_form_is_refused(observation, sentence):
    with pytest.raises(ObservationError, match=sentence):
        sc.solve(KINDS["numbers"], observation)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"forward": 3}, "forward must be a function"),
        ({"space": [0, 1]}, "space must be a manifold"),
        ({"noise": -1.0}, "noise must be positive"),
        ({"noise": "much"}, "noise must be an array"),
        ({"noise": []}, "noise must be positive"),
        ({"start": False}, "start must have shape"),
        ({"forward": None}, "forward must be a function"),
    ],
)
def test_what_makes_no_problem_is_refused(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        sc.inverse_problem(**{"forward": curve, "space": BOX, **arguments})


def test_a_function_without_any_answer_is_refused():
    with pytest.raises(SetupError, match="f gave no answer"):
        sc.solve(sc.inverse_problem(lambda x: np.full(2, np.nan), BOX), [1.0, 2.0])


def test_a_box_whose_bounds_are_exchanged_is_refused():
    with pytest.raises(ConfigError, match="lower bound of a box must be below"):
        sc.Box([0, 1], [1, 1])


def test_steps_end_at_the_bounds_of_a_box():
    x = BOX.retract(np.array([[1.0, 0.0]]), np.array([[5.0, -0.5]]))

    np.testing.assert_array_equal(x, [[2.0, -0.5]])


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (check_energy, {"energy": lambda self, prediction, observation, rows: np.ones(len(rows))}),
        (check_round_trips, {"step_from_output": lambda self, output, x, rows: 2 * output}),
        (check_batches, {"forward": lambda self, x, rows: self.kind.run(x) + len(x)}),
    ],
)
def test_a_broken_problem_is_found(check, broken, monkeypatch):
    from solver_core.inverse import ProgramProblem

    samples = drawn(KINDS["numbers"])
    for name, function in broken.items():
        monkeypatch.setattr(ProgramProblem, name, function)

    with pytest.raises(ContractError):
        check(samples)
