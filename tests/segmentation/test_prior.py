# SPDX-License-Identifier: Apache-2.0
"""What the network sees, and that it says something of photographs."""

import numpy as np
import pytest

from solver_core.segmentation import prior


def test_square_is_around_the_middle_of_what_is_marked():
    pixels = np.zeros((50, 80), bool)
    pixels[10:20, 30:70] = True

    assert prior.square_around(pixels) == pytest.approx((20, -15, 60))


@pytest.mark.parametrize("factor", [0.5, 1, 3.3], ids=str)
def test_ramp_is_seen_as_a_ramp_whatever_the_size(factor):
    side = factor * prior.SIZE
    size = int(2 * side)
    rows, columns = np.mgrid[:size, :size] + 0.5

    seen = prior.seen_in((side / 4, side / 2, side), np.stack([rows, columns], axis=2).astype(np.float32))

    at = (np.arange(prior.SIZE) + 0.5) * factor
    np.testing.assert_allclose(seen[..., 0], np.tile(at[:, None] + side / 2, prior.SIZE), rtol=1e-4)
    np.testing.assert_allclose(seen[..., 1], np.tile(at + side / 4, (prior.SIZE, 1)), rtol=1e-4)


def test_image_goes_on_beyond_its_border_as_it_ends():
    image = np.zeros((40, 40, 1), np.float32)
    image[:, 0], image[:, -1] = 1, 2

    seen = prior.seen_in((-20, 0, 80), image)[..., 0]

    assert (seen[:, :20] == 1).all()
    assert (seen[:, -20:] == 2).all()


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (H, W, 3) of a reddish disc on a grey ground, where it is, and what is outside of a box around it."""
    rows, columns = np.mgrid[:120, :120]
    is_object = (rows - 60) ** 2 + (columns - 60) ** 2 < 30**2
    colours = np.where(is_object[..., None], [0.7, 0.3, 0.25], [0.5, 0.5, 0.5]) + rng.normal(scale=0.02, size=(120, 120, 3))
    is_outside = np.ones((120, 120), bool)
    is_outside[28:92, 28:92] = False
    return np.clip(colours, 0, 1).astype(np.float32), is_object, is_outside


def test_features_tell_what_differs_from_the_surroundings(rng):
    colours, is_object, is_outside = scene(rng)

    seen = prior.features(colours[None], -1.0 * is_outside[None], is_object[None], np.array([True]))[0]

    assert seen.dtype == np.float32
    assert np.abs(seen).max() <= 1
    marks, apart, odds, inside, there = np.moveaxis(seen[..., 3:], 2, 0)
    assert (marks == -1.0 * is_outside).all()
    assert apart[is_object].min() > 0.8 > 0.6 > apart[~is_object].max()
    assert odds[is_object].min() > 0.5 > 0 > odds[is_outside].max()
    assert inside[60, 60] == 1
    assert inside[5, 5] == -1
    assert (there == 1).all()


def test_without_a_model_its_silhouette_is_not_seen(rng):
    colours, is_object, is_outside = scene(rng)
    marks = -1.0 * is_outside[None]

    with_one, other = (prior.features(colours[None], marks, one[None], np.array([False])) for one in (is_object, is_outside))

    np.testing.assert_array_equal(with_one, other)
    assert not with_one[..., -2:].any()


def test_object_is_likely_where_it_is(rng):
    colours, is_object, is_outside = scene(rng)

    odds = prior.log_odds(colours, np.zeros_like(is_object), is_outside, is_object)

    assert (odds[is_outside] == 0).all()
    assert np.mean(odds[is_object] > 0) > 0.95
    assert np.mean(odds[~is_object & ~is_outside] < 0) > 0.8


def test_place_and_scale_of_the_image_do_not_matter(rng):
    colours, is_object, is_outside = scene(rng)
    larger = [
        np.pad(one.repeat(2, axis=0).repeat(2, axis=1), [(7, 0), (30, 0), (0, 0)][: one.ndim], mode="edge")
        for one in (colours, is_outside, is_object)
    ]

    small = prior.log_odds(colours, np.zeros_like(is_object), is_outside, is_object)
    large = prior.log_odds(larger[0], np.zeros_like(larger[1]), larger[1], larger[2])[7:, 30:]

    is_same = (large[1::2, 1::2] > 0) == (small > 0)
    assert np.mean(is_same[~is_outside]) > 0.95  # noise and sampling are not quite the same
