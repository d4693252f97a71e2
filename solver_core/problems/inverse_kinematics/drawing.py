# SPDX-License-Identifier: Apache-2.0
"""Draws skeletons on their targets.  Needs pillow (the `cli` extra)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver_core.command.pictures import BACKGROUND, CYAN, ORANGE
from solver_core.optional import needed_for
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

PANEL_PX = 300  # height of a picture
OVERSAMPLING = 2  # drawn larger and reduced, for soft edges
BONE_PX = 5
DOT_PX = 3
MARGIN = 0.08  # of the height
VIEW_ANGLE = np.radians(25)  # from the front towards the side, so that neither hides the other


class View:
    """An orthographic camera in front of positions (F, N, 3), the same for all of its pictures.

    The longest side of the skeleton at rest is drawn upwards.
    """

    def __init__(self, skeleton: Skeleton, positions: np.ndarray) -> None:
        self.skeleton = skeleton
        rest = skeleton.rest_positions()
        up = int(np.argmax(np.ptp(rest, axis=0)[1:])) + 1  # y or z
        forward = 3 - up
        across = np.cos(VIEW_ANGLE) * np.eye(3)[0] + np.sin(VIEW_ANGLE) * np.eye(3)[forward]
        self.axes = np.stack([across, -np.eye(3)[up]])  # (2, 3) column and row
        flat = positions @ self.axes.T
        centred = flat - self._middles(flat)
        low, high = centred.min(axis=(0, 1)), centred.max(axis=(0, 1))
        usable = 1 - 2 * MARGIN
        self.scale = PANEL_PX * usable / max(float((high - low)[1]), 1e-6)
        self.width = int(np.ceil(self.scale * float((high - low)[0]) / usable))
        self.offset = np.array([self.width, PANEL_PX]) / 2 - self.scale * (low + high) / 2

    def _middles(self, flat: np.ndarray) -> np.ndarray:
        """(F, 1, 2) where each frame is centred: on its root across, on the ground as it is."""
        middles = flat[:, [self.skeleton.root]].copy()
        middles[..., 1] = 0
        return middles

    def draw(self, positions: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Picture (H, W, 3) of one frame: bones between positions (N, 3), and dots on targets (N, 3), nan = none."""
        with needed_for("drawing pictures", extra="cli"):
            from PIL import Image, ImageDraw
        size = (OVERSAMPLING * self.width, OVERSAMPLING * PANEL_PX)
        image = Image.new("RGB", size, BACKGROUND)
        pencil = ImageDraw.Draw(image)
        middle = self._middles((positions @ self.axes.T)[None])[0]
        points, dots = (OVERSAMPLING * ((p @ self.axes.T - middle) * self.scale + self.offset) for p in (positions, targets))
        for node, parent in enumerate(self.skeleton.parents):
            if parent >= 0:
                ends = [tuple(points[parent]), tuple(points[node])]
                pencil.line(ends, fill=ORANGE, width=OVERSAMPLING * BONE_PX)
        radius = OVERSAMPLING * DOT_PX
        for column, row in dots[np.isfinite(dots).all(axis=1)]:
            pencil.ellipse([column - radius, row - radius, column + radius, row + radius], fill=CYAN)
        return np.asarray(image.resize((self.width, PANEL_PX), Image.Resampling.LANCZOS))


def draw_strip(view: View, positions: np.ndarray, targets: np.ndarray, frames: Sequence[int]) -> np.ndarray:
    """Picture of some frames side by side; positions, targets: (F, N, 3)."""
    return np.concatenate([view.draw(positions[frame], targets[frame]) for frame in frames], axis=1)
