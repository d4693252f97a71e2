# SPDX-License-Identifier: Apache-2.0
"""Refinement of a pose at the mask's own resolution: contour Gauss-Newton, run by the same loop as the networks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from solver_core.frames import Camera
from solver_core.images import block_mean
from solver_core.loop import LoopSettings
from solver_core.mesh import Mesh
from solver_core.problem import Update, repeated
from solver_core.problems.pose.contour import contour_update
from solver_core.problems.pose.crop import coverage_distance
from solver_core.problems.pose.likelihood import CUT
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.problem import PoseProblem

MARGIN = 0.5  # of the mask's longer side, around its box: an estimate that sticks out farther does not get here
SEARCH_PX = 96  # pixels across the mask where many poses are tried
MIN_CUT_PX = 1.0  # outlines of whole pixels are off by up to this much
COARSE_PX = 224  # a level has at most about this many pixels across the mask, except the last
FINE_PX = 1024  # the last level is the mask's own resolution up to this many pixels across; beyond, nothing is gained
ROBUST_PX = (8.0, 2.0, 4.0, 1.0)  # Cauchy scales in pixels of the level, in turn: where one is stuck another is not
REFINE_LOOP = LoopSettings(steps=20, halvings=2, patience=len(ROBUST_PX))
RESTART_LOOP = LoopSettings(steps=8, halvings=2, patience=2)  # enough to tell which start leads to the best fit
FINE_LOOP = LoopSettings(steps=6, halvings=2, patience=2)  # the second level only has to gain what resolution adds


class RefineLevel(NamedTuple):
    """A pose problem at one resolution and its observation.

    A pixel counts as object from half coverage on, so that a right pose overlaps fully; the contour's place within
    partly covered pixels is in the distance.
    """

    problem: PoseProblem
    observation: PoseObservation

    @property
    def update(self) -> Update:
        """The Gauss-Newton step on the contour."""
        return contour_update(self.problem.intrinsics, ROBUST_PX)

    @property
    def exact(self) -> RefineLevel:
        """The same with 1 - IoU as its energy, which counts every pixel: for what is explained but for pixels."""
        return RefineLevel(replace(self.problem, cut_px=None), self.observation)

    def repeated(self, count: int) -> RefineLevel:
        """The single instance as `count` equal ones, for as many starts."""
        return RefineLevel(self.problem.repeated(count), repeated(self.observation, count))


def refine_levels(mesh: Mesh, coverage: np.ndarray, camera: Camera, known: np.ndarray | None = None) -> list[RefineLevel]:
    """Levels from coarse to the mask's own resolution, each for one pose of a mesh (centred, diagonal 1).

    coverage: (H, W) float32 with at least one pixel half covered.  known: (H, W) bool, None = all of it.  Small masks have
    a single level.
    """
    fine = reduction_to(coverage, FINE_PX)
    coarse = max(fine, reduction_to(coverage, COARSE_PX))
    reductions = [coarse] if coarse == fine else [coarse, fine]
    return [level_at(mesh, coverage, camera, reduction, known) for reduction in reductions]


def reduction_to(coverage: np.ndarray, across_px: int) -> int:
    """By which whole number a mask (H, W) is to be reduced so that it is at most about so many pixels across."""
    return math.ceil(max(mask_window(coverage)[2:]) / (1 + 2 * MARGIN) / across_px)


def mask_window(coverage: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, width, height in pixels around the mask; it may reach over the image border."""
    is_object = coverage >= 0.5
    rows, columns = np.flatnonzero(is_object.any(axis=1)), np.flatnonzero(is_object.any(axis=0))
    width, height = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
    margin = math.ceil(MARGIN * max(width, height)) + 2  # two more, so that even a one-pixel mask has surroundings
    return int(columns[0]) - margin, int(rows[0]) - margin, int(width) + 2 * margin, int(height) + 2 * margin


def level_at(mesh: Mesh, coverage: np.ndarray, camera: Camera, reduction: int, known: np.ndarray | None = None) -> RefineLevel:
    """The level at which a pixel is reduction x reduction of the mask's."""
    window = left, top, width, height = mask_window(coverage)
    seen, evidence = _cut_out(coverage, window)
    if known is not None:
        evidence = evidence & _cut_out(known, window)[0]
    seen = block_mean(seen[None], reduction)[0]
    evidence = block_mean(evidence[None].astype(np.float32), reduction)[0] == 1
    level_camera = camera.window(left, top, width, height).scaled(1 / reduction, seen.shape[1], seen.shape[0])
    longer_side = max(width, height) / (1 + 2 * MARGIN) / reduction
    problem = PoseProblem([mesh], level_camera.intrinsics[None], *seen.shape, cut_px=max(CUT * longer_side, MIN_CUT_PX))
    is_object = (seen >= 0.5).astype(np.float32)
    return RefineLevel(problem, PoseObservation(is_object[None], evidence[None], coverage_distance(seen[None])))


def _cut_out(coverage: np.ndarray, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The window of the image (height, width), border pixels repeated beyond it, and (height, width) bool inside it."""
    left, top, width, height = window
    rows, columns = np.arange(top, top + height), np.arange(left, left + width)
    seen = coverage[np.ix_(np.clip(rows, 0, coverage.shape[0] - 1), np.clip(columns, 0, coverage.shape[1] - 1))]
    row_is_in, column_is_in = (rows >= 0) & (rows < coverage.shape[0]), (columns >= 0) & (columns < coverage.shape[1])
    return seen, row_is_in[:, None] & column_is_in
