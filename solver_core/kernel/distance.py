# SPDX-License-Identifier: Apache-2.0
"""Signed distance to the boundary of masks."""

from __future__ import annotations

import ctypes

import numpy as np

from solver_core.kernel import loader
from solver_core.kernel.threads import for_each_chunk


def signed_distance(masks: np.ndarray) -> np.ndarray:
    """(B, H, W) float32 of masks (B, H, W) of bool; see render.signed_distance."""
    masks = np.ascontiguousarray(masks, np.bool_)
    loader.check_image_size(*masks.shape[1:])
    distance = np.empty(masks.shape, np.float32)
    library = loader.library()
    if library is None:
        _signed_distance_in_numpy(masks, distance)
    else:
        for_each_chunk(lambda part: _signed_distance_in_c(library, masks[part], distance[part]), len(masks))
    return distance


def _signed_distance_in_c(library: ctypes.CDLL, masks: np.ndarray, distance: np.ndarray) -> None:
    """Fills distance."""
    count, height, width = masks.shape
    scratch, envelope = np.empty((height, width), np.int32), np.empty(width + 2, loader.PARABOLA)
    library.solver_core_signed_distance(count, masks, height, width, scratch, envelope, distance)


def _signed_distance_in_numpy(masks: np.ndarray, distance: np.ndarray) -> None:
    """Fills distance."""
    for mask, result in zip(masks, distance, strict=True):
        if mask.all() or not mask.any():
            result[:] = -sum(mask.shape) if mask.any() else sum(mask.shape)
        else:
            outside, inside = _distance_to(mask) - np.float32(0.5), np.float32(0.5) - _distance_to(~mask)
            result[:] = np.where(mask, inside, outside)


def _distance_to(mask: np.ndarray) -> np.ndarray:
    """(H, W) float32 distance to the nearest True pixel, in pixels.  There must be one."""
    along_column = _distance_along_columns(mask) ** 2  # (H, W)
    squared = along_column.copy()
    for offset in range(1, mask.shape[1]):
        if offset**2 >= squared.max():
            break  # nothing that far away can be nearer
        left, right = squared[:, :-offset], squared[:, offset:]
        np.minimum(left, along_column[:, offset:] + offset**2, out=left)
        np.minimum(right, along_column[:, :-offset] + offset**2, out=right)
    return np.sqrt(squared.astype(np.float32))


def _distance_along_columns(mask: np.ndarray) -> np.ndarray:
    """(H, W) whole distance to the nearest True pixel of the same column; H + W, more than any, where there is none."""
    height, width = mask.shape
    far = height + width
    rows = np.arange(height, dtype=np.int32 if far < 30000 else np.int64)[:, None]  # squares must fit; int32 is faster
    above = np.maximum.accumulate(np.where(mask, rows, -far), axis=0)
    below = np.minimum.accumulate(np.where(mask, rows, far + height)[::-1], axis=0)[::-1]
    return np.minimum(np.minimum(rows - above, below - rows), far)
