# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask from Photo: what of a plain photograph shows the object.

What says where it is: a box or lasso around it, strokes inside and outside of it, and the object where it stands.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

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
INSIDE, OUTSIDE = 1, 2  # what strokes say of a pixel
ELSEWHERE = "The object does not stand where the box is: only the colors of the photograph were looked at."

HINTS = "deep_feedback_hints"  # under which a cutout keeps what was drawn for it, as JSON

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the picture, row 0 on top
Points = tuple[tuple[float, float], ...]  # columns and rows in pixels of the picture


class FoundMask(NamedTuple):
    """coverage: (H, W) of the whole picture.  notes: what the user should know, in sentences."""

    coverage: np.ndarray
    notes: list[str]


@dataclass(frozen=True)
class Stroke:
    """What was painted over the object, or beside it.  radius: in pixels of the picture."""

    is_inside: bool
    radius: float
    points: Points


@dataclass(frozen=True)
class Drawn:
    """What says where the object is.  box, lasso: around all of it.  strokes: the later ones paint over the earlier ones."""

    box: Box | None = None
    lasso: Points = ()
    strokes: tuple[Stroke, ...] = ()

    @classmethod
    def of_image(cls, name: str) -> Self:
        """What was drawn for a mask that Mask from Photo made, nothing for other images."""
        image = bpy.data.images.get(name)
        return cls() if image is None or HINTS not in image else cls.from_json(image[HINTS])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ObservationError."""
        try:
            given = json.loads(text)
            strokes = tuple(
                Stroke(bool(one["is_inside"]), float(one["radius"]), _points(one["points"])) for one in given.get("strokes", ())
            )
            box = given.get("box")
            return cls(None if box is None else tuple(map(float, box)), _points(given.get("lasso", ())), strokes)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ObservationError("What was drawn for the mask cannot be read: draw it anew.") from error

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def around(self) -> Box | None:
        """The box, or the one around the lasso."""
        if not self.lasso:
            return self.box
        corners = np.array(self.lasso)
        return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())

    def painted(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) bool each: what strokes say is the object, and what is not."""
        said = np.zeros((height, width), np.int8)
        for stroke in self.strokes:
            _paint(said, stroke)
        return said == INSIDE, said == OUTSIDE


@dataclass(frozen=True)
class PhotoMaskTask:
    """photo: a picture whose alpha is not looked at.  object: stands roughly in place; "" = only colors count.

    drawn: nothing = where the object stands.
    """

    photo: ImageSource
    camera: str
    object: str = ""
    drawn: Drawn = Drawn()


@dataclass(eq=False)
class PhotoMask:
    """A photograph as it was read, and what is known of where the object is.  model: None where nothing stands in place."""

    name: str
    photo: Picture
    seen: View
    drawn: Drawn
    model: PoseView | None

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: PhotoMaskTask) -> Self:
        """Raises SolverError."""
        camera = find_object(scene, task.camera, "camera")
        photo = task.photo.read(scene, camera, scene.frame_current, is_range=False)
        model = _read_model(scene, task.object, camera, photo) if task.object else None
        seen = model.seen if model is not None else read_view(scene, evaluate(scene), camera, *photo.size)
        name = task.photo.image or task.photo.clip or Path(task.photo.file).name or camera.name
        return cls(name.removesuffix(SUFFIX) + SUFFIX, photo, seen, task.drawn, model)

    def find(self) -> FoundMask:
        """Touches none of Blender's data, so it may run in a thread.  Raises SolverError."""
        if self.model is None and self.drawn == Drawn():
            raise ObservationError("Nothing says where the object is: draw a box around it, or move it in front of the camera.")
        rows, columns = self.seen.rows, self.seen.columns
        found = self._find_in(self.photo.window(rows, columns))
        coverage = np.zeros(self.photo.pixels.shape[:2], np.float32)
        coverage[rows, columns] = found.coverage
        return FoundMask(coverage, found.notes)

    def box_around(self, places: np.ndarray) -> Box:
        """The box between two places (2, 2) in the camera's frame, from 0 to 1, y up; whole pixels within the photograph."""
        x, y = self.pixels_at(places).T
        (left, right), (top, bottom) = (
            sorted(np.clip(np.round(one), 0, length).tolist()) for one, length in zip((x, y), self.photo.size, strict=True)
        )
        return left, top, right, bottom

    def pixels_at(self, places: np.ndarray) -> np.ndarray:
        """(N, 2) columns and rows of the photograph at places (N, 2) in the camera's frame, from 0 to 1, y up."""
        x, y = ((places - self.seen.offset) / self.seen.scale).T
        return np.stack([x, 1 - y], axis=1) * self._part_size + self._part_corner

    def places_of(self, pixels: np.ndarray) -> np.ndarray:
        """(N, 2) where in the camera's frame columns and rows (N, 2) of the photograph are."""
        x, y = ((pixels - self._part_corner) / self._part_size).T
        return np.stack([x, 1 - y], axis=1) * self.seen.scale + self.seen.offset

    def keep(self, found: FoundMask) -> bpy.types.Image:
        """The photograph with the mask as its alpha, as an image of the file, with what was drawn for it."""
        image = write_cutout(self.name, self.photo.shown_rgb(), found.coverage)
        image[HINTS] = self.drawn.to_json()
        return image

    @property
    def _part_size(self) -> np.ndarray:
        return np.array([self.seen.camera.width, self.seen.camera.height])

    @property
    def _part_corner(self) -> np.ndarray:
        return np.array([self.seen.columns.start or 0, self.seen.rows.start or 0])

    def _find_in(self, picture: Picture) -> ImageMask:
        """Mask of the part of the photograph that counts; the model is used where it stands in what is drawn around it."""
        model, corner, around = self.model, self._part_corner, self.seen.in_part(self.drawn.around)
        inside, outside = (mask[self.seen.rows, self.seen.columns] for mask in self.drawn.painted(*self.photo.pixels.shape[:2]))
        hints = {
            "box": None if self.drawn.lasso else around,
            "lasso": np.array(self.drawn.lasso) - corner if self.drawn.lasso else None,
            "inside": inside if inside.any() else None,
            "outside": outside if outside.any() else None,
        }
        notes = []
        if model is not None and (around is None or _stands_in(model, around)):
            hints |= {"vertices": model.mesh.vertices, "faces": model.mesh.faces}
            hints |= {"camera": model.seen.camera, "start": model.start}
        elif model is not None:
            notes.append(ELSEWHERE)
        found = mask_from_image(picture.shown_rgb(), **hints)
        return found._replace(notes=[*notes, *found.notes])


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


def _points(given: Any) -> Points:
    return tuple((float(column), float(row)) for column, row in given)


def _paint(said: np.ndarray, stroke: Stroke) -> None:
    """Marks the pixels (H, W) whose middle is near the line through a stroke's points, in place."""
    points = np.array(stroke.points).reshape(-1, 2)
    starts, ends = points[: max(len(points) - 1, 1)], points[1:] if len(points) > 1 else points
    for start, end in zip(starts, ends, strict=True):
        low = np.floor(np.minimum(start, end) - stroke.radius).astype(int).clip(0)
        high = np.ceil(np.maximum(start, end) + stroke.radius).astype(int).clip(0)
        part = said[low[1] : high[1], low[0] : high[0]]
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]] + 0.5
        offset = np.stack([columns + low[0], rows + low[1]], axis=-1) - start
        along = end - start
        share = np.clip(offset @ along / max(float(along @ along), 1e-9), 0, 1)
        distance = np.linalg.norm(offset - share[..., None] * along, axis=-1)
        part[distance <= stroke.radius] = INSIDE if stroke.is_inside else OUTSIDE
