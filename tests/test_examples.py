# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/examples do what they say."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc
from solver_core import inverse
from solver_core.inverse import GOOD_NOISES, UNDETERMINED
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


NEEDS_BLENDER = "material"  # seconds a run
quick_examples = [path.name for path in sorted(EXAMPLES.iterdir()) if path.name != NEEDS_BLENDER]
every_example = pytest.mark.parametrize("problem", quick_examples, indirect=True)


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

    is_open = result.spread >= UNDETERMINED * problem.allowed  # how long an epidemic that hardly spreads makes ill
    assert result.verdict is (sc.Verdict.DOUBTFUL if is_open.any() else sc.Verdict.GOOD)
    assert is_open.sum() <= 1
    assert (np.sqrt(result.energy) < GOOD_NOISES).all()
    assert (np.abs(result.x - samples.x_true) < 5 * result.spread).all()  # none of 12 or 20 numbers is so far off


@pytest.mark.bpy
def test_blender_renders_what_a_material_looks_like():
    pytest.importorskip("bpy")
    render = EXAMPLES / NEEDS_BLENDER / "render.py"
    forward = sc.Executable([sys.executable, render, "--", "{input}", "{output}"], format="npz")

    dark, bright, rough = forward(np.array([[0.3, 2.0], [0.3, 4.0], [0.9, 2.0]]))

    assert dark.shape == (32, 32, 3)
    np.testing.assert_allclose(bright, 2 * dark, rtol=1e-3, atol=1e-4)  # light adds up
    assert rough.max() < 0.8 * dark.max()  # its highlight is wider and weaker


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.py")), ids=lambda path: path.name)
def test_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES
