# SPDX-License-Identifier: Apache-2.0
"""Where the edge of a part lies within the pixels of a large image, from a mask of few pixels.

Beside the edge the colour of a pixel is a mixture of the part's colour near it and of the colour around; the share follows by
projection on the line between the two.  Where they are alike, the coarse mask is believed.
"""

from __future__ import annotations

import numpy as np

from solver_core import render
from solver_core.images import block_repeat

BAND_PX = 1.5  # coarse pixels on either side of the edge of which the coarse mask does not tell what they show
NEAR_PX = 5  # half a side of the windows in which colours beside the edge are averaged, in coarse pixels
LEAST_NEAR = 10  # coarse pixels of either side in these windows, or their colours are not known
ALIKE = 0.2  # colours that differ by less than this, of the full range, tell little


def fine_mask(
    image: np.ndarray, colours: np.ndarray, coarse: np.ndarray, reduction: int, expected: np.ndarray | None = None
) -> np.ndarray:
    """(H, W) float32 in [0, 1] of a mask whose pixels are blocks of the image's.

    Args:
        image: (H, W, 3) uint8, or float in [0, 1].
        colours: (h, w, 3) float32 in [0, 1], its means over blocks.
        coarse: (h, w) in [0, 1], h and w being H and W over reduction, rounded up.
        reduction: pixels of the image that are one of the mask's, on each side.
        expected: (H, W) in [0, 1] the same mask in the image's own pixels, where more is known of it than its blocks.
    """
    is_inside = coarse >= 0.5
    height, width = image.shape[:2]
    if is_inside.all() or not is_inside.any():
        return np.full((height, width), np.float32(is_inside.all()))
    distance = render.signed_distance(is_inside[None])[0]
    (inner, num_inner), (outer, num_outer) = (_colour_near(colours, distance * side > BAND_PX) for side in (-1, 1))
    blocks = np.nonzero(np.abs(distance) < BAND_PX + 1)
    if expected is None:
        mask = block_repeat(is_inside.astype(np.float32), reduction, (height, width))
    else:
        mask = expected.astype(np.float32)
    offsets = np.arange(reduction)
    rows = (blocks[0][:, None] * reduction + np.repeat(offsets, reduction)).ravel()
    columns = (blocks[1][:, None] * reduction + np.tile(offsets, reduction)).ravel()
    is_in_image = (rows < height) & (columns < width)
    rows, columns = rows[is_in_image], columns[is_in_image]
    at = ((rows + 0.5) / reduction - 0.5, (columns + 0.5) / reduction - 0.5)
    known = np.clip(0.5 - between(distance[..., None], *at)[:, 0], 0, 1) if expected is None else mask[rows, columns]
    inside, outside = between(inner, *at), between(outer, *at)
    colour = _as_float(image[rows, columns])
    line = inside - outside
    share = (np.einsum("nc,nc->n", colour - outside, line) + ALIKE**2 * known) / (np.einsum("nc,nc->n", line, line) + ALIKE**2)
    is_told = (np.minimum(num_inner, num_outer) >= LEAST_NEAR)[rows // reduction, columns // reduction]
    mask[rows, columns] = np.where(is_told, np.clip(share, 0, 1), known)
    return mask


def _colour_near(colours: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour (h, w, 3) of the coarse pixels that count in the window around each, and (h, w) how many these are.

    Where there is none, it is the mean of all that count.
    """
    if not counts.any():
        counts = np.ones_like(counts)
    weighted = np.concatenate([colours * counts[..., None], counts[..., None]], axis=2, dtype=np.float64)
    sums = _window_sums(_window_sums(weighted, 0), 1)
    near = sums[..., 3].copy()
    sums += 1e-6 * weighted.sum(axis=(0, 1))
    return (sums[..., :3] / sums[..., 3:]).astype(np.float32), near


def _window_sums(values: np.ndarray, axis: int) -> np.ndarray:
    """Sums over 2 NEAR_PX + 1 values along an axis."""
    padding = [(NEAR_PX + 1, NEAR_PX) if one == axis else (0, 0) for one in range(values.ndim)]
    sums = np.cumsum(np.pad(values, padding), axis=axis)
    size = values.shape[axis]
    return np.take(sums, np.arange(size) + 2 * NEAR_PX + 1, axis) - np.take(sums, np.arange(size), axis)


def between(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(N, C) values between the pixel centres of an image (h, w, C), the first of which is at (0, 0)."""
    height, width = values.shape[:2]
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = rows.astype(int), columns.astype(int)
    down, across = ((one - one.astype(int)).astype(np.float32)[:, None] for one in (rows, columns))
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[bottom, left] * (1 - across) + values[bottom, right] * across
    return upper * (1 - down) + lower * down


def _as_float(colours: np.ndarray) -> np.ndarray:
    return colours.astype(np.float32) / np.float32(255 if colours.dtype == np.uint8 else 1)
