# SPDX-License-Identifier: Apache-2.0
"""Lens distortion: the model at points worked out by hand, and images freed of it."""

import numpy as np
import pytest

from solver_core.distortion import distorted
from solver_core.errors import SetupError
from solver_core.frames import Camera


def test_radial_and_tangential_terms_match_the_formula():
    (point,) = distorted(np.array([[0.5, -0.25]]), (0.1, -0.02, 0.01, -0.03, 0.005), is_fisheye=False)

    square = 0.5**2 + 0.25**2
    radial = 1 + 0.1 * square - 0.02 * square**2 + 0.005 * square**3
    x = 0.5 * radial + 2 * 0.01 * 0.5 * -0.25 - 0.03 * (square + 2 * 0.25)
    y = -0.25 * radial + 0.01 * (square + 2 * 0.0625) + 2 * -0.03 * 0.5 * -0.25
    np.testing.assert_allclose(point, (x, y), rtol=1e-12)


def test_rational_terms_divide():
    (point,) = distorted(np.array([[1.0, 0.0]]), (0, 0, 0, 0, 0, 1.0, 0, 0), is_fisheye=False)

    np.testing.assert_allclose(point, (0.5, 0.0))


def test_fisheye_maps_the_angle():
    points = distorted(np.array([[1.0, 0.0], [0.0, 0.0]]), (0.1, 0, 0, 0), is_fisheye=True)

    angle = np.pi / 4
    np.testing.assert_allclose(points, [[angle * (1 + 0.1 * angle**2), 0.0], [0.0, 0.0]], rtol=1e-12)


def test_undistorted_image_shows_a_point_where_the_pinhole_sees_it():
    camera = Camera(200, 160, 180.0, 170.0, 97.0, 83.0, distortion=(-0.3, 0.1, 0.002, -0.001))
    place = np.array([[0.35, -0.28]])
    (seen,) = distorted(place, camera.distortion, is_fisheye=False)
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(160) + 0.5)
    spot = np.exp(-((columns - (seen[0] * 180 + 97)) ** 2 + (rows - (seen[1] * 170 + 83)) ** 2) / 8)

    image = camera.undistorted(spot)

    weights = image / image.sum()
    found = ((columns * weights).sum(), (rows * weights).sum())
    np.testing.assert_allclose(found, (0.35 * 180 + 97, -0.28 * 170 + 83), atol=0.1)  # a twentieth of the spot's width


def test_image_of_a_pinhole_stays_as_it_is():
    image = np.ones((4, 6, 3))

    assert Camera(6, 4, 5.0, 5.0, 3.0, 2.0).undistorted(image) is image


@pytest.mark.parametrize(
    ("distortion", "is_fisheye"), [((0.1,), False), ((0.1,) * 5, True), ((np.nan,) * 4, False), (("a",), False)]
)
def test_distortion_of_another_kind_is_refused(distortion, is_fisheye):
    with pytest.raises(SetupError, match="distortion must be"):
        Camera(6, 4, 5.0, 5.0, 3.0, 2.0, distortion=distortion, is_fisheye=is_fisheye)
