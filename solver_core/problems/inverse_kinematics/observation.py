# SPDX-License-Identifier: Apache-2.0
"""What inverse kinematics is given: where the nodes are, and how sure that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NOISE_SCALE = 0.01  # metres; noise well below it takes nothing from the weight of a target


class Targets(NamedTuple):
    """positions (B, N, 3) relative to the root's target, metres; weights (B, N) >= 0, 0 = not given.

    noise: (B, N) standard deviation of each coordinate, metres; 0 = exact.
    A root that is not given exactly may be anywhere: positions then are relative to any point.
    """

    positions: np.ndarray
    weights: np.ndarray
    noise: np.ndarray

    @classmethod
    def exact(cls, positions: np.ndarray, weights: np.ndarray) -> Targets:
        """Targets without noise."""
        return cls(positions, weights, np.zeros(positions.shape[:2], positions.dtype))

    def is_exact(self, node: int) -> np.ndarray:
        """(B,) where the target of a node is given and without noise."""
        return (self.weights[:, node] > 0) & (self.noise[:, node] == 0)

    @property
    def precision(self) -> np.ndarray:
        """(B, N) weights, less for those with noise: half at NOISE_SCALE."""
        return self.weights / (1 + (self.noise / NOISE_SCALE) ** 2)
