# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy import ndimage

from solver_core import render

pytestmark = pytest.mark.usefixtures("implementation")


def scipy_signed_distance(mask):
    return np.where(mask, 0.5 - ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask) - 0.5)


def blobs(rng, shape):
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    return noise > np.quantile(noise, 0.7)


def test_distance_is_half_a_pixel_at_the_boundary_and_grows_by_one():
    mask = np.zeros((1, 2, 6), dtype=bool)
    mask[..., :3] = True

    assert render.signed_distance(mask).tolist() == [[[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]] * 2]


def test_distance_is_euclidean_around_a_single_pixel():
    mask = np.zeros((1, 5, 7), dtype=bool)
    mask[0, 2, 3] = True
    rows, columns = np.mgrid[:5, :7]

    distance = render.signed_distance(mask)[0]

    expected = np.where(mask[0], -0.5, np.hypot(rows - 2, columns - 3) - 0.5)
    np.testing.assert_allclose(distance, expected, rtol=1e-6)  # float32


@pytest.mark.parametrize("shape", [(64, 64), (17, 90), (90, 17), (1, 30), (30, 1)])
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.98])
def test_distance_equals_scipy_for_random_pixels(shape, fraction, rng):
    mask = rng.random(shape) < fraction
    mask.flat[0], mask.flat[-1] = True, False  # a boundary in any case

    distance = render.signed_distance(mask[None])[0]

    np.testing.assert_allclose(distance, scipy_signed_distance(mask), rtol=1e-6, atol=1e-6)  # float32


def test_distance_equals_scipy_for_blobs(rng):
    masks = np.stack([blobs(rng, (60, 80)) for _ in range(5)])

    distance = render.signed_distance(masks)

    expected = np.stack([scipy_signed_distance(mask) for mask in masks])
    np.testing.assert_allclose(distance, expected, rtol=1e-6, atol=1e-6)  # float32


@pytest.mark.parametrize(("value", "expected"), [(False, 12.0), (True, -12.0)], ids=["empty", "full"])
def test_distance_is_height_plus_width_when_there_is_no_boundary(value, expected):
    distance = render.signed_distance(np.full((2, 5, 7), value))

    assert (distance == expected).all()
    assert distance.shape == (2, 5, 7)


def test_distance_of_the_opposite_mask_has_the_opposite_sign(rng):
    masks = np.stack([blobs(rng, (40, 40)) for _ in range(3)])

    assert np.array_equal(render.signed_distance(~masks), -render.signed_distance(masks))


def test_distances_across_the_largest_image_are_exact():
    mask = np.zeros((1, 65536, 3), bool)
    mask[0, -1, 0] = mask[0, 0, 2] = True
    rows, columns = np.arange(65536.0)[:, None], np.arange(3.0)

    distance = render.signed_distance(mask)[0]

    expected = np.minimum(np.hypot(rows - 65535, columns), np.hypot(rows, columns - 2)) - 0.5
    np.testing.assert_allclose(distance[~mask[0]], expected[~mask[0]], rtol=1e-6)  # float32
