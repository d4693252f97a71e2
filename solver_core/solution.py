# SPDX-License-Identifier: Apache-2.0
"""What the loop yields and what a solve returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np

from solver_core.problem import Arrays


class StopReason(Enum):
    """Why an instance stopped; the value is a sentence for the user.  How good the answer is, the Verdict says."""

    CONVERGED = "The energy reached its goal."
    STALLED = "Further steps gained almost nothing."
    MAX_STEPS = "The number of steps was used up; more steps may improve the estimate."
    NO_DECREASE = "No step, however small, explained the observation better."
    CANCELLED = "The solve was cancelled; the estimate is the best one so far."


class Verdict(Enum):
    """How far an answer can be trusted; each problem decides it in one place, its verdict.py.

    It alone decides exit codes, marks in a panel and the status of a batch task.
    """

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


class Judgement(NamedTuple):
    """A verdict, and the sentence that explains it with the numbers that it follows from."""

    verdict: Verdict
    explanation: str


class Cancelled(Exception):
    """Raised by the user's `on_step` to end a solve early; the solve then returns the best estimate so far."""


@dataclass(frozen=True)
class Iteration:
    """State after a step of Algorithm 1; index 0 is the start.

    x (B, ...), prediction f(x), energy (B,), damping (B,) the factor by which the step was taken, 0 where none was;
    accepted (B,) bool, the instances whose energy is lower than ever before, which with damping are all that moved;
    is_active (B,) bool, the instances that will try another step; seconds since the start.
    """

    index: int
    x: np.ndarray
    prediction: Arrays
    energy: np.ndarray
    damping: np.ndarray
    accepted: np.ndarray
    is_active: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Solution:
    """Result of one method on a batch: x (B, ...), energy (B,), a StopReason each, and every iteration.

    The history keeps no predictions (`prediction` is None there), so that a long batch stays small.
    """

    x: np.ndarray
    energy: np.ndarray
    reasons: list[StopReason]
    history: list[Iteration]
    seconds: float
