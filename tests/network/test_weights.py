# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from solver_core.errors import WeightsError
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.weights import WeightsInfo, load_networks, load_weights, save_weights


@pytest.fixture
def info(spec):
    return WeightsInfo("pose", "pose", spec, "layout 1", data="meshes", licence="MIT", commit="0123abc")


@pytest.fixture
def path(tmp_path, weights, info):
    """A file with two stages."""
    path = tmp_path / "pose.safetensors"
    save_weights(path, [weights, {name: -array for name, array in weights.items()}], info)
    return path


def rewrite(path, *, tensors=(), metadata=()):
    """Writes the file again with some tensors or metadata replaced; None removes one."""
    with safe_open(path, framework="numpy") as file:
        new_metadata = {**file.metadata(), **dict(metadata)}
    new_tensors = {**load_file(path), **dict(tensors)}
    save_file(
        {name: array for name, array in new_tensors.items() if array is not None},
        path,
        {key: value for key, value in new_metadata.items() if value is not None},
    )


def test_weights_round_trip(path, weights, info):
    stages, loaded_info = load_weights(path, "pose", "layout 1")

    assert loaded_info == info
    assert [stage.keys() for stage in stages] == [weights.keys()] * 2
    for name, array in weights.items():
        step = np.abs(array).max() / 127  # of int8
        assert stages[0][name].dtype == np.float32
        np.testing.assert_allclose(stages[0][name], array, atol=0.51 * step, rtol=1e-3)
        np.testing.assert_array_equal(stages[1][name], -stages[0][name])


def test_networks_of_a_file_give_what_their_weights_give(path, spec, weights, features):
    networks = load_networks(path, "pose", "layout 1")

    assert len(networks) == 2
    np.testing.assert_allclose(networks[0](features), NumpyNetwork(spec, weights)(features), atol=0.1)


def test_last_layer_is_kept_in_float16(path, spec, weights):
    last = f"{spec.layers()[-1][0]}.weight"

    stages, _ = load_weights(path, "pose", "layout 1")

    np.testing.assert_array_equal(stages[0][last], weights[last].astype(np.float16))


def test_weights_that_are_written_again_stay_the_same(path, tmp_path, info):
    stages, _ = load_weights(path, "pose", "layout 1")

    save_weights(tmp_path / "again.safetensors", stages, info)

    again, _ = load_weights(tmp_path / "again.safetensors", "pose", "layout 1")
    for name, array in stages[0].items():
        np.testing.assert_allclose(again[0][name], array, rtol=1e-3, atol=1e-7)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot read the weights file .*nowhere\.safetensors"):
        load_weights(tmp_path / "nowhere.safetensors", "pose", "layout 1")


@pytest.mark.parametrize("kept", [0, 5, 100, -10], ids=lambda kept: f"{kept} bytes")
def test_truncated_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(WeightsError, match="is damaged"):
        load_weights(path, "pose", "layout 1")


def test_file_of_other_content_is_refused(path):
    path.write_text("no weights at all, but long enough to be read as a header")

    with pytest.raises(WeightsError, match="is damaged"):
        load_weights(path, "pose", "layout 1")


@pytest.mark.parametrize(
    ("task", "layout", "sentence"),
    [
        ("lighting_sun", "layout 1", "is for pose, but lighting_sun is needed"),
        ("pose", "layout 2", r"was trained for other inputs \('layout 1'\) than this version gives \('layout 2'\)"),
    ],
)
def test_file_for_something_else_is_refused(path, task, layout, sentence):
    with pytest.raises(WeightsError, match=sentence):
        load_weights(path, task, layout)


def test_file_of_before_tasks_fits_every_task_of_its_problem(path):
    rewrite(path, metadata={"problem": "lighting", "task": None})

    assert load_weights(path, "lighting_sun", "layout 1")[1].task == "lighting_sun"
    with pytest.raises(WeightsError, match="is for lighting, but pose is needed"):
        load_weights(path, "pose", "layout 1")


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"format": None}, "no weights file of solver_core"),
        ({"spec": None}, "metadata .* is damaged"),
        ({"spec": "{}"}, "metadata .* is damaged"),
        ({"spec": "no json"}, "metadata .* is damaged"),
        ({"stages": "two"}, "metadata .* is damaged"),
        ({"stages": "3"}, r"lacks stage2\.\w+\.weight"),
    ],
    ids=str,
)
def test_damaged_metadata_is_refused(path, metadata, sentence):
    rewrite(path, metadata=metadata)

    with pytest.raises(WeightsError, match=sentence):
        load_weights(path, "pose", "layout 1")


@pytest.mark.parametrize(
    ("bias", "sentence"),
    [
        pytest.param(None, r"lacks stage1\.linear0\.bias", id="missing"),
        pytest.param(np.zeros(99, np.float16), r"linear0\.bias .* finite numbers, got \(99,\)", id="wrong shape"),
    ],
)
def test_damaged_tensor_is_refused(path, bias, sentence):
    rewrite(path, tensors={"stage1.linear0.bias": bias})

    with pytest.raises(WeightsError, match=sentence):
        load_weights(path, "pose", "layout 1")


def test_tensor_that_is_not_finite_is_refused(path, weights):
    broken = np.full_like(weights["linear0.bias"], np.inf, dtype=np.float16)
    rewrite(path, tensors={"stage0.linear0.bias": broken})

    with pytest.raises(WeightsError, match="finite numbers"):
        load_weights(path, "pose", "layout 1")
