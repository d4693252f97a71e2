# SPDX-License-Identifier: Apache-2.0
"""Branches over time: what meets the targets in two ways goes on as in the frame before, without turning over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core import loop, rotations
from solver_core.problem import take
from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.refine import END, REFINE, least_squares_update

TURNED_OVER = np.radians(60)  # between two frames; bodies turn by 30 degrees at most
JOINED = np.radians(20)  # all joints within it: the ways have met
ONE_TAKE = (
    0.1  # of the targets' distance from the root, on average: where they move farther between two frames, joints may, too
)


@dataclass(frozen=True, eq=False)
class Follower:
    """Goes on from frames to those beside them.  targets: of all F frames."""

    problem: KinematicProblem
    targets: Targets

    def followed(self, x: np.ndarray) -> np.ndarray:
        """(F, J, 4) poses x (F, J, 4) in which stretches of frames go on as the longest one before or after them does.

        Where a joint turns over between two frames without targets that do, the frames of the shorter stretch are solved again
        from the pose beside them, one after the other, as long as that meets the targets as well and is nearer to it, until
        both ways meet or another take begins.
        """
        goes_on = self._goes_on()
        jumps = turned_over(x)
        jumps = jumps[goes_on[jumps]]
        if len(jumps) == 0:
            return x
        answer, edges = x.copy(), np.concatenate([[0], jumps + 1, [len(x)]])
        energy = self._energy(x, np.arange(len(x)))
        longest = int(np.argmax(np.diff(edges)))
        for first, step in ((edges[longest + 1], 1), (edges[longest] - 1, -1)):
            has_met = True
            for frame in range(first, len(x) if step > 0 else -1, step):
                if not goes_on[min(frame, frame - step)]:  # another take begins
                    has_met = True
                    continue
                before = answer[frame - step]
                if has_met and _angle(before, x[frame]) <= TURNED_OVER:
                    continue
                solution = self._solved(before[None], frame)
                is_as_good = solution.energy[0] <= max(energy[frame], END)
                is_nearer = _angle(before, solution.x[0]) < _angle(before, x[frame])
                if is_as_good and is_nearer:
                    answer[frame] = solution.x[0]
                has_met = not (is_as_good and is_nearer) or _angle(answer[frame], x[frame]) < JOINED
        return answer if len(turned_over(answer)) < len(jumps) else x

    def _goes_on(self) -> np.ndarray:
        """(F - 1,) bool between which frames the targets move as in one take."""
        positions, given = self.targets.positions, self.targets.weights > 0
        both = given[1:] & given[:-1]
        moved = (both * np.linalg.norm(positions[1:] - positions[:-1], axis=-1)).sum(axis=1)
        return moved <= ONE_TAKE * (both * np.linalg.norm(positions[1:], axis=-1)).sum(axis=1)

    def _energy(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self.problem.energy(self.problem.forward(x, rows), take(self.targets, rows), rows)

    def _solved(self, start: np.ndarray, frame: int) -> loop.Solution:
        rows = np.array([frame])
        part = KinematicProblem(self.problem.body, self.problem.offsets[rows], self.problem.limits)
        return loop.solve(part, least_squares_update(part), take(self.targets, rows), start, REFINE)


def turned_over(x: np.ndarray) -> np.ndarray:
    """Frames after which a joint of poses x (F, J, 4) turns by more than bodies do."""
    return np.flatnonzero(rotations.angle_between(x[1:], x[:-1]).max(axis=1, initial=0) > TURNED_OVER)


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    """Largest turn of a joint between two poses (J, 4), radians."""
    return float(rotations.angle_between(one, other).max())
