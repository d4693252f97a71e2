"""Rotations over time: signs that do not jump, and evening out."""

from __future__ import annotations

import numpy as np

from solver_core import rotations


def continuous_signs(wxyz: np.ndarray) -> np.ndarray:
    """(F, J, 4) the same rotations, each quaternion on the side of the one before: q and -q never alternate."""
    cosines = (wxyz[1:] * wxyz[:-1]).sum(axis=-1)
    signs = np.cumprod(np.where(cosines < 0, -1, 1), axis=0)
    return np.concatenate([wxyz[:1], wxyz[1:] * signs[..., None].astype(wxyz.dtype)])


def smoothed(wxyz: np.ndarray, width: float) -> np.ndarray:
    """(F, J, 4) means over neighbouring frames, weighted by a Gaussian of standard deviation `width` frames."""
    reach = int(np.ceil(3 * width))
    shifts = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (shifts / width) ** 2).astype(wxyz.dtype)
    padded = np.pad(continuous_signs(wxyz), ((reach, reach), (0, 0), (0, 0)), mode="edge")
    total = sum(factor * padded[first : first + len(wxyz)] for first, factor in enumerate(kernel))
    return rotations.normalized(np.asarray(total))
