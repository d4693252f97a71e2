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
    """(B,) intersection over union of rendered masks (B, H, W) bool with the observed coverage; 0 if both are empty."""
    mask = mask & observation.evidence
    covered = np.where(observation.evidence, observation.coverage, 0)
    intersection = np.sum(covered, axis=(1, 2), where=mask, dtype=np.float64)
    union = np.sum(covered, axis=(1, 2), dtype=np.float64) + mask.sum(axis=(1, 2)) - intersection
    return intersection / np.maximum(union, 1e-12)  # an empty union overlaps nothing
