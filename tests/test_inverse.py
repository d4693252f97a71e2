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

    sc.solve(kind, observed, restarts=0)  # other starts may come to the same unknown

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
        ({"start": [1.0, 7.0]}, "start must lie in the box: number 2 of it must be from -1 to 1, got 7"),
        ({"forward": None}, "forward must be a function"),
    ],
)
def test_what_makes_no_problem_is_refused(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        sc.inverse_problem(**{"forward": curve, "space": BOX, **arguments})


def test_a_function_without_any_answer_is_refused():
    with pytest.raises(SetupError, match="f gave no answer"):
        sc.solve(sc.inverse_problem(lambda x: np.full(2, np.nan), BOX), [1.0, 2.0])


def failing(x):
    raise ValueError("boom")


def area_and_outline(x):
    return [x[0] * x[1], 2 * (x[0] + x[1])]


SQUARE = sc.Box([0, 0], [1, 1])
OF_A_BOX = 12**-0.5  # standard deviation of a number of which only that it is between 0 and 1 is known


@pytest.mark.parametrize(
    ("forward", "space", "observed", "open_unknowns", "spread"),
    [
        (lambda x: [x[0]], SQUARE, [0.3], "x[1]", [0.001, OF_A_BOX]),
        (lambda x: [x[0] + x[1]], SQUARE, [1.0], "x[0], x[1]", [OF_A_BOX, OF_A_BOX]),
        (lambda x: [1.0], sc.Box([0], [1]), [1.0], "x[0]", [OF_A_BOX]),
        (lambda x: [np.floor(10 * x[0])], sc.Box([0], [1]), [7.0], "x[0]", [OF_A_BOX]),
        (lambda x: [x[0]], sc.Euclidean(2), [0.3], "x[1]", [0.001, np.inf]),
    ],
)
def test_what_an_observation_does_not_determine_is_said(forward, space, observed, open_unknowns, spread):
    kind = sc.inverse_problem(forward, space, noise=0.001)

    result = sc.solve(kind, observed)

    np.testing.assert_allclose(result.spread, [spread], rtol=1e-3)
    assert result.verdict is sc.Verdict.DOUBTFUL
    assert result.explanation.endswith(f"does not determine {open_unknowns}")
    unknown_noise = sc.solve(sc.inverse_problem(forward, space), observed)
    assert unknown_noise.spread is None
    assert unknown_noise.explanation.endswith(f"does not determine {open_unknowns}")


@pytest.mark.parametrize(
    ("forward", "space", "truth", "mirrored"),
    [
        (lambda x: [x[0] ** 2], sc.Box([-2], [2]), [1.5], [-1.5]),
        (area_and_outline, sc.Box([1, 1], [2, 4]), [1.8, 1.3], [1.3, 1.8]),
    ],
)
@pytest.mark.parametrize("noise", [None, 0.01])
def test_other_answers_are_listed(forward, space, truth, mirrored, noise):
    kind = sc.inverse_problem(forward, space, noise=noise)

    result = sc.solve(kind, forward(np.array(truth)))

    found = np.concatenate([result.x, result.alternatives[0]])
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], sorted([truth, mirrored]), atol=1e-3)
    assert result.verdict is sc.Verdict.DOUBTFUL
    assert "listed as alternatives" in result.explanation


def test_many_answers_are_no_good_answer():
    kind = sc.inverse_problem(lambda x: [np.sin(60 * x[0])], sc.Box([0], [1]), noise=0.01)

    result = sc.solve(kind, [np.sin(60 * 0.77)])

    assert len(result.alternatives[0]) > 0
    np.testing.assert_allclose(np.sin(60 * result.alternatives[0]), np.sin(60 * 0.77), atol=0.03)
    assert result.verdict is sc.Verdict.DOUBTFUL


def test_numbers_of_very_different_size_are_seen_alike():
    kind = sc.inverse_problem(lambda x: [x[0], 1e9 * x[1]], SQUARE)

    result = sc.solve(kind, [0.3, 4e8])

    np.testing.assert_allclose(result.x, [[0.3, 0.4]], atol=1e-6)
    assert result.verdict is sc.Verdict.GOOD


def test_one_answer_has_no_alternatives():
    result = sc.solve(KINDS["noise"], np.stack([curve([1.2, 0.3]), curve([0.8, -0.4])]))

    assert result.verdict is sc.Verdict.GOOD
    assert [len(others) for others in result.alternatives] == [0, 0]


def test_directions_are_found_and_known_as_well_as_they_are_seen(rng):
    asked = []
    kind = sc.inverse_problem(lambda x: asked.append(0) or list(x), sc.UnitSphere(), noise=0.01)
    x = np.concatenate([[[0.48, 0.6, 0.64]], kind.space.random(rng, 5)])

    result = sc.solve(kind, x)

    np.testing.assert_allclose(result.x, x, atol=1e-4)
    np.testing.assert_allclose(result.spread, 0.01 * np.sqrt(1 - x**2), rtol=1e-3)  # turns about x leave it as it is
    assert result.verdict is sc.Verdict.GOOD
    assert len(asked) < 250 * len(x)


def test_the_first_error_of_a_run_is_told():
    result = sc.solve(sc.inverse_problem(root, BOX, noise=0.01), [1.5, 0.5, 0.25])

    assert result.verdict is sc.Verdict.GOOD
    assert "some runs of f failed, the first with: ValueError: negative" in result.explanation


@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        (failing, "f gave no answer for 64 usual unknowns; .* the first with: ValueError: boom"),
        (lambda x: None, "f returned nothing"),
        (lambda x: "much", "f must return real numbers, got 'much'"),
        (lambda x: {}, "f must return real numbers, got {}"),
        (lambda x: [x[0] + 1j], "f must return real numbers"),
        (lambda x: [1.0] * (1 + int(10 * (x[0] - 0.5))), "arrays of one shape"),
    ],
)
def test_what_f_may_not_return_is_refused(forward, sentence):
    with pytest.raises(SetupError, match=sentence):
        sc.solve(sc.inverse_problem(forward, BOX), [1.0])


def test_a_mistake_in_f_is_no_failed_run():
    with pytest.raises(KeyError, match="height"):
        sc.solve(sc.inverse_problem(lambda x: {}["height"], BOX), [1.0])


def test_f_may_return_a_number():
    result = sc.solve(sc.inverse_problem(lambda x: x[0] ** 3, sc.Box([0], [1]), noise=0.01), 0.125)

    np.testing.assert_allclose(result.x, [[0.5]], atol=1e-4)


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
