# SPDX-License-Identifier: Apache-2.0
"""Euler angles as BVH files and joint limits use them: an order "ZXY" means R = Rz(a) Rx(b) Ry(c), radians."""

from __future__ import annotations

import numpy as np

from solver_core import rotations

LOCKED = 1e-6  # cosine of the middle angle below which the outer axes coincide


def wxyz_from_euler(angles: np.ndarray, order: str) -> np.ndarray:
    """(..., 4) from (..., len(order)) angles about the axes that `order` names, the leftmost rotation first."""
    wxyz = np.zeros((*angles.shape[:-1], 4), dtype=angles.dtype)
    wxyz[..., 0] = 1
    for column, axis in enumerate(order):
        turn = np.zeros_like(wxyz)
        turn[..., 0] = np.cos(angles[..., column] / 2)
        turn[..., 1 + "XYZ".index(axis)] = np.sin(angles[..., column] / 2)
        wxyz = rotations.multiply(wxyz, turn)
    return wxyz


def euler_from_wxyz(wxyz: np.ndarray, order: str) -> np.ndarray:
    """(..., 3) angles in `order`, the middle one in [-pi/2, pi/2]; where that is +-pi/2 the last one is 0."""
    i, j, k = ("XYZ".index(axis) for axis in order)
    sign = _parity(order)
    m = rotations.matrix_from_wxyz(wxyz)
    middle_cosine = np.hypot(m[..., i, i], m[..., i, j])
    is_locked = middle_cosine < 1e-9  # the outer axes coincide; only the sum of their angles is known
    first = np.where(is_locked, np.arctan2(sign * m[..., k, j], m[..., j, j]), np.arctan2(-sign * m[..., j, k], m[..., k, k]))
    middle = np.arctan2(sign * m[..., i, k], middle_cosine)
    last = np.where(is_locked, 0, np.arctan2(-sign * m[..., i, j], m[..., i, i]))
    return np.stack([first, middle, last], axis=-1)


def continuous_euler(wxyz: np.ndarray, order: str) -> np.ndarray:
    """(F, J, 3) angles in `order` of rotations (F, J, 4) over time, each triple the one nearest to that of the frame before.

    Every rotation has two triples, and whole turns may be added to each angle.  Where the outer axes coincide only the sum, or
    the difference, of their angles counts; the last one then stays as it was.
    """
    one = euler_from_wxyz(wxyz, order)
    choices = np.stack([one, one * [1, -1, 1] + np.pi])  # (2, F, J, 3)
    is_locked = np.abs(np.cos(one[..., 1])) < LOCKED
    coincidence = _parity(order) * np.sign(one[..., 1])  # +1 where the outer axes point the same way, -1 against each other
    shared = one[..., 0] + coincidence * one[..., 2]
    angles = one.copy()
    for frame in range(1, len(one)):
        last = angles[frame - 1]
        now = choices[:, frame].copy()
        locked = is_locked[frame]
        now[:, locked, 2] = last[locked, 2]
        now[:, locked, 0] = shared[frame, locked] - coincidence[frame, locked] * last[locked, 2]
        now[:, locked, 1] = one[frame, locked, 1]
        now += 2 * np.pi * np.round((last - now) / (2 * np.pi))
        is_second_nearer = np.abs(now[1] - last).max(axis=-1) < np.abs(now[0] - last).max(axis=-1)
        angles[frame] = np.where(is_second_nearer[:, None], now[1], now[0])
    return angles


def _parity(order: str) -> int:
    """+1 for XYZ, YZX and ZXY, -1 for the others."""
    first, second = ("XYZ".index(axis) for axis in order[:2])
    return 1 if (second - first) % 3 == 1 else -1


def euler_axes(angles: np.ndarray, order: str) -> np.ndarray:
    """(..., 3, 3) axis of each angle in the turned (local) frame: row n belongs to the n-th angle of the order."""
    axes = np.zeros((*angles.shape[:-1], 3, 3), dtype=angles.dtype)
    for row in range(3):
        unit = np.zeros(3, dtype=angles.dtype)
        unit["XYZ".index(order[row])] = 1
        later = wxyz_from_euler(angles[..., row + 1 :], order[row + 1 :])
        axes[..., row, :] = rotations.rotate(rotations.inverse(later), unit)
    return axes
