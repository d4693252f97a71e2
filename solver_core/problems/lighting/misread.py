# SPDX-License-Identifier: Apache-2.0
"""Whether the values of an image were read as what they are: linear light, or sRGB that was decoded.

Read the wrong way, shading is too steep or too flat for any light, so another light explains the image better when the mistake
is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.problems.lighting.observation import observe
from solver_core.problems.lighting.problem import LightingProblem

# Share of what the look at all lights leaves that is left when a mistake is undone, below which it is looked into.  Validation
# scenes by Cycles had at most 0.6, and down to 0.45 where the image had been read rightly: so that alone says nothing.
LOOKED_INTO = 0.6


class Mistake(NamedTuple):
    """sentence: for the user.  undo: gives the linear values (...) of those that were read."""

    sentence: str
    undo: Callable[[np.ndarray], np.ndarray]

    def undone(self, problem: LightingProblem) -> LightingProblem:
        """A problem with the values of its images as they would have been read."""
        observation = problem.observation
        other = observe(self.undo(observation.image * observation.level[:, None, None]), observation.weight)
        strength = problem.strength * (observation.level / other.level)[:, None]  # in bright levels
        return replace(problem, observation=other, strength=strength.astype(np.float32))


MISTAKES = (
    Mistake(
        "The image looks linear although it was decoded as sRGB: read its values as they are (linear, Non-Color).",
        srgb_from_linear,
    ),
    Mistake(
        "The image looks like sRGB although its values were taken for linear: decode them first (sRGB color space).",
        linear_from_srgb,
    ),
)


def may_be_misread(problem: LightingProblem) -> bool:
    """Whether all values of the images are between 0 and 1, as in a picture in sRGB."""
    observation = problem.observation
    values = observation.image * observation.level[:, None, None]
    return float(values.min()) >= 0 and float(values.max()) <= 1
