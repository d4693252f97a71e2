# SPDX-License-Identifier: Apache-2.0
"""Small scenes with known answers, seen by Cycles and not by our own renderer."""

import bpy
import numpy as np
from mathutils import Vector

from addon.solves.solve import solve_all

SIZE = (128, 96)


def drain(solve) -> list:
    """All steps of a solve, which is finished."""
    steps = []
    solve_all(solve, steps.append)
    return steps


def rendered(pieces):
    """What a generator of renders gives at its end."""
    while True:
        try:
            next(pieces).at_once()
        except StopIteration as end:
            return end.value


def add_camera(scene, location=(3, -7, 3)):
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.location = location
    camera.rotation_euler = (-Vector(location)).to_track_quat("-Z", "Y").to_euler()
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    return camera


def add_monkey(scene):
    bpy.ops.mesh.primitive_monkey_add()
    return bpy.context.object


def render(scene, path, file_format="PNG", samples=4) -> str:
    """Path of a picture by Cycles, which is taken from an earlier test if it is there."""
    if path.exists():
        return str(path)
    settings = scene.render
    settings.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", samples
    scene.cycles.max_bounces, scene.cycles.use_denoising = 0, False
    settings.film_transparent = True
    settings.image_settings.file_format, settings.image_settings.color_mode = file_format, "RGBA"
    settings.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return str(path)


def points_in_world(thing) -> np.ndarray:
    bpy.context.view_layer.update()
    return np.array([thing.matrix_world @ vertex.co for vertex in thing.data.vertices])


def diffuse(color) -> bpy.types.Material:
    material = bpy.data.materials.new("diffuse")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    shader, output = nodes.new("ShaderNodeBsdfDiffuse"), nodes.new("ShaderNodeOutputMaterial")
    shader.inputs[0].default_value = (*color, 1)
    material.node_tree.links.new(shader.outputs[0], output.inputs[0])
    return material
