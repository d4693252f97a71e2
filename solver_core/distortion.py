# SPDX-License-Identifier: Apache-2.0
"""Lens distortion as OpenCV has it, and how an image is freed of it.

Normalised image coordinates here are those of OpenCV: x to the right, y down, at depth 1.
"""

from __future__ import annotations

import numpy as np

RADIAL_COUNTS = (4, 5, 8)  # k1 k2 p1 p2 [k3 [k4 k5 k6]]
FISHEYE_COUNT = 4  # k1 k2 k3 k4 of the angle


def distorted(points: np.ndarray, coefficients: tuple[float, ...], is_fisheye: bool) -> np.ndarray:
    """Where a lens shows points.

    Args:
        points: (N, 2) normalised image coordinates of a pinhole.
        coefficients: OpenCV's k1 k2 p1 p2 [k3 [k4 k5 k6]], or k1 k2 k3 k4 of its fisheye model.
        is_fisheye: which of the two models.

    Returns:
        (N, 2) normalised image coordinates in the picture of the lens.
    """
    x, y = points[:, 0], points[:, 1]
    if is_fisheye:
        radius = np.hypot(x, y)
        angle = np.arctan(radius)
        powers = angle[:, None] ** np.array([2, 4, 6, 8])
        factor = angle * (1 + powers @ np.array(coefficients)) / np.where(radius > 0, radius, 1)
        return points * np.where(radius > 0, factor, 1)[:, None]
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, 0, 0, 0, 0)[:8]
    square = x * x + y * y
    radial = (1 + square * (k1 + square * (k2 + square * k3))) / (1 + square * (k4 + square * (k5 + square * k6)))
    shift_x = 2 * p1 * x * y + p2 * (square + 2 * x * x)
    shift_y = p1 * (square + 2 * y * y) + 2 * p2 * x * y
    return np.stack([x * radial + shift_x, y * radial + shift_y], axis=1)


def undistorted_image(
    image: np.ndarray, intrinsics: np.ndarray, coefficients: tuple[float, ...], is_fisheye: bool
) -> np.ndarray:
    """The image that a pinhole of the same intrinsics would have taken, sampled bilinearly.

    Args:
        image: (H, W) or (H, W, C) float.
        intrinsics: (4,) fx, fy, cx, cy in pixels.
        coefficients: as `distorted` takes them.
        is_fisheye: as `distorted` takes it.

    Returns:
        An image of the same shape; what the lens did not see repeats the image's border.
    """
    height, width = image.shape[:2]
    fx, fy, cx, cy = intrinsics
    rows, columns = np.mgrid[:height, :width] + 0.5
    points = np.stack([(columns.ravel() - cx) / fx, (rows.ravel() - cy) / fy], axis=1)
    seen = distorted(points, coefficients, is_fisheye)
    column = np.clip(seen[:, 0] * fx + cx - 0.5, 0, width - 1)
    row = np.clip(seen[:, 1] * fy + cy - 0.5, 0, height - 1)
    left, top = np.minimum(column.astype(int), max(width - 2, 0)), np.minimum(row.astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    trailing = (-1, *[1] * (image.ndim - 2))
    u, v = (column - left).reshape(trailing), (row - top).reshape(trailing)
    upper = image[top, left] * (1 - u) + image[top, right] * u
    lower = image[bottom, left] * (1 - u) + image[bottom, right] * u
    return (upper * (1 - v) + lower * v).reshape(image.shape).astype(image.dtype)
