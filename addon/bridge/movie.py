# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of movies as arrays.

Blender gives the pixels of a movie to what draws, renders or computes, and not to scripts.  So nodes of geometry, which may ask
for any frame, sample it at the middle of every pixel; nothing is rendered, and no handler of a render is called.
"""

from __future__ import annotations

import bpy
import numpy as np

from solver_core.errors import ObservationError

from .scene import evaluate

ATTRIBUTE = "pixel"
MOST_PIXELS = 2**24  # nodes count in float32


def read_frame(movie: bpy.types.Image, frame: int) -> np.ndarray:
    """(H, W, 4) float32 in linear light, row 0 on top: a frame of a movie, counted from 1.  Raises ObservationError."""
    if not 1 <= frame <= movie.frame_duration:
        raise ObservationError(f"The movie '{movie.name}' has {movie.frame_duration} frames and none for frame {frame}.")
    width, height = movie.size
    if width * height > MOST_PIXELS:
        raise ObservationError(
            f"The movie '{movie.name}' has {width} x {height} pixels, and more than {MOST_PIXELS} are not read."
        )
    scene = bpy.data.scenes.new("deep feedback movie")
    points = bpy.data.objects.new("deep feedback movie", bpy.data.meshes.new("deep feedback movie"))
    nodes = _sampling_nodes(movie, frame)
    try:
        scene.collection.objects.link(points)
        points.modifiers.new("Sample", "NODES").node_group = nodes
        sampled = points.evaluated_get(evaluate(scene)).data.attributes[ATTRIBUTE].data
        rgba = np.empty(4 * width * height, np.float32)
        sampled.foreach_get("color", rgba)
    finally:
        bpy.data.scenes.remove(scene)
        bpy.data.meshes.remove(points.data)  # and the object
        bpy.data.node_groups.remove(nodes)
    return rgba.reshape(height, width, 4)[::-1]


def _sampling_nodes(movie: bpy.types.Image, frame: int) -> bpy.types.NodeTree:
    """A point for every pixel, from the lower left on, with the color of the middle of the pixel as an attribute."""
    width, height = movie.size
    tree = bpy.data.node_groups.new("deep feedback movie", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    link = tree.links.new

    def calculate(operation: str, *operands: bpy.types.NodeSocket | float) -> bpy.types.NodeSocket:
        node = tree.nodes.new("ShaderNodeMath")
        node.operation = operation
        for socket, operand in zip(node.inputs, operands, strict=False):
            if isinstance(operand, bpy.types.NodeSocket):
                link(operand, socket)
            else:
                socket.default_value = operand
        return node.outputs[0]

    number = tree.nodes.new("GeometryNodeInputIndex").outputs[0]
    row = calculate("FLOOR", calculate("DIVIDE", number, width))
    column = calculate("SUBTRACT", number, calculate("MULTIPLY", row, width))
    place = tree.nodes.new("ShaderNodeCombineXYZ")
    link(calculate("DIVIDE", calculate("ADD", column, 0.5), width), place.inputs["X"])
    link(calculate("DIVIDE", calculate("ADD", row, 0.5), height), place.inputs["Y"])
    texture = tree.nodes.new("GeometryNodeImageTexture")
    texture.interpolation = "Closest"
    texture.inputs["Image"].default_value, texture.inputs["Frame"].default_value = movie, frame
    link(place.outputs[0], texture.inputs["Vector"])
    points = tree.nodes.new("GeometryNodeMeshLine")
    points.inputs["Count"].default_value = width * height
    store = tree.nodes.new("GeometryNodeStoreNamedAttribute")
    store.data_type, store.domain = "FLOAT_COLOR", "POINT"
    store.inputs["Name"].default_value = ATTRIBUTE
    link(points.outputs[0], store.inputs["Geometry"])
    link(texture.outputs["Color"], next(socket for socket in store.inputs if socket.name == "Value" and socket.enabled))
    link(store.outputs[0], tree.nodes.new("NodeGroupOutput").inputs[0])
    return tree
