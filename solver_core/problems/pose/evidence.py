# SPDX-License-Identifier: Apache-2.0
"""What speaks for a pose and against it, at the mask's resolution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.kernel.contour import ContourPoints, contour_points
from solver_core.problems.pose.contour import damped_normal_equations
from solver_core.problems.pose.likelihood import misfit
from solver_core.problems.pose.observation import PoseObservation, overlap
from solver_core.problems.pose.refine import RefineLevel
from solver_core.problems.pose.symmetry import Symmetries

ROW = np.array([0])
PIXEL_NOISE = 1 / np.sqrt(12)  # pixels: standard deviation of an edge that is known to be within a pixel
ROBUST_PX = 2.0  # pixels of the level, as the last refinement's
FREE_VARIANCE = 1e6  # of a step that no outline sees
MAX_GAP = 0.5  # of energy, to another pose: where none was met, or one that explains nothing


class Evidence(NamedTuple):
    """About a pose; the shares are in [0, 1].

    iou: overlap with the mask.  outline, unexplained, hidden, energy: see likelihood.py, of the mask without the offset of its
    edge.
    inliers: share of the object's outline that lies on the mask's.  edge_px: how far the mask's edge lies outside of it, in
    pixels of the level, which has up to 224 across the mask.
    gap: energy by which the next pose that looks different is worse.  size_px: the mask's longer side, pixels of the level.
    rotation_deg, across, along: standard deviations of rotation, and of the place across and along the view in diagonals of the
    mesh, if pixels of the outline were off one by one as they are.
    """

    iou: float
    outline: float
    unexplained: float
    hidden: float
    inliers: float
    edge_px: float
    energy: float
    gap: float
    size_px: float
    rotation_deg: float
    across: float
    along: float

    @property
    def offset(self) -> float:
        """How far the outline is off on average where it lies on the mask's, in units of the limit."""
        return (self.outline - (1 - self.inliers)) / self.inliers if self.inliers > 0 else 1.0


class ImageEvidence(NamedTuple):
    """What a photograph says of a pose, beside the mask that was found in it.

    contrast: by how many nats a pixel of the object is likelier with colours of its own.  edges: how much sharper the image is
    along the outline than elsewhere, in [-1, 1].  weak: share of the outline, in [0, 1], along which it is less sharp.
    gap: nats by which the next pose that looks different makes the image less likely.  start_deg: how far it is turned
    from the start.  alike: share of the outline, in [0, 1], along which
    object and surroundings have the same colours.
    """

    contrast: float
    edges: float
    weak: float
    gap: float
    start_deg: float
    alike: float


class ShotEvidence(NamedTuple):
    """What the frames before say of a pose that was followed from them.

    usual_offset: of the poses in this shot: how well masks or colours tell the outline is not the pose's fault.
    of_photographs: whether the frames are those, or masks.
    """

    usual_offset: float
    of_photographs: bool


class Looked(NamedTuple):
    """Evidence, and the covariance (6, 6) of an SE3 step from the pose that its standard deviations are of."""

    evidence: Evidence
    covariance: np.ndarray


def gather_evidence(
    level: RefineLevel, pose: np.ndarray, edge_px: float, other_energies: np.ndarray, symmetries: Symmetries
) -> Looked:
    """Evidence about a pose (7,) at a level, where the mask's edge is known to be so far off, and other poses were met."""
    problem, observation = level
    depth = problem.forward(pose[None], ROW)
    cut_px = problem.cut_px or 1.0
    mended = _with_edge_moved(observation, -edge_px)
    parts = misfit(depth, mended, cut_px)
    points = contour_points(pose[None, 4:], depth, mended.distance, mended.evidence, problem.intrinsics)
    off, length = np.abs(points.residual) / cut_px, points.weight.sum()
    covariance = _covariance(points, cut_px)
    rotation_deg, across, along = spreads(covariance, pose, symmetries)
    is_object = observation.coverage[0] >= 0.5
    evidence = Evidence(
        iou=float(overlap(np.isfinite(depth), observation)[0]),
        outline=float(parts.outline[0]),
        unexplained=float(parts.unexplained[0]),
        hidden=float(parts.hidden[0]),
        inliers=float((off < 1) @ points.weight / length) if length > 0 else 0.0,
        edge_px=edge_px,
        energy=float(parts.energy[0]),
        gap=float(np.clip(np.min(other_energies, initial=np.inf) - parts.energy[0], 0, MAX_GAP)),
        size_px=float(max(np.ptp(np.flatnonzero(is_object.any(axis=axis))) + 1 for axis in (0, 1))),
        rotation_deg=rotation_deg,
        across=across,
        along=along,
    )
    return Looked(evidence, covariance)


def spreads(covariance: np.ndarray, pose: np.ndarray, symmetries: Symmetries) -> tuple[float, float, float]:
    """rotation_deg, across and along, as in Evidence, of a covariance (6, 6) of SE3 steps from a pose (7,)."""
    variance, distance = np.diag(_without_free_turn(covariance, pose, symmetries)), -pose[6]
    rotation_deg = float(np.degrees(np.sqrt(variance[:3].sum())))
    return rotation_deg, float(distance * np.sqrt(variance[3:5].sum())), float(distance * np.sqrt(variance[5]))


def _with_edge_moved(observation: PoseObservation, outwards_px: float) -> PoseObservation:
    """The observation of a mask whose edge lies farther out."""
    if outwards_px == 0:
        return observation
    distance = observation.distance - np.float32(outwards_px)
    return observation._replace(coverage=(distance < 0).astype(np.float32), distance=distance)


def _covariance(points: ContourPoints, cut_px: float) -> np.ndarray:
    """(6, 6) of an SE3 step, from how far the outline is off where it lies on the mask's."""
    near = np.minimum(np.abs(points.residual), cut_px)
    if len(points.residual) == 0:
        return np.eye(6) * FREE_VARIANCE
    noise = np.average(near**2, weights=points.weight + 1e-9) + PIXEL_NOISE**2
    hessian, _ = damped_normal_equations(points, np.array([ROBUST_PX]))
    return noise * np.linalg.inv(hessian[0])


def _without_free_turn(covariance: np.ndarray, pose: np.ndarray, symmetries: Symmetries) -> np.ndarray:
    """The covariance without the turn about a round axis, which changes nothing that is seen."""
    if symmetries.axis is None:
        return covariance
    axis_camera = rotations.rotate(pose[:4], symmetries.axis)
    project = np.eye(6)
    project[:3, :3] -= np.outer(axis_camera, axis_camera)
    return project @ covariance @ project
