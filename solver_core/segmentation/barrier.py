# SPDX-License-Identifier: Apache-2.0
"""How far colours change, at least, on the way from a part of an image to a pixel: the minimum barrier distance.

Of all paths the one counts along which a channel's highest and lowest value differ least (Strand, Ciesielski, Malmberg and
Saha 2013).  Unlike a sum of differences it does not grow with the way: all of a plain wall is joined to its border, noise or
not.  Found by sweeps over rows and columns (after Zhang, Sclaroff, Lin, Shen, Price and Mech 2015), so it is an upper bound.
"""

from __future__ import annotations

import numpy as np

PASSES = 3  # down, up, right and left each; few paths bend more often


def barrier_distance(values: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """(..., H, W) float32, the sum over channels of values (..., H, W, C); 0 at sources (..., H, W) bool.

    It is infinite where there are none.
    """
    channels = np.ascontiguousarray(np.moveaxis(values, -1, 0), np.float32)  # (C, ..., H, W)
    distance = np.where(sources, np.float32(0), np.float32(np.inf)) + np.zeros_like(channels)
    highest, lowest = channels.copy(), channels.copy()
    for _ in range(PASSES):
        for axis in (-2, -1):
            _sweep_inplace(*(np.moveaxis(one, axis, 0) for one in (channels, distance, highest, lowest)))
    return distance.sum(axis=0)


def _sweep_inplace(values: np.ndarray, distance: np.ndarray, highest: np.ndarray, lowest: np.ndarray) -> None:
    """Takes shorter ways from one line of the first axis to the next, forwards and back."""
    count = len(values)
    for lines, step in ((range(1, count), -1), (range(count - 2, -1, -1), 1)):
        for line in lines:
            high, low = np.maximum(highest[line + step], values[line]), np.minimum(lowest[line + step], values[line])
            is_shorter = (high - low < distance[line]) & np.isfinite(distance[line + step])
            for kept, found in ((distance, high - low), (highest, high), (lowest, low)):
                np.copyto(kept[line], found, where=is_shorter)
