# SPDX-License-Identifier: Apache-2.0
"""The minimum cut of an image into two parts, in its continuous form.

Minimises the sum of u cost + weight |gradient of u| over 0 <= u <= 1.  It is convex, so there is one minimum, and nearly all
of it is 0 or 1: the cut with the shortest weighted outline for its cost (Chan, Esedoglu and Nikolova 2006), without a graph's
preference for directions.  Solved by the primal-dual steps of Chambolle and Pock 2011, from coarse to fine.
"""

from __future__ import annotations

import numpy as np

from solver_core.images import block_mean, block_repeat

STEP = np.float32(0.35)  # of both variables: the product times 8 must be below 1
COARSEST_PX = 40  # the shorter side of the smallest image
STEPS = 60  # on the finest image; twice as many on each coarser one


def minimum_cut(cost: np.ndarray, weight: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """(H, W) float32 in [0, 1].

    Args:
        cost: (H, W) of a pixel that is inside.
        weight: (H, W) of a pixel's length of outline.
        start: (H, W) in [0, 1], where to begin; None goes from coarse to fine.
    """
    cost, weight = cost.astype(np.float32), weight.astype(np.float32)
    if start is None:
        steps = STEPS
        if min(cost.shape) >= 2 * COARSEST_PX:
            coarse = minimum_cut(*(block_mean(image[None], 2)[0] for image in (2 * cost, weight)))
            start = block_repeat(coarse, 2, (cost.shape[0], cost.shape[1]))
        else:
            start, steps = (cost < 0).astype(np.float32), 4 * STEPS
    else:
        steps = STEPS
    scale = np.float32(1 / max(float(np.abs(weight).max()), 1e-6))  # both terms by the same number: the minimum stays
    return _descended(cost * scale, weight * scale, start.astype(np.float32), steps)


def _descended(cost: np.ndarray, weight: np.ndarray, inside: np.ndarray, steps: int) -> np.ndarray:
    height, width = cost.shape
    # The dual variable: a pull to the right and one down, at each pixel; the last column and row have none.
    right, down = np.zeros((2, height, width), np.float32)
    ahead = inside
    for _ in range(steps):
        right[:, :-1] += STEP * (ahead[:, 1:] - ahead[:, :-1])
        down[:-1] += STEP * (ahead[1:] - ahead[:-1])
        excess = np.maximum(1, np.sqrt(right * right + down * down) / np.maximum(weight, 1e-6))
        right /= excess
        down /= excess
        pull = right + down
        pull[:, 1:] -= right[:, :-1]
        pull[1:] -= down[:-1]
        moved = np.clip(inside + STEP * (pull - cost), 0, 1)
        ahead = 2 * moved - inside
        inside = moved
    return inside
