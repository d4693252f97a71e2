# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core.errors import WeightsError
from solver_core.network.hourglass import Hourglass, HourglassSpec
from solver_core.network.weights import WeightsInfo, load_weights_of, save_weights

SPEC = HourglassSpec(image_channels=3, widths=(4, 6), last_width=2)


@pytest.fixture
def weights(rng):
    arrays = {}
    for name, shape in SPEC.layers():
        arrays[f"{name}.weight"] = rng.normal(scale=0.3, size=shape).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(scale=0.1, size=shape[-1]).astype(np.float32)
    return arrays


def test_levels_make_a_pixel_be_seen_from_afar(weights, rng):
    """A layer at a quarter of the size reaches four pixels to each side, one at the image's own size one."""
    images = rng.normal(size=(1, 32, 32, 3)).astype(np.float32)
    changed = images.copy()
    changed[0, 16, 16] += 1

    def reached(spec):
        network = Hourglass(spec, {**weights, "fine.weight": np.full((3, 3, spec.widths[0] + 3, 2), np.float32(0.1))})
        return np.abs(np.argwhere(network(changed)[0] != network(images)[0]) - 16).max()

    assert reached(HourglassSpec(3, SPEC.widths[:1], 2)) < reached(SPEC) < 16


def test_images_of_a_batch_do_not_see_each_other(weights, rng):
    network = Hourglass(SPEC, weights)
    images = rng.normal(size=(3, 16, 8, 3)).astype(np.float32)

    together = network(images)

    assert together.shape == (3, 16, 8)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[1:2], network(images[1:2]), atol=1e-5)  # float32, sums in another order


def test_spec_survives_json():
    assert HourglassSpec.from_json(SPEC.to_json()) == SPEC


def test_weights_round_trip(tmp_path, weights):
    info = WeightsInfo("mask", "mask", SPEC, "layout 1")
    save_weights(tmp_path / "mask.safetensors", [weights], info)

    (loaded,), loaded_info = load_weights_of(HourglassSpec, tmp_path / "mask.safetensors", "mask", "layout 1")

    assert loaded_info == info
    for name, array in weights.items():
        np.testing.assert_allclose(loaded[name], array, atol=0.51 * np.abs(array).max() / 127, rtol=1e-3)  # int8


@pytest.mark.parametrize("change", [{"widths": ()}, {"last_width": 0}, {"image_channels": True}], ids=str)
def test_file_of_layers_that_cannot_be_is_refused(tmp_path, weights, change):
    text = HourglassSpec.to_json(HourglassSpec(**{"image_channels": 3, "widths": (4, 6), "last_width": 2, **change}))

    with pytest.raises(ValueError, match=r"sizes are whole numbers|no levels"):
        HourglassSpec.from_json(text)


def test_weights_of_another_shape_are_refused(tmp_path, weights):
    weights["up0.weight"] = weights["up0.weight"][:, :, 1:]
    save_weights(tmp_path / "mask.safetensors", [weights], WeightsInfo("mask", "mask", SPEC, "layout 1"))

    with pytest.raises(WeightsError, match=r"up0\.weight"):
        load_weights_of(HourglassSpec, tmp_path / "mask.safetensors", "mask", "layout 1")


def test_torch_equals_numpy(rng):
    torch = pytest.importorskip("torch")
    from solver_core.network.torch_hourglass import TorchHourglass

    network = TorchHourglass(SPEC, torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.layers["last"].weight.mul_(100)
    images = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)

    in_torch = network(torch.from_numpy(images).permute(0, 3, 1, 2)).detach().numpy()

    in_numpy = Hourglass(SPEC, network.to_numpy_weights())(images)
    assert np.abs(in_numpy).max() > 0.1
    np.testing.assert_allclose(in_torch, in_numpy, atol=1e-4)  # float32, sums in another order
