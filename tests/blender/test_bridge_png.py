# SPDX-License-Identifier: Apache-2.0
"""PNG files are read as Blender reads them, or left to Blender."""

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from addon.bridge import image as images
from addon.bridge.png import read_bytes
from addon.solves.image_source import MaskKey

CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


@pytest.fixture
def values(rng) -> np.ndarray:
    """(24, 31, 4) uint8: noise, and a part that compresses well."""
    values = rng.integers(0, 256, (24, 31, 4)).astype(np.uint8)
    values[6:18, 5:20] = (200, 200, 200, 255)
    return values


@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("colorspace", [None, "Non-Color"])
def test_bytes_are_those_that_blender_reads(mode, colorspace, values, scene, tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    Image.fromarray(values).convert(mode).save(path)

    ours = images.read_file(str(path), 1, colorspace)
    assert ours.pixels.shape == (24, 31, CHANNELS[mode])
    monkeypatch.setattr(images, "read_bytes", lambda content: None)
    blenders = images.read_file(str(path), 1, colorspace)

    assert (ours.colorspace, ours.size) == (blenders.colorspace, blenders.size)
    np.testing.assert_array_equal(ours.shown_bytes(), blenders.shown_bytes())
    for name in ("rgba", "alpha"):
        np.testing.assert_allclose(getattr(ours, name), getattr(blenders, name), atol=1e-6)  # float32
    for name in ("shown_rgb", "linear_rgb"):
        np.testing.assert_allclose(getattr(ours, name)(), getattr(blenders, name)(), atol=1e-6)
    for key in (MaskKey(key="LUMINANCE", threshold=0.3), MaskKey(key="COLOR", color=(0.8, 0.8, 0.8), invert=True)):
        np.testing.assert_array_equal(key.coverage(ours), key.coverage(blenders))


def saved_otherwise(values: np.ndarray, kind: str, path) -> None:
    picture, extra = Image.fromarray(values), PngImagePlugin.PngInfo()
    if kind == "palette":
        picture = picture.convert("RGB").quantize(16)
    elif kind == "16 bits":
        picture = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    elif kind == "gamma":
        extra.add(b"gAMA", (100000).to_bytes(4, "big"))
    picture.save(path, pnginfo=extra)


@pytest.mark.parametrize("kind", ["palette", "16 bits", "gamma"])
def test_other_kinds_are_left_to_blender(kind, values, scene, tmp_path):
    path = tmp_path / "picture.png"
    saved_otherwise(values, kind, path)

    assert read_bytes(path.read_bytes()) is None
    assert images.read_file(str(path), 1).size == (31, 24)


@pytest.mark.parametrize("kept", [4, 8, 30, 400])
def test_files_that_are_not_whole_are_left_to_blender(kept, values, tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(values).save(path)

    assert read_bytes(path.read_bytes()[:kept]) is None
