# SPDX-License-Identifier: Apache-2.0
"""The view transform of a scene taken out of what it saved."""

import bpy
import numpy as np
import pytest

from addon.bridge.view_transform import ViewTransform, _saved, has_tone_curve


def colors(rng) -> np.ndarray:
    """(N, 3) linear colors that are not saturated, from dark to white."""
    return (10 ** rng.uniform(-1.8, 0, (330, 1)) * rng.uniform(0.4, 1, (330, 3))).astype(np.float32)


@pytest.mark.parametrize(("transform", "look"), [("AgX", "None"), ("Filmic", "None"), ("Filmic", "High Contrast")])
def test_colors_of_8_bits_become_linear_again(transform, look, scene, rng):
    scene.view_settings.view_transform, scene.view_settings.look, scene.view_settings.exposure = transform, look, 0.5
    expected = colors(rng)
    saved = np.round(255 * _saved(scene, expected[:, None])[:, 0]) / 255

    found = ViewTransform(scene).linear(saved)

    ratio = found / expected
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert np.percentile(np.abs(ratio - 1), 90) < 0.05  # a step of 8 bits is 3 percent in the dark


def test_reading_the_view_transform_leaves_nothing_behind(scene):
    before = (len(bpy.data.images), len(bpy.data.scenes))

    ViewTransform(scene)

    assert (len(bpy.data.images), len(bpy.data.scenes)) == before


def test_standard_has_no_tone_curve(scene):
    scene.view_settings.view_transform = "Standard"

    assert not has_tone_curve(scene)
