# SPDX-License-Identifier: Apache-2.0
"""Pose as an inverse problem: f renders the silhouette at a pose, E is one minus the overlap with the mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver_core import render
from solver_core.frames import matrix_from_pose
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problem import Features
from solver_core.problems.pose import features as pose_features
from solver_core.problems.pose.likelihood import misfit
from solver_core.problems.pose.observation import PoseObservation, overlap


@dataclass(frozen=True, eq=False)
class PoseProblem:
    """A batch of meshes, each before its own pinhole camera; all images are height x width.

    meshes: B of them, centred on the origin; the same one may come several times.  intrinsics: (B, 4), see frames.py.
    cut_px: scale of the robust energy, see likelihood.py; None = 1 - IoU.
    x: (B, 7) camera_from_object, wxyz + xyz.  f(x): (B, H, W) depth of the render, infinite beside the object.
    """

    meshes: Sequence[Mesh]
    intrinsics: np.ndarray
    height: int
    width: int
    manifold: SE3 = SE3()
    cut_px: float | None = None

    def repeated(self, count: int) -> PoseProblem:
        """A single instance as `count` equal ones."""
        return replace(self, meshes=[self.meshes[0]] * count, intrinsics=np.repeat(self.intrinsics, count, axis=0))

    def forward(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        meshes = [self.meshes[row] for row in rows]
        return render.render_depth(meshes, matrix_from_pose(x), self.intrinsics[rows], self.height, self.width)

    def energy(self, prediction: np.ndarray, observation: PoseObservation, rows: np.ndarray) -> np.ndarray:
        """How badly the render explains the mask, over the pixels that give evidence."""
        if self.cut_px is None:
            return 1 - overlap(np.isfinite(prediction), observation)
        return misfit(prediction, observation, self.cut_px).energy

    def features(self, x: np.ndarray, prediction: np.ndarray, observation: PoseObservation, rows: np.ndarray) -> Features:
        return pose_features.features(x, prediction, observation, self.intrinsics[rows])

    def step_from_output(self, output: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return output * pose_features.output_scale(self.intrinsics[rows], self.height)

    def output_from_step(self, step: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return step / pose_features.output_scale(self.intrinsics[rows], self.height)
