"""What speaks for a pose and against it, at the mask's resolution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.kernel.contour import contour_points
from solver_core.problems.pose.likelihood import misfit
from solver_core.problems.pose.observation import overlap
from solver_core.problems.pose.refine import RefineLevel

ROW = np.array([0])


class Evidence(NamedTuple):
    """About a pose; the shares are in [0, 1].

    iou: overlap with the mask.  outline, unexplained, hidden, energy: see likelihood.py; outline after the offset of the edge.
    inliers: share of the object's outline that lies on the mask's.  edge_px: how far the mask's edge lies outside of it.
    """

    iou: float
    outline: float
    unexplained: float
    hidden: float
    inliers: float
    edge_px: float
    energy: float


def gather_evidence(level: RefineLevel, pose: np.ndarray, edge_px: float) -> Evidence:
    """Evidence about a pose (7,) at a level, where the mask's edge is known to be so far off."""
    problem, observation = level
    depth = problem.forward(pose[None], ROW)
    cut_px = problem.cut_px or 1.0
    parts = misfit(depth, observation, cut_px)
    points = contour_points(pose[None, 4:], depth, observation.distance, observation.evidence, problem.intrinsics)
    off, length = np.abs(points.residual + edge_px) / cut_px, points.weight.sum()
    return Evidence(
        iou=float(overlap(np.isfinite(depth), observation)[0]),
        outline=float(np.minimum(off, 1) @ points.weight / length) if length > 0 else 1.0,
        unexplained=float(parts.unexplained[0]),
        hidden=float(parts.hidden[0]),
        inliers=float((off < 1) @ points.weight / length) if length > 0 else 0.0,
        edge_px=edge_px,
        energy=float(parts.energy[0]),
    )
