# SPDX-License-Identifier: Apache-2.0
"""Rotations over time: signs that do not jump, and evening out."""

from __future__ import annotations

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.solver.series import smooth_series

BRIDGE_STIFFNESS = 1e-6  # beside a weight of 1 for what is known: it hardly moves
BRIDGE_REACH = 20.0  # frames from what is known at which a guess begins to count


def continuous_signs(wxyz: np.ndarray) -> np.ndarray:
    """(F, J, 4) the same rotations, each quaternion on the side of the one before: q and -q never alternate."""
    cosines = (wxyz[1:] * wxyz[:-1]).sum(axis=-1)
    signs = np.cumprod(np.where(cosines < 0, -1, 1), axis=0)
    return np.concatenate([wxyz[:1], wxyz[1:] * signs[..., None].astype(wxyz.dtype)])


def smoothed(wxyz: np.ndarray, width: float) -> np.ndarray:
    """(F, J, 4) means of rotations over neighbouring frames, as those of `smoothed_path`."""
    return rotations.normalized(smoothed_path(continuous_signs(wxyz), width))


def smoothed_path(values: np.ndarray, width: float) -> np.ndarray:
    """(F, ...) means over neighbouring frames, weighted by a Gaussian of standard deviation `width` frames."""
    reach = min(int(np.ceil(3 * width)), len(values) - 1)
    shifts = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (shifts / width) ** 2)
    kernel = (kernel / kernel.sum()).astype(values.dtype)
    # Mirrored at the ends through the first and last value, so that what moves evenly still does.
    before, after = 2 * values[:1] - values[reach:0:-1], 2 * values[-1:] - values[-2 : -reach - 2 : -1]
    padded = np.concatenate([before, values, after])
    return np.asarray(sum(factor * padded[first : first + len(values)] for first, factor in enumerate(kernel)))


def bridged(wxyz: np.ndarray, is_guess: np.ndarray) -> np.ndarray:
    """(F, J, 4) with the guessed rotations (F, J) replaced by a smooth way between the others.

    Far from these, at the ends and in the middle of long gaps, it comes near the guesses.
    """
    joints = np.flatnonzero(is_guess.any(axis=0))
    values = continuous_signs(wxyz)[:, joints].astype(np.float64)
    weights = np.where(is_guess[:, joints], BRIDGE_STIFFNESS / BRIDGE_REACH**4, 1.0)
    count = len(wxyz)
    columns = np.full(4 * len(joints), BRIDGE_STIFFNESS)
    series = smooth_series(values.reshape(count, -1), np.repeat(weights, 4, axis=1), columns, order=2)
    series = rotations.normalized(series.reshape(values.shape))
    answer = wxyz.copy()
    answer[:, joints] = np.where(is_guess[:, joints, None], series, wxyz[:, joints])
    return answer
