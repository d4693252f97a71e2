# SPDX-License-Identifier: Apache-2.0
"""Table 4 on a few samples: every method on the same ones, each with the light's whole path."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("trimesh")
pytest.importorskip("pyrender", exc_type=ImportError)

from solver_core.loop import LoopSettings
from solver_core.mesh_library import MeshPool, load_library
from solver_core.network.torch_modules import TorchNetwork
from solver_core.network.weights import WeightsInfo, save_weights
from solver_core.problems.lighting.features import INPUT_LAYOUT, network_spec
from solver_core.problems.lighting.lights import LIGHTS
from training.paper.evaluation import Run, evaluate
from training.paper.tables import table4

pytestmark = [
    pytest.mark.torch,
    pytest.mark.data,
    pytest.mark.egl,
    pytest.mark.filterwarnings("ignore:tostring:DeprecationWarning"),  # PyOpenGL's own
]
SETTINGS = {"convolutions": [[4, 4], [4, 4]], "hidden": [8], "inputs": "observation"}


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """The sun alone, little Adam, and a small network whose answer is always its bias."""
    spec = network_spec(SETTINGS)
    weights = {name: np.zeros_like(array) for name, array in TorchNetwork(spec).to_numpy_weights().items()}
    path = tmp_path / "lighting_sun_regression.safetensors"
    save_weights(path, [weights], WeightsInfo("lighting", "lighting_sun", spec, INPUT_LAYOUT))
    monkeypatch.delitem(LIGHTS, "point")
    monkeypatch.setattr(table4, "REGRESSION_WEIGHTS", str(tmp_path / "lighting_{kind}_regression.safetensors"))
    monkeypatch.setattr(table4.adam_from_several, "__defaults__", (LoopSettings(steps=3),))


def test_every_method_is_measured_on_the_same_samples(data_dir, quick):
    run = Run("table4", data_dir, num_samples=6)

    table = evaluate(run)

    by_strength = {
        strength: {row["method"]: row for row in table.rows if row["strength"] == strength}
        for strength in ("known", "known, every 5th sample", "unknown")
    }
    counts = {strength: {row["num_samples"] for row in rows.values()} for strength, rows in by_strength.items()}
    assert counts == {"known": {2, 6}, "known, every 5th sample": {2}, "unknown": {3}}  # Adam gets every 5th
    assert set(by_strength["known"]) == {*table4.methods("sun"), table4.ADAM}
    known = by_strength["known"]
    at_start = known["regression, no feedback"]["squared_median"]  # it stays there
    assert known["ours + refine + restarts"]["squared_median"] < at_start / 10
    assert {plot.name.removeprefix("lighting-sun-") for plot in table.plots} == {
        "error-against-time", "error-against-step", "success",
    }  # fmt: skip
    assert run.pictures["gallery-lighting-sun"]().ndim == 3


def test_regression_takes_one_step_without_looking_at_the_relit_image(data_dir, quick):
    meshes = MeshPool(load_library(data_dir, "test")).measured
    cases = table4.draw_cases("sun", meshes, np.random.default_rng(0), 2)

    for case in cases:
        answer = table4.regression("sun")["regression, no feedback"].method(table4.setup_of(case, is_strength_known=True))
        assert len(answer.path) == 2
        np.testing.assert_allclose(answer.light, LIGHTS["sun"].start[0], atol=1e-6)  # where a bias of zero leaves it


def test_errors_on_the_way_start_with_those_of_the_start(data_dir, quick):
    meshes = MeshPool(load_library(data_dir, "test")).measured
    case = table4.draw_cases("sun", meshes, np.random.default_rng(0), 1)[0]

    errors = table4._errors(case, table4.methods("sun")["ours, 7 steps"].method, is_strength_known=True)

    start = np.sum((LIGHTS["sun"].start[0] - case.light) ** 2)
    assert errors["by_step"][0] == pytest.approx(start, rel=1e-5)
    assert errors["by_time"][0] == pytest.approx(start, rel=1e-5)
    assert errors["by_step"][-1] == errors["by_time"][-1] == pytest.approx(float(errors["squared"]), rel=1e-6)
