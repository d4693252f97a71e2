# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's camera as solver_core's pinhole camera."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera

from .transform import float64, split_rigid, world_matrix

SHEAR_TOLERANCE = 1e-4  # of a camera's axes, which Blender takes as they are
SAME_ASPECT = 0.01  # image and render may differ by a rounded pixel
FLAT_LENSES = ("PERSP", "ORTHO")  # whose straight lines are straight in the image
EYE_DISTANCE = 500.0  # of an orthographic camera, in widths of its view: a point as deep as that is seen 1/1000 off


def render_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height of a render in pixels."""
    render = scene.render
    factor = render.resolution_percentage
    return max(1, render.resolution_x * factor // 100), max(1, render.resolution_y * factor // 100)


def set_render_size(scene: bpy.types.Scene, width: int, height: int) -> None:
    """Gives renders a size in square pixels."""
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1


def check_camera(camera: bpy.types.Object, kinds: Collection[str] = ("PERSP",)) -> None:
    """Raises SetupError unless it is a camera with one of these types of lens."""
    if camera.type != "CAMERA":
        raise SetupError(f"'{camera.name}' is not a camera: choose one.")
    if camera.data.type not in kinds:
        raise SetupError(f"The camera '{camera.name}' must be a perspective camera: change its lens type to Perspective.")


class View(NamedTuple):
    """How a camera sees a picture, or the part of it that counts.

    camera: of the pixels of that part.  world_from_eye: (4, 4) rigid; the eye of an orthographic camera is so far behind it
    that its lines of sight are parallel.  rows, columns: of the picture that count.  scale, offset: (2,) from places in the
    part to places in the camera's frame, both from 0 to 1, y up.  notices: what the user should know.
    """

    camera: Camera
    world_from_eye: np.ndarray
    is_orthographic: bool
    rows: slice
    columns: slice
    scale: np.ndarray
    offset: np.ndarray
    notices: tuple[str, ...]

    def in_part(self, box: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        """A box (left, top, right, bottom) of the picture, in pixels of the part that counts."""
        if box is None:
            return None
        left, top = self.columns.start or 0, self.rows.start or 0
        return box[0] - left, box[1] - top, box[2] - left, box[3] - top


def read_view(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, width: int, height: int
) -> View:
    """The view of a picture that has width x height pixels.  Raises SetupError if the camera cannot be used.

    A picture as large as the region that renders are cropped to is taken to be of that region, and of one as large as a whole
    render only the render region counts.  One of another aspect is seen as if renders had its size.
    """
    check_camera(camera, FLAT_LENSES)
    render, rows, columns, notices = scene.render, slice(None), slice(None), ()
    whole = _projection(scene, depsgraph, camera, *render_size(scene))
    left, top, across, down = _region(scene)
    part = whole.window(left, top, across, down)
    is_whole = _has_aspect(whole, width, height)
    if render.use_border and render.use_crop_to_border and _has_aspect(part, width, height) and width != whole.width:
        seen = _resized(part, width, height)
    elif is_whole and render.use_border and not render.use_crop_to_border:
        seen = _resized(whole, width, height)
        factor_x, factor_y = width / whole.width, height / whole.height
        left, top, across, down = (
            round(left * factor_x),
            round(top * factor_y),
            round(across * factor_x),
            round(down * factor_y),
        )
        rows, columns = slice(top, top + down), slice(left, left + across)
        seen = seen.window(left, top, across, down)
        notices = ("Only the part of the image within the render region counts: turn the region off to use all of it.",)
    elif is_whole:
        seen = _resized(whole, width, height)
    else:
        seen = _projection(scene, depsgraph, camera, width, height)
        notices = (
            f"The image has {width} x {height} pixels and the render {whole.width} x {whole.height}, which is another aspect: "
            "it is seen as if renders had the size of the image.",
        )
    scale, offset = _in_frame(seen, whole)
    eye = np.eye(4)
    eye[2, 3] = _eye_distance(camera)
    world_from_eye = _read_rigid(depsgraph, camera) @ eye
    return View(seen, world_from_eye, camera.data.type == "ORTHO", rows, columns, scale, offset, notices)


def read_camera(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object) -> Camera:
    """The camera of a render: shift, sensor fit, pixel aspect and resolution percentage included.  Raises SetupError."""
    check_camera(camera)
    return _projection(scene, depsgraph, camera, *render_size(scene))


def _projection(
    scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, width: int, height: int
) -> Camera:
    """The camera of a render with width x height pixels, seen from the eye."""
    aspect_x, aspect_y = scene.render.pixel_aspect_x, scene.render.pixel_aspect_y
    projection = float64(
        camera.evaluated_get(depsgraph).calc_matrix_camera(depsgraph, x=width, y=height, scale_x=aspect_x, scale_y=aspect_y)
    )
    half = np.array([width, height]) / 2
    focal, centre = np.diag(projection)[:2] * half, half * (1 + projection[:2, 2] * [-1, 1])
    if camera.data.type == "ORTHO":
        focal, centre = focal * _eye_distance(camera), half * (1 + projection[:2, 3] * [1, -1])
    return Camera(width, height, *map(float, focal), *map(float, centre))


def _eye_distance(camera: bpy.types.Object) -> float:
    """How far the eye is behind a camera."""
    return EYE_DISTANCE * camera.data.ortho_scale if camera.data.type == "ORTHO" else 0.0


def _region(scene: bpy.types.Scene) -> tuple[int, int, int, int]:
    """Left, top, width and height of the render region in pixels, rounded as Blender does."""
    render, (width, height) = scene.render, render_size(scene)
    left, right = int(render.border_min_x * width), int(render.border_max_x * width)
    bottom, top = int(render.border_min_y * height), int(render.border_max_y * height)
    return left, height - top, max(right - left, 1), max(top - bottom, 1)


def _in_frame(seen: Camera, whole: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The scale and offset of a View."""
    scale_x, scale_y = whole.fx * seen.width / (seen.fx * whole.width), whole.fy * seen.height / (seen.fy * whole.height)
    left = (whole.cx - whole.fx * seen.cx / seen.fx) / whole.width
    bottom = 1 - (whole.cy + whole.fy * (seen.height - seen.cy) / seen.fy) / whole.height
    return np.array([scale_x, scale_y]), np.array([left, bottom])


def camera_of_image(camera: Camera, width: int, height: int) -> Camera:
    """The render's camera for an image with more or fewer pixels.  Raises ObservationError if the aspect is another."""
    if not _has_aspect(camera, width, height):
        raise ObservationError(
            f"The image has {width} x {height} pixels and the render {camera.width} x {camera.height}, which is another "
            "aspect: set the render's resolution to that of the image."
        )
    return _resized(camera, width, height)


def _resized(camera: Camera, width: int, height: int) -> Camera:
    across, down = width / camera.width, height / camera.height
    return replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * across,
        fy=camera.fy * down,
        cx=camera.cx * across,
        cy=camera.cy * down,
    )


def _has_aspect(camera: Camera, width: int, height: int) -> bool:
    """Whether the aspects agree, or do so up to a pixel of the smaller image."""
    across, down = width / camera.width, height / camera.height
    smaller = min(width, height, camera.width, camera.height)
    return abs(across / down - 1) <= SAME_ASPECT or abs(across - down) * smaller < max(across, down)


def read_camera_pose(
    depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, kinds: Collection[str] = ("PERSP",)
) -> np.ndarray:
    """(4, 4) rigid world_from_camera.  Raises SetupError if it is no camera of these kinds, mirrored or sheared."""
    check_camera(camera, kinds)
    return _read_rigid(depsgraph, camera)


def _read_rigid(depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object) -> np.ndarray:
    rigid, shape = split_rigid(world_matrix(depsgraph, camera), camera.name)
    scale = np.diag(shape)
    if (scale <= 0).any() or np.abs(shape - np.diag(scale)).max() > SHEAR_TOLERANCE * scale.max():
        raise SetupError(f"The camera '{camera.name}' is mirrored or skewed: clear its scale and that of its parents.")
    return rigid
