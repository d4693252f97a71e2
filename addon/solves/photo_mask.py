# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask from Photo: what of a plain photograph shows the object, from a box around it and from the object where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import bpy
import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import project
from solver_core.segmentation.mask import ImageMask, mask_from_image

from ..bridge.assembly import whole_of
from ..bridge.camera import View, read_view
from ..bridge.image import Picture, write_cutout
from ..bridge.scene import Handle, evaluate, find_object
from .image_source import ImageSource
from .pose_view import PoseView, Things

NEAR_BOX = 0.25  # overlap (IoU) of the box and that of the object: the object stands roughly in place from there on
SUFFIX = " mask"
ELSEWHERE = "The object does not stand where the box is: only the colors of the photograph were looked at."

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the picture, row 0 on top


class FoundMask(NamedTuple):
    """coverage: (H, W) of the whole picture.  notes: what the user should know, in sentences."""

    coverage: np.ndarray
    notes: list[str]


@dataclass(frozen=True)
class PhotoMaskTask:
    """photo: a picture whose alpha is not looked at.  object: stands roughly in place; "" = only colors count.

    box: None = where the object stands.
    """

    photo: ImageSource
    camera: str
    object: str = ""
    box: Box | None = None


@dataclass(eq=False)
class PhotoMask:
    """A photograph as it was read, and what is known of where the object is.  model: None where nothing stands in place."""

    name: str
    photo: Picture
    seen: View
    box: Box | None
    model: PoseView | None

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: PhotoMaskTask) -> Self:
        """Raises SolverError."""
        camera = find_object(scene, task.camera, "camera")
        photo = task.photo.read(scene, camera, scene.frame_current, is_range=False)
        model = _read_model(scene, task.object, camera, photo) if task.object else None
        seen = model.seen if model is not None else read_view(scene, evaluate(scene), camera, *photo.size)
        name = task.photo.image or task.photo.clip or Path(task.photo.file).name or camera.name
        return cls(name.removesuffix(SUFFIX) + SUFFIX, photo, seen, task.box, model)

    def find(self) -> FoundMask:
        """Touches none of Blender's data, so it may run in a thread.  Raises SolverError."""
        if self.model is None and self.box is None:
            raise ObservationError("Nothing says where the object is: draw a box around it, or move it in front of the camera.")
        rows, columns = self.seen.rows, self.seen.columns
        found = find_mask(self.photo.window(rows, columns), self.seen, self.box, self.model)
        coverage = np.zeros(self.photo.rgba.shape[:2], np.float32)
        coverage[rows, columns] = found.coverage
        return FoundMask(coverage, found.notes)

    def box_around(self, places: np.ndarray) -> Box:
        """The box between two places (2, 2) in the camera's frame, from 0 to 1, y up; whole pixels within the photograph."""
        width, height = self.photo.size
        x, y = ((places - self.seen.offset) / self.seen.scale).T
        x = x * self.seen.camera.width + (self.seen.columns.start or 0)
        y = (1 - y) * self.seen.camera.height + (self.seen.rows.start or 0)
        (left, right), (top, bottom) = (
            sorted(np.clip(np.round(one), 0, length).tolist()) for one, length in ((x, width), (y, height))
        )
        return left, top, right, bottom

    def keep(self, found: FoundMask) -> bpy.types.Image:
        """The photograph with the mask as its alpha, as an image of the file."""
        return write_cutout(self.name, self.photo.shown_rgb(), found.coverage)


def find_mask(picture: Picture, seen: View, box: Box | None, model: PoseView | None) -> ImageMask:
    """Mask of the part of a picture that counts.  model: used where it stands in the box.  Raises SolverError."""
    box = seen.in_part(box)
    if model is None or (box is not None and not _stands_in(model, box)):
        found = mask_from_image(picture.shown_rgb(), box)
        return found if model is None else found._replace(notes=[ELSEWHERE, *found.notes])
    mesh = model.mesh
    return mask_from_image(
        picture.shown_rgb(), box, vertices=mesh.vertices, faces=mesh.faces, camera=model.seen.camera, start=model.start
    )


def _read_model(scene: bpy.types.Scene, name: str, camera: bpy.types.Object, photo: Picture) -> PoseView | None:
    """The object before the camera; None where it has no surface or cannot be seen."""
    try:
        assembly = whole_of(scene, find_object(scene, name, "object"), camera)
        if not assembly.parts:
            return None
        things = Things(Handle.of(camera), assembly.movers, assembly.parts, assembly.movers[0])
        view = PoseView.of(scene, things, photo)
        view.require_in_front()
    except SetupError:
        return None
    return view


def _stands_in(model: PoseView, box: Box) -> bool:
    """Whether an object, as the camera sees it, fills a box roughly."""
    points = model.mesh.vertices @ model.start[:3, :3].T + model.start[:3, 3]
    if (points[:, 2] >= 0).any():
        return False
    seen = project(points, model.seen.camera.intrinsics)
    low, high = np.array(box[:2]), np.array(box[2:])
    across = np.clip(np.minimum(high, seen.max(axis=0)) - np.maximum(low, seen.min(axis=0)), 0, None)
    both = np.prod(high - low) + np.prod(np.ptp(seen, axis=0)) - across.prod()
    return bool(across.prod() >= NEAR_BOX * both)
