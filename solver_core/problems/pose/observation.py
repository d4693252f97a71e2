# SPDX-License-Identifier: Apache-2.0
"""A mask as the cameras of a pose problem see it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PoseObservation(NamedTuple):
    """A mask seen by the problem's cameras.

    coverage: (B, H, W) float32, fraction of the pixel that the object covers.  evidence: (B, H, W) bool, False where the
    image says nothing (beyond its border).  distance: (B, H, W) float32, signed distance to the mask's contour in pixels.
    """

    coverage: np.ndarray
    evidence: np.ndarray
    distance: np.ndarray


def overlap(mask: np.ndarray, observation: PoseObservation) -> np.ndarray:
    """(B,) intersection over union of rendered masks (B, H, W) bool with the observed coverage; 0 if both are empty.

    An observation of one instance serves all masks.
    """
    covered = np.where(observation.evidence, observation.coverage, np.float32(0))
    seen = (mask & observation.evidence).astype(np.float32)  # sums of ones stay exact in float32 up to 16 megapixels
    intersection = np.einsum("bij,bij->b", seen, np.broadcast_to(covered, seen.shape)).astype(np.float64)
    union = covered.sum(axis=(1, 2), dtype=np.float64) + np.einsum("bij->b", seen) - intersection
    return intersection / np.maximum(union, 1e-12)  # an empty union overlaps nothing
