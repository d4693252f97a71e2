# SPDX-License-Identifier: Apache-2.0
"""Poses that a search has met: which of them differ, which look the same, and how likely each is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.problems.pose.symmetry import Symmetries
from solver_core.solution import StopReason

TURN_BETWEEN = np.radians(4.0)  # poses that are worth following on their own differ by this much or more
DISTINCT_ANGLE = np.radians(10.0)  # alternatives differ from the result, and from each other, by at least this angle
ALTERNATIVE_ENERGY = 0.03  # and fit at most this much worse
ENERGY_OF_CHANCE = 0.01  # a pose whose energy is lower by this is e times as likely


class Candidates(NamedTuple):
    """Poses (B, 7) of the unit mesh in the camera, their energies (B,) at the mask's resolution and stop reasons."""

    x: np.ndarray
    energy: np.ndarray
    reasons: list[StopReason]

    def at(self, rows: list[int]) -> Candidates:
        """Those with the given numbers."""
        return Candidates(self.x[rows], self.energy[rows], [self.reasons[row] for row in rows])

    def distinct(self, count: int) -> list[int]:
        """Up to count rows whose rotations differ, the best first."""
        kept: list[int] = []
        for row in np.argsort(self.energy, kind="stable"):
            others = self.x[kept, :4]
            if (rotations.angle_between(self.x[row, :4], others) > TURN_BETWEEN).all():
                kept.append(int(row))
        return kept[:count]

    def others_than(self, pose: np.ndarray, symmetries: Symmetries) -> Candidates:
        """Those that look different from a pose (7,) and from each other, the best first."""
        kept, rows = [pose], []
        for row in np.argsort(self.energy, kind="stable"):
            if all(_turn_between(self.x[row], other, symmetries) > DISTINCT_ANGLE for other in kept):
                kept.append(self.x[row])
                rows.append(int(row))
        return self.at(rows)

    def as_good_as(self, energy: float) -> Candidates:
        """Those that explain the mask about as well as a pose of this energy."""
        return self.at(np.flatnonzero(self.energy <= energy + ALTERNATIVE_ENERGY).tolist())


class LikelyPose(NamedTuple):
    """pose: (7,).  probability: that it is this one, among a result and its alternatives."""

    pose: np.ndarray
    probability: float


def likely_others(pose: np.ndarray, energy: float, others: Candidates, symmetries: Symmetries) -> list[LikelyPose]:
    """Poses that look the same as a pose (7,), and others that fit about as well as its energy, the likeliest first."""
    as_good = others.as_good_as(energy)
    same = symmetries.equivalents(pose, pose[:4])[1:]
    poses = np.concatenate([same, as_good.x])
    energies = np.concatenate([np.full(len(same) + 1, energy), as_good.energy])
    weight = np.exp((energies.min() - energies) / ENERGY_OF_CHANCE)
    probability = (weight / weight.sum())[1:]
    order = np.argsort(-probability, kind="stable")
    return [LikelyPose(poses[row], float(probability[row])) for row in order]


def joined(a: Candidates, b: Candidates) -> Candidates:
    """All of both."""
    return Candidates(np.concatenate([a.x, b.x]), np.concatenate([a.energy, b.energy]), a.reasons + b.reasons)


def _turn_between(a: np.ndarray, b: np.ndarray, symmetries: Symmetries) -> float:
    """Angle between poses (7,), the least over those that look the same."""
    return float(rotations.angle_between(symmetries.nearest(a, b[:4])[:4], b[:4]))
