# SPDX-License-Identifier: Apache-2.0
"""Scenes rendered by Blender's Cycles, as an independent check of the shading and as photographs.  Needs bpy.

Everything stands in the camera's frame: the camera is at the origin and looks along -z.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

from addon.bridge.passes import cycles_passes
from solver_core.command.files import read_photo
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.render.gbuffer import Passes

PIXEL_CENTRE = 0.01  # width of the pixel filter, the narrowest there is: what is seen at the centre and nothing beside it
THREADS = 1  # the machine is shared, and a picture is the same on every number of them


def new_scene(camera: Camera, bounces: int, samples: int) -> bpy.types.Scene:
    """An empty scene with a camera whose principal point is in the middle.

    bounces: 0 is direct light only.  One sample a pixel is taken at its centre, more are spread over it.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit, lens.lens = "HORIZONTAL", camera.fx / camera.width * lens.sensor_width
    lens.clip_start = 1e-3
    scene.camera = _link(bpy.data.objects.new("camera", lens))
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = camera.width, camera.height
    render.threads_mode, render.threads = "FIXED", THREADS
    scene.cycles.samples, scene.cycles.max_bounces = samples, bounces
    scene.cycles.use_denoising = scene.cycles.use_adaptive_sampling = False
    if samples == 1:
        scene.cycles.pixel_filter_type, scene.cycles.filter_width = "GAUSSIAN", PIXEL_CENTRE
    scene.view_settings.view_transform = "Standard"
    return scene


def add_mesh(mesh: Mesh, camera_from_object: np.ndarray, material: bpy.types.Material) -> bpy.types.Object:
    """A mesh whose faces are flat."""
    data = bpy.data.meshes.new("mesh")
    data.from_pydata(mesh.vertices.tolist(), [], mesh.faces.tolist())
    data.materials.append(material)
    thing = _link(bpy.data.objects.new("mesh", data))
    thing.matrix_world = Matrix(camera_from_object.tolist())
    return thing


def add_sun(direction: np.ndarray, strength: float | np.ndarray, angle: float = 0.0) -> None:
    """direction: (3,) towards the sun.  strength: W/m2, one number or linear RGB.  angle: across its disc, radians."""
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle = np.max(strength), angle
    sun.color = np.broadcast_to(strength / np.max(strength), 3)
    _link(bpy.data.objects.new("sun", sun)).rotation_euler = Vector(direction).to_track_quat("Z", "Y").to_euler()


def add_point_light(position: np.ndarray, watts: float) -> None:
    """A point light without extent."""
    light = bpy.data.lights.new("point", "POINT")
    light.energy, light.shadow_soft_size = watts, 0
    _link(bpy.data.objects.new("point", light)).location = position


def add_area_light(position: np.ndarray, target: np.ndarray, watts: np.ndarray, side: float) -> None:
    """A square that shines towards a target.  position, target: (3,).  watts: (3,) linear RGB.  side: metres."""
    light = bpy.data.lights.new("area", "AREA")
    light.energy, light.size, light.color = np.max(watts), side, watts / np.max(watts)
    lamp = _link(bpy.data.objects.new("area", light))
    lamp.location, lamp.rotation_euler = position, Vector(position - target).to_track_quat("Z", "Y").to_euler()


def set_ambient(colour: np.ndarray) -> None:
    """Light from all around, (3,) linear radiance."""
    world = bpy.data.worlds.new("world")
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (*colour, 1)
    bpy.context.scene.world = world


def set_sky(constant: np.ndarray, slope: np.ndarray) -> None:
    """Light from all around that changes evenly: constant (3,) + slope (3, 3) times the direction, linear radiance."""
    set_ambient(constant)
    tree = bpy.context.scene.world.node_tree
    towards = tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"]  # of a world, the direction that is looked in
    colour = tree.nodes.new("ShaderNodeCombineXYZ")
    for channel, (least, along) in enumerate(zip(constant, slope, strict=True)):
        dot, add = tree.nodes.new("ShaderNodeVectorMath"), tree.nodes.new("ShaderNodeMath")
        dot.operation, dot.inputs[1].default_value, add.inputs[1].default_value = "DOT_PRODUCT", along, least
        tree.links.new(towards, dot.inputs[0])
        tree.links.new(dot.outputs["Value"], add.inputs[0])
        tree.links.new(add.outputs[0], colour.inputs[channel])
    tree.links.new(colour.outputs[0], tree.nodes["Background"].inputs["Color"])


def matt(albedo: float | np.ndarray) -> bpy.types.Material:
    """A Lambert surface, grey or linear RGB."""
    material = new_material()
    nodes = material.node_tree.nodes
    shader = nodes.new("ShaderNodeBsdfDiffuse")
    shader.inputs["Color"].default_value = (*np.broadcast_to(albedo, 3), 1)
    material.node_tree.links.new(shader.outputs["BSDF"], nodes["Material Output"].inputs["Surface"])
    return material


def without_gloss(material: bpy.types.Material) -> bpy.types.Material:
    """Blender's default material, whatever its colour, as a Lambert surface."""
    for name in ("Specular IOR Level", "Metallic"):
        material.node_tree.nodes["Principled BSDF"].inputs[name].default_value = 0.0
    return material


def new_material() -> bpy.types.Material:
    """Blender's own default, by nodes."""
    material = bpy.data.materials.new("material")
    if not material.node_tree:
        material.use_nodes = True
    return material


def render_linear() -> np.ndarray:
    """(H, W, 3) float32 radiance."""
    return _rendered("RGB")


def render_with_alpha() -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) float32 radiance, of what is there, and (H, W) how much of each pixel that is; needs a transparent film."""
    values = _rendered("RGBA")
    alpha = values[..., 3]
    return values[..., :3] / np.maximum(alpha, 1e-3)[..., None], alpha


def _rendered(channels: str) -> np.ndarray:
    """(H, W, C) float32."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "radiance.exr")
        _render(path, "OPEN_EXR", "32", channels)
        image = bpy.data.images.load(str(path))
        image.colorspace_settings.name = "Non-Color"
        width, height = image.size
        values = np.empty(width * height * image.channels, np.float32)
        image.pixels.foreach_get(values)
        bpy.data.images.remove(image)
    return values.reshape(height, width, -1)[::-1, :, : len(channels)].copy()  # Blender's first row is the lowest


def seen_through(view_transform: str, stops: float) -> np.ndarray:
    """(H, W, 3) float32 of 8 bits, in [0, 1]: the last render as Blender saves it.  stops: exposure."""
    scene = bpy.context.scene
    scene.view_settings.view_transform, scene.view_settings.exposure = view_transform, stops
    _set_format("PNG", "8", "RGB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "view.png")
        bpy.data.images["Render Result"].save_render(str(path), scene=scene)
        return np.asarray(read_photo(path), np.float32) / 255


def render_passes(camera: Camera) -> Passes:
    """What the extension gets of Cycles of surfaces that it does not read."""
    scene = bpy.context.scene
    renders = cycles_passes(scene, bpy.context.evaluated_depsgraph_get(), scene.camera, (camera.width, camera.height))
    try:
        while True:
            with _silence():
                next(renders).at_once()
    except StopIteration as end:
        return end.value


def render_srgb(path: Path) -> None:
    """Writes an 8-bit sRGB PNG without any look."""
    _render(path, "PNG", "8")


def _render(path: Path, file_format: str, depth: str, channels: str = "RGB") -> None:
    _set_format(file_format, depth, channels)
    bpy.context.scene.render.filepath = str(path)
    with _silence():
        bpy.ops.render.render(write_still=True)


def _set_format(file_format: str, depth: str, channels: str) -> None:
    settings = bpy.context.scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = file_format, channels, depth


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps what Blender reports from C off the standard output."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _link(thing: bpy.types.Object) -> bpy.types.Object:
    bpy.context.scene.collection.objects.link(thing)
    return thing
