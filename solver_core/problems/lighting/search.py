"""Where else the lamp might be: a coarse look at the whole half sphere."""

from __future__ import annotations

import numpy as np

NUM_DIRECTIONS = {"sun": 96, "point": 64}  # about 15 and 19 degrees apart, within the reach of the refinement
LOWEST_Z = -0.3  # how far behind the objects a lamp is looked for: a grazing one still lights some of what is seen
DISTANCES = (0.6, 1.2, 3.0)  # of a point lamp, units of the scene: inside it, near it, far from it
DISTINCT_DEG = 20.0  # chosen starts differ by at least this angle


def candidate_lights(kind: str) -> np.ndarray:
    """(N, 3) lights spread over the half sphere on the camera's side and a little beyond."""
    count = NUM_DIRECTIONS[kind]
    index = np.arange(count) + 0.5
    z = 1 - (1 - LOWEST_Z) * index / count
    azimuth = np.pi * (1 + np.sqrt(5)) * index  # golden angle: no two in a row
    radius = np.sqrt(1 - z * z)
    directions = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1).astype(np.float32)
    if kind == "sun":
        return directions
    return np.concatenate([directions * np.float32(distance) for distance in DISTANCES])


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
