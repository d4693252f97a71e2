# SPDX-License-Identifier: Apache-2.0
"""Pictures that are no photographs: colours in space that look like materials, and shapes that hide each other."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from solver_core.images import gaussian_blur

NUM_SHAPES = 30, 400  # of a picture
LARGEST, SMALLEST, POWER = 0.6, 0.02, 2.0  # half a shape's side, of the picture's; how much rarer larger ones are
SIMILAR = 0.5, 0.95  # a pattern's second colour, of its first


def draw_pattern(rng: np.random.Generator, points: np.ndarray, colour: np.ndarray, scale: float) -> np.ndarray:
    """(N, 3) colours of points (N, 3), or (N, 2), in a random pattern of a colour (3,) and a second one.

    scale: length over which patterns vary.
    """
    second = colour * rng.uniform(*SIMILAR) * rng.uniform(0.8, 1.2, 3) if rng.uniform() < 0.75 else rng.uniform(0, 0.8, 3)
    kind = rng.choice(["plain", "waves", "noise", "checker", "bricks", "cells", "stripes", "grain"])
    frequency = 1 / (scale * rng.uniform(0.05, 0.5))
    if kind == "plain":
        return np.tile(colour, (len(points), 1))
    if kind == "checker":
        share = np.floor(points * frequency).sum(axis=1) % 2
    elif kind == "bricks":
        row = np.floor(points[:, -1] * frequency)
        along = points[:, 0] * frequency / 2 + 0.5 * (row % 2)
        joint = rng.uniform(0.03, 0.12)
        share = ((points[:, -1] * frequency - row < 2 * joint) | (along % 1 < joint)).astype(float)
        tone = np.sin(12.9 * row + 78.2 * np.floor(along)) * rng.uniform(0, 0.3)
        return ((1 + tone)[:, None] * colour) * (1 - share[:, None]) + share[:, None] * second
    elif kind == "cells":
        seeds = rng.uniform(points.min(axis=0), points.max(axis=0) + 1e-6, (int(rng.integers(8, 150)), points.shape[1]))
        _, nearest = KDTree(seeds).query(points)
        share = rng.uniform(size=len(seeds))[nearest]
    elif kind == "stripes":
        direction = rng.normal(size=points.shape[1])
        share = ((points @ direction) * frequency % 1 < rng.uniform(0.1, 0.6)).astype(float)
    elif kind == "grain":
        share = rng.uniform(size=len(points)) * rng.uniform(0.2, 1)
    else:
        octaves = 2.0 ** rng.uniform(0, 3 if kind == "noise" else 1, 10)
        turns = rng.normal(size=(10, points.shape[1])) * octaves[:, None] * frequency
        sums = (np.sin(points @ turns.T + rng.uniform(0, 6.3, 10)) / octaves).sum(axis=1)
        share = 1 / (1 + np.exp(-sums * rng.choice([0.5, 2, 10])))
    return share[:, None] * second + (1 - share[:, None]) * colour


def draw_picture(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) linear: shapes of all sizes, each before the earlier ones, like fallen leaves (Lee et al. 2001)."""
    rows, columns = np.mgrid[:size, :size] / size
    points = np.stack([columns.ravel(), rows.ravel()], axis=1)
    base = rng.uniform(0.05, 0.8) * rng.uniform(0.5, 1, 3)
    image = draw_pattern(rng, points, base, rng.uniform(0.3, 2)).reshape(size, size, 3)
    count = int(np.exp(rng.uniform(*np.log(NUM_SHAPES))))
    palette = rng.uniform(0.02, 0.9, (5, 1)) * rng.uniform(0.4, 1, (5, 3))
    for _ in range(count):
        radius = (rng.uniform(LARGEST ** (1 - POWER), SMALLEST ** (1 - POWER))) ** (1 / (1 - POWER))
        across, down = rng.uniform(0, 1, 2)
        left, right = (int(np.clip((across + side * radius) * size, 0, size)) for side in (-1.5, 1.5))
        top, bottom = (int(np.clip((down + side * radius) * size, 0, size)) for side in (-1.5, 1.5))
        if right - left < 2 or bottom - top < 2:
            continue
        part = np.s_[top:bottom, left:right]
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.15, 1)
        x, y = columns[part] - across, rows[part] - down
        x, y = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) / flat
        is_here = x * x + y * y < radius**2 if rng.uniform() < 0.5 else np.maximum(np.abs(x), np.abs(y)) < radius
        colour = palette[rng.integers(5)] * rng.uniform(0.6, 1.2) if rng.uniform() < 0.8 else rng.uniform(0, 0.9, 3)
        if is_here.sum() < 4:
            continue
        here = np.stack([x[is_here], y[is_here]], axis=1)
        filled = draw_pattern(rng, here, colour, radius) if radius > 0.06 else np.tile(colour, (len(here), 1))
        lit = 1 + rng.uniform(0, 0.5) * (here @ rng.normal(size=2)) / radius
        image[part][is_here] = filled * np.clip(lit, 0.3, 2)[:, None]
    if rng.uniform() < 0.7:
        blur = np.exp(rng.uniform(np.log(0.4), np.log(5)))
        image = np.stack([gaussian_blur(channel, blur) for channel in np.moveaxis(image, 2, 0)], axis=2)
    sky = rng.uniform(0, 1) * (rows - 0.5) * rng.choice([-1, 1]) if rng.uniform() < 0.5 else 0 * rows
    return np.clip(image * (1 + sky)[..., None], 0, 2).astype(np.float32)
