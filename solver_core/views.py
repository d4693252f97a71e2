# SPDX-License-Identifier: Apache-2.0
"""Views of upright objects: those that samples and tables are drawn from, and others around the object."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.frames import matrix_from_pose

# The setup of Kato et al. 2018, "Neural 3D Mesh Renderer", as in Ma et al. 2020.
CAMERA_DISTANCE = 2.732  # object diagonals
VERTICAL_FOV = np.radians(30.0)
CANONICAL = np.radians(30.0)  # azimuth and elevation of the canonical view
OBJECT_CENTRE = np.array([0.0, 0.0, -CAMERA_DISTANCE])


class Views(NamedTuple):
    """is_canonical (B,) bool, azimuth (B,) from -y towards +x and elevation (B,), radians."""

    is_canonical: np.ndarray
    azimuth: np.ndarray
    elevation: np.ndarray


def draw_views(rng: np.random.Generator, count: int, canonical: float, elevation_deg: tuple[float, float]) -> Views:
    """Random views.

    Args:
        rng: draws them.
        count: how many.
        canonical: share of canonical ones, in [0, 1]; the others are from any azimuth.
        elevation_deg: lowest and highest of the others, degrees.
    """
    is_canonical = rng.uniform(size=count) < canonical
    azimuth = np.radians(rng.uniform(0, 360, size=count))
    elevation = np.radians(rng.uniform(*elevation_deg, size=count))
    return Views(is_canonical, np.where(is_canonical, CANONICAL, azimuth), np.where(is_canonical, CANONICAL, elevation))


def view_rotation(azimuth: np.ndarray, elevation: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(B, 4) object-to-camera rotation of a camera at azimuth (from -y towards +x) and elevation, z up; radians."""
    zeros = np.zeros_like(azimuth)
    # At azimuth and elevation 0 the camera is at -y and looks along +y: object z is camera y, object -y camera z.
    upright = rotations.wxyz_from_rotvec(np.stack([zeros - np.pi / 2, zeros, zeros], axis=1))
    spin = rotations.wxyz_from_rotvec(np.stack([zeros, zeros, -azimuth], axis=1))
    tilt = rotations.wxyz_from_rotvec(np.stack([elevation, zeros, zeros], axis=1))
    twist = rotations.wxyz_from_rotvec(np.stack([zeros, zeros, roll], axis=1))
    return rotations.multiply(twist, rotations.multiply(tilt, rotations.multiply(upright, spin)))


def view_matrices(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """(B, 4, 4) camera_from_object of such views (B,), CAMERA_DISTANCE from the object's centre."""
    wxyz = view_rotation(azimuth, elevation, np.zeros_like(azimuth))
    return matrix_from_pose(np.concatenate([wxyz, np.tile(OBJECT_CENTRE, (len(wxyz), 1))], axis=1))


def canonical_view() -> np.ndarray:
    """(4, 4) camera_from_object of the canonical view."""
    return view_matrices(np.array([CANONICAL]), np.array([CANONICAL]))[0]
