# SPDX-License-Identifier: Apache-2.0
"""What a user says of where the object is in a photograph, checked, and what follows for its pixels."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from solver_core.checks import checked_array, checked_numbers
from solver_core.errors import ObservationError

MARGIN = 0.5  # of the longer side of what is marked, around it: what shows the colours of the surroundings
MIN_MARGIN_PX = 8
SCALED = "divide 8-bit values by 255 and 16-bit values by 65535"


class Hints(NamedTuple):
    """is_inside, is_outside: (H, W) bool, True where the user says that there is the object, and where there is none.

    is_beyond: (H, W) bool, of what is outside that which lies beyond a box or lasso.
    window: left, top, right and bottom of the part of the image that is looked at, pixels.
    """

    is_inside: np.ndarray
    is_outside: np.ndarray
    is_beyond: np.ndarray
    window: tuple[int, int, int, int]


def checked_image(image: Any) -> np.ndarray:
    """(H, W, 3) uint8, or float32 in [0, 1].  Raises ObservationError."""
    array = checked_array(image, "image", "(H, W, 3)", ObservationError)
    if array.ndim == 2:
        array = array[..., None].repeat(3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or min(array.shape[:2]) < 2:
        raise ObservationError(f"image must be (H, W, 3) and at least 2 x 2 pixels, got shape {array.shape}")
    array = array[..., :3]
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise ObservationError(f"image must be uint8, or float in [0, 1], got {array.dtype}; {SCALED}")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise ObservationError(f"the image's colours must lie in [0, 1], got {np.min(array)} to {np.max(array)}; {SCALED}")
    return array.astype(np.float32)


def checked_hints(
    size: tuple[int, int], box: Any, lasso: Any, inside: Any, outside: Any, silhouette: np.ndarray | None
) -> Hints:
    """Hints of an image of a size (H, W).

    silhouette: (H, W) bool where the model is about, or None.  Raises ObservationError if they say nothing, lie outside of the
    image or contradict each other.
    """
    is_inside, is_outside = (
        np.zeros(size, bool) if one is None else _checked_strokes(one, name, size)
        for one, name in ((inside, "inside"), (outside, "outside"))
    )
    marked = [_box_pixels(_checked_box(box, size), size)] if box is not None else []
    if lasso is not None:
        marked.append(_lasso_pixels(lasso, size))
    around = np.logical_and.reduce(marked) if marked else silhouette
    if around is None:
        if not is_inside.any():
            raise ObservationError(
                "nothing says where the object is; give a box, a lasso or strokes inside of it, or the model"
            )
        window = (0, 0, size[1], size[0])
    elif not around.any():
        raise ObservationError("box and lasso have no pixel in common; draw them around the same object")
    else:
        window = window_around(around | is_inside, MARGIN)
    if is_inside.all():
        raise ObservationError("strokes inside cover all of the image; leave some of what is beside the object")
    is_beyond = np.zeros(size, bool)
    if marked and around is not None:
        if is_inside.any() and not (is_inside & around).any():
            raise ObservationError("strokes inside lie outside of box or lasso; mark the object with both")
        is_beyond = ~around & ~is_inside
    is_outside = is_outside | is_beyond
    if (is_inside & is_outside).any():
        raise ObservationError("strokes inside and outside overlap; mark each pixel as one or the other")
    if is_outside.all():
        raise ObservationError("strokes outside cover all of the image's object; leave some of it")
    return Hints(is_inside, is_outside, is_beyond, window)


def _checked_box(box: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = checked_numbers(box, "box", (4,), ObservationError).tolist()
    height, width = size
    if left >= right or top >= bottom:
        raise ObservationError(
            f"box must be (left, top, right, bottom) with left < right and top < bottom, got {left:g}, {top:g}, {right:g}, "
            f"{bottom:g}"
        )
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ObservationError(
            f"the box {left:g}, {top:g}, {right:g}, {bottom:g} lies outside of the image of {width} x {height} pixels"
        )
    return left, top, right, bottom


def _box_pixels(box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of the pixels whose centres are in a box, at least one."""
    left, top, right, bottom = box
    pixels = np.zeros(size, bool)
    rows, columns = (
        slice(max(0, min(round(low), length - 1)), max(1, min(length, max(round(high), round(low) + 1))))
        for low, high, length in ((top, bottom, size[0]), (left, right, size[1]))
    )
    pixels[rows, columns] = True
    return pixels


def _lasso_pixels(lasso: Any, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of the pixels whose centres are in a polygon, by the even-odd rule.  Raises ObservationError."""
    array = checked_array(lasso, "lasso", "(N, 2)", ObservationError)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < 3:
        raise ObservationError(f"lasso must be (N, 2) columns and rows of at least 3 corners, got shape {array.shape}")
    corners = checked_numbers(array, "lasso", array.shape, ObservationError)
    height, width = size
    crossings = np.zeros((height, width + 1), np.int64)
    rows = np.arange(height) + 0.5
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crossed = np.flatnonzero((rows >= min(y0, y1)) & (rows < max(y0, y1)))
        at = x0 + (rows[crossed] - y0) * (x1 - x0) / (y1 - y0) if len(crossed) else np.zeros(0)
        np.add.at(crossings, (crossed, np.clip(np.ceil(at - 0.5), 0, width).astype(int)), 1)
    pixels = np.cumsum(crossings, axis=1)[:, :width] % 2 == 1
    if not pixels.any():
        raise ObservationError(f"the lasso holds no pixel of the image of {width} x {height} pixels")
    return pixels


def _checked_strokes(strokes: Any, name: str, size: tuple[int, int]) -> np.ndarray:
    array = checked_array(strokes, name, "(H, W)", ObservationError)
    if array.shape != size or array.dtype.kind != "b":
        raise ObservationError(
            f"{name} must be bool of the image's shape {size}, True where strokes are; got shape {array.shape} of {array.dtype}"
        )
    return array


def window_around(pixels: np.ndarray, share: float) -> tuple[int, int, int, int]:
    """left, top, right, bottom around pixels (H, W), with a margin of a share of their longer side, within the image."""
    height, width = pixels.shape
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    margin = max(MIN_MARGIN_PX, math.ceil(share * max(np.ptp(rows) + 1, np.ptp(columns) + 1)))
    left, top = max(0, int(columns[0]) - margin), max(0, int(rows[0]) - margin)
    return left, top, min(width, int(columns[-1]) + 1 + margin), min(height, int(rows[-1]) + 1 + margin)
