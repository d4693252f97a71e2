# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's camera as solver_core's pinhole camera."""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera

from .transform import split_rigid, world_matrix

SHEAR_TOLERANCE = 1e-4  # of a camera's axes, which Blender takes as they are
SAME_ASPECT = 0.01  # image and render may differ by a rounded pixel


def render_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height of a render in pixels."""
    render = scene.render
    factor = render.resolution_percentage
    return max(1, render.resolution_x * factor // 100), max(1, render.resolution_y * factor // 100)


def check_camera(camera: bpy.types.Object) -> None:
    """Raises SetupError for what is no perspective camera."""
    if camera.type != "CAMERA":
        raise SetupError(f"'{camera.name}' is not a camera: choose one.")
    if camera.data.type != "PERSP":
        raise SetupError(f"The camera '{camera.name}' must be a perspective camera: change its lens type to Perspective.")


def read_camera(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object) -> Camera:
    """The camera of a render: shift, sensor fit, pixel aspect and resolution percentage included.  Raises SetupError."""
    check_camera(camera)
    width, height = render_size(scene)
    aspect_x, aspect_y = scene.render.pixel_aspect_x, scene.render.pixel_aspect_y
    projection = np.array(
        camera.evaluated_get(depsgraph).calc_matrix_camera(depsgraph, x=width, y=height, scale_x=aspect_x, scale_y=aspect_y)
    )
    half = np.array([width, height]) / 2
    focal = np.diag(projection)[:2] * half
    centre = half * (1 + projection[:2, 2] * [-1, 1])
    return Camera(width, height, *map(float, focal), *map(float, centre))


def camera_of_image(camera: Camera, width: int, height: int) -> Camera:
    """The render's camera for an image with more or fewer pixels.  Raises ObservationError if the aspect is another."""
    if abs(width * camera.height / (height * camera.width) - 1) > SAME_ASPECT and not _is_rounded(camera, width, height):
        raise ObservationError(
            f"The image has {width} x {height} pixels and the render {camera.width} x {camera.height}, which is another "
            "aspect: set the render's resolution to that of the image."
        )
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


def _is_rounded(camera: Camera, width: int, height: int) -> bool:
    """Whether the aspects agree up to a pixel of the smaller image."""
    smaller = min(width, camera.width), min(height, camera.height)
    return abs(width / camera.width - height / camera.height) * min(smaller) < max(width / camera.width, height / camera.height)


def read_camera_pose(depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object) -> np.ndarray:
    """(4, 4) rigid world_from_camera.  Raises SetupError for what is no camera that can be used, or mirrored, or sheared."""
    check_camera(camera)
    matrix = world_matrix(depsgraph, camera)
    rigid, shape = split_rigid(matrix, camera.name)
    scale = np.diag(shape)
    if (scale <= 0).any() or np.abs(shape - np.diag(scale)).max() > SHEAR_TOLERANCE * scale.max():
        raise SetupError(f"The camera '{camera.name}' is mirrored or skewed: clear its scale and that of its parents.")
    return rigid
