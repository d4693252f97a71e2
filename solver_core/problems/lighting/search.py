"""The best of many lights that differ."""

from __future__ import annotations

import numpy as np

DISTINCT_DEG = 20.0  # chosen starts differ by at least this angle


def distinct_best(lights: np.ndarray, energy: np.ndarray, count: int, angle_deg: float = DISTINCT_DEG) -> np.ndarray:
    """The best of many lights of which no two are alike.

    Args:
        lights: (N, 3) directions or positions.
        energy: (N,) the smaller, the better.
        count: how many at most.
        angle_deg: by which they differ at least, degrees.

    Returns:
        Indices of lights, the best first.
    """
    towards = lights / np.linalg.norm(lights, axis=1, keepdims=True)
    chosen: list[int] = []
    for row in np.argsort(energy, kind="stable"):
        if len(chosen) == count:
            break
        if all(towards[row] @ towards[other] < np.cos(np.radians(angle_deg)) for other in chosen):
            chosen.append(int(row))
    return np.array(chosen, dtype=int)
