# SPDX-License-Identifier: Apache-2.0
"""Images as arrays."""

from __future__ import annotations

import math

import numpy as np


def block_mean(images: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor blocks of images (B, H, W, ...), float32; the last blocks repeat the border to be full."""
    if factor == 1:
        return images.astype(np.float32, copy=False)
    _, height, width, *rest = images.shape
    if height % factor or width % factor:
        padding = [(0, 0), (0, -height % factor), (0, -width % factor), *[(0, 0) for _ in rest]]
        images = np.pad(images, padding, mode="edge")
    sums = images[:, ::factor].astype(np.float32)
    for row in range(1, factor):
        sums += images[:, row::factor]
    totals = sums[:, :, ::factor].copy()
    for column in range(1, factor):
        totals += sums[:, :, column::factor]
    return totals / np.float32(factor**2)


def block_repeat(image: np.ndarray, factor: int, size: tuple[int, int]) -> np.ndarray:
    """An image (h, w) whose pixels become factor x factor blocks of one of a size (H, W), which cuts off the last ones."""
    return np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)[: size[0], : size[1]]


def gaussian_blur(image: np.ndarray, deviation_px: float) -> np.ndarray:
    """An image (H, W) under a Gaussian of the given standard deviation, float32.

    Beyond the border the nearest pixel is repeated.
    """
    radius = math.ceil(3 * deviation_px)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation_px) ** 2)
    blurred = image.astype(np.float32)
    for _ in range(2):  # rows, then columns: each pass turns the image
        padded = np.pad(blurred, ((radius, radius), (0, 0)), mode="edge")
        total = np.zeros_like(blurred)
        for first, weight in enumerate(weights / weights.sum()):
            total += np.float32(weight) * padded[first : first + len(blurred)]
        blurred = np.ascontiguousarray(total.T)
    return blurred
