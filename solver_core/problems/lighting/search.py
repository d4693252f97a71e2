"""The best of many lights that differ."""

from __future__ import annotations

import numpy as np

DISTINCT_DEG = 20.0  # chosen starts differ by at least this angle


def distinct_best(lights: np.ndarray, energy: np.ndarray, count: int, angle_deg: float = DISTINCT_DEG) -> np.ndarray:
    """Indices of the best lights (N, 3) of which no two are within the angle of each other; at most `count`."""
    towards = lights / np.linalg.norm(lights, axis=1, keepdims=True)
    chosen: list[int] = []
    for row in np.argsort(energy, kind="stable"):
        if len(chosen) == count:
            break
        if all(towards[row] @ towards[other] < np.cos(np.radians(angle_deg)) for other in chosen):
            chosen.append(int(row))
    return np.array(chosen, dtype=int)
