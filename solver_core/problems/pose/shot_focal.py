# SPDX-License-Identifier: Apache-2.0
"""The focal length of the camera of a shot, where it is not known: from frames that are spread over it, each as sure as it is.

One mask tells little of it, and more where the object's own perspective shows.  Frames are solved with a focal length of their
own each; in the mean of the logarithms a frame counts by how narrow the range is that explains its mask about as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from solver_core.errors import ObservationError
from solver_core.problems.pose.confidence import NORMAL_90
from solver_core.problems.pose.solve import PoseSolution
from solver_core.solution import Verdict

NUM_FRAMES = 6  # of a shot that are solved
LEAST_SPREAD = 0.003  # of the logarithm: the finest step between focal lengths that are tried on a frame


class ShotFocal(NamedTuple):
    """fx: focal length, pixels.  low, high: an interval that holds it nine times in ten."""

    fx: float
    low: float
    high: float


def spread_frames(count: int) -> list[int]:
    """Numbers of the frames of a shot that are solved, of so many."""
    return np.unique(np.linspace(0, count - 1, min(count, NUM_FRAMES)).round().astype(int)).tolist()


def shot_focal(numbers: Iterable[int], solve: Callable[[int], PoseSolution]) -> ShotFocal:
    """The focal length that frames agree on, which solve gives the solutions of, each with a focal length of its own.

    Frames that are not good count only if none is.  Raises ObservationError if there is nothing to solve in any of them.
    """
    solutions: list[PoseSolution] = []
    error: ObservationError | None = None
    for number in numbers:
        try:
            solutions.append(solve(number))
        except ObservationError as caught:
            error = error or caught
    if not solutions:
        raise error or ObservationError("there are no frames to find the focal length from")
    good = [one for one in solutions if one.verdict is Verdict.GOOD] or solutions
    logs = np.log([one.camera.fx for one in good])
    spreads = LEAST_SPREAD + np.diff(np.log([one.focal_range or (1.0, 1.0) for one in good]))[:, 0] / 2
    weights = spreads**-2
    mean = float(np.average(logs, weights=weights))
    apart = weights @ (logs - mean) ** 2 / max(len(good) - 1, 1)  # 1 if frames differ as their ranges say
    half = NORMAL_90 * float(np.sqrt(max(apart, 1.0) / weights.sum()))
    return ShotFocal(*np.exp([mean, mean - half, mean + half]).tolist())
