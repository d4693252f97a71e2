# SPDX-License-Identifier: Apache-2.0
"""Images as arrays."""

from __future__ import annotations

import numpy as np


def block_mean(images: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor blocks of images (B, H, W, ...), float32; the last blocks repeat the border to be full."""
    if factor == 1:
        return images.astype(np.float32, copy=False)
    count, height, width, *rest = images.shape
    padding = [(0, 0), (0, -height % factor), (0, -width % factor), *[(0, 0) for _ in rest]]
    padded = np.pad(images, padding, mode="edge")
    blocks = padded.reshape(count, padded.shape[1] // factor, factor, padded.shape[2] // factor, factor, *rest)
    return blocks.mean(axis=(2, 4), dtype=np.float32)
