# SPDX-License-Identifier: GPL-3.0-or-later
"""Base colours of materials, followed through nodes that only mix and hand on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import ObservationError
from solver_core.render.gbuffer import Texture

from .image import read_image
from .mesh import Shading
from .scene import used_nodes

NO_MATERIAL = (0.8, 0.8, 0.8)  # what Blender renders
COLOR_INPUTS = {"BSDF_PRINCIPLED": "Base Color", "BSDF_DIFFUSE": "Color"}
GLOSSY_SHADERS = {"BSDF_GLOSSY", "BSDF_GLASS", "BSDF_REFRACTION", "BSDF_TRANSPARENT", "BSDF_METALLIC", "BSDF_ANISOTROPIC"}
GLOSSY_WEIGHTS = {"Metallic", "Transmission Weight", "Transmission"}
MATT = 0.5  # of a weight: more, and most of the light is not scattered
MOST_PIXELS = 1 << 16  # of a texture, for its mean
DEEPEST = 32  # nodes that are followed one after the other


class BaseColor(NamedTuple):
    """rgb: (3,) linear.  image: a picture that it is multiplied with, if there is one."""

    rgb: np.ndarray
    image: bpy.types.Image | None = None

    def mean(self, frame: int) -> np.ndarray:
        """(3,) with the mean of the picture.  Raises ObservationError if it cannot be read."""
        if self.image is None:
            return self.rgb
        pixels = read_image(self.image, frame).linear_rgb().reshape(-1, 3)
        return self.rgb * pixels[:: max(1, len(pixels) // MOST_PIXELS)].mean(axis=0)


def surface_albedo(shading: Shading, frame: int) -> Texture | np.ndarray:
    """The texture of a surface that has one and a UV map for it, else the base colour of each face (F, 3), linear."""
    used = {shading.materials[slot] for slot in np.unique(shading.slot) if slot < len(shading.materials)}
    color = _read_color(bpy.data.materials.get(used.pop())) if len(used) == 1 else None
    if color is None or color.image is None or shading.corner_uv is None:
        return face_colors(shading, frame)
    try:
        return Texture(shading.corner_uv, color.rgb.astype(np.float32) * read_image(color.image, frame).linear_rgb())
    except ObservationError:  # a file that is gone, or colors that cannot be made linear
        return face_colors(shading, frame)


def face_colors(shading: Shading, frame: int) -> np.ndarray:
    """(F, 3) linear base colour of each face."""
    colors = np.array([base_color(bpy.data.materials.get(name), frame) for name in shading.materials] or [NO_MATERIAL])
    return colors[np.minimum(shading.slot, len(colors) - 1)].astype(np.float32)


def base_color(material: bpy.types.Material | None, frame: int) -> tuple[float, ...]:
    """(3,) linear; the mean of a texture, and the viewport's colour where the material's nodes are not read."""
    if material is None:
        return NO_MATERIAL
    color = _read_color(material)
    if color is None:
        return tuple(material.diffuse_color[:3])
    try:
        return tuple(color.mean(frame).tolist())
    except ObservationError:
        return NO_MATERIAL


def unread_materials(surfaces: Iterable[Shading]) -> list[str]:
    """Names of the materials of surfaces whose base colour cannot be read from their nodes."""
    used = {
        shading.materials[slot] for shading in surfaces for slot in np.unique(shading.slot) if slot < len(shading.materials)
    }
    materials = [bpy.data.materials.get(name) for name in sorted(used)]
    return [material.name for material in materials if material is not None and _read_color(material) is None]


def glossy_materials(surfaces: Iterable[Shading]) -> list[str]:
    """Names of the materials of surfaces that mirror or are seen through more than they are matt."""
    names = sorted({name for shading in surfaces for name in shading.materials})
    return [name for name in names if any(map(_is_glossy, used_nodes(bpy.data.materials.get(name))))]


def _is_glossy(node: bpy.types.Node) -> bool:
    if not any(output.is_linked for output in node.outputs):
        return False
    if node.type != "BSDF_PRINCIPLED":
        return node.type in GLOSSY_SHADERS
    weights = [socket for socket in node.inputs if socket.name in GLOSSY_WEIGHTS]
    return any(socket.is_linked or socket.default_value > MATT for socket in weights)


def shining_materials(surfaces: Iterable[Shading]) -> list[str]:
    """Names of the materials of surfaces that give light themselves."""
    names = sorted({name for shading in surfaces for name in shading.materials})
    return [name for name in names if any(map(_shines, used_nodes(bpy.data.materials.get(name))))]


def _shines(node: bpy.types.Node) -> bool:
    if node.type not in ("EMISSION", "BSDF_PRINCIPLED") or not node.outputs[0].is_linked:
        return False
    strength = node.inputs["Strength" if node.type == "EMISSION" else "Emission Strength"]
    color = node.inputs["Color" if node.type == "EMISSION" else "Emission Color"]
    return (strength.is_linked or strength.default_value > 0) and (color.is_linked or any(color.default_value[:3]))


def _read_color(material: bpy.types.Material | None) -> BaseColor | None:
    """The base colour of a material, None where nodes make it that are not read, such as a noise."""
    nodes = used_nodes(material)
    if not nodes:
        return None if material is None else BaseColor(np.array(material.diffuse_color[:3]))
    output = next((node for node in nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output), None)
    if output is not None and output.inputs["Surface"].is_linked:
        return _of_socket(output.inputs["Surface"], ())
    return None


def _of_socket(socket: bpy.types.NodeSocket, groups: tuple[bpy.types.Node, ...], depth: int = 0) -> BaseColor | None:
    """What arrives at a socket of a color or a shader, within groups, the innermost last."""
    if depth > DEEPEST:
        return None
    if not socket.is_linked:
        value = getattr(socket, "default_value", None)
        if value is None:
            return None
        return BaseColor(np.array(value[:3]) if hasattr(value, "__len__") else np.full(3, value))
    link = socket.links[0]
    node, follow = link.from_node, lambda other, inner=groups: _of_socket(other, inner, depth + 1)
    if node.type in COLOR_INPUTS:
        return follow(node.inputs[COLOR_INPUTS[node.type]])
    if node.type == "TEX_IMAGE":
        return None if node.image is None else BaseColor(np.ones(3), node.image)
    if node.type in ("RGB", "VALUE"):
        value = link.from_socket.default_value
        return BaseColor(np.array(value[:3]) if node.type == "RGB" else np.full(3, value))
    if node.type == "REROUTE":
        return follow(node.inputs[0])
    if node.type == "GROUP" and node.node_tree is not None:
        output = next(
            (inner for inner in node.node_tree.nodes if inner.type == "GROUP_OUTPUT" and inner.is_active_output), None
        )
        inside = output and next((one for one in output.inputs if one.identifier == link.from_socket.identifier), None)
        return follow(inside, (*groups, node)) if inside else None
    if node.type == "GROUP_INPUT" and groups:
        outside = next((one for one in groups[-1].inputs if one.identifier == link.from_socket.identifier), None)
        return follow(outside, groups[:-1]) if outside else None
    if node.type == "MIX_SHADER":
        return _mixed("MIX", *(follow(one) for one in node.inputs))
    if node.type == "MIX_RGB" or (node.type == "MIX" and node.data_type == "RGBA"):
        factor = next(one for one in node.inputs if one.enabled and one.type == "VALUE")
        colors = [one for one in node.inputs if one.enabled and one.type == "RGBA"]
        return _mixed(node.blend_type, follow(factor), *(follow(one) for one in colors))
    return None


def _mixed(blend: str, factor: BaseColor | None, first: BaseColor | None, second: BaseColor | None) -> BaseColor | None:
    """Two colors as a Mix node puts them together; None for what is not read, or would be no color times a picture."""
    if factor is None or factor.image is not None or first is None or second is None:
        return None
    share = float(np.clip(factor.rgb[0], 0, 1))
    if share == 0 or (blend == "MIX" and share == 1):
        return first if share == 0 else second
    if blend == "MULTIPLY" and second.image is None:
        return first._replace(rgb=first.rgb * (1 - share + share * second.rgb))
    if blend == "MULTIPLY" and share == 1 and first.image is None:
        return second._replace(rgb=first.rgb * second.rgb)
    if first.image is not None or second.image is not None:
        return None
    if blend == "MIX":
        return BaseColor((1 - share) * first.rgb + share * second.rgb)
    return BaseColor(first.rgb + share * second.rgb) if blend == "ADD" else None
