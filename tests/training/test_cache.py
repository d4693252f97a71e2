# SPDX-License-Identifier: Apache-2.0
"""Samples that are kept for the next run: the same ones, of the same settings and data only, and not more than allowed."""

import os
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import solver_core as sc  # noqa: E402
from solver_core.caching import cached_arrays  # noqa: E402
from solver_core.network.spec import NetworkSpec  # noqa: E402
from solver_core.training import read_settings  # noqa: E402
from solver_core.training.examples import StageSource, cache_name_of, kept_examples, make_examples  # noqa: E402

pytestmark = pytest.mark.torch


def both(x):
    return [x[0] + x[1], x[0] - x[1]]


@pytest.fixture
def source(tmp_path):
    problem = sc.inverse_problem(forward=both, space=sc.Box([0, 0], [1, 1]), name="both")
    settings = read_settings(problem, None, ["batch_size=8", f"cache={tmp_path / 'cache'}"])
    spec = problem.network_spec(settings.network)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mesh.obj").write_text("v 0 0 0")
    return StageSource(problem, settings, spec, tmp_path / "data", [], "name")


def test_batches_are_made_once(source):
    made = []

    def make():
        made.append(1)
        return make_examples(source, source.sampler("train"), 3)

    first, second = (kept_examples(source, 3, make) for _ in range(2))

    assert len(made) == 1
    assert first.features.image is second.features.image is None
    np.testing.assert_array_equal(first.features.vector, second.features.vector)
    assert first.loss_inputs.keys() == second.loss_inputs.keys()
    for name, array in first.loss_inputs.items():
        np.testing.assert_array_equal(second.loss_inputs[name], array)
    kept_examples(source, 4, make)
    assert len(made) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda source: replace(source, settings=replace(source.settings, batch_size=9)),
        lambda source: replace(source, settings=replace(source.settings, seed=9)),
        lambda source: replace(source, settings=replace(source.settings, sampling={"up": "y"})),
        lambda source: replace(source, spec=NetworkSpec(outputs=2, hidden=(9,), vector_size=source.spec.vector_size)),
        lambda source: replace(source, frozen=[{"linear0.weight": np.ones(3, np.float32)}]),
        lambda source: replace(source, problem=sc.inverse_problem(forward=both, space=sc.Box([0, 0], [1, 2]), name="both")),
        lambda source: [os.utime(source.data / "mesh.obj", (1, 1)), source][1],
        lambda source: [(source.data / "other.obj").touch(), source][1],
    ],
    ids=["batch", "seed", "sampling", "network", "weights", "space", "time", "file"],
)
def test_what_samples_depend_on_is_in_the_name(source, change):
    before = cache_name_of(source)

    assert cache_name_of(change(source)) != before


def test_what_they_do_not_depend_on_is_not(source):
    before = cache_name_of(source)
    run = source.data / "runs"
    run.mkdir()
    (run / "log.jsonl").touch()
    (run / "checkpoint.pt").touch()

    assert cache_name_of(replace(source, settings=replace(source.settings, learning_rate=0.5, workers=7))) == before


def test_no_more_is_kept_than_allowed_and_others_go_first(tmp_path):
    def size() -> int:
        return sum(path.stat().st_size for path in tmp_path.glob("*.npz"))

    def keep(name: str) -> None:
        cached_arrays(name, lambda: {"x": np.zeros(1000)}, tmp_path, 30_000, own=name.partition("-")[0])

    for number in range(3):
        keep(f"old-{number}")
        os.utime(tmp_path / f"old-{number}.npz", (number, number))
    for number in range(5):
        keep(f"new-{number}")

    assert size() <= 31_000  # what names and checksums take comes on top
    assert sorted(path.stem for path in tmp_path.glob("*.npz")) == ["new-0", "new-1", "new-2"]
