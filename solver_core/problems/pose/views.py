"""Rotations that look at an upright object from around it."""

from __future__ import annotations

import numpy as np

from solver_core import rotations


def view_rotation(azimuth: np.ndarray, elevation: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """(B, 4) object-to-camera rotation of a camera at azimuth (from -y towards +x) and elevation, z up; radians."""
    zeros = np.zeros_like(azimuth)
    # At azimuth and elevation 0 the camera is at -y and looks along +y: object z is camera y, object -y camera z.
    upright = rotations.wxyz_from_rotvec(np.stack([zeros - np.pi / 2, zeros, zeros], axis=1))
    spin = rotations.wxyz_from_rotvec(np.stack([zeros, zeros, -azimuth], axis=1))
    tilt = rotations.wxyz_from_rotvec(np.stack([elevation, zeros, zeros], axis=1))
    twist = rotations.wxyz_from_rotvec(np.stack([zeros, zeros, roll], axis=1))
    return rotations.multiply(twist, rotations.multiply(tilt, rotations.multiply(upright, spin)))
