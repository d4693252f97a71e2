"""The examples of docs/examples do what they say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc
from solver_core import inverse
from solver_core.testing import check_batches, check_energy, check_features, check_round_trips

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
LINES = 40  # a problem is to be no longer


@pytest.fixture
def problem(request, monkeypatch):
    monkeypatch.setattr(inverse, "NUM_PROBED", 24)  # a process each, for the epidemic
    path = EXAMPLES / request.param / f"{request.param}.py"
    spec = importlib.util.spec_from_file_location(request.param, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.problem


every_example = pytest.mark.parametrize("problem", sorted(path.name for path in EXAMPLES.iterdir()), indirect=True)


@every_example
def test_example_keeps_the_contract(problem):
    samples = problem.make_sampler(Path(), "train", {}).draw(np.random.default_rng(0), 6)

    check_energy(samples)
    check_round_trips(samples)
    check_batches(samples)
    check_features(problem, samples)


@every_example
def test_example_is_solved_to_its_spread(problem):
    samples = problem.make_sampler(Path(), "test", {}).draw(np.random.default_rng(1), 4)

    result = sc.solve(problem, samples.observation)

    assert result.verdict is sc.Verdict.GOOD
    assert (np.abs(result.x - samples.x_true) < 5 * result.spread).all()  # none of 12 or 20 numbers is so far off


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.py")), ids=lambda path: path.name)
def test_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES
