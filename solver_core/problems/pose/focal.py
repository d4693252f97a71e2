# SPDX-License-Identifier: Apache-2.0
"""The focal length: whether another one would explain the mask better than the given one, and which does where none is known.

A wrong focal length hides well: the object is put nearer or farther and looks nearly the same.  What is left is
perspective, a fraction of a pixel on small masks.  But where a mask is clean, all of its outline tells of that fraction: the
focal length is then fitted with the pose, and has to stay where it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from solver_core.kernel.contour import ContourPoints
from solver_core.loop import LoopSettings, solve
from solver_core.problems.pose.freedom import by_surface_point, freer_fit
from solver_core.problems.pose.refine import RefineLevel

FACTORS = np.array([1.0, 0.35, 0.5, 0.7, 0.85, 1.18, 1.4, 2.0, 3.0])  # the given one first, refined as far as the others
FOCAL_LOOP = LoopSettings(steps=12, halvings=2, patience=4)
MIN_GAIN = 0.03  # of energy; less is the noise of pixels
MIN_GAIN_SHARE = 0.35  # of the energy at the given focal length: where a mask is bad, any focal length gains a little
COARSE_STEP = np.log(1.2)  # between the focal lengths that are tried first
NUM_FINER, FINER = 7, (0.3, 0.1)  # focal lengths of the later rounds, and how far apart they are, in coarse steps
AS_GOOD = 0.002  # of energy: focal lengths that explain the mask worse by no more may as well be the true one
AS_GOOD_SHARE = 0.1  # and this part of the lowest energy

# A fit of pose and focal length together that leaves the given one by so many standard deviations, and by this share: else
# pixels or a mesh of few corners may be to blame.  Of right ones on validation meshes the farthest came to 3.3 and 0.006.
SURE_DEVIATIONS, SURE_SHARE = 5.0, 0.015


class FocalFit(NamedTuple):
    """Factors on the focal length: the one that explains the mask best, and the range of those that do about as well."""

    best: float
    low: float
    high: float


def better_focal(level: RefineLevel, pose: np.ndarray) -> float | None:
    """Factor on the focal length that explains the mask clearly better than none, at a level and from a pose (7,), or None."""
    energy, _ = _refined(level, pose, FACTORS)
    best = int(np.argmin(energy))
    gain = energy[0] - energy[best]
    return float(FACTORS[best]) if gain > max(MIN_GAIN, MIN_GAIN_SHARE * energy[0]) else None


def is_focal_doubtful(level: RefineLevel, pose: np.ndarray) -> bool:
    """Whether a focal length free to move leaves the given one, from a settled pose (7,) of a clean mask at its resolution."""
    fit = freer_fit(level, pose, lambda points: by_log_focal(points, pose[4:]))
    return fit is not None and abs(fit.step[0]) > max(SURE_SHARE, SURE_DEVIATIONS * np.sqrt(fit.covariance[0, 0]))


def by_log_focal(points: ContourPoints, position: np.ndarray) -> np.ndarray:
    """(P,) derivative of the residual by the log of the focal length, with the object at a position (3,)."""
    by_point, arm = by_surface_point(points, position)
    return -by_point[:, 2] * (arm[:, 2] + position[2])


def fit_focal(level: RefineLevel, pose: np.ndarray, low: float, high: float) -> tuple[FocalFit, np.ndarray]:
    """The factor between low and high that explains the mask best, and the pose (7,) with it, from a pose (7,) at a level."""
    logs = np.linspace(np.log(low), np.log(high), 2 + int(np.log(high / low) / COARSE_STEP))
    energies, poses = _refined(level, pose, np.exp(logs))
    for step in FINER:
        best = int(np.argmin(energies))
        more = logs[best] + COARSE_STEP * step * np.arange(-(NUM_FINER // 2), NUM_FINER // 2 + 1)
        more = more[(more >= np.log(low)) & (more <= np.log(high))]
        more_energies, more_poses = _refined(level, _seen_alike(poses[best], np.exp(-logs[best])), np.exp(more))
        logs, energies = np.concatenate([logs, more]), np.concatenate([energies, more_energies])
        poses = np.concatenate([poses, more_poses])
    best = int(np.argmin(energies))
    as_good = np.exp(logs[energies <= energies[best] + AS_GOOD + AS_GOOD_SHARE * energies[best]])
    # The lowest of what was tried owes something to the noise of pixels; the middle of those about as good does less.
    middle = float(np.sqrt(as_good.min() * as_good.max()))
    return FocalFit(middle, float(as_good.min()), float(as_good.max())), _seen_alike(poses[best], middle / np.exp(logs[best]))


def _refined(level: RefineLevel, pose: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies (K,) and poses (K, 7) that a pose (7,) is refined to with each of the factors (K,) on the focal length."""
    batch = level.repeated(len(factors))
    intrinsics = batch.problem.intrinsics.copy()
    intrinsics[:, :2] *= factors[:, None]
    batch = RefineLevel(replace(batch.problem, intrinsics=intrinsics), batch.observation)
    x = np.stack([_seen_alike(pose, factor) for factor in factors])
    solution = solve(batch.problem, batch.update, batch.observation, x, FOCAL_LOOP)
    return solution.energy, solution.x


def _seen_alike(pose: np.ndarray, factor: float) -> np.ndarray:
    """The pose (7,) that is seen as large and at the same place with another focal length."""
    return np.append(pose[:6], pose[6] * factor)
