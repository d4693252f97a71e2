# SPDX-License-Identifier: Apache-2.0
"""Pictures of a pose: outlines of mask and object over the photograph, or over the mask itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver_core import render
from solver_core.command.files import Surface
from solver_core.command.pictures import (
    CYAN,
    ORANGE,
    WHITE,
    Colour,
    Contour,
    Panel,
    draw_contours,
    resize,
    shade_mask,
    side_by_side,
)
from solver_core.frames import Camera
from solver_core.mesh import Mesh

PANEL_PX = 800  # longer side of a panel: two of them fit a screen
FRAME_PX = 560  # of a frame of an animation, to keep its file small


@dataclass(frozen=True, eq=False)
class PoseCanvas:
    """What poses are drawn on, at the size of the drawing.

    background: (H, W, 3) uint8.  mask: (H, W) bool, the observed one.  camera: what took the background.
    mesh: of the object, moved so that its centre (3,) is the origin: as exact as float32 allows wherever the file has it.
    """

    background: np.ndarray
    mask: np.ndarray
    camera: Camera
    mesh: Mesh
    centre: np.ndarray

    @classmethod
    def of_size(
        cls, surface: Surface, coverage: np.ndarray, camera: Camera, photo: np.ndarray | None, size_px: int
    ) -> PoseCanvas:
        """Canvas whose longer side is size_px.

        coverage: (H, W) observed mask.  photo: (H, W, 3) of the same size, or None to draw on the mask.
        """
        factor = size_px / max(camera.width, camera.height)
        width, height = max(1, round(camera.width * factor)), max(1, round(camera.height * factor))
        small_coverage = resize(np.round(coverage * 255).astype(np.uint8), width, height)
        background = shade_mask(small_coverage / 255) if photo is None else resize(photo, width, height)
        centre = surface.vertices.mean(axis=0)
        mesh = Mesh.checked(surface.vertices - centre, surface.faces)
        return cls(background, small_coverage > 127, camera.scaled(factor, width, height), mesh, centre)

    def draw(self, camera_from_object: np.ndarray, colour: Colour) -> np.ndarray:
        """(H, W, 3) the background with the outline of the mask in white and of the object at a pose (4, 4)."""
        camera = self.camera
        camera_from_mesh = camera_from_object.copy()
        camera_from_mesh[:3, 3] += camera_from_object[:3, :3] @ self.centre
        depth = render.render_depth([self.mesh], camera_from_mesh[None], camera.intrinsics, camera.height, camera.width)[0]
        return draw_contours(self.background, [Contour(self.mask, WHITE), Contour(np.isfinite(depth), colour)])


def draw_before_and_after(canvas: PoseCanvas, before: np.ndarray, after: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Two panels: the pose (4, 4) before and the one after, each with its caption."""
    pictures = [canvas.draw(before, ORANGE), canvas.draw(after, CYAN)]
    return side_by_side([Panel(picture, caption) for picture, caption in zip(pictures, captions, strict=True)])


def draw_views(canvases: Sequence[PoseCanvas], poses: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """A panel for each view: the object at the pose of (V, 4, 4) before its camera, each with its caption."""
    parts = zip(canvases, poses, captions, strict=True)
    return side_by_side([Panel(canvas.draw(pose, CYAN), caption) for canvas, pose, caption in parts])


def draw_step(canvas: PoseCanvas, camera_from_object: np.ndarray, caption: str, is_last: bool) -> np.ndarray:
    """One frame of an animation."""
    return side_by_side([Panel(canvas.draw(camera_from_object, CYAN if is_last else ORANGE), caption)])
