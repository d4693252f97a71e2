# SPDX-License-Identifier: Apache-2.0
"""Views of upright objects."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.views import CAMERA_DISTANCE, CANONICAL, canonical_view, draw_views, view_matrices, view_rotation


def test_view_is_upright_without_roll():
    wxyz = view_rotation(np.array([1.2]), np.array([0.5]), np.array([0.0]))

    up_camera = rotations.rotate(wxyz, np.array([[0.0, 0.0, 1.0]]))[0]

    assert up_camera[0] == pytest.approx(0, abs=1e-12)
    assert up_camera[1] > 0


def test_cameras_stand_at_their_azimuth_and_elevation_and_look_at_the_centre():
    azimuth, elevation = np.array([0.0, 2.0, -1.0]), np.array([0.0, 0.7, -0.2])

    object_from_camera = np.linalg.inv(view_matrices(azimuth, elevation))

    level = np.cos(elevation)
    direction = np.stack([level * np.sin(azimuth), -level * np.cos(azimuth), np.sin(elevation)], axis=1)
    np.testing.assert_allclose(object_from_camera[:, :3, 3], CAMERA_DISTANCE * direction, atol=1e-12)
    np.testing.assert_allclose(object_from_camera[:, :3, 2], direction, atol=1e-12)  # a camera looks along -z


def test_share_of_drawn_views_is_canonical_and_the_others_are_in_range(rng):
    views = draw_views(rng, 2000, 0.25, (-10, 60))

    is_canonical = (views.azimuth == CANONICAL) & (views.elevation == CANONICAL)
    np.testing.assert_array_equal(is_canonical, views.is_canonical)
    assert is_canonical.mean() == pytest.approx(0.25, abs=0.04)  # four standard deviations
    others = np.degrees(views.elevation[~is_canonical])
    assert -10 <= others.min() < 0 < 50 < others.max() <= 60


def test_canonical_view_is_a_drawn_one(rng):
    views = draw_views(rng, 1, 1.0, (0, 0))

    np.testing.assert_allclose(view_matrices(views.azimuth, views.elevation)[0], canonical_view(), atol=1e-12)
