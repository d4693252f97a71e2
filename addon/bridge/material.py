# SPDX-License-Identifier: GPL-3.0-or-later
"""Base colours of materials."""

from __future__ import annotations

import bpy
import numpy as np

from solver_core.errors import ObservationError
from solver_core.render.gbuffer import Texture

from .image import read_image
from .mesh import Shading
from .scene import used_nodes

NO_MATERIAL = (0.8, 0.8, 0.8)  # what Blender renders
COLOR_INPUTS = {"BSDF_PRINCIPLED": "Base Color", "BSDF_DIFFUSE": "Color"}
MOST_PIXELS = 1 << 16  # of a texture, for its mean


def surface_albedo(shading: Shading, frame: int) -> Texture | np.ndarray:
    """The texture of a surface that has one and a UV map for it, else the base colour of each face (F, 3), linear."""
    used = {shading.materials[slot] for slot in np.unique(shading.slot) if slot < len(shading.materials)}
    image = _texture(bpy.data.materials.get(used.pop())) if len(used) == 1 else None
    if image is None or shading.corner_uv is None:
        return face_colors(shading, frame)
    try:
        return Texture(shading.corner_uv, read_image(image, frame).linear_rgb())
    except ObservationError:  # a file that is gone, or colors that cannot be made linear
        return face_colors(shading, frame)


def face_colors(shading: Shading, frame: int) -> np.ndarray:
    """(F, 3) linear base colour of each face."""
    colors = np.array([base_color(bpy.data.materials.get(name), frame) for name in shading.materials] or [NO_MATERIAL])
    return colors[np.minimum(shading.slot, len(colors) - 1)].astype(np.float32)


def base_color(material: bpy.types.Material | None, frame: int) -> tuple[float, ...]:
    """(3,) linear; the mean of a texture, and the viewport's colour where the material's nodes are of another kind."""
    if material is None:
        return NO_MATERIAL
    socket = _color_socket(material)
    if socket is None:
        return tuple(material.diffuse_color[:3])
    image = _texture(material)
    if image is not None:
        return _mean_color(image, frame)
    return tuple((material.diffuse_color if socket.is_linked else socket.default_value)[:3])


def _color_socket(material: bpy.types.Material) -> bpy.types.NodeSocket | None:
    shader = next((node for node in used_nodes(material) if node.type in COLOR_INPUTS), None)
    return None if shader is None else shader.inputs[COLOR_INPUTS[shader.type]]


def _texture(material: bpy.types.Material | None) -> bpy.types.Image | None:
    """The image that is a material's colour."""
    socket = None if material is None else _color_socket(material)
    source = socket.links[0].from_node if socket is not None and socket.is_linked else None
    return source.image if source is not None and source.type == "TEX_IMAGE" else None


def _mean_color(image: bpy.types.Image, frame: int) -> tuple[float, ...]:
    try:
        rgb = read_image(image, frame).linear_rgb().reshape(-1, 3)
    except ObservationError:
        return NO_MATERIAL
    return tuple(rgb[:: max(1, len(rgb) // MOST_PIXELS)].mean(axis=0).tolist())
